/*
 * Where connections wait that are logged in but cannot go to their home yet, because the ring there
 * is full: for the moment that its worker needs to take out what is in it. A crowd that comes at
 * once is not turned away. And while the number of workers changes nobody is let in (move.h).
 */
#ifndef WSPUSHD_WORKER_LOBBY_H
#define WSPUSHD_WORKER_LOBBY_H

#include "worker/auth.h"

struct lobby *lobby_new(void);

/* The connection waits, with CONN_ASKED, until `size` bytes fit into the ring to `home`; then
 * upgrade_resume is called with this login. Its request is in its hold. */
void lobby_wait(struct worker *worker, const struct conn *conn, const struct login *login,
                uint32_t home, uint32_t size);

/* A login that was under way when the worker before left begins anew once Redis can be asked, or
 * when auth_timeout is over. Its request is in its hold. */
void lobby_again(struct worker *worker, const struct conn *conn);

/* Each turn, before anything else is put into the rings: lets go on whoever can. */
void lobby_turn(struct worker *worker);

#endif

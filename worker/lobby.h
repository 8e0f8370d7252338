/*
 * The lobby: connections that are logged in, but whose ring to their home is full, wait here until
 * the home has made room. So a burst of logins is not turned away. While the number of workers
 * changes no connection is admitted (move.h).
 */
#ifndef WSPUSHD_WORKER_LOBBY_H
#define WSPUSHD_WORKER_LOBBY_H

#include "worker/auth.h"

struct lobby *lobby_new(void);

/* Keeps the connection waiting, with CONN_ASKED, until `size` bytes fit into the ring to `home`;
 * then calls upgrade_resume with this login. Its request is in its hold. */
void lobby_wait(struct worker *worker, const struct conn *conn, const struct login *login,
                uint32_t home, uint32_t size);

/* Repeats a login that was in progress when the previous worker left, once Redis can be asked or
 * auth_timeout is over. Its request is in its hold. */
void lobby_again(struct worker *worker, const struct conn *conn);

/* Lets waiting connections proceed. Called each turn, before anything else is put into the
 * rings. */
void lobby_turn(struct worker *worker);

#endif

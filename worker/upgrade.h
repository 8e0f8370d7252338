/*
 * From the first byte of a request head to a WebSocket connection or a refusal.
 */
#ifndef WSPUSHD_WORKER_UPGRADE_H
#define WSPUSHD_WORKER_UPGRADE_H

#include "worker/auth.h"
#include "worker/worker.h"

/* Takes the first look at a connection that was accepted just now: it is refused if there are too
 * many, else what it has sent is read. It may have ended on return, or be another worker's. */
void upgrade_accepted(struct worker *worker, struct conn *conn);

/* There are bytes from a connection in HANDSHAKE, or there may be: it was just accepted. */
void upgrade_read(struct worker *worker, struct conn *conn);

/* The login of a connection with CONN_ASKED goes on: Redis has answered, or will not. `found`: the
 * login is there; otherwise the methods after it are tried. */
void upgrade_resume(struct worker *worker, struct conn *conn, struct auth *auth, bool found);

#endif

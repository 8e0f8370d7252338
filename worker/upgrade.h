/*
 * Handles a connection from the first byte of its request head to a WebSocket connection or a
 * refusal.
 */
#ifndef WSPUSHD_WORKER_UPGRADE_H
#define WSPUSHD_WORKER_UPGRADE_H

#include "worker/auth.h"
#include "worker/worker.h"

/* Reads from a connection that was accepted just now, or refuses it if there are too many. It may
 * have ended on return, or belong to another worker. */
void upgrade_accepted(struct worker *worker, struct conn *conn);

/* Reads from a connection in HANDSHAKE, which may have no bytes yet. It may have ended on
 * return. */
void upgrade_read(struct worker *worker, struct conn *conn);

/* Continues the login of a connection with CONN_ASKED: Redis has answered, or will not. `found`:
 * the login is there; if not, the methods after it are tried. */
void upgrade_resume(struct worker *worker, struct conn *conn, struct auth *auth, bool found);

#endif

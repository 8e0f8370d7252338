/*
 * Refuses a request: sends an HTTP response that says why, and ends the connection.
 */
#ifndef WSPUSHD_WORKER_REFUSE_H
#define WSPUSHD_WORKER_REFUSE_H

#include "proto/handshake.h"
#include "worker/worker.h"

/* Sends the response, counts it, and waits in CLOSING for the client to close. */
void refuse(struct worker *worker, struct conn *conn, struct refusal refusal,
            _Atomic uint64_t *counter);

/* Sends the response, counts it, and closes without waiting for the client: the connection has
 * ended on return. For clients above the limit, which are too many to wait for. */
void refuse_at_once(struct worker *worker, struct conn *conn, struct refusal refusal,
                    _Atomic uint64_t *counter);

/* Does the same as refuse with a response that is already encoded: the console's page. */
void refuse_with(struct worker *worker, struct conn *conn, const void *response, size_t len);

#endif

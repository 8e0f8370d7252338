/*
 * A request that is not accepted gets an HTTP response that says why, and the connection ends.
 */
#ifndef WSPUSHD_WORKER_REFUSE_H
#define WSPUSHD_WORKER_REFUSE_H

#include "proto/handshake.h"
#include "worker/worker.h"

/* Answers, counts, and waits for the client to close: CLOSING. */
void refuse(struct worker *worker, struct conn *conn, struct refusal refusal,
            _Atomic uint64_t *counter);

/* Answers, counts, and closes without waiting for the client: the connection has ended on return.
 * For clients that are too many to be waited for. */
void refuse_at_once(struct worker *worker, struct conn *conn, struct refusal refusal,
                    _Atomic uint64_t *counter);

/* As refuse, with a response that is made already: the console's page. */
void refuse_with(struct worker *worker, struct conn *conn, const void *response, size_t len);

#endif

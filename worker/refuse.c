/*
 * See refuse.h.
 */
#include "worker/refuse.h"

#include "common/log.h"
#include "worker/client.h"
#include "worker/hold.h"
#include "worker/outbox.h"

#include <sys/socket.h>

enum {
    RETRY_SPREAD = 5, /* seconds over which the retries after a 503 are spread */
    DRAIN_READS = 4   /* of SCRATCH_SIZE: a client that sends more before the answer may lose it */
};

void refuse_with(struct worker *worker, struct conn *conn, const void *response, size_t len)
{
    struct hold *hold = hold_find(worker, conn);
    if (hold)
        hold_clear_in(hold);
    outbox_reserve(worker, len);
    conn_set_state(conn, CONN_CLOSING);
    conn->seen = worker->now_s;
    outbox_add(worker, conn, outbox_bytes(worker, response, len));
}

/* Counts the refusal and encodes the response. Returns its length in bytes. */
static size_t encode_refusal_response(struct worker *worker, const struct conn *conn,
                                      struct refusal refusal, _Atomic uint64_t *counter,
                                      char response[HTTP_RESPONSE_MAX])
{
    const uint32_t fd = (uint32_t)(conn - worker->table);
    stats_add(counter, 1);
    log_debug("refused", "fd=%u status=%d code=%s", fd, refusal.status, refusal.code);
    return http_refusal(response, refusal.status, refusal.code, refusal.text,
                        1 + fd % RETRY_SPREAD);
}

void refuse(struct worker *worker, struct conn *conn, struct refusal refusal,
            _Atomic uint64_t *counter)
{
    char response[HTTP_RESPONSE_MAX];
    const size_t len = encode_refusal_response(worker, conn, refusal, counter, response);
    refuse_with(worker, conn, response, len);
}

/* Discards the client's bytes first: closing a socket with unread bytes resets the connection, and
 * the response might be lost with it (RFC 9112 §9.6). */
void refuse_at_once(struct worker *worker, struct conn *conn, struct refusal refusal,
                    _Atomic uint64_t *counter)
{
    char response[HTTP_RESPONSE_MAX];
    const int fd = (int)(conn - worker->table);
    const size_t len = encode_refusal_response(worker, conn, refusal, counter, response);
    for (int reads = 0; reads < DRAIN_READS; reads++)
        if (recv(fd, worker->scratch, SCRATCH_SIZE, MSG_DONTWAIT) <= 0)
            break;
    (void)!send(fd, response, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    client_end(worker, conn, CLOSED_RESET);
}

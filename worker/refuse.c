/*
 * See refuse.h.
 */
#include "worker/refuse.h"

#include "common/log.h"
#include "worker/hold.h"
#include "worker/outbox.h"

enum { RETRY_SPREAD = 5 }; /* seconds, over which those who get a 503 are asked to come back */

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

void refuse(struct worker *worker, struct conn *conn, struct refusal refusal,
            _Atomic uint64_t *counter)
{
    char response[HTTP_RESPONSE_MAX];
    const uint32_t fd = (uint32_t)(conn - worker->table);
    const size_t len =
        http_refusal(response, refusal.status, refusal.code, refusal.text, 1 + fd % RETRY_SPREAD);
    stats_add(counter, 1);
    log_debug("refused", "fd=%u status=%d code=%s", fd, refusal.status, refusal.code);
    refuse_with(worker, conn, response, len);
}

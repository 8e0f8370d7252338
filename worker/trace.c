/*
 * See trace.h. Related lines name the same things: a connection by `conn`, as HELLO and /api/users
 * do; a push by `source` and `position`, as worker_died does.
 */
#include "worker/trace.h"

#include "common/log.h"
#include "worker/address.h"
#include "worker/link_streams.h"

#include <stdio.h>

/* Returns "user=42 conn=d84ab655-1a-0", in a static buffer. */
static const char *trace_party_text(const struct worker *worker, const struct conn *conn)
{
    static char text[5 * USER_MAX + CONN_NAME_MAX + 16];
    char name[CONN_NAME_MAX + 1];

    name[conn_name(name, worker->segment->header->boot_id, conn_ref(worker->table, conn))] = '\0';
    snprintf(text, sizeof(text), "user=%s conn=%s", log_quote(conn->user, conn->user_len), name);
    return text;
}

/* Returns "source=redis position=4096", in a static buffer. */
static const char *trace_mark_text(uint64_t mark)
{
    static char text[64];
    const unsigned source = (unsigned)(mark >> 56) - 1;
    const unsigned long long position = mark & 0x00ffffffffffffffull;

    if (source == LINK_SOURCE)
        snprintf(text, sizeof(text), "source=redis position=%llu", position);
    else
        snprintf(text, sizeof(text), "source=worker.%u position=%llu", source - 1, position);
    return text;
}

/* Returns the label of the reason's counter. */
static const char *close_reason_text(enum closed_reason reason)
{
    switch (reason) {
#define REASON_CASE(name, field) \
    case name:                   \
        return #field + sizeof("closed_") - 1;
        CLOSED_REASONS(REASON_CASE)
#undef REASON_CASE
    }
    return "";
}

void trace_opened(const struct worker *worker, const struct conn *conn, const char *mode)
{
    char address[ADDRESS_TEXT_MAX];

    if (trace_on(worker))
        log_debug("opened", "%s mode=%s address=%s", trace_party_text(worker, conn), mode,
                  address_text(conn, address));
}

void trace_closed(const struct worker *worker, const struct conn *conn, enum closed_reason reason,
                  uint16_t code)
{
    if (trace_on(worker))
        log_debug("closed", "%s reason=%s code=%u", trace_party_text(worker, conn),
                  close_reason_text(reason), code);
}

void trace_push(const struct worker *worker, const struct push *push, const char *id, uint64_t mark)
{
    if (trace_on(worker))
        log_debug("push", "%s%s%sop=%u bytes=%zu %s", *id ? "id=" : "", id, *id ? " " : "",
                  push->message.op, push->message.len, trace_mark_text(mark));
}

void trace_nobody(const struct worker *worker, const char *name, size_t len, uint64_t mark)
{
    if (trace_on(worker))
        log_debug("delivery", "%s to=%s outcome=no_connection", trace_mark_text(mark),
                  log_quote(name, len));
}

void trace_delivery(const struct worker *worker, const struct conn *conn, uint64_t mark,
                    const char *outcome)
{
    log_debug("delivery", "%s %s outcome=%s", trace_mark_text(mark), trace_party_text(worker, conn),
              outcome);
}

void trace_dropped(const struct worker *worker, const struct conn *conn, uint64_t pushes,
                   const char *reason)
{
    if (pushes > 0 && trace_on(worker))
        log_debug("dropped", "%s pushes=%llu reason=%s", trace_party_text(worker, conn),
                  (unsigned long long)pushes, reason);
}

void trace_caught_up(const struct worker *worker, const struct conn *conn)
{
    if (trace_on(worker))
        log_debug("caught_up", "%s", trace_party_text(worker, conn));
}

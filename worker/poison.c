/*
 * See poison.h. The master notes only deaths by a worker's own fault in the graves, and shm/words.c
 * finds their common cause; this file acts on it.
 *
 * Nothing is tried a third time. No list of pushes is needed: a skipped push is committed, and its
 * position never comes again.
 */
#include "worker/poison.h"

#include "common/log.h"
#include "proto/ws.h"
#include "worker/client.h"

enum { HEX_BYTES = 256 /* of a push or message, for the log */ };

/* Returns the first bytes in hex, in a static buffer. */
static const char *first_bytes_hex(const uint8_t *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    static char text[2 * HEX_BYTES + 1];
    const size_t count = len < HEX_BYTES ? len : HEX_BYTES;
    for (size_t i = 0; i < count; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * count] = '\0';
    return text;
}

static size_t smaller_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* True if the predecessor has a grave, so it died by its own fault. */
static bool died_by_own_fault(const struct worker *worker)
{
    const uint32_t incarnation = atomic_load(&worker->slot->incarnation);
    return worker->slot->grave[0].incarnation == incarnation - 1 && incarnation > 1;
}

/* Sets a message aside. Its first bytes are still in the fault record if no other worker has died
 * since. */
static void set_message_aside(struct worker *worker)
{
    const struct fault *fault = &worker->slot->fault;
    const struct guilt *guilt = &worker->guilt;
    const bool known = fault_is_of(fault, worker->slot->grave[0].incarnation);
    if (poison_has(&worker->slot->poison, guilt->message, guilt->message_len))
        return;
    poison_add(&worker->slot->poison, guilt->message, guilt->message_len);
    log_error("poison", "kind=message fd=%u bytes=%u begins=%s", guilt->fd, guilt->message_len,
              known ? first_bytes_hex(fault->begins, smaller_of(MESSAGE_BEGINS, guilt->message_len))
                    : "");
}

void poison_open(struct worker *worker)
{
    poison_begin(&worker->slot->poison, worker->slot->words.build);
    worker->guilt = grave_guilt(worker->slot->grave);
    worker->careful = died_by_own_fault(worker);
    if (worker->guilt.message_len > 0)
        set_message_aside(worker);
}

bool poison_is_unread(const struct worker *worker, uint64_t position)
{
    return worker->guilt.unread && poison_is(worker, 0, position);
}

bool poison_skips(struct worker *worker, uint32_t source, uint64_t position, const uint8_t *bytes,
                  size_t len)
{
    if (!poison_may_skip(&worker->slot->poison, worker->now_ms)) {
        log_error("poison_limit", "position=%llu most=%u every_s=%u", (unsigned long long)position,
                  SKIPS_MAX, SKIP_EVERY_MS / 1000);
        return false;
    }
    stats_add(&worker->stats->dropped_poison, 1);
    log_error("poison", "kind=%s worker=%u position=%llu bytes=%zu begins=%s",
              source ? "ring" : "push", source ? source - 1 : worker->id,
              (unsigned long long)position, len, first_bytes_hex(bytes, len));
    return true;
}

bool poison_is_connection(const struct worker *worker, const struct conn *conn)
{
    const struct conn_ref ref = conn_ref(worker->table, conn);
    return ref.fd != 0 && ref.fd == worker->guilt.fd && ref.generation == worker->guilt.generation;
}

bool poison_refuses(struct worker *worker, struct conn *conn, const uint8_t *bytes, size_t len)
{
    const struct poison *poison = &worker->slot->poison;
    if (poison->added == 0 || !poison_has_length(poison, (uint32_t)len) ||
        !poison_has(poison, message_hash(worker->segment->header->hash_seed, bytes, len),
                    (uint32_t)len))
        return false;
    client_close(worker, conn, WS_CLOSE_INTERNAL, ws_close_text(WS_CLOSE_INTERNAL), CLOSED_POISON);
    return true;
}

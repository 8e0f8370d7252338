/*
 * See sending.h. A unix socket has no count of sent bytes. There the kernel takes a small send
 * completely or not at all, so no frame is torn, but it may be sent again; the result of a larger
 * send cannot be known.
 */
#include "worker/sending.h"

#include "worker/hold.h"
#include "worker/home.h"
#include "worker/kernel.h"

enum { UNIX_WHOLE_MAX = 2048 /* one buffer of unix_stream_sendmsg(), whatever SO_SNDBUF is */ };

void sending_begin(struct worker *worker, struct conn_ref ref, uint64_t mark, bool early)
{
    struct slot_send *send = &worker->slot->send;
    send->mark = mark;
    send->from = worker->segment->sent[ref.fd];
    send->whole = 0;
    send->early = early;
    /* Release: a reader that sees the reference sees the words above. */
    atomic_store_explicit(&send->ref, conn_ref_pack(ref), memory_order_release);
}

void sending_whole(struct worker *worker, size_t whole)
{
    worker->slot->send.whole = (uint32_t)whole;
}

void sending_note(struct worker *worker, struct conn *conn, uint64_t mark)
{
    if (conn_has(conn, CONN_GREETING))
        home_greeted(worker, conn);
    /* Before SUBSCRIBING ends, the record's mark is the batch that the connection waits for. */
    if (mark && word_state(conn_word(conn)) == CONN_OPEN)
        conn->mark = mark;
}

void sending_end(struct worker *worker)
{
    atomic_store_explicit(&worker->slot->send.ref, 0, memory_order_release);
}

void sending_catch_up(struct worker *worker, const struct conn *conn)
{
    const uint32_t fd = (uint32_t)(conn - worker->table);
    if (worker->segment->sent[fd] == 0 && kernel_counts((int)fd))
        worker->segment->sent[fd] = (uint32_t)kernel_sent((int)fd);
}

/* Clears the dirty mark if the send, which is complete, was the only reason for it. */
static void clean_after_send(const struct worker *worker, struct conn *conn)
{
    const bool has_hold = conn->held & HELD;
    if (hold_lost(worker, conn) && !has_hold && !worker->slot->send.early)
        conn_clear(conn, CONN_DIRTY);
}

struct conn *sending_recover(struct worker *worker)
{
    const struct slot_send *send = &worker->slot->send;
    const uint64_t packed = atomic_load_explicit(&send->ref, memory_order_acquire);
    const struct conn_ref ref = conn_ref_unpack(packed);
    struct conn *conn =
        packed ? conn_deref(worker->table, worker->capacity, ref, worker->id) : NULL;
    if (!conn)
        return NULL;
    if (!kernel_counts((int)ref.fd))
        return send->whole > 0 && send->whole <= UNIX_WHOLE_MAX ? NULL : conn;
    const uint32_t count = (uint32_t)kernel_sent((int)ref.fd);
    const uint32_t taken = count - send->from;
    worker->segment->sent[ref.fd] = count;
    if (taken == 0)
        return NULL;
    if (taken != send->whole)
        return conn;
    sending_note(worker, conn, send->mark);
    clean_after_send(worker, conn);
    return NULL;
}

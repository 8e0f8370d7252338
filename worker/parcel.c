/*
 * See parcel.h. An entry counts only while its record still says that the bytes are in the memory
 * of the process that wrote the parcel: so a successor that dies in the middle of taking it leaves
 * no connection with old bytes to the next.
 */
#include "worker/parcel.h"

#include "common/killpoint.h"
#include "common/log.h"
#include "worker/hold.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct parcel_head {
    uint32_t incarnation; /* as records keep it */
};

struct parcel_entry {
    struct conn_ref ref;
    uint32_t in_len;
    uint32_t frames;
    struct ws_rx rx;
};

struct parcel_frame {
    uint32_t size, sent;
    uint32_t push;
    uint64_t expires_ms, key;
};

/* ---- Writing ---- */

static void write_hold(FILE *out, const struct worker *worker, const struct conn *conn,
                       const struct hold *hold)
{
    const struct parcel_entry entry = {.ref = conn_ref(worker->table, conn),
                                       .in_len = hold->in_len,
                                       .frames = hold->count,
                                       .rx = hold->rx};
    fwrite(&entry, sizeof(entry), 1, out);
    if (hold->in_len > 0) /* else there is no buffer */
        fwrite(hold->in, 1, hold->in_len, out);
    for (uint32_t i = 0; i < hold->count; i++) {
        const struct waiting *waiting = hold_at(hold, i);
        const struct parcel_frame frame = {.size = waiting->chunk->len,
                                           .sent = waiting->sent,
                                           .push = waiting->push,
                                           .expires_ms = waiting->chunk->expires_ms,
                                           .key = waiting->chunk->key};
        fwrite(&frame, sizeof(frame), 1, out);
        fwrite(waiting->chunk->bytes, 1, waiting->chunk->len, out);
    }
}

static bool write_all(struct worker *worker, FILE *out)
{
    const uint32_t high = atomic_load_explicit(&worker->slot->high, memory_order_relaxed);
    const struct parcel_head head = {worker->incarnation};
    fwrite(&head, sizeof(head), 1, out);
    for (uint32_t fd = 0; fd < high; fd++) {
        const struct conn *conn = &worker->table[fd];
        const uint64_t word = conn_word(conn);
        if (word_owner(word) != worker->id || word_state(word) == CONN_FREE)
            continue;
        const struct hold *hold = hold_find(worker, conn);
        if (hold)
            write_hold(out, worker, conn, hold);
    }
    return fflush(out) == 0 && !ferror(out);
}

void parcel_write(struct worker *worker)
{
    const int fd = memfd_create("wspushd-parcel", MFD_CLOEXEC);
    /* The stream's own descriptor is closed with it; the parcel's stays open for the successor. */
    const int stream_fd = fd == -1 ? -1 : dup(fd);
    FILE *out = stream_fd == -1 ? NULL : fdopen(stream_fd, "w");
    const bool written = out && write_all(worker, out);
    if (out)
        fclose(out);
    if (written) {
        KILLPOINT(PARCEL_WRITTEN);
        /* Release: who sees the number sees a whole parcel. */
        atomic_store_explicit(&worker->slot->parcel, fd, memory_order_release);
        KILLPOINT(PARCEL_NAMED);
        return;
    }
    log_error("parcel_failed", "why=%s", log_quote(strerror(errno), strlen(strerror(errno))));
    if (fd != -1)
        close(fd);
}

/* ---- Taking ---- */

/* The record, if the bytes are still the ones that it lacks. */
static struct conn *wanted(const struct worker *worker, struct conn_ref ref, uint32_t writer)
{
    struct conn *conn = conn_deref(worker->table, worker->capacity, ref, worker->id);
    return conn && conn->incarnation == writer ? conn : NULL;
}

static bool read_frame(FILE *in, struct hold *hold)
{
    struct parcel_frame frame;
    if (fread(&frame, sizeof(frame), 1, in) != 1 || frame.sent > frame.size)
        return false;
    struct chunk *chunk = chunk_read(in, frame.size);
    if (!chunk)
        return false;
    chunk->expires_ms = frame.expires_ms;
    chunk->key = frame.key;
    hold_queue(hold, (struct waiting){.chunk = chunk, .sent = frame.sent, .push = frame.push},
               false);
    return true;
}

static bool read_hold(FILE *in, const struct parcel_entry *entry, struct hold *hold)
{
    struct chunk *bytes = chunk_read(in, entry->in_len);
    if (!bytes)
        return false;
    hold->rx = entry->rx;
    if (entry->in_len > 0)
        hold_append(hold, bytes->bytes, entry->in_len);
    chunk_unref(bytes);
    for (uint32_t i = 0; i < entry->frames; i++)
        if (!read_frame(in, hold))
            return false;
    return true;
}

/* An entry that nobody wants any more is read past. */
static bool take_one(struct worker *worker, FILE *in, const struct parcel_entry *entry,
                     uint32_t writer)
{
    struct conn *conn = wanted(worker, entry->ref, writer);
    struct hold nobody = {0};
    if (conn) {
        hold_mark(worker, conn);
        KILLPOINT(PARCEL_HALF);
        const bool whole = read_hold(in, entry, hold_get(worker, conn));
        hold_show(worker, conn);
        return whole;
    }
    const bool whole = read_hold(in, entry, &nobody);
    hold_empty(&nobody);
    return whole;
}

void parcel_take(struct worker *worker)
{
    const int fd = atomic_load_explicit(&worker->slot->parcel, memory_order_acquire);
    struct parcel_head head;
    struct parcel_entry entry;
    if (fd <= 0)
        return;
    FILE *in = fdopen(fd, "r");
    if (in)
        rewind(in);
    bool whole = in && fread(&head, sizeof(head), 1, in) == 1;
    while (whole && fread(&entry, sizeof(entry), 1, in) == 1)
        whole = take_one(worker, in, &entry, head.incarnation);
    if (!whole)
        log_error("parcel_damaged", "");
    atomic_store_explicit(&worker->slot->parcel, 0, memory_order_release);
    KILLPOINT(PARCEL_FORGOTTEN);
    if (in)
        fclose(in);
    else
        close(fd);
}

/*
 * See parcel.h. An entry is valid only while its record says that the bytes are in the memory of
 * the process that wrote the parcel, or that the connection was given with data besides the record.
 * So a successor that dies while it reads the parcel leaves no connection with old bytes to the
 * next one.
 */
#include "worker/parcel.h"

#include "common/killpoint.h"
#include "common/log.h"
#include "worker/hold.h"
#include "worker/join.h"
#include "worker/parcel_format.h"
#include "worker/rehome.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Writing ---- */

static void parcel_write_hold(FILE *out, const struct hold *hold)
{
    if (hold->in_len > 0) /* otherwise there is no buffer */
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

static uint32_t parcel_count_topics(const struct worker *worker, const struct conn *conn)
{
    uint32_t count = 0;
    for (uint32_t i = conn->topics; i; i = worker->topics.member[i].of_conn)
        count++;
    return count;
}

static void parcel_write_topics(FILE *out, const struct worker *worker, const struct conn *conn)
{
    for (uint32_t i = conn->topics; i; i = worker->topics.member[i].of_conn) {
        const struct topic_member *member = &worker->topics.member[i];
        const struct topic *topic = &worker->topics.topic[topic_of(member)];
        const struct parcel_topic entry = {member->request, (uint32_t)topic_len(topic)};
        fwrite(&entry, sizeof(entry), 1, out);
        fwrite(topic->name, 1, entry.len, out);
    }
}

static void parcel_write_entry(FILE *out, const struct worker *worker, struct conn *conn)
{
    const struct hold *hold = hold_find(worker, conn);
    const bool goes = rehome_owner(worker, conn) != worker->id;
    struct parcel_entry entry = {.ref = conn_ref(worker->table, conn),
                                 .topics = goes ? parcel_count_topics(worker, conn) : 0,
                                 .held = hold != NULL};
    if (hold) {
        entry.in_len = hold->in_len;
        entry.frames = hold->count;
        entry.rx = hold->rx;
    }
    if (!hold && entry.topics == 0)
        return;
    fwrite(&entry, sizeof(entry), 1, out);
    if (hold)
        parcel_write_hold(out, hold);
    if (goes) {
        parcel_write_topics(out, worker, conn);
        conn_set(conn, CONN_GIVEN);
    }
}

static bool parcel_write_entries(struct worker *worker, FILE *out)
{
    const uint32_t high = worker_high(worker);
    const struct parcel_head head = {worker->incarnation};
    fwrite(&head, sizeof(head), 1, out);
    for (uint32_t fd = 0; fd < high; fd++) {
        if (word_is_of(conn_word(&worker->table[fd]), worker->id))
            parcel_write_entry(out, worker, &worker->table[fd]);
    }
    return fflush(out) == 0 && !ferror(out);
}

bool parcel_write(struct worker *worker)
{
    const int fd = memfd_create("wspushd-parcel", MFD_CLOEXEC);
    /* fclose() closes the stream's own descriptor; the parcel's stays open for the successor. */
    const int stream_fd = fd == -1 ? -1 : dup(fd);
    FILE *out = stream_fd == -1 ? NULL : fdopen(stream_fd, "w");
    const bool written = out && parcel_write_entries(worker, out);
    if (out)
        fclose(out);
    if (written) {
        KILLPOINT(PARCEL_WRITTEN);
        /* Release: a successor that reads the number sees a complete parcel. */
        atomic_store_explicit(&worker->slot->parcel, fd, memory_order_release);
        KILLPOINT(PARCEL_NAMED);
        return true;
    }
    log_error("parcel_failed", "why=%s", log_quote(strerror(errno), strlen(strerror(errno))));
    if (fd != -1)
        close(fd);
    return false;
}

/* ---- Reading ---- */

/* A parcel that is being read, and the process that wrote it. */
struct source {
    FILE *in;
    uint32_t slot, incarnation;
};

/* Returns the record if it lacks the data in the parcel: private memory of its predecessor, or data
 * that it was given with. NULL otherwise. */
static struct conn *find_lacking_connection(const struct worker *worker,
                                            const struct source *source, struct conn_ref ref)
{
    struct conn *conn = conn_deref(worker->table, worker->capacity, ref, worker->id);
    if (!conn || conn_has(conn, CONN_GIVEN))
        return conn;
    return source->slot == worker->id && conn->incarnation == source->incarnation ? conn : NULL;
}

static bool parcel_read_frame(FILE *in, struct hold *hold)
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

static bool parcel_read_hold(FILE *in, const struct parcel_entry *entry, struct hold *hold)
{
    struct chunk *bytes = chunk_read(in, entry->in_len);
    if (!bytes)
        return false;
    hold->rx = entry->rx;
    if (entry->in_len > 0)
        hold_append(hold, bytes->bytes, entry->in_len);
    chunk_unref(bytes);
    for (uint32_t i = 0; i < entry->frames; i++)
        if (!parcel_read_frame(in, hold))
            return false;
    return true;
}

static bool parcel_read_topics(struct worker *worker, FILE *in, uint32_t count, struct conn *conn)
{
    for (uint32_t i = 0; i < count; i++) {
        struct parcel_topic entry;
        char name[TOPIC_NAME_MAX];
        if (fread(&entry, sizeof(entry), 1, in) != 1 || entry.len > sizeof(name) ||
            fread(name, 1, entry.len, in) != entry.len)
            return false;
        if (conn)
            join_brought(worker, conn, name, entry.len, entry.request);
    }
    return true;
}

/* Reads one entry into its connection; skips it if the connection does not need it. Returns false
 * if the parcel is damaged. */
static bool parcel_read_entry(struct worker *worker, const struct source *source,
                              const struct parcel_entry *entry)
{
    struct conn *conn = find_lacking_connection(worker, source, entry->ref);
    struct hold nobody = {0};
    const bool held = conn && entry->held;
    if (held)
        hold_mark(worker, conn);
    KILLPOINT(PARCEL_HALF);
    const bool whole =
        parcel_read_hold(source->in, entry, held ? hold_get(worker, conn) : &nobody) &&
        parcel_read_topics(worker, source->in, entry->topics, conn);
    hold_empty(&nobody);
    if (held)
        hold_show(worker, conn);
    if (conn && whole)
        conn_clear(conn, CONN_GIVEN);
    return whole;
}

/* Reads a parcel through a mapping: all workers share its descriptor, and so its file position. */
static void parcel_read_all(struct worker *worker, uint32_t slot, int fd)
{
    struct stat status;
    struct parcel_head head;
    struct parcel_entry entry;
    void *at = MAP_FAILED;
    if (fstat(fd, &status) == 0 && status.st_size > 0)
        at = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    FILE *in = at == MAP_FAILED ? NULL : fmemopen(at, (size_t)status.st_size, "r");
    bool whole = in && fread(&head, sizeof(head), 1, in) == 1;
    struct source source = {.in = in, .slot = slot, .incarnation = whole ? head.incarnation : 0};
    while (whole && fread(&entry, sizeof(entry), 1, in) == 1)
        whole = parcel_read_entry(worker, &source, &entry);
    if (!whole)
        log_error("parcel_damaged", "slot=%u", slot);
    if (in)
        fclose(in);
    if (at != MAP_FAILED)
        munmap(at, (size_t)status.st_size);
}

void parcel_take(struct worker *worker)
{
    const bool moves = worker->plan.phase == PLAN_TAKE;
    if (moves && slot_stage(worker->slot, worker->plan.number) >= STAGE_TAKEN)
        return; /* the predecessor has read them, and the master may be closing them */
    for (uint32_t i = 0; i < worker_slots(worker); i++) {
        _Atomic int32_t *const parcel = &worker->segment->slot[i].parcel;
        const int fd = atomic_load_explicit(parcel, memory_order_acquire);
        if (fd <= 0 || (i != worker->id && !moves))
            continue;
        parcel_read_all(worker, i, fd);
        if (moves)
            continue; /* other workers may not have read it: the master closes it when all have */
        atomic_store_explicit(parcel, 0, memory_order_release);
        KILLPOINT(PARCEL_FORGOTTEN);
        close(fd);
    }
}

/*
 * See hold.h. Holds are in a table of pointers, so a record refers to one by an index, which means
 * nothing to another process: `held` counts only together with the record's incarnation, and only
 * if the hold found there belongs to this connection, not to an earlier one.
 */
#include "worker/hold.h"

#include "shm/backlog.h"

#include <stdlib.h>
#include <string.h>

#include "common/killpoint.h"

struct holds {
    struct hold **at;
    uint32_t *unused; /* free indices, a stack */
    uint32_t unused_count;
    uint32_t count, size;
};

static void *must_have_memory(void *p)
{
    if (!p)
        abort();
    return p;
}

struct chunk *chunk_new(const void *bytes, size_t len)
{
    struct chunk *chunk = must_have_memory(malloc(sizeof(*chunk) + len));
    *chunk = (struct chunk){.refs = 1, .len = (uint32_t)len};
    memcpy(chunk->bytes, bytes, len);
    return chunk;
}

struct chunk *chunk_read(FILE *in, size_t len)
{
    struct chunk *chunk = must_have_memory(malloc(sizeof(*chunk) + len));
    *chunk = (struct chunk){.refs = 1, .len = (uint32_t)len};
    if (fread(chunk->bytes, 1, len, in) == len)
        return chunk;
    free(chunk);
    return NULL;
}

struct chunk *chunk_ref(struct chunk *chunk)
{
    chunk->refs++;
    return chunk;
}

void chunk_unref(struct chunk *chunk)
{
    if (chunk && --chunk->refs == 0)
        free(chunk);
}

struct holds *holds_new(void)
{
    return calloc(1, sizeof(struct holds));
}

static uint32_t take_hold_index(struct holds *holds)
{
    if (holds->unused_count > 0)
        return holds->unused[--holds->unused_count];
    if (holds->count == holds->size) {
        holds->size = holds->size ? holds->size * 2 : 64;
        holds->at = must_have_memory(realloc(holds->at, holds->size * sizeof(*holds->at)));
        holds->unused =
            must_have_memory(realloc(holds->unused, holds->size * sizeof(*holds->unused)));
    }
    return holds->count++;
}

void hold_mark(struct worker *worker, struct conn *conn)
{
    if (conn->incarnation != worker->incarnation) {
        conn->held = 0;
        conn->incarnation = worker->incarnation;
    }
    KILLPOINT(HOLD_OWNED);
    conn_set(conn, CONN_DIRTY);
}

struct hold *hold_find(const struct worker *worker, const struct conn *conn)
{
    const uint32_t index = conn->held & ~(uint32_t)HELD;
    const struct conn_ref ref = conn_ref(worker->table, conn);
    if (!(conn->held & HELD) || conn->incarnation != worker->incarnation ||
        index >= worker->holds->count)
        return NULL;
    struct hold *hold = worker->holds->at[index];
    return hold && conn_ref_pack(hold->ref) == conn_ref_pack(ref) ? hold : NULL;
}

struct hold *hold_get(struct worker *worker, struct conn *conn)
{
    struct hold *hold = hold_find(worker, conn);
    if (hold)
        return hold;
    const uint32_t index = take_hold_index(worker->holds);
    hold = must_have_memory(calloc(1, sizeof(*hold)));
    hold->ref = conn_ref(worker->table, conn);
    hold->outbox =
        conn->incarnation == worker->incarnation && !(conn->held & HELD) ? conn->held : 0;
    worker->holds->at[index] = hold;
    conn->incarnation = worker->incarnation;
    conn->held = HELD | index;
    return hold;
}

void hold_append(struct hold *hold, const void *bytes, size_t len)
{
    if (hold->in_len + len > hold->in_size) {
        size_t size = hold->in_size ? hold->in_size : 512;
        while (size < hold->in_len + len)
            size *= 2;
        hold->in = must_have_memory(realloc(hold->in, size));
        hold->in_size = (uint32_t)size;
    }
    memcpy(hold->in + hold->in_len, bytes, len);
    hold->in_len += (uint32_t)len;
}

void hold_clear_in(struct hold *hold)
{
    free(hold->in);
    hold->in = NULL;
    hold->in_len = hold->in_size = 0;
}

static void grow_frame_queue(struct hold *hold)
{
    const uint32_t size = hold->size ? hold->size * 2 : 8;
    struct waiting *queue = must_have_memory(malloc(size * sizeof(*queue)));
    for (uint32_t i = 0; i < hold->count; i++)
        queue[i] = *hold_at(hold, i);
    free(hold->queue);
    hold->queue = queue;
    hold->first = 0;
    hold->size = size;
}

static void note_frame_expiry(struct hold *hold, const struct chunk *chunk)
{
    if (chunk->expires_ms && (!hold->expires_ms || chunk->expires_ms < hold->expires_ms))
        hold->expires_ms = chunk->expires_ms;
}

void hold_queue(struct hold *hold, struct waiting frame, bool before_pushes)
{
    if (hold->count == hold->size)
        grow_frame_queue(hold);
    uint32_t i = hold->count++;
    for (uint32_t k = 0; before_pushes && k < i; k++)
        if (hold_at(hold, k)->push)
            for (; i > k; i--)
                *hold_at(hold, i) = *hold_at(hold, i - 1);
    *hold_at(hold, i) = frame;
    hold->bytes += frame.chunk->len - frame.sent;
    hold->pushes += frame.push;
    note_frame_expiry(hold, frame.chunk);
}

/* Subtracts the frame from the counts and drops its reference. The caller closes its place in the
 * queue. */
static void release_queued_frame(struct hold *hold, const struct waiting *waiting)
{
    hold->bytes -= waiting->chunk->len - waiting->sent;
    hold->pushes -= waiting->push;
    chunk_unref(waiting->chunk);
}

void hold_shift(struct hold *hold)
{
    release_queued_frame(hold, hold_at(hold, 0));
    hold->first = (hold->first + 1) & (hold->size - 1);
    hold->count--;
}

/* Moves the frames before the dropped push up by one place. They are few: a partly sent frame, and
 * frames that are not pushes. */
bool hold_drop_oldest(struct hold *hold)
{
    uint32_t i = 0;
    while (i < hold->count && (!hold_at(hold, i)->push || hold_at(hold, i)->sent > 0))
        i++;
    if (i == hold->count)
        return false;
    release_queued_frame(hold, hold_at(hold, i));
    for (; i > 0; i--)
        *hold_at(hold, i) = *hold_at(hold, i - 1);
    hold->first = (hold->first + 1) & (hold->size - 1);
    hold->count--;
    return true;
}

/* Selects the frames that remove_sieved_frames() removes. */
struct sieve {
    uint64_t now_ms; /* frames that expire by then */
    uint64_t key;    /* frames with this key; 0: none */
    bool pushes;     /* all pushes */
};

static bool is_caught_by_sieve(const struct waiting *waiting, struct sieve sieve)
{
    const struct chunk *chunk = waiting->chunk;
    return waiting->sent == 0 &&
           ((chunk->expires_ms && chunk->expires_ms <= sieve.now_ms) ||
            (chunk->key && chunk->key == sieve.key) || (waiting->push && sieve.pushes));
}

/* Removes the wholly unsent frames that the sieve selects; the others keep their order. Returns the
 * number removed. */
static uint32_t remove_sieved_frames(struct hold *hold, struct sieve sieve)
{
    const uint32_t count = hold->count;
    uint32_t kept = 0;
    hold->expires_ms = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct waiting waiting = *hold_at(hold, i);
        if (is_caught_by_sieve(&waiting, sieve)) {
            release_queued_frame(hold, &waiting);
            continue;
        }
        note_frame_expiry(hold, waiting.chunk);
        *hold_at(hold, kept++) = waiting;
    }
    hold->count = kept;
    return count - kept;
}

uint32_t hold_expire(struct hold *hold, uint64_t now_ms)
{
    return hold->expires_ms && hold->expires_ms <= now_ms
               ? remove_sieved_frames(hold, (struct sieve){.now_ms = now_ms})
               : 0;
}

uint32_t hold_replace(struct hold *hold, uint64_t key)
{
    return remove_sieved_frames(hold, (struct sieve){.key = key});
}

uint32_t hold_drop_pushes(struct hold *hold)
{
    return remove_sieved_frames(hold, (struct sieve){.pushes = true});
}

bool hold_exceeds(const struct hold *hold, uint64_t limit)
{
    const uint64_t weight = hold_weight(hold);
    uint32_t i = 0;
    if (weight <= limit || hold->pushes != 1)
        return weight > limit;
    while (!hold_at(hold, i)->push)
        i++;
    const struct waiting *push = hold_at(hold, i);
    return weight - HOLD_FRAME_WEIGHT - (push->chunk->len - push->sent) > limit;
}

uint32_t hold_empty(struct hold *hold)
{
    uint32_t pushes = 0;
    for (; hold->count > 0; hold_shift(hold))
        pushes += hold_at(hold, 0)->push;
    free(hold->queue);
    hold->queue = NULL;
    hold->size = 0;
    hold_clear_in(hold);
    return pushes;
}

static void publish_backlog_bytes(struct worker *worker, const struct conn *conn, struct hold *hold)
{
    if (hold->shown == hold->bytes)
        return; /* a write would allocate a page for an empty backlog */
    backlog_note(worker->segment->backlog, conn_ref(worker->table, conn), hold->bytes);
    hold->shown = hold->bytes;
}

void hold_show(struct worker *worker, const struct conn *conn)
{
    struct hold *hold = hold_find(worker, conn);
    if (hold)
        publish_backlog_bytes(worker, conn, hold);
}

/* Frees an empty hold and its index. */
static void free_empty_hold(struct worker *worker, struct conn *conn, struct hold *hold)
{
    publish_backlog_bytes(worker, conn, hold);
    struct holds *holds = worker->holds;
    const uint32_t index = conn->held & ~HELD;
    conn->held = hold->outbox;
    free(hold);
    holds->at[index] = NULL;
    holds->unused[holds->unused_count++] = index;
}

void hold_settle(struct worker *worker, struct conn *conn)
{
    struct hold *hold = hold_find(worker, conn);
    if (hold && hold->count == 0 && hold->in_len == 0 && ws_rx_idle(&hold->rx)) {
        hold_empty(hold);
        free_empty_hold(worker, conn, hold);
        hold = NULL;
    }
    if (!hold && conn->held == 0 && conn_has(conn, CONN_DIRTY))
        conn_clear(conn, CONN_DIRTY);
}

uint32_t hold_drop(struct worker *worker, struct conn *conn)
{
    struct hold *hold = hold_find(worker, conn);
    if (!hold)
        return 0;
    const uint32_t pushes = hold_empty(hold);
    free_empty_hold(worker, conn, hold);
    return pushes;
}

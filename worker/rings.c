/*
 * See rings.h. The entries of one ring are handled, their frames sent, and then the entries
 * committed, in batches (batch.h). A successor handles uncommitted entries again, and the marks in
 * the records keep pushes that were already sent from going out twice.
 */
#include "worker/rings.h"

#include "common/killpoint.h"
#include "common/log.h"
#include "worker/batch.h"
#include "worker/control.h"
#include "worker/deliver.h"
#include "worker/home.h"
#include "worker/latency.h"
#include "worker/outbox.h"
#include "worker/poison.h"
#include "worker/topic.h"

#include <string.h>

enum { DOUBT_MS = 3000 /* longer than the second in which every worker has a turn */ };

/* Workers to be woken at the end of the turn: one bit each. */
static uint64_t to_wake;

typedef void ring_handler(struct worker *worker, const struct ring_entry *entry, uint64_t mark);

static void ring_on_adopt(struct worker *worker, const struct ring_entry *entry, uint64_t mark)
{
    (void)mark;
    home_adopt(worker, (const struct adoption *)entry->bytes);
}

static void ring_on_orphan(struct worker *worker, const struct ring_entry *entry, uint64_t mark)
{
    (void)mark;
    home_orphan(worker, (const struct conn_ref *)entry->bytes);
}

static void ring_on_all(struct worker *worker, const struct ring_entry *entry, uint64_t mark)
{
    deliver_all(worker, entry->bytes, entry->size, mark, REPORT_COPY);
}

static void ring_on_users(struct worker *worker, const struct ring_entry *entry, uint64_t mark)
{
    deliver_users(worker, entry->bytes, entry->size, mark, REPORT_COPY);
}

static void ring_on_topic(struct worker *worker, const struct ring_entry *entry, uint64_t mark)
{
    const size_t len = entry->bytes[0];
    deliver_topic(worker, (const char *)entry->bytes + 1, len, entry->bytes + 1 + len,
                  entry->size - 1 - len, mark, REPORT_COPY);
}

static void ring_on_interest(struct worker *worker, const struct ring_entry *entry, uint64_t mark)
{
    (void)mark;
    topic_told(worker, (const struct interest *)entry->bytes);
}

static void ring_on_ctl(struct worker *worker, const struct ring_entry *entry, uint64_t mark)
{
    (void)mark;
    control_copied(worker, entry->bytes, entry->size);
}

static void ring_on_probe(struct worker *worker, const struct ring_entry *entry, uint64_t mark)
{
    (void)entry, (void)mark;
    atomic_store_explicit(&worker->slot->probed, worker->now_ms, memory_order_relaxed);
}

/* ---- Checks of entries ---- */

static bool is_adoption(const struct worker *worker, const struct ring_entry *entry)
{
    const struct adoption *adoption = (const struct adoption *)entry->bytes;
    (void)worker;
    return entry->size >= sizeof(*adoption) && adoption->rest_len <= SCRATCH_SIZE &&
           entry->size - sizeof(*adoption) == (uint64_t)adoption->response_len + adoption->rest_len;
}

static bool is_conn_ref(const struct worker *worker, const struct ring_entry *entry)
{
    (void)worker;
    return entry->size == sizeof(struct conn_ref);
}

static bool is_topic_push(const struct worker *worker, const struct ring_entry *entry)
{
    (void)worker;
    return entry->size > 0 && entry->size >= 1u + entry->bytes[0];
}

static bool is_interest(const struct worker *worker, const struct ring_entry *entry)
{
    const struct interest *interest = (const struct interest *)entry->bytes;
    return entry->size >= sizeof(*interest) && entry->size - sizeof(*interest) == interest->len &&
           interest->len > 0 && interest->word < INTEREST_WORD_COUNT &&
           interest->from < worker->workers;
}

static bool is_any(const struct worker *worker, const struct ring_entry *entry)
{
    (void)worker, (void)entry;
    return true;
}

static const struct {
    ring_handler *handle;
    bool (*check)(const struct worker *worker, const struct ring_entry *entry);
} messages[] = {
#define RING_MESSAGE(name, handler, check) [RING_##name] = {handler, check},
    RING_MESSAGES(RING_MESSAGE)
#undef RING_MESSAGE
};

int rings_open(struct worker *worker)
{
    const struct segment *segment = worker->segment;
    const uint32_t size = segment->header->shape.ring_size;
    for (uint32_t i = 0; i < worker->workers; i++) {
        if (i == worker->id)
            continue;
        uint8_t *in = segment_mirror(segment, segment_ring_offset(segment, i, worker->id), size);
        uint8_t *out = segment_mirror(segment, segment_ring_offset(segment, worker->id, i), size);
        if (!in || !out)
            return -1;
        ring_attach(&worker->in[i], segment_ring_control(segment, i, worker->id), in, size);
        ring_attach(&worker->out[i], segment_ring_control(segment, worker->id, i), out, size);
    }
    return 0;
}

bool rings_ready(const struct worker *worker)
{
    for (uint32_t i = 0; i < worker->workers; i++)
        if (i != worker->id && (ring_ready(&worker->in[i]) || ring_room_made(&worker->out[i])))
            return true;
    return false;
}

/* Counts and logs damage to the memory of a ring. */
static void log_ring_damage(struct worker *worker, uint32_t from, uint32_t to, uint32_t times)
{
    static struct log_limit limit;
    uint64_t suppressed;
    stats_add(&worker->stats->ring_damages, times);
    if (log_allow(&limit, 1, &suppressed))
        log_error("ring_damaged", "ring=%u-%u times=%u suppressed=%llu", from, to, times,
                  (unsigned long long)suppressed);
}

/* Discards a ring whose positions contradict each other, once that has lasted longer than a live
 * worker needs to restore its own: the worker at one end has died. */
static void ring_skip_if_doubtful(struct worker *worker, uint32_t from)
{
    static uint64_t since_ms[WORKERS_MAX];
    struct ring *ring = &worker->in[from];
    if (!ring_doubtful(ring)) {
        since_ms[from] = 0;
    } else if (since_ms[from] == 0) {
        since_ms[from] = worker->now_ms;
    } else if (worker->now_ms - since_ms[from] >= DOUBT_MS) {
        ring_skip(ring);
        if (ring_commit(ring))
            rings_poke(worker, from);
    }
}

/* Checks the control words of the rings from and to another worker: a process with a bug may have
 * overwritten them. */
static void check_rings_with(struct worker *worker, uint32_t other)
{
    ring_check_consumer(&worker->in[other]);
    ring_check_producer(&worker->out[other]);
    ring_skip_if_doubtful(worker, other);
    const uint32_t in = ring_take_damage(&worker->in[other]);
    const uint32_t out = ring_take_damage(&worker->out[other]);
    if (in)
        log_ring_damage(worker, other, worker->id, in);
    if (out)
        log_ring_damage(worker, worker->id, other, out);
}

static uint32_t entry_message(const struct ring_entry *entry)
{
    return entry->type & RING_MESSAGE_MASK;
}

/* Returns the stamp of a push (latency.h), or 0 for every other message. */
static uint32_t entry_latency_stamp(const struct ring_entry *entry)
{
    const uint32_t message = entry_message(entry);
    const bool push = message == RING_ALL || message == RING_USERS || message == RING_TOPIC;
    return push ? entry->type >> RING_STAMP_SHIFT : 0;
}

static void handle_ring_entry(struct worker *worker, uint32_t from, const struct ring_entry *entry,
                              uint64_t end)
{
    words_push(&worker->slot->words, from + 1, end);
    if (poison_is(worker, from + 1, end) &&
        poison_skips(worker, from + 1, end, entry->bytes, entry->size))
        return;
    if (entry_message(entry) < RING_MESSAGE_COUNT &&
        messages[entry_message(entry)].check(worker, entry))
        messages[entry_message(entry)].handle(worker, entry, conn_mark(RING_SOURCE(from), end));
    else
        log_ring_damage(worker, from, worker->id, 1);
}

/* The batch in hand, for its latency. */
static struct in_hand {
    uint64_t delivered; /* deliveries counted before the batch */
    uint32_t stamp;     /* of its oldest push; 0: none */
} in_hand;

static void commit_ring_batch(struct worker *worker, uint32_t source, uint64_t end)
{
    const uint32_t from = source - 1;
    (void)end; /* the ring commits everything that was taken */
    latency_sent_for(worker, in_hand.delivered, in_hand.stamp);
    KILLPOINT(RING_HANDLED);
    if (ring_commit(&worker->in[from]))
        rings_poke(worker, from);
}

/* Handles at most `most` entries of one ring as one batch. Returns their number. */
static uint32_t read_ring_batch(struct worker *worker, uint32_t from, uint32_t most)
{
    struct ring *ring = &worker->in[from];
    const struct ring_entry *entry;
    const uint64_t begin = ring->next_head;
    uint32_t count = 0;
    uint64_t end = 0;
    in_hand = (struct in_hand){.delivered = latency_delivered(worker)};
    while (count < most && (count == 0 || !batch_is_full(worker)) &&
           (entry = ring_take(ring, &end))) {
        if (count++ == 0)
            batch_begin(worker, RING_SOURCE(from), 0);
        batch_reach(worker, end);
        in_hand.stamp = in_hand.stamp ? in_hand.stamp : entry_latency_stamp(entry);
        handle_ring_entry(worker, from, entry, end);
    }
    if (count == 0 && ring->next_head != begin && ring_commit(ring))
        rings_poke(worker, from); /* only cancelled entries */
    if (count > 0 && batch_send(worker, RING_SOURCE(from), end, commit_ring_batch))
        words_push(&worker->slot->words, 0, 0);
    return count;
}

void rings_read(struct worker *worker, uint32_t from)
{
    words_doing(&worker->slot->words, DOING_RINGS);
    read_ring_batch(worker, from, UINT32_MAX);
}

void rings_end_wishes(struct worker *worker)
{
    for (uint32_t i = 0; i < worker->workers; i++) {
        if (i == worker->id)
            continue;
        check_rings_with(worker, i);
        ring_end_wish(&worker->out[i]);
    }
}

/* True if `source` is the ring from worker i to this one. */
static bool ring_is_source(const struct worker *worker, uint32_t i, uint32_t source)
{
    return i != worker->id && i < worker->workers && RING_SOURCE(i) == source;
}

void rings_resume(struct worker *worker, uint32_t source, uint64_t end)
{
    const uint32_t from = source - 1;
    if (!ring_is_source(worker, from, source))
        return;
    words_doing(&worker->slot->words, DOING_RINGS);
    while (worker->in[from].next_head < end) {
        batch_turn(worker);
        if (read_ring_batch(worker, from, worker->careful ? 1 : UINT32_MAX) == 0)
            break;
        batch_finish(worker);
    }
    words_push(&worker->slot->words, 0, 0);
}

/* ---- Adoptions ---- */

static bool entry_must_adopt(const struct worker *worker, uint32_t from,
                             const struct ring_entry *entry, uint64_t end)
{
    return entry_message(entry) == RING_ADOPT && is_adoption(worker, entry) &&
           !poison_is(worker, from + 1, end);
}

/*
 * If an adoption stayed in a ring while its connection is served, it would be carried out again
 * after a death, and the client would get a second 101. So when a batch is left unfinished, or
 * adoptions are handled ahead of their turn, the 101s are sent at once and then their adoptions are
 * cancelled. A death in between does no harm: nothing of such a connection is dirty, so it is not
 * taken for one that still waits for its 101.
 */
static void finish_ring_adoptions(struct worker *worker, uint32_t from, uint64_t end, bool sent)
{
    struct ring ring = worker->in[from];
    const struct ring_entry *entry;
    uint64_t at;
    ring.next_head = atomic_load_explicit(&ring.control->head, memory_order_relaxed);
    while (ring.next_head < end && (entry = ring_take(&ring, &at))) {
        if (!entry_must_adopt(worker, from, entry, at))
            continue;
        const struct adoption *adoption = (const struct adoption *)entry->bytes;
        const struct conn_ref ref = {adoption->fd, adoption->generation};
        struct conn *conn = conn_deref(worker->table, worker->capacity, ref, worker->id);
        if (sent)
            ring_cancel(&ring, entry);
        else if (conn)
            outbox_hurry(worker, conn);
    }
}

void rings_left(struct worker *worker, uint32_t source, uint64_t end)
{
    if (!ring_is_source(worker, source - 1, source))
        return;
    finish_ring_adoptions(worker, source - 1, end, false);
    outbox_flush_answers(worker);
    KILLPOINT(ADOPTIONS_SENT);
    finish_ring_adoptions(worker, source - 1, end, true);
}

/* Carries out the adoptions in a copy of the ring's control, so that nothing is taken from the
 * ring. Entries that are set aside stay there, and are counted when they are taken. Returns the
 * position at which the copy ended. */
static uint64_t adopt_from_ring(struct worker *worker, uint32_t from)
{
    struct ring ring = worker->in[from];
    const struct ring_entry *entry;
    uint64_t end;
    while ((entry = ring_take(&ring, &end)))
        if (entry_must_adopt(worker, from, entry, end))
            handle_ring_entry(worker, from, entry, end);
    return ring.next_head;
}

void rings_adopt_again(struct worker *worker)
{
    uint64_t end[WORKERS_MAX] = {0};
    words_doing(&worker->slot->words, DOING_RINGS);
    for (uint32_t i = 0; i < worker->workers; i++)
        if (i != worker->id) {
            check_rings_with(worker, i);
            end[i] = adopt_from_ring(worker, i);
        }
    words_push(&worker->slot->words, 0, 0);
    outbox_flush(worker);
    KILLPOINT(ADOPTIONS_SENT);
    for (uint32_t i = 0; i < worker->workers; i++)
        if (i != worker->id)
            finish_ring_adoptions(worker, i, end[i], true);
}

void rings_publish(struct worker *worker, uint32_t to)
{
    if (ring_publish(&worker->out[to]))
        rings_poke(worker, to);
}

void rings_commit_out(struct worker *worker)
{
    for (uint32_t i = 0; i < worker->workers; i++)
        if (i != worker->id)
            rings_publish(worker, i);
}

static bool worker_is_addressed(uint64_t workers, const struct worker *worker, uint32_t i)
{
    return i != worker->id && workers >> i & 1;
}

bool rings_room(struct worker *worker, uint32_t to, uint32_t size)
{
    if (ring_fits(&worker->out[to], size))
        return true;
    rings_publish(worker, to); /* the consumer must see the entries before it can make room */
    return ring_want_room(&worker->out[to], size);
}

static bool room_in_all_rings(struct worker *worker, uint64_t to, size_t len)
{
    for (uint32_t i = 0; i < worker->workers; i++)
        if (worker_is_addressed(to, worker, i) && !rings_room(worker, i, (uint32_t)len))
            return false;
    return true;
}

bool rings_copy(struct worker *worker, uint64_t to, enum ring_message type, uint64_t origin,
                const struct ring_piece *piece, size_t pieces)
{
    const uint32_t stamped = type | latency_stamp(worker) << RING_STAMP_SHIFT;
    size_t len = 0;
    for (size_t k = 0; k < pieces; k++)
        len += piece[k].len;
    if (!room_in_all_rings(worker, to, len))
        return false;
    for (uint32_t i = 0; i < worker->workers; i++) {
        if (!worker_is_addressed(to, worker, i) || ring_published_before(&worker->out[i], origin))
            continue;
        uint8_t *at = ring_reserve(&worker->out[i], stamped, origin, (uint32_t)len);
        for (size_t k = 0; k < pieces; at += piece[k++].len)
            memcpy(at, piece[k].at, piece[k].len);
    }
    return true;
}

bool rings_broadcast(struct worker *worker, enum ring_message type, uint64_t origin,
                     const void *bytes, size_t len)
{
    const struct ring_piece piece = {bytes, len};
    return rings_copy(worker, UINT64_MAX, type, origin, &piece, 1);
}

void rings_poke(struct worker *worker, uint32_t to)
{
    (void)worker;
    to_wake |= UINT64_C(1) << to;
}

void rings_tell_all(struct worker *worker)
{
    /* Release: a worker that sees the new value sees the changed word, too. */
    atomic_fetch_add_explicit(&worker->slot->news, 1, memory_order_release);
    for (uint32_t i = 0; i < worker->workers; i++)
        rings_poke(worker, i);
}

uint32_t rings_news(const struct worker *worker)
{
    uint32_t news = atomic_load_explicit(&worker->slot->command, memory_order_acquire);
    for (uint32_t i = 0; i < worker->workers; i++)
        news += atomic_load_explicit(&worker->segment->slot[i].news, memory_order_acquire);
    return news;
}

void rings_turn(struct worker *worker)
{
    for (uint32_t i = 0; to_wake; i++, to_wake >>= 1)
        if (to_wake & 1 && i != worker->id && latch_wake(&worker->segment->slot[i]))
            stats_add(&worker->stats->wakes_sent, 1);
}

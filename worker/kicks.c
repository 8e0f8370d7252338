/*
 * See kicks.h. A worker lists a kick's connections in private memory, and records in the slot when
 * all of them are closed. A successor repeats the first kick that is not done. By then the user may
 * have logged in again: a connection that was accepted in a later second than the kick is left
 * alone.
 */
#include "worker/kicks.h"

#include "common/clock.h"
#include "common/killpoint.h"
#include "worker/client.h"
#include "worker/queue.h"
#include "worker/rings.h"

#include <string.h>

enum { CLOSES_MAX = 500 /* per turn: about as many system calls, 5 ms */ };

/* Private to the process: kicks that are begun but not done. */
static struct {
    struct queue left; /* for each kick from kicks_done + 1 on: connections still to be closed */
    struct queue refs; /* these connections, in that order */
} begun;

static struct kicks *kicks_table(const struct worker *worker)
{
    return worker->segment->kicks;
}

static uint64_t kicks_done_by(const struct slot *slot)
{
    return atomic_load_explicit(&slot->kicks_done, memory_order_acquire);
}

/* Release: pairs with the acquire in kicks_done_by, so that the node's home overwrites only kicks
 * that have been read. */
static void set_kicks_done(struct worker *worker, uint64_t number)
{
    atomic_store_explicit(&worker->slot->kicks_done, number, memory_order_release);
}

uint64_t kicks_now(const struct worker *worker)
{
    return kicks_count(kicks_table(worker));
}

/* ---- The node's home ---- */

static bool has_kick_room(const struct worker *worker)
{
    const uint64_t count = kicks_count(kicks_table(worker));
    for (uint32_t i = 0; i < worker->workers; i++)
        if (count - kicks_done_by(&worker->segment->slot[i]) >= KICKS_MAX)
            return false;
    return true;
}

bool kicks_add(struct worker *worker, const char *user, size_t user_len, uint16_t code,
               const char *reason, uint64_t origin)
{
    struct kick kick = {.origin = origin,
                        .second = (uint32_t)(clock_mono_ms() / 1000), /* now, not the turn's */
                        .hash = users_hash(worker->users.seed, user, user_len),
                        .code = code,
                        .user_len = (uint8_t)user_len};
    if (!has_kick_room(worker))
        return false;
    memcpy(kick.user, user, user_len);
    memcpy(kick.reason, reason, strnlen(reason, sizeof(kick.reason) - 1));
    kicks_append(kicks_table(worker), &kick);
    rings_tell_all(worker);
    return true;
}

/* ---- Every worker ---- */

static void find_kicked_conns(struct worker *worker, const struct kick *kick)
{
    uint32_t count = 0;
    for (uint32_t fd = users_first(&worker->users, kick->user, kick->user_len); fd;
         fd = users_next(&worker->users, fd)) {
        const struct conn *conn = &worker->table[fd];
        if (conn->since > kick->second)
            continue; /* accepted after the kick */
        queue_push(&begun.refs, conn_ref_pack(conn_ref(worker->table, conn)));
        count++;
    }
    queue_push(&begun.left, count);
}

void kicks_begin(struct worker *worker)
{
    const uint64_t count = kicks_count(kicks_table(worker));
    if (worker->id >= worker->plan.active) {
        set_kicks_done(worker, count); /* this worker has no connections yet */
        return;
    }
    for (uint64_t number = kicks_done_by(worker->slot) + begun.left.count; number < count;)
        find_kicked_conns(worker, kicks_at(kicks_table(worker), ++number));
}

enum kicks_verdict kicks_judge_login(const struct worker *worker, const struct conn *conn,
                                     uint64_t made, struct kick *kick)
{
    return kicks_judge(kicks_table(worker), made, conn, kick);
}

static void close_kicked_conn(struct worker *worker, const struct kick *kick)
{
    const struct conn_ref ref = conn_ref_unpack(queue_pop(&begun.refs));
    struct conn *conn = conn_deref(worker->table, worker->capacity, ref, worker->id);
    if (conn && conn_has(conn, CONN_INDEXED))
        client_close(worker, conn, kick->code, kick->reason, CLOSED_KICKED);
    KILLPOINT(KICK_CLOSED);
}

/* Marks the oldest begun kick as done. */
static void finish_first_kick(struct worker *worker)
{
    const uint64_t number = kicks_done_by(worker->slot) + 1;
    const bool was_full = kicks_count(kicks_table(worker)) - number + 1 >= KICKS_MAX;
    queue_pop(&begun.left);
    set_kicks_done(worker, number);
    KILLPOINT(KICK_DONE);
    if (was_full)
        rings_tell_all(worker);
}

void kicks_turn(struct worker *worker)
{
    uint32_t closes = 0;
    kicks_begin(worker);
    while (begun.left.count > 0) {
        const struct kick *kick = kicks_at(kicks_table(worker), kicks_done_by(worker->slot) + 1);
        uint64_t *const left = &begun.left.at[begun.left.first];
        for (; *left > 0 && closes < CLOSES_MAX; --*left, closes++)
            close_kicked_conn(worker, kick);
        if (*left > 0)
            return;
        finish_first_kick(worker);
    }
}

bool kicks_busy(const struct worker *worker)
{
    (void)worker;
    return begun.left.count > 0;
}

void kicks_rehome(struct worker *worker)
{
    set_kicks_done(worker, kicks_count(kicks_table(worker)));
}

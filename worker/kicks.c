/*
 * See kicks.h. A kick begins with a list of the connections that it ends, in private memory; it is
 * done when all of them are closed, and then the slot says so. A successor begins again with the
 * first that is not done. By then the user may have logged in again: a connection that was accepted
 * in a later second than the kick came in is left alone.
 */
#include "worker/kicks.h"

#include "common/clock.h"
#include "common/killpoint.h"
#include "worker/client.h"
#include "worker/queue.h"
#include "worker/rings.h"

#include <string.h>

enum { CLOSES_MAX = 500 /* of one turn: about as many system calls, 5 ms */ };

/* Private to the process: what is begun and not done. */
static struct {
    struct queue left; /* for each kick from kicks_done + 1 on: connections still to be closed */
    struct queue refs; /* these connections, in the same order */
} begun;

static struct kicks *table(const struct worker *worker)
{
    return worker->segment->kicks;
}

static uint64_t done(const struct slot *slot)
{
    return atomic_load_explicit(&slot->kicks_done, memory_order_acquire);
}

/* Release: pairs with the acquire in done, so that the node's home overwrites only what was read.
 */
static void set_done(struct worker *worker, uint64_t number)
{
    atomic_store_explicit(&worker->slot->kicks_done, number, memory_order_release);
}

uint64_t kicks_now(const struct worker *worker)
{
    return kicks_count(table(worker));
}

/* ---- The node's home ---- */

static bool has_room(const struct worker *worker)
{
    const uint64_t count = kicks_count(table(worker));
    for (uint32_t i = 0; i < worker->workers; i++)
        if (count - done(&worker->segment->slot[i]) >= KICKS_MAX)
            return false;
    return true;
}

bool kicks_add(struct worker *worker, const char *user, size_t user_len, uint16_t code,
               const char *reason, uint64_t origin)
{
    struct kick kick = {.origin = origin,
                        .second = (uint32_t)(clock_mono_ms() / 1000), /* now, not as of this turn */
                        .hash = users_hash(worker->users.seed, user, user_len),
                        .code = code,
                        .user_len = (uint8_t)user_len};
    if (!has_room(worker))
        return false;
    memcpy(kick.user, user, user_len);
    memcpy(kick.reason, reason, strnlen(reason, sizeof(kick.reason) - 1));
    kicks_append(table(worker), &kick);
    rings_tell_all(worker);
    return true;
}

/* ---- Every worker ---- */

static void find_connections(struct worker *worker, const struct kick *kick)
{
    uint32_t count = 0;
    for (uint32_t fd = users_first(&worker->users, kick->user, kick->user_len); fd;
         fd = users_next(&worker->users, fd)) {
        const struct conn *conn = &worker->table[fd];
        if (conn->since > kick->second)
            continue; /* accepted after it */
        queue_push(&begun.refs, conn_ref_pack(conn_ref(worker->table, conn)));
        count++;
    }
    queue_push(&begun.left, count);
}

void kicks_begin(struct worker *worker)
{
    const uint64_t count = kicks_count(table(worker));
    if (worker->id >= worker->plan.active) {
        set_done(worker, count); /* it has no connections yet */
        return;
    }
    for (uint64_t number = done(worker->slot) + begun.left.count; number < count;)
        find_connections(worker, kicks_at(table(worker), ++number));
}

enum kicks_verdict kicks_judge_login(const struct worker *worker, const struct conn *conn,
                                     uint64_t made, struct kick *kick)
{
    return kicks_judge(table(worker), made, conn, kick);
}

static void close_one(struct worker *worker, const struct kick *kick)
{
    const struct conn_ref ref = conn_ref_unpack(queue_pop(&begun.refs));
    struct conn *conn = conn_deref(worker->table, worker->capacity, ref, worker->id);
    if (conn && conn_has(conn, CONN_INDEXED))
        client_close(worker, conn, kick->code, kick->reason, CLOSED_KICKED);
    KILLPOINT(KICK_CLOSED);
}

/* The first kick that was begun is done. */
static void finish_first(struct worker *worker)
{
    const uint64_t number = done(worker->slot) + 1;
    const bool was_full = kicks_count(table(worker)) - number + 1 >= KICKS_MAX;
    queue_pop(&begun.left);
    set_done(worker, number);
    KILLPOINT(KICK_DONE);
    if (was_full)
        rings_tell_all(worker);
}

void kicks_turn(struct worker *worker)
{
    uint32_t closes = 0;
    kicks_begin(worker);
    while (begun.left.count > 0) {
        const struct kick *kick = kicks_at(table(worker), done(worker->slot) + 1);
        uint64_t *const left = &begun.left.at[begun.left.first];
        for (; *left > 0 && closes < CLOSES_MAX; --*left, closes++)
            close_one(worker, kick);
        if (*left > 0)
            return;
        finish_first(worker);
    }
}

bool kicks_busy(const struct worker *worker)
{
    (void)worker;
    return begun.left.count > 0;
}

void kicks_rehome(struct worker *worker)
{
    set_done(worker, kicks_count(table(worker)));
}

/*
 * See move.h. Each phase has a step, taken in every turn until it is done and after that without
 * effect. What other workers own is only read, and only in walks over the connection table and the
 * tables of topics: a name that changes under the eyes of the reader is recognised and left out,
 * for who comes meanwhile is found by the second walk, in SETTLE, and nobody comes after that.
 *
 * The same walk subscribes and gives up. In PREPARE and SETTLE `other` is what is to be, at REST
 * what was, or did not come to be: either way the channels whose home this worker is among `other`,
 * and is not among `active`, are those in question. Who leaves between the walks leaves a channel
 * behind; it is given up when a push comes on it (move_strays).
 */
#include "worker/move.h"

#include "common/killpoint.h"
#include "worker/accept.h"
#include "worker/client.h"
#include "worker/command.h"
#include "worker/kicks.h"
#include "worker/link_streams.h"
#include "worker/rings.h"
#include "worker/subscribe.h"
#include "worker/topic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    SLICE = 2000,          /* records and topics that a turn looks at */
    PATIENCE_MS = 200,     /* how long answers are waited for that Redis owes */
    LOOK_AGAIN_MS = 20,    /* while something is waited for that makes no event */
    FENCE_AGAIN_MS = 1000, /* after which another is sent: it may have been lost with its link */
};

struct move {
    enum plan_phase phase; /* as of the last turn */
    uint64_t since_ms;     /* when it was first seen */
    uint64_t fence_ms;     /* when the last fence was sent; 0: none */
    bool met;              /* the link is routed up to the fence */
    struct event *look;    /* makes a turn while something is waited for */

    /* The walk. */
    bool walking, walked;
    uint32_t fd, slot, topic; /* where it is: the records, then the topics of each slot */
    uint32_t failures;        /* of the link when it began */
    uint64_t batch;           /* its channels are confirmed by then */
    uint32_t *subscribed;     /* by descriptor: one more than the generation whose user was */
};

static struct slot_link *link_of(const struct worker *worker)
{
    return &worker->slot->link;
}

static enum link_state link_state(const struct worker *worker)
{
    return (enum link_state)atomic_load_explicit(&link_of(worker)->state, memory_order_relaxed);
}

static uint32_t failures(const struct worker *worker)
{
    return atomic_load_explicit(&link_of(worker)->failures, memory_order_relaxed);
}

static enum plan_stage stage(const struct worker *worker)
{
    return slot_stage(worker->slot, worker->plan.number);
}

static void set_stage(struct worker *worker, enum plan_stage reached)
{
    slot_set_stage(worker->slot, worker->plan.number, reached);
    KILLPOINT(MOVE_STAGED);
}

static bool is_guest(const struct worker *worker)
{
    return worker->id >= worker->plan.active;
}

bool move_blind(const struct worker *worker)
{
    return link_state(worker) != LINK_UP ||
           atomic_load_explicit(&worker->slot->move.whole, memory_order_relaxed) !=
               failures(worker) + 1;
}

/* ---- What the modules ask ---- */

bool move_admits(const struct worker *worker)
{
    const enum plan_phase phase = worker->plan.phase;
    return phase == PLAN_REST || phase == PLAN_PREPARE || phase == PLAN_TAKE;
}

bool move_lets_talk(const struct worker *worker)
{
    return move_admits(worker);
}

bool move_knows_users(const struct worker *worker)
{
    return worker->plan.phase != PLAN_TAKE;
}

bool move_holds_link(const struct worker *worker)
{
    const enum plan_phase phase = worker->plan.phase;
    return phase == PLAN_GIVE || phase == PLAN_TAKE ||
           (phase == PLAN_FENCE && (stage(worker) >= STAGE_FENCED || move_blind(worker)));
}

bool move_fence(struct worker *worker, const uint8_t *payload, size_t len)
{
    char number[16];
    const int wanted = snprintf(number, sizeof(number), "%u", worker->plan.number);
    if (worker->plan.phase != PLAN_FENCE || stage(worker) != STAGE_SETTLED ||
        len != (size_t)wanted || memcmp(payload, number, len) != 0)
        return false;
    worker->move->met = true;
    KILLPOINT(FENCE_MET);
    return true;
}

bool move_met_fence(const struct worker *worker)
{
    return worker->move->met;
}

bool move_strays(struct worker *worker, const char *kind, const char *name, size_t len)
{
    if (worker_channel_home(worker, kind, name, len, worker->workers) == worker->id)
        return false;
    if (worker->plan.phase == PLAN_REST)
        subscriptions_other(worker, kind, name, len, false);
    return true;
}

/* ---- The walk ---- */

static bool subscribes(const struct worker *worker)
{
    return worker->plan.phase != PLAN_REST;
}

static void visit(struct worker *worker, const char *kind, const char *name, size_t len)
{
    const struct plan plan = worker->plan;
    if (worker_channel_home(worker, kind, name, len, plan.other) == worker->id &&
        worker_channel_home(worker, kind, name, len, plan.active) != worker->id)
        subscriptions_other(worker, kind, name, len, subscribes(worker));
}

/* A record is another worker's, who may set it free, and claim it anew, while it is read. */
static void visit_record(struct worker *worker, uint32_t fd)
{
    struct move *move = worker->move;
    const struct conn *conn = &worker->table[fd];
    const uint64_t word = conn_word(conn);
    const enum conn_state state = word_state(word);
    char user[USER_MAX];
    if ((state != CONN_MOVING && state != CONN_SUBSCRIBING && state != CONN_OPEN) ||
        move->subscribed[fd] == word_generation(word) + 1)
        return;
    const size_t len = conn->user_len;
    if (len == 0 || len > USER_MAX)
        return; /* an echo connection, or one that has just ended */
    memcpy(user, conn->user, len);
    /* Pairs with the release in conn_publish: what was read belongs to the generation, or it is
     * another by now. */
    atomic_thread_fence(memory_order_acquire);
    if (word_generation(conn_word(conn)) != word_generation(word))
        return;
    if (subscribes(worker))
        move->subscribed[fd] = word_generation(word) + 1;
    visit(worker, "user:", user, len);
}

static void visit_topic(struct worker *worker, uint32_t slot, uint32_t number)
{
    const struct segment *segment = worker->segment;
    const struct topic *topic =
        &segment->topic[(size_t)slot * segment->header->shape.memberships + number];
    char name[TOPIC_NAME_MAX];
    const size_t len = topic_len(topic);
    if (len == 0 || len > TOPIC_NAME_MAX)
        return;
    memcpy(name, topic->name, len);
    /* A name that was half another's when it was read has not its hash. */
    if (users_hash(segment->header->hash_seed, name, len) == topic->hash)
        visit(worker, "topic:", name, len);
}

/* Moves on to the next topic. Returns false behind the last. */
static bool next_topic(struct worker *worker)
{
    struct move *move = worker->move;
    for (; move->slot < plan_slots(worker->plan); move->slot++, move->topic = 0)
        if (++move->topic < worker->segment->slot[move->slot].topics.topic_end)
            return true;
    return false;
}

static void fence_channel(const struct worker *worker, char name[32])
{
    snprintf(name, 32, "fence:%08x", worker->segment->header->boot_id);
}

/* Gives the pages back: they are zero again. */
static void forget(struct worker *worker)
{
    madvise(worker->move->subscribed, worker->capacity * sizeof(*worker->move->subscribed),
            MADV_DONTNEED);
}

static void begin_walk(struct worker *worker)
{
    struct move *move = worker->move;
    char name[32];
    fence_channel(worker, name);
    if (move->failures != failures(worker)) /* another socket: nothing is subscribed on it */
        forget(worker);
    move->walking = true;
    move->fd = move->slot = move->topic = 0;
    move->failures = failures(worker);
    subscriptions_channel(worker, name, subscribes(worker));
}

static void end_walk(struct worker *worker)
{
    worker->move->walking = false;
    worker->move->walked = true;
    worker->move->batch = link_of(worker)->batch_sent + 1;
    subscriptions_fence(worker);
    KILLPOINT(MOVE_WALKED);
}

/* Some of it, as much as the link can take. */
static void walk_on(struct worker *worker)
{
    struct move *move = worker->move;
    const uint32_t high = segment_high(worker->segment);
    for (int i = 0; i < SLICE && !link_congested(worker); i++) {
        if (move->fd < high) {
            visit_record(worker, move->fd++);
        } else if (next_topic(worker)) {
            visit_topic(worker, move->slot, move->topic);
        } else {
            end_walk(worker);
            return;
        }
    }
}

/* Walks, and waits until Redis has confirmed. Returns whether that is done. A link that fails
 * meanwhile begins anew with what is its own, so the walk does, too. */
static bool walk(struct worker *worker)
{
    struct move *move = worker->move;
    if (link_state(worker) != LINK_UP)
        return false;
    if ((move->walking || move->walked) && move->failures != failures(worker))
        move->walking = move->walked = false;
    if (!move->walking && !move->walked)
        begin_walk(worker);
    if (move->walking)
        walk_on(worker);
    return move->walked && link_of(worker)->batch_confirmed >= move->batch;
}

bool move_busy(const struct worker *worker)
{
    const bool walks =
        worker->move->walking && link_state(worker) == LINK_UP && !link_congested(worker);
    return walks || plan_pack(segment_plan(worker->segment)) != plan_pack(worker->plan);
}

/* ---- The phases ---- */

static void wait_a_moment(struct worker *worker)
{
    event_add(worker->move->look, &(struct timeval){0, LOOK_AGAIN_MS * 1000});
}

static bool patient(const struct worker *worker)
{
    return worker->now_ms - worker->move->since_ms < PATIENCE_MS;
}

/* Requests whose heads have not come wait where they are: in the kernel, or as they were kept. */
static void watch_handshakes(struct worker *worker, bool on)
{
    const uint32_t high = worker_high(worker);
    for (uint32_t fd = 0; fd < high; fd++) {
        struct conn *conn = &worker->table[fd];
        const uint64_t word = conn_word(conn);
        if (word_owner(word) != worker->id || word_state(word) != CONN_HANDSHAKE)
            continue;
        if (!on)
            client_unwatch(worker, conn);
        else if (!(word_flags(word) & CONN_ASKED) && client_watch(worker, conn) == -1)
            client_end(worker, conn, CLOSED_RESET);
    }
}

static void hold_off(struct worker *worker, bool off)
{
    if (worker->draining)
        return;
    accept_hold(worker, off);
    watch_handshakes(worker, !off);
}

/* The move is over, or was given up. */
static void rest(struct worker *worker)
{
    if (is_guest(worker)) {
        worker->stopping = true;
        return;
    }
    if (worker->plan.active == worker->plan.other || stage(worker) == STAGE_TRIMMED)
        return;
    if (link_state(worker) == LINK_UP && !walk(worker))
        return;
    if (link_state(worker) == LINK_CONNECTING || link_state(worker) == LINK_SUBSCRIBING)
        return;
    set_stage(worker, STAGE_TRIMMED); /* a link that is made anew has only what is its own */
}

static void prepare(struct worker *worker)
{
    if (stage(worker) == STAGE_NONE && (link_state(worker) == LINK_DOWN || walk(worker)))
        set_stage(worker, STAGE_PREPARED);
}

/* A login that Redis names meanwhile waits in the lobby. */
static void hold(struct worker *worker)
{
    if (stage(worker) < STAGE_HELD)
        set_stage(worker, STAGE_HELD);
}

static void settle(struct worker *worker)
{
    const bool up = link_state(worker) == LINK_UP;
    if (stage(worker) >= STAGE_SETTLED || (up && !walk(worker)))
        return;
    atomic_store_explicit(&worker->slot->move.whole, up ? failures(worker) + 1 : 0,
                          memory_order_relaxed);
    if (is_guest(worker)) /* no probe has come by here, but Redis has just answered */
        atomic_store_explicit(&worker->slot->probed, worker->now_ms, memory_order_relaxed);
    set_stage(worker, STAGE_SETTLED);
}

/* One of them is enough, and two do no harm: the second stands behind the first. */
static void send_fence(struct worker *worker)
{
    struct move *move = worker->move;
    char name[32], channel[128], number[16];
    if (move->fence_ms && worker->now_ms - move->fence_ms < FENCE_AGAIN_MS)
        return;
    fence_channel(worker, name);
    snprintf(channel, sizeof(channel), "%s%s", worker->config->prefix, name);
    snprintf(number, sizeof(number), "%u", worker->plan.number);
    const char *argv[] = {"PUBLISH", channel, number};
    const size_t lens[] = {strlen(argv[0]), strlen(argv[1]), strlen(argv[2])};
    if (command_send(worker, 3, argv, lens, NULL, NULL) == 0)
        move->fence_ms = worker->now_ms;
}

static void fence(struct worker *worker)
{
    if (worker->id == worker_node_home(worker)) {
        send_fence(worker);
        wait_a_moment(worker);
    }
    /* What was routed before the fence is in the rings by now, and seen by who sees the stage. */
    if (stage(worker) < STAGE_FENCED && (worker->move->met || move_blind(worker)))
        set_stage(worker, STAGE_FENCED);
}

/* All are at the fence, so nothing more comes into the rings. What is in them is handled in this
 * turn, for it began after the plan was looked at. */
static void give(struct worker *worker)
{
    if (worker->clients_event)
        event_del(worker->clients_event);
    const bool waits = !is_guest(worker) && (rings_ready(worker) || kicks_busy(worker) ||
                                             (command_owed(worker) > 0 && patient(worker)));
    if (waits || worker->unread)
        wait_a_moment(worker);
    else
        worker->stopping = true;
}

/* Every topic has been asked for at its new home, so it knows who has members. */
static void take(struct worker *worker)
{
    if (stage(worker) == STAGE_TAKING && topic_settled(worker))
        set_stage(worker, STAGE_TAKEN);
}

static void (*const steps[])(struct worker *worker) = {
    [PLAN_REST] = rest,   [PLAN_PREPARE] = prepare, [PLAN_HOLD] = hold, [PLAN_SETTLE] = settle,
    [PLAN_FENCE] = fence, [PLAN_GIVE] = give,       [PLAN_TAKE] = take,
};

/* The phase is another. */
static void change(struct worker *worker)
{
    struct move *move = worker->move;
    const enum plan_phase before = move->phase;
    move->phase = worker->plan.phase;
    move->since_ms = worker->now_ms;
    move->walking = move->walked = false;
    move->fence_ms = 0;
    move->met = false;
    if (move->phase >= PLAN_HOLD && move->phase <= PLAN_GIVE && !is_guest(worker))
        hold_off(worker, true);
    else if (before >= PLAN_HOLD && before <= PLAN_FENCE && !is_guest(worker))
        hold_off(worker, false);
    if (move->phase == PLAN_REST || move->phase == PLAN_PREPARE)
        forget(worker);
}

void move_note(struct worker *worker)
{
    worker->plan = segment_plan(worker->segment);
    if (worker->move->phase != worker->plan.phase)
        change(worker);
}

void move_turn(struct worker *worker)
{
    if (!worker->draining && !worker->orphaned)
        steps[worker->plan.phase](worker);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg; /* the turn is what was wanted */
}

int move_open(struct worker *worker)
{
    struct move *move = calloc(1, sizeof(*move));
    if (!move)
        return -1;
    worker->move = move;
    move->look = event_new(worker->base, -1, 0, on_look, worker);
    /* Only what a walk touches is ever real. */
    move->subscribed =
        mmap(NULL, worker->capacity * sizeof(*move->subscribed), PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return move->look && move->subscribed != MAP_FAILED ? 0 : -1;
}

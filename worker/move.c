/*
 * See move.h. Each phase has a step, which is taken in every turn and has no effect once it is
 * done. Data of other workers is only read, and only in walks over the connection table and the
 * topic tables. A name that changes while it is read is recognised and skipped: the second walk, in
 * SETTLE, finds the new one, and none arrives after that.
 *
 * The same walk subscribes and unsubscribes. In PREPARE and SETTLE `other` is the future number of
 * workers; in REST it is the former one, or one that was given up. Either way the walk is about
 * channels whose home this worker is among `other` workers but not among `active`. A user that
 * leaves between the walks leaves a channel behind; it is unsubscribed when a push arrives on it
 * (move_strays).
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
    SLICE = 2000,          /* records and topics that a walk visits in a turn */
    PATIENCE_MS = 200,     /* how long the worker waits for answers that Redis owes */
    LOOK_AGAIN_MS = 20,    /* between turns while waiting for something that causes no event */
    FENCE_AGAIN_MS = 1000, /* then the fence is sent again: its link may have failed */
};

struct move {
    enum plan_phase phase; /* seen in the last turn */
    uint64_t since_ms;     /* when it was first seen */
    uint64_t fence_ms;     /* when the last fence was sent; 0: none */
    bool met;              /* the link has been routed up to the fence */
    struct event *look;    /* starts a turn while the step waits */

    /* The walk. */
    bool walking, walked;
    uint32_t fd, slot, topic; /* position: in the records, then in the topics of each slot */
    uint32_t failures;        /* of the link when the walk began */
    uint64_t batch;           /* the batch that confirms its channels */
    uint32_t *subscribed;     /* by descriptor: 1 + the generation whose user was subscribed */
};

static struct slot_link *move_own_link(const struct worker *worker)
{
    return &worker->slot->link;
}

static enum link_state move_link_state(const struct worker *worker)
{
    return (enum link_state)atomic_load_explicit(&move_own_link(worker)->state,
                                                 memory_order_relaxed);
}

static uint32_t move_link_failures(const struct worker *worker)
{
    return atomic_load_explicit(&move_own_link(worker)->failures, memory_order_relaxed);
}

static enum plan_stage move_own_stage(const struct worker *worker)
{
    return slot_stage(worker->slot, worker->plan.number);
}

static void move_set_stage(struct worker *worker, enum plan_stage reached)
{
    slot_set_stage(worker->slot, worker->plan.number, reached);
    KILLPOINT(MOVE_STAGED);
}

static bool worker_is_guest(const struct worker *worker)
{
    return worker->id >= worker->plan.active;
}

bool move_blind(const struct worker *worker)
{
    return move_link_state(worker) != LINK_UP ||
           atomic_load_explicit(&worker->slot->move.whole, memory_order_relaxed) !=
               move_link_failures(worker) + 1;
}

/* ---- Questions of the modules ---- */

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
           (phase == PLAN_FENCE && (move_own_stage(worker) >= STAGE_FENCED || move_blind(worker)));
}

bool move_fence(struct worker *worker, const uint8_t *payload, size_t len)
{
    char number[16];
    const int wanted = snprintf(number, sizeof(number), "%u", worker->plan.number);
    if (worker->plan.phase != PLAN_FENCE || move_own_stage(worker) != STAGE_SETTLED ||
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

static bool walk_subscribes(const struct worker *worker)
{
    return worker->plan.phase != PLAN_REST;
}

static void walk_visit_channel(struct worker *worker, const char *kind, const char *name,
                               size_t len)
{
    const struct plan plan = worker->plan;
    if (worker_channel_home(worker, kind, name, len, plan.other) == worker->id &&
        worker_channel_home(worker, kind, name, len, plan.active) != worker->id)
        subscriptions_other(worker, kind, name, len, walk_subscribes(worker));
}

/* Visits a record. It belongs to another worker, which may free it and claim it again while it is
 * read. */
static void walk_visit_record(struct worker *worker, uint32_t fd)
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
    /* Acquire: pairs with the release in conn_publish. Either the name belongs to this generation,
     * or the generation has changed by now. */
    atomic_thread_fence(memory_order_acquire);
    if (word_generation(conn_word(conn)) != word_generation(word))
        return;
    if (walk_subscribes(worker))
        move->subscribed[fd] = word_generation(word) + 1;
    walk_visit_channel(worker, "user:", user, len);
}

static void walk_visit_topic(struct worker *worker, uint32_t slot, uint32_t number)
{
    const struct segment *segment = worker->segment;
    const struct topic *topic =
        &segment->topic[(size_t)slot * segment->header->shape.memberships + number];
    char name[TOPIC_NAME_MAX];
    const size_t len = topic_len(topic);
    if (len == 0 || len > TOPIC_NAME_MAX)
        return;
    memcpy(name, topic->name, len);
    /* A name that changed while it was read does not match its hash. */
    if (users_hash(segment->header->hash_seed, name, len) == topic->hash)
        walk_visit_channel(worker, "topic:", name, len);
}

/* Advances to the next topic. Returns false after the last. */
static bool walk_next_topic(struct worker *worker)
{
    struct move *move = worker->move;
    for (; move->slot < plan_slots(worker->plan); move->slot++, move->topic = 0)
        if (++move->topic < worker->segment->slot[move->slot].topics.topic_end)
            return true;
    return false;
}

static void move_fence_channel(const struct worker *worker, char name[32])
{
    snprintf(name, 32, "fence:%08x", worker->segment->header->boot_id);
}

/* Frees the pages; they read as zero again. */
static void forget_subscribed_users(struct worker *worker)
{
    madvise(worker->move->subscribed, worker->capacity * sizeof(*worker->move->subscribed),
            MADV_DONTNEED);
}

static void begin_channel_walk(struct worker *worker)
{
    struct move *move = worker->move;
    char name[32];
    move_fence_channel(worker, name);
    if (move->failures !=
        move_link_failures(worker)) /* a new socket: nothing is subscribed on it */
        forget_subscribed_users(worker);
    move->walking = true;
    move->fd = move->slot = move->topic = 0;
    move->failures = move_link_failures(worker);
    subscriptions_channel(worker, name, walk_subscribes(worker));
}

static void end_channel_walk(struct worker *worker)
{
    worker->move->walking = false;
    worker->move->walked = true;
    worker->move->batch = move_own_link(worker)->batch_sent + 1;
    subscriptions_fence(worker);
    KILLPOINT(MOVE_WALKED);
}

/* Continues the walk, as far as a slice and the link allow. */
static void continue_channel_walk(struct worker *worker)
{
    struct move *move = worker->move;
    const uint32_t high = segment_high(worker->segment);
    for (int i = 0; i < SLICE && !link_congested(worker); i++) {
        if (move->fd < high) {
            walk_visit_record(worker, move->fd++);
        } else if (walk_next_topic(worker)) {
            walk_visit_topic(worker, move->slot, move->topic);
        } else {
            end_channel_walk(worker);
            return;
        }
    }
}

/* Walks over all channels, then waits until Redis has confirmed them. Returns true when that is
 * done. A link that fails meanwhile restarts with this worker's own channels only, so the walk
 * restarts, too. */
static bool walk_all_channels(struct worker *worker)
{
    struct move *move = worker->move;
    if (move_link_state(worker) != LINK_UP)
        return false;
    if ((move->walking || move->walked) && move->failures != move_link_failures(worker))
        move->walking = move->walked = false;
    if (!move->walking && !move->walked)
        begin_channel_walk(worker);
    if (move->walking)
        continue_channel_walk(worker);
    return move->walked && move_own_link(worker)->batch_confirmed >= move->batch;
}

bool move_busy(const struct worker *worker)
{
    const bool walks =
        worker->move->walking && move_link_state(worker) == LINK_UP && !link_congested(worker);
    return walks || plan_pack(segment_plan(worker->segment)) != plan_pack(worker->plan);
}

/* ---- The phases ---- */

static void move_look_again(struct worker *worker)
{
    event_add(worker->move->look, &(struct timeval){0, LOOK_AGAIN_MS * 1000});
}

static bool move_is_patient(const struct worker *worker)
{
    return worker->now_ms - worker->move->since_ms < PATIENCE_MS;
}

/* Starts or stops reading from connections in HANDSHAKE. Meanwhile their request heads wait in the
 * kernel, or in part in their holds. */
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

static void hold_new_users(struct worker *worker, bool off)
{
    if (worker->draining)
        return;
    accept_hold(worker, off);
    watch_handshakes(worker, !off);
}

/* PLAN_REST: the move is over, or was given up. */
static void move_step_rest(struct worker *worker)
{
    if (worker_is_guest(worker)) {
        worker->stopping = true;
        return;
    }
    if (worker->plan.active == worker->plan.other || move_own_stage(worker) == STAGE_TRIMMED)
        return;
    if (move_link_state(worker) == LINK_UP && !walk_all_channels(worker))
        return;
    if (move_link_state(worker) == LINK_CONNECTING || move_link_state(worker) == LINK_SUBSCRIBING)
        return;
    move_set_stage(worker,
                   STAGE_TRIMMED); /* a new link subscribes only to this worker's own channels */
}

static void move_step_prepare(struct worker *worker)
{
    if (move_own_stage(worker) == STAGE_NONE &&
        (move_link_state(worker) == LINK_DOWN || walk_all_channels(worker)))
        move_set_stage(worker, STAGE_PREPARED);
}

/* PLAN_HOLD: new users are held off from the start of the phase. A login that Redis confirms
 * meanwhile waits in the lobby. */
static void move_step_hold(struct worker *worker)
{
    if (move_own_stage(worker) < STAGE_HELD)
        move_set_stage(worker, STAGE_HELD);
}

static void move_step_settle(struct worker *worker)
{
    const bool up = move_link_state(worker) == LINK_UP;
    if (move_own_stage(worker) >= STAGE_SETTLED || (up && !walk_all_channels(worker)))
        return;
    atomic_store_explicit(&worker->slot->move.whole, up ? move_link_failures(worker) + 1 : 0,
                          memory_order_relaxed);
    if (worker_is_guest(worker)) /* no probe reaches a guest, but Redis has just answered */
        atomic_store_explicit(&worker->slot->probed, worker->now_ms, memory_order_relaxed);
    move_set_stage(worker, STAGE_SETTLED);
}

/* Publishes the fence. A second one, behind the first, does no harm. */
static void send_move_fence(struct worker *worker)
{
    struct move *move = worker->move;
    char name[32], channel[128], number[16];
    if (move->fence_ms && worker->now_ms - move->fence_ms < FENCE_AGAIN_MS)
        return;
    move_fence_channel(worker, name);
    snprintf(channel, sizeof(channel), "%s%s", worker->config->prefix, name);
    snprintf(number, sizeof(number), "%u", worker->plan.number);
    const char *argv[] = {"PUBLISH", channel, number};
    const size_t lens[] = {strlen(argv[0]), strlen(argv[1]), strlen(argv[2])};
    if (command_send(worker, 3, argv, lens, NULL, NULL) == 0)
        move->fence_ms = worker->now_ms;
}

static void move_step_fence(struct worker *worker)
{
    if (worker->id == worker_node_home(worker)) {
        send_move_fence(worker);
        move_look_again(worker);
    }
    /* Pushes routed before the fence are in the rings by now, visible to any worker that
     * sees this stage. */
    if (move_own_stage(worker) < STAGE_FENCED && (worker->move->met || move_blind(worker)))
        move_set_stage(worker, STAGE_FENCED);
}

/* PLAN_GIVE: all workers have reached the fence, so no more entries come into the rings.
 * Those in them are handled in this turn, because it began after the plan was read. */
static void move_step_give(struct worker *worker)
{
    if (worker->clients_event)
        event_del(worker->clients_event);
    const bool waits =
        !worker_is_guest(worker) && (rings_ready(worker) || kicks_busy(worker) ||
                                     (command_owed(worker) > 0 && move_is_patient(worker)));
    if (waits || worker->unread)
        move_look_again(worker);
    else
        worker->stopping = true;
}

/* PLAN_TAKE: every topic has been requested at its new home, which therefore knows the workers with
 * members. */
static void move_step_take(struct worker *worker)
{
    if (move_own_stage(worker) == STAGE_TAKING && topic_settled(worker))
        move_set_stage(worker, STAGE_TAKEN);
}

static void (*const steps[])(struct worker *worker) = {
    [PLAN_REST] = move_step_rest,   [PLAN_PREPARE] = move_step_prepare,
    [PLAN_HOLD] = move_step_hold,   [PLAN_SETTLE] = move_step_settle,
    [PLAN_FENCE] = move_step_fence, [PLAN_GIVE] = move_step_give,
    [PLAN_TAKE] = move_step_take,
};

/* Reacts to a new phase. */
static void enter_plan_phase(struct worker *worker)
{
    struct move *move = worker->move;
    const enum plan_phase before = move->phase;
    move->phase = worker->plan.phase;
    move->since_ms = worker->now_ms;
    move->walking = move->walked = false;
    move->fence_ms = 0;
    move->met = false;
    if (move->phase >= PLAN_HOLD && move->phase <= PLAN_GIVE && !worker_is_guest(worker))
        hold_new_users(worker, true);
    else if (before >= PLAN_HOLD && before <= PLAN_FENCE && !worker_is_guest(worker))
        hold_new_users(worker, false);
    if (move->phase == PLAN_REST || move->phase == PLAN_PREPARE)
        forget_subscribed_users(worker);
}

void move_note(struct worker *worker)
{
    worker->plan = segment_plan(worker->segment);
    if (worker->move->phase != worker->plan.phase)
        enter_plan_phase(worker);
}

void move_turn(struct worker *worker)
{
    if (!worker->draining && !worker->orphaned)
        steps[worker->plan.phase](worker);
}

static void move_on_look(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg; /* the event only starts a turn */
}

int move_open(struct worker *worker)
{
    struct move *move = calloc(1, sizeof(*move));
    if (!move)
        return -1;
    worker->move = move;
    move->look = event_new(worker->base, -1, 0, move_on_look, worker);
    /* Pages that no walk touches take no memory. */
    move->subscribed =
        mmap(NULL, worker->capacity * sizeof(*move->subscribed), PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return move->look && move->subscribed != MAP_FAILED ? 0 : -1;
}

/*
 * See worker.h. The loop turns by hand, because the end of a turn is where the work of a turn is
 * finished: what has gathered is sent, and the latch is set before the loop may sleep.
 */
#include "worker/worker.h"

#include "common/clock.h"
#include "common/fault.h"
#include "common/keyslot.h"
#include "common/log.h"
#include "common/pause.h"
#include "worker/accept.h"
#include "worker/admin.h"
#include "worker/answers.h"
#include "worker/auth.h"
#include "worker/batch.h"
#include "worker/client.h"
#include "worker/command.h"
#include "worker/deliver.h"
#include "worker/drain.h"
#include "worker/hold.h"
#include "worker/join.h"
#include "worker/kicks.h"
#include "worker/last_words.h"
#include "worker/limits.h"
#include "worker/link.h"
#include "worker/link_streams.h"
#include "worker/lobby.h"
#include "worker/move.h"
#include "worker/node.h"
#include "worker/outbox.h"
#include "worker/parcel.h"
#include "worker/poison.h"
#include "worker/rates.h"
#include "worker/rehome.h"
#include "worker/rings.h"
#include "worker/subscribe.h"
#include "worker/sweep.h"
#include "worker/takeover.h"
#include "worker/topic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- What the modules ask ---- */

/* A channel's slot has one home. */
uint32_t worker_channel_home(const struct worker *worker, const char *kind, const char *name,
                             size_t len, uint32_t workers)
{
    char prefix[80];
    const int prefix_len = snprintf(prefix, sizeof(prefix), "%s%s", worker->config->prefix, kind);
    const uint32_t slot = keyslot_joined(prefix, (size_t)prefix_len, name, len);
    return slot * workers / KEYSLOTS;
}

uint32_t worker_home(const struct worker *worker, const char *user, size_t len)
{
    return worker_channel_home(worker, "user:", user, len, worker->workers);
}

uint32_t worker_topic_home(const struct worker *worker, const char *topic, size_t len)
{
    return worker_channel_home(worker, "topic:", topic, len, worker->workers);
}

uint32_t worker_slots(const struct worker *worker)
{
    return worker->segment->header->shape.workers;
}

uint32_t worker_slots_run(const struct worker *worker)
{
    uint32_t slots = worker_slots(worker);
    while (slots > 0 && atomic_load_explicit(&worker->segment->slot[slots - 1].incarnation,
                                             memory_order_relaxed) == 0)
        slots--;
    return slots;
}

uint32_t worker_node_home(const struct worker *worker)
{
    (void)worker;
    return 0;
}

/* A plain store will do: the slot's words have one writer. */
static void change(_Atomic uint32_t *count, int by)
{
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + (uint32_t)by,
                          memory_order_relaxed);
}

void worker_count(struct worker *worker, int connections, int ready_users)
{
    change(&worker->slot->connections, connections);
    change(&worker->slot->ready_users, ready_users);
}

void worker_owns(struct worker *worker, uint32_t fd)
{
    if (fd >= atomic_load_explicit(&worker->slot->high, memory_order_relaxed))
        atomic_store_explicit(&worker->slot->high, fd + 1, memory_order_release);
}

void worker_in_hand(struct worker *worker, uint32_t in_hand)
{
    atomic_store_explicit(&worker->slot->in_hand, in_hand, memory_order_release);
}

uint32_t worker_total(const struct worker *worker)
{
    uint32_t total = 0;
    for (uint32_t i = 0; i < worker->workers; i++)
        total += atomic_load_explicit(&worker->segment->slot[i].connections, memory_order_relaxed);
    return total;
}

static bool link_up(const struct worker *worker, uint32_t i)
{
    /* Acquire: pairs with the release of the link's state in link.c. */
    return atomic_load_explicit(&worker->segment->slot[i].link.state, memory_order_acquire) ==
           LINK_UP;
}

bool worker_draining(const struct worker *worker)
{
    return worker->draining ||
           atomic_load_explicit(&worker->slot->command, memory_order_acquire) >= SLOT_DRAIN;
}

bool worker_ready(const struct worker *worker, uint32_t home)
{
    return !worker_draining(worker) && link_up(worker, home) &&
           link_up(worker, worker_node_home(worker));
}

/* ---- The loop ---- */

void worker_note_time(struct worker *worker)
{
    worker->now_us = clock_mono_us();
    const uint64_t paused_ms = pause_since(&worker->now_ms, worker->now_us / 1000);
    worker->now_s = (uint32_t)(worker->now_ms / 1000);
    if (paused_ms > 0)
        worker->awake_ms = worker->now_ms;
}

/* First thing in every event of the loop: awake, and the time is now. */
static void wake(struct worker *worker)
{
    latch_rise(worker->slot);
    worker_note_time(worker);
}

static void on_clients(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    wake(arg);
    clients_ready(arg);
}

static void on_latch(evutil_socket_t fd, short what, void *arg)
{
    struct worker *worker = arg;
    (void)fd, (void)what;
    wake(worker);
    latch_drain(worker->slot);
}

/* Nobody could ever stop or replace this worker any more. The addresses are given up at once, so
 * that the next master can bind them while the clients are still being told to come back. */
static void on_master_gone(evutil_socket_t fd, short what, void *arg)
{
    struct worker *worker = arg;
    (void)fd, (void)what;
    log_error("master_died", "");
    worker->orphaned = true;
    accept_give_up(worker);
    admin_give_up(worker);
    event_del(worker->master_event);
}

/* Routes what came from each source, as many batches as the turn has time for. The next turn goes
 * on with the source behind the last one, so that none waits for ever. Returns false if a batch is
 * still being sent. */
static bool read_sources(struct worker *worker)
{
    const uint32_t sources = worker->workers + 1; /* the rings, then the link */
    rings_end_wishes(worker);
    batch_turn(worker);
    worker->unread = false;
    for (uint32_t k = 0; k < sources && !worker->unread; k++) {
        const uint32_t source = worker->next_source;
        worker->next_source = (source + 1) % sources;
        if (source == worker->workers)
            link_route(worker);
        else if (source != worker->id)
            rings_read(worker, source);
        worker->unread = batch_is_sending(worker) || batch_was_full(worker);
    }
    lobby_turn(worker);
    return !batch_is_sending(worker);
}

/* The steps of a turn that come after the pushes. */
static void do_chores(struct worker *worker)
{
    kicks_turn(worker);
    drain_turn(worker);
    move_turn(worker);
    node_turn(worker);
    topic_turn(worker);
    join_turn(worker);
    subscriptions_turn(worker);
    batch_send(worker, NO_SOURCE, 0, NULL);
    link_notice_others(worker);
}

static void turn(struct worker *worker)
{
    worker_note_time(worker);
    worker->news = rings_news(worker);
    move_note(worker); /* before the rings are read: what it says is true of them */
    atomic_store_explicit(&worker->slot->heartbeat, worker->now_ms, memory_order_relaxed);
    stats_add(&worker->stats->turns, 1);
    answers_turn(worker);
    if (batch_go_on(worker)) {
        outbox_flush(worker); /* before pushes: answers of this turn are not counted with them */
        if (read_sources(worker))
            do_chores(worker);
    }
    link_turn(worker);
    rings_turn(worker);
}

/* Asked between latch_rest and sleep: whoever made the work since then has seen the latch, and
 * wakes us. */
static bool has_work(const struct worker *worker)
{
    if (batch_is_sending(worker) || worker->unread)
        return true;
    return rings_ready(worker) || rings_news(worker) != worker->news || move_busy(worker) ||
           answers_busy(worker) || kicks_busy(worker);
}

static void loop(struct worker *worker)
{
    while (!worker->stopping) {
        words_doing(&worker->slot->words, DOING_WAITING);
        latch_rest(worker->slot);
        event_base_loop(worker->base,
                        has_work(worker) ? EVLOOP_ONCE | EVLOOP_NONBLOCK : EVLOOP_ONCE);
        latch_rise(worker->slot);
        turn(worker);
    }
}

/* ---- Beginning ---- */

static int watch(struct worker *worker, int fd, event_callback_fn callback, struct event **out)
{
    struct event *event = event_new(worker->base, fd, EV_READ | EV_PERSIST, callback, worker);
    if (!event || event_add(event, NULL) == -1)
        return -1;
    if (out)
        *out = event;
    return 0;
}

static void settle(struct worker *worker, const struct worker_setup *setup)
{
    const struct segment *segment = setup->segment;
    const uint32_t id = setup->id;
    *worker = (struct worker){
        .setup = setup,
        .config = setup->config,
        .segment = segment,
        .base = setup->base,
        .table = segment->conn,
        .capacity = segment->header->shape.capacity,
        .id = id,
        .workers = segment_plan(segment).active,
        .plan = segment_plan(segment),
        .slot = &segment->slot[id],
        .stats = &segment->stats[id],
    };
    worker->incarnation = conn_incarnation(id, atomic_load(&worker->slot->incarnation));
    worker->users = (struct users){.control = &worker->slot->users,
                                   .heads = segment->heads + (size_t)id * worker->capacity,
                                   .siblings = segment->siblings,
                                   .table = worker->table,
                                   .capacity = worker->capacity,
                                   .seed = segment->header->hash_seed};
    const uint32_t memberships = segment->header->shape.memberships;
    const size_t first = (size_t)id * memberships;
    worker->topics = (struct topics){.control = &worker->slot->topics,
                                     .heads = segment->topic_heads + first,
                                     .topic = segment->topic + first,
                                     .member = segment->member + first,
                                     .table = worker->table,
                                     .capacity = memberships,
                                     .conns = worker->capacity,
                                     .seed = segment->header->hash_seed};
    limits_open(worker);
    worker_note_time(worker);
    worker->awake_ms = worker->now_ms;
}

static int modules_open(struct worker *worker)
{
    worker->holds = holds_new();
    worker->rates = rates_new();
    worker->lobby = lobby_new();
    worker->subs = subscriptions_new();
    worker->topic_work = topic_work_new();
    worker->join = join_new();
    worker->answers = answers_new();
    worker->outbox = outbox_new(worker->config->max_push > worker->config->max_message
                                    ? worker->config->max_push
                                    : worker->config->max_message);
    worker->scratch = malloc(SCRATCH_SIZE);
    if (!worker->holds || !worker->rates || !worker->lobby || !worker->subs ||
        !worker->topic_work || !worker->join || !worker->answers || !worker->outbox ||
        !worker->scratch)
        return -1;
    return move_open(worker) || rings_open(worker) ? -1 : 0;
}

static int events_open(struct worker *worker)
{
    const struct worker_setup *setup = worker->setup;
    if (watch(worker, worker->slot->epoll_fd, on_clients, &worker->clients_event) == -1 ||
        watch(worker, worker->slot->event_fd, on_latch, NULL) == -1)
        return -1;
    if (setup->master_fd >= 0 &&
        watch(worker, setup->master_fd, on_master_gone, &worker->master_event) == -1)
        return -1;
    return accept_open(worker) || sweep_open(worker) || auth_open(worker) ? -1 : 0;
}

static void begin_words(struct worker *worker)
{
    uint8_t build[BUILD_ID_SIZE];
    build_id(build);
    last_words_open(&worker->slot->words, &worker->slot->fault,
                    atomic_load(&worker->slot->incarnation), build,
                    worker->segment->header->hash_seed);
}

int worker_run(const struct worker_setup *setup)
{
    static struct worker worker; /* one in a process */
    fault_meet_at("worker");
    settle(&worker, setup);
    const bool successor = atomic_load(&worker.slot->incarnation) > 1;
    begin_words(&worker);
    if (rehome_resume(&worker))
        return 0;
    poison_open(&worker);
    if (successor)
        takeover_begin(&worker);
    if (modules_open(&worker) == -1 || link_open(&worker) == -1 || events_open(&worker) == -1 ||
        command_open(&worker) == -1 || admin_open(&worker) == -1) {
        log_error("worker_start", "why=\"out of memory or descriptors\"");
        return WORKER_NOT_STARTED;
    }
    if (successor)
        takeover_finish(&worker);
    turn(&worker);
    fault_meet_at("turned");
    loop(&worker);
    batch_finish(&worker);
    answers_leave(&worker);
    outbox_flush(&worker);
    if (worker.leaving)
        parcel_write(&worker);
    return rehome_leave(&worker);
}

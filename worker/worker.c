/*
 * See worker.h. The event loop is run one turn at a time, because the end of a turn finishes its
 * work: gathered frames are sent, and the latch is set before the loop may sleep.
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

/* ---- Services for the modules ---- */

/* Homes are assigned by the channel's key slot (keyslot.h). */
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

/* Adds to a count. No atomic addition is needed: this worker is the only writer of its slot. */
static void worker_add_to_count(_Atomic uint32_t *count, int by)
{
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + (uint32_t)by,
                          memory_order_relaxed);
}

void worker_count(struct worker *worker, int connections, int ready_users)
{
    worker_add_to_count(&worker->slot->connections, connections);
    worker_add_to_count(&worker->slot->ready_users, ready_users);
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

static bool worker_link_is_up(const struct worker *worker, uint32_t i)
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
    return !worker_draining(worker) && worker_link_is_up(worker, home) &&
           worker_link_is_up(worker, worker_node_home(worker));
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

/* Marks the worker awake and updates the time. Call it first in every event handler of the loop. */
static void worker_wake_up(struct worker *worker)
{
    latch_rise(worker->slot);
    worker_note_time(worker);
}

static void worker_on_clients(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    worker_wake_up(arg);
    clients_ready(arg);
}

static void worker_on_latch(evutil_socket_t fd, short what, void *arg)
{
    struct worker *worker = arg;
    (void)fd, (void)what;
    worker_wake_up(worker);
    latch_drain(worker->slot);
}

/* Reacts to the master's death, after which no process can stop or replace this worker. The
 * addresses are given up at once, so that the next master can bind them while clients are still
 * being told to reconnect. */
static void worker_on_master_gone(evutil_socket_t fd, short what, void *arg)
{
    struct worker *worker = arg;
    (void)fd, (void)what;
    log_error("master_died", "");
    worker->orphaned = true;
    accept_give_up(worker);
    admin_give_up(worker);
    event_del(worker->master_event);
}

/* Routes pushes of each source, as many batches as the turn has time for. The next turn continues
 * with the source after the last one, so that none starves. Returns false if a batch is still being
 * sent. */
static bool read_push_sources(struct worker *worker)
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

/* Takes the steps of a turn that follow the pushes. */
static void finish_turn_work(struct worker *worker)
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

static void worker_turn(struct worker *worker)
{
    worker_note_time(worker);
    worker->news = rings_news(worker);
    move_note(worker); /* before the rings are read, so that the rings hold everything that the plan
                          implies */
    atomic_store_explicit(&worker->slot->heartbeat, worker->now_ms, memory_order_relaxed);
    stats_add(&worker->stats->turns, 1);
    answers_turn(worker);
    if (batch_go_on(worker)) {
        outbox_flush(
            worker); /* before pushes, so that this turn's answers are not counted with them */
        if (read_push_sources(worker))
            finish_turn_work(worker);
    }
    link_turn(worker);
    rings_turn(worker);
}

/* True if the loop must not sleep. Called after latch_rest: a process that makes work from then on
 * sees the latch and wakes this worker. */
static bool worker_has_work(const struct worker *worker)
{
    if (batch_is_sending(worker) || worker->unread)
        return true;
    return rings_ready(worker) || rings_news(worker) != worker->news || move_busy(worker) ||
           answers_busy(worker) || kicks_busy(worker);
}

static void worker_loop(struct worker *worker)
{
    while (!worker->stopping) {
        words_doing(&worker->slot->words, DOING_WAITING);
        latch_rest(worker->slot);
        event_base_loop(worker->base,
                        worker_has_work(worker) ? EVLOOP_ONCE | EVLOOP_NONBLOCK : EVLOOP_ONCE);
        latch_rise(worker->slot);
        worker_turn(worker);
    }
}

/* ---- Start ---- */

static int watch_descriptor(struct worker *worker, int fd, event_callback_fn callback,
                            struct event **out)
{
    struct event *event = event_new(worker->base, fd, EV_READ | EV_PERSIST, callback, worker);
    if (!event || event_add(event, NULL) == -1)
        return -1;
    if (out)
        *out = event;
    return 0;
}

static void worker_init(struct worker *worker, const struct worker_setup *setup)
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

static int open_worker_modules(struct worker *worker)
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

static int open_worker_events(struct worker *worker)
{
    const struct worker_setup *setup = worker->setup;
    if (watch_descriptor(worker, worker->slot->epoll_fd, worker_on_clients,
                         &worker->clients_event) == -1 ||
        watch_descriptor(worker, worker->slot->event_fd, worker_on_latch, NULL) == -1)
        return -1;
    if (setup->master_fd >= 0 && watch_descriptor(worker, setup->master_fd, worker_on_master_gone,
                                                  &worker->master_event) == -1)
        return -1;
    return accept_open(worker) || sweep_open(worker) || auth_open(worker) ? -1 : 0;
}

static void begin_last_words(struct worker *worker)
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
    worker_init(&worker, setup);
    const bool successor = atomic_load(&worker.slot->incarnation) > 1;
    begin_last_words(&worker);
    if (rehome_resume(&worker))
        return 0;
    poison_open(&worker);
    if (successor)
        takeover_begin(&worker);
    if (open_worker_modules(&worker) == -1 || link_open(&worker) == -1 ||
        open_worker_events(&worker) == -1 || command_open(&worker) == -1 ||
        admin_open(&worker) == -1) {
        log_error("worker_start", "why=\"out of memory or descriptors\"");
        return WORKER_NOT_STARTED;
    }
    if (successor)
        takeover_finish(&worker);
    worker_turn(&worker);
    fault_meet_at("turned");
    worker_loop(&worker);
    batch_finish(&worker);
    answers_leave(&worker);
    outbox_flush(&worker);
    if (worker.leaving)
        parcel_write(&worker);
    return rehome_leave(&worker);
}

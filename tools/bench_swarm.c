/*
 * A swarm: one process with the clients of every S-th user and one epoll loop. Each turn handles
 * everything that is due by the clock (connections, clients that leave, requests), waits until a
 * socket is ready or the next item is due, and reads the sockets that are ready.
 *
 * Connections are due when they are wanted, or by --connect-rate. The time until ready counts from
 * then, including a wait for --connect-window.
 *
 * Several swarms are needed because the descriptors of a process are limited, and so that the
 * clients are not slower than the server.
 */
#include "tools/bench_swarm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "tools/bench_account.h"
#include "tools/bench_client.h"
#include "tools/bench_clock.h"

enum {
    EVENTS_TURN = 512,
    TICK_NS = 10 * BENCH_MS, /* the longest sleep: the phase may have changed */
    PATIENCE_NS_MS = 10000,  /* for a handshake, and for the answer to a close frame */
};

/* Something that happens at a fixed rate. */
struct pace {
    double each; /* ns between two; 0: never */
    uint64_t began, count;
};

struct loop {
    struct swarm swarm;
    struct pace connect, churn, request;
    uint32_t begun;                    /* clients that were wanted so far */
    uint32_t next_churn, next_request; /* the next client to leave, to send a request */
    uint64_t scanned_at;
    bool drained; /* the last turn read everything available */
};

static uint64_t next_due_time(const struct pace *pace)
{
    return pace->each > 0 ? pace->began + (uint64_t)((double)pace->count * pace->each) : UINT64_MAX;
}

/* Returns how many clients of this swarm have numbers below `users`. */
static uint32_t count_own_clients(const struct swarm *swarm, uint32_t users)
{
    const uint32_t swarms = swarm->bench->swarms;
    return users > swarm->index ? (users - swarm->index - 1) / swarms + 1 : 0;
}

static void queue_wanted_clients(struct loop *loop, uint64_t now)
{
    struct swarm *swarm = &loop->swarm;
    const uint32_t wanted =
        atomic_load_explicit(&swarm->bench->board->wanted, memory_order_relaxed);

    for (; loop->begun < count_own_clients(swarm, wanted); loop->begun++) {
        if (loop->connect.began == 0)
            loop->connect.began = now;
        const uint64_t due = loop->connect.each > 0 ? next_due_time(&loop->connect) : now;
        loop->connect.count++;
        client_due(swarm, &swarm->client[loop->begun], due);
    }
}

static uint32_t own_connect_window(const struct swarm *swarm)
{
    const uint64_t window = swarm->bench->options->connect_window / swarm->bench->swarms;
    return window > 0 ? (uint32_t)window : 1;
}

static void connect_due_clients(struct swarm *swarm, uint64_t now)
{
    while (swarm->due_count > 0 && swarm->connecting < own_connect_window(swarm)) {
        struct client *client = &swarm->client[swarm->due[swarm->due_first]];
        if (client->since > now)
            return;
        swarm->due_first = (swarm->due_first + 1) % swarm->clients;
        swarm->due_count--;
        client_connect(swarm, client);
    }
}

/* Returns the next ready client from *next on that comes and goes (or, if `any`, any ready client);
 * NULL if there is none. */
static struct client *find_next_ready(struct swarm *swarm, uint32_t *next, bool any)
{
    for (uint32_t tried = 0; tried < swarm->clients; tried++) {
        struct client *client = &swarm->client[*next];
        *next = *next + 1 < swarm->clients ? *next + 1 : 0;
        if (client->state == CLIENT_READY &&
            (any || bench_comes_and_goes(swarm->bench, client->user)))
            return client;
    }
    return NULL;
}

static void start_due_leaves(struct loop *loop, uint64_t now)
{
    struct swarm *swarm = &loop->swarm;

    while (next_due_time(&loop->churn) <= now) {
        struct client *client = find_next_ready(swarm, &loop->next_churn, false);
        loop->churn.count++;
        if (client != NULL)
            client_leave(swarm, client);
    }
}

static void close_finished_leaves(struct swarm *swarm)
{
    uint32_t kept = 0;

    swarm->now = bench_now();
    for (uint32_t i = 0; i < swarm->leaving_count; i++) {
        struct client *client = &swarm->client[swarm->leaving[i]];
        if (client->state == CLIENT_LEAVING && !client_left(swarm, client))
            swarm->leaving[kept++] = swarm->leaving[i];
    }
    swarm->leaving_count = kept;
}

/* Sends one request. Returns false if no client may send one. */
static bool send_one_request(struct loop *loop, uint64_t due)
{
    struct swarm *swarm = &loop->swarm;

    for (uint32_t tried = 0; tried < swarm->clients; tried++) {
        struct client *client = find_next_ready(swarm, &loop->next_request, true);
        if (client == NULL)
            return false;
        if (client_ask(swarm, client, due))
            return true;
    }
    return false;
}

static void send_due_requests(struct loop *loop, uint64_t now, uint64_t stop_at)
{
    const struct bench *bench = loop->swarm.bench;

    if (bench->mode->requests == 0 || now >= stop_at)
        return;
    if (bench->rate == 0) {
        const uint64_t window = bench->window / bench->swarms + 1;
        while (loop->swarm.unanswered < window && send_one_request(loop, bench_now()))
            ;
        return;
    }
    for (uint64_t due; (due = next_due_time(&loop->request)) <= now && due < stop_at;) {
        if (!send_one_request(loop, due))
            return; /* it remains due */
        loop->request.count++;
    }
}

/* Gives up handshakes that take too long. Runs once a second. */
static void give_up_slow_handshakes(struct loop *loop, uint64_t now)
{
    struct swarm *swarm = &loop->swarm;
    const uint64_t patience = (uint64_t)PATIENCE_NS_MS * BENCH_MS;

    if (now - loop->scanned_at < BENCH_S)
        return;
    loop->scanned_at = now;
    for (uint32_t i = 0; i < loop->begun; i++) {
        struct client *client = &swarm->client[i];
        const bool waits = client->state != CLIENT_AWAY && client->state != CLIENT_READY &&
                           client->state != CLIENT_LEAVING;
        if (waits && now > client->since && now - client->since > patience)
            client_give_up(swarm, client, "the handshake took too long");
    }
}

static void begin_measured_run(struct loop *loop, uint64_t now)
{
    const struct bench *bench = loop->swarm.bench;
    const double share = (double)BENCH_S * bench->swarms;

    if (loop->churn.began != 0)
        return;
    loop->churn.began = loop->request.began = now;
    if (bench->mode->churn)
        loop->churn.each = share / (double)bench->options->churn;
    if (bench->mode->requests > 0 && bench->rate > 0)
        loop->request.each = share / (double)bench->rate * 1000 / bench->mode->requests;
}

/* Does everything that is due by the clock. Returns how long to wait, in ns. */
static uint64_t do_due_work(struct loop *loop, enum phase phase)
{
    struct swarm *swarm = &loop->swarm;
    const struct board *board = swarm->bench->board;
    const uint64_t stop_at = atomic_load_explicit(&board->stop_at, memory_order_relaxed);
    const uint64_t now = bench_now();
    uint64_t next = now + TICK_NS;

    swarm->measured_from = atomic_load_explicit(&board->measured_from, memory_order_relaxed);
    queue_wanted_clients(loop, now);
    connect_due_clients(swarm, now);
    give_up_slow_handshakes(loop, now);
    if (phase == PHASE_RUN) {
        begin_measured_run(loop, now);
        start_due_leaves(loop, now);
        send_due_requests(loop, now, stop_at);
        if (next_due_time(&loop->churn) < next)
            next = next_due_time(&loop->churn);
        if (next_due_time(&loop->request) < next && swarm->board->ready > 0)
            next = next_due_time(&loop->request);
    }
    close_finished_leaves(swarm);
    if (swarm->due_count > 0 && swarm->connecting < own_connect_window(swarm)) {
        const uint64_t due = swarm->client[swarm->due[swarm->due_first]].since;
        next = due < next ? due : next;
    }
    const uint64_t then = bench_now();
    return next > then ? next - then : 0;
}

/* Wakes the publisher if it waits for the deliveries counted by now (bench_board.h). */
static void wake_publisher(const struct bench *bench)
{
    const struct publisher_board *publisher = &bench->board->publisher;
    const uint64_t one = 1;

    atomic_thread_fence(memory_order_seq_cst); /* pairs with the fence in wait_for_half */
    if (atomic_load_explicit(&publisher->waits, memory_order_relaxed) == 0)
        return;
    if (board_settled(bench) >= atomic_load_explicit(&publisher->goal, memory_order_relaxed) &&
        write(bench->wake_fd, &one, sizeof(one)) == -1)
        return; /* the eventfd is full: the publisher is awake */
}

static struct timespec timespec_from_ns(uint64_t ns)
{
    return (struct timespec){(time_t)(ns / BENCH_S), (long)(ns % BENCH_S)};
}

/* With --nap, sleeps after all input has been read, so that no socket wakes us. Otherwise a server
 * that sends to clients on its own machine wakes them at its own expense, as often as they sleep,
 * which depends on who is faster; for remote clients it only sends. Returns how long to wait now.
 */
static uint64_t nap_until_interval(struct loop *loop, enum phase phase, uint64_t ns)
{
    const uint64_t wanted = loop->swarm.bench->options->nap * BENCH_MS;

    if (wanted == 0 || phase != PHASE_RUN)
        return ns;
    const struct timespec wait = timespec_from_ns(wanted < ns ? wanted : ns);
    if (loop->drained)
        nanosleep(&wait, NULL);
    return 0;
}

static bool run_swarm_turn(struct loop *loop, enum phase phase)
{
    struct swarm *swarm = &loop->swarm;
    struct epoll_event events[EVENTS_TURN];
    const struct timespec wait =
        timespec_from_ns(nap_until_interval(loop, phase, do_due_work(loop, phase)));

    const int count = epoll_pwait2(swarm->epoll_fd, events, EVENTS_TURN, &wait, NULL);
    loop->drained = count < EVENTS_TURN;
    if (count == -1)
        return errno == EINTR;
    for (int i = 0; i < count; i++)
        client_event(swarm, &swarm->client[events[i].data.u32], events[i].events);
    if (count > 0)
        wake_publisher(swarm->bench);
    return true;
}

static bool open_swarm_clients(struct loop *loop)
{
    struct swarm *swarm = &loop->swarm;
    const uint32_t clients = swarm->clients > 0 ? swarm->clients : 1;

    swarm->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    swarm->client = calloc(clients, sizeof(*swarm->client));
    swarm->due = calloc(clients, sizeof(*swarm->due));
    swarm->leaving = calloc(clients, sizeof(*swarm->leaving));
    swarm->buffer = malloc(CLIENT_BUFFER);
    if (swarm->epoll_fd == -1 || swarm->client == NULL || swarm->due == NULL ||
        swarm->leaving == NULL || swarm->buffer == NULL)
        return false;
    for (uint32_t i = 0; i < swarm->clients; i++) {
        swarm->client[i].fd = -1;
        swarm->client[i].user = swarm->index + i * swarm->bench->swarms;
    }
    return true;
}

/* Resets every connection: the run is over, and no connection should remain in TIME_WAIT. */
static void close_swarm_clients(struct swarm *swarm)
{
    for (uint32_t i = 0; swarm->client != NULL && i < swarm->clients; i++) {
        struct client *client = &swarm->client[i];
        if (client->fd != -1) {
            setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0},
                       sizeof(struct linger));
            close(client->fd);
        }
        buffer_free(&client->answer);
    }
    if (swarm->epoll_fd != -1)
        close(swarm->epoll_fd);
    free(swarm->buffer);
    free(swarm->leaving);
    free(swarm->due);
    free(swarm->client);
}

bool swarm_run(const struct bench *bench, uint32_t index, const struct target *target)
{
    struct loop loop = {.swarm = {.bench = bench,
                                  .target = target,
                                  .board = &bench->board->swarm[index],
                                  .index = index}};
    struct swarm *swarm = &loop.swarm;

    swarm->clients = count_own_clients(swarm, bench->users);
    if (bench->options->connect_rate > 0)
        loop.connect.each = (double)BENCH_S * bench->swarms / (double)bench->options->connect_rate;
    bool ok = open_swarm_clients(&loop);
    enum phase phase;
    while (ok && (phase = board_phase(bench)) != PHASE_END)
        ok = run_swarm_turn(&loop, phase);
    if (ok)
        account_expected(swarm);
    else
        snprintf(swarm->board->error, sizeof(swarm->board->error), "%s", strerror(errno));
    close_swarm_clients(swarm);
    return ok;
}

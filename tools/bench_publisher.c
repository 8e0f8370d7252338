/*
 * The publisher: one process, one loop.
 *
 *   open loop (a rate)       push i is due at start + i / rate. Each push that is due is sent, and
 *                            carries the time at which it was due: if the server stalls us, the
 *                            delay shows in the latency (no coordinated omission).
 *   closed loop (a window)   as long as fewer deliveries than the window are in flight. A
 *                            swarm wakes us when half of them have arrived, so that neither side
 *                            wakes for each.
 *
 * Pushes to users go out in a random order that repeats only after each user had one. All pushes of
 * a source use the same connection, so that keeping their order is up to the server.
 *
 * It does not retry failed requests, and reconnects only in a run that kills or reloads the server.
 */
#include "tools/bench_publisher.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/bench_clock.h"
#include "tools/bench_pipe.h"

enum {
    TURN_MOST = 512,            /* publications between two looks at the sockets */
    TICK_NS = 10 * BENCH_MS,    /* the longest sleep: the phase may have changed */
    STALL_NS = 2000 * BENCH_MS, /* after this time without an arrival, the window gives up on
                                   missing deliveries */
};

struct publisher {
    const struct bench *bench;
    struct publisher_board *board;
    struct pipe *pipe; /* array of publish_connections */
    size_t pipes;
    uint64_t random;            /* state of xorshift64 */
    uint32_t *order;            /* all users, shuffled */
    uint32_t at;                /* index in `order`: the next user */
    uint32_t stayers;           /* clients that do not come and go */
    uint32_t *topic_stayers;    /* the same, by topic */
    uint64_t began;             /* ns: when push 0 was due */
    uint64_t units;             /* pushes or bursts published: the number of the next one */
    uint64_t settled, moved_at; /* deliveries at the last change, and its time */
    char *payload, *message;
};

static uint64_t next_random_number(struct publisher *self)
{
    uint64_t x = self->random;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    self->random = x;
    return x;
}

static void shuffle_user_order(struct publisher *self)
{
    for (uint32_t i = 0; i < self->bench->users; i++)
        self->order[i] = i;
    for (uint32_t i = self->bench->users; i > 1; i--) {
        const uint32_t j = (uint32_t)(next_random_number(self) % i);
        const uint32_t other = self->order[j];
        self->order[j] = self->order[i - 1];
        self->order[i - 1] = other;
    }
}

static void count_staying_clients(struct publisher *self)
{
    for (uint32_t user = 0; user < self->bench->users; user++) {
        if (bench_comes_and_goes(self->bench, user))
            continue;
        self->stayers++;
        self->topic_stayers[user % self->bench->topics]++;
    }
}

/* Counts a push to a user as sent, unless the user is away (the order: bench_board.h). This process
 * is the only writer of the counters, so taking a push back cannot conflict with another write. */
static bool reserve_user_pushes(struct publisher *self, uint32_t user, uint32_t pushes)
{
    _Atomic uint32_t *sent = &self->bench->sent[SOURCE_USER][user];
    const uint32_t number = atomic_load_explicit(sent, memory_order_relaxed);

    atomic_store_explicit(sent, number + pushes, memory_order_seq_cst);
    if (atomic_load_explicit(&self->bench->away[user], memory_order_seq_cst) == 0)
        return true;
    atomic_store_explicit(sent, number, memory_order_release);
    return false;
}

/* Publishes one payload of a source. The caller has counted its number. */
static void publish_payload(struct publisher *self, const struct payload *payload)
{
    const struct options *options = self->bench->options;
    char channel[CHANNEL_MAX];

    payload_write(self->payload, options->size, payload);
    const size_t len = dialect_wrap(options->speaks, options->envelope, (uint32_t)options->op,
                                    self->message, self->payload, options->size);
    medium_name(channel, sizeof(channel), options->channel[payload->kind], payload->source);
    pipe_publish(&self->pipe[payload->source % self->pipes], channel, self->message, len);
    board_add(&self->board->published, 1);
}

/* Finds the next user who is not away, and counts `pushes` to that user as sent. Returns false if
 * all users are away. */
static bool find_next_user(struct publisher *self, uint32_t pushes, uint32_t *user)
{
    for (uint32_t tried = 0; tried < self->bench->users; tried++) {
        *user = self->order[self->at];
        self->at = self->at + 1 < self->bench->users ? self->at + 1 : 0;
        if (reserve_user_pushes(self, *user, pushes))
            return true;
    }
    return false;
}

static void push_to_user(struct publisher *self, uint64_t due)
{
    const uint32_t pushes = self->bench->mode->burst ? (uint32_t)self->bench->options->burst : 1;
    uint32_t user;

    if (!find_next_user(self, pushes, &user))
        return;
    const uint32_t end =
        atomic_load_explicit(&self->bench->sent[SOURCE_USER][user], memory_order_relaxed);
    board_add(&self->board->owed, pushes);
    for (uint32_t number = end - pushes; number < end; number++)
        publish_payload(self, &(struct payload){SOURCE_USER, user, number, due});
}

static void push_to_many(struct publisher *self, enum source kind, uint32_t source, uint32_t owed,
                         uint64_t due)
{
    _Atomic uint32_t *sent = &self->bench->sent[kind][source];
    const uint32_t number = atomic_load_explicit(sent, memory_order_relaxed);

    atomic_store_explicit(sent, number + 1, memory_order_release);
    board_add(&self->board->owed, owed);
    publish_payload(self, &(struct payload){kind, source, number, due});
}

/* Publishes one push, or burst, of the mode. */
static void push_next_unit(struct publisher *self, uint64_t due, uint64_t now)
{
    const struct mode *mode = self->bench->mode;
    const uint64_t die = next_random_number(self) % 1000;

    if (die < mode->users) {
        push_to_user(self, due);
    } else if (die < (uint64_t)mode->users + mode->topics) {
        const uint32_t topic = (uint32_t)(next_random_number(self) % self->bench->topics);
        push_to_many(self, SOURCE_TOPIC, topic, self->topic_stayers[topic], due);
    } else {
        push_to_many(self, SOURCE_ALL, 0, self->stayers, due);
    }
    if (due >= atomic_load_explicit(&self->bench->board->measured_from, memory_order_relaxed))
        histogram_record(&self->board->lag, now - due);
    self->units++;
}

/* Returns the number of pushes of one unit; count_unit_deliveries() the deliveries that one of them
 * makes: the window counts those. */
static uint64_t count_unit_pushes(const struct publisher *self)
{
    return self->bench->mode->burst ? self->bench->options->burst : 1;
}

static uint64_t count_unit_deliveries(const struct publisher *self)
{
    const struct mode *mode = self->bench->mode;

    if (mode->users > 0)
        return count_unit_pushes(self);
    return mode->topics > 0 ? self->stayers / self->bench->topics + 1 : self->stayers;
}

static uint64_t unit_due_time(const struct publisher *self, uint64_t unit)
{
    const double each =
        (double)BENCH_S * (double)count_unit_pushes(self) / (double)self->bench->rate;
    return self->began + (uint64_t)((double)unit * each);
}

static bool pipes_have_room(const struct publisher *self)
{
    for (size_t i = 0; i < self->pipes; i++) {
        if (!pipe_has_room(&self->pipe[i]))
            return false;
    }
    return true;
}

/* Publishes the pushes that are due by the clock. Returns the ns until the next one is. */
static uint64_t run_open_loop(struct publisher *self, uint64_t stop_at)
{
    for (unsigned i = 0; i < TURN_MOST && pipes_have_room(self); i++) {
        const uint64_t due = unit_due_time(self, self->units), now = bench_now();
        if (due >= stop_at)
            return TICK_NS;
        if (due > now)
            return due - now;
        push_next_unit(self, due, now);
    }
    return pipes_have_room(self) ? 0 : TICK_NS; /* without room, a socket wakes us */
}

/* Returns the deliveries in flight. Those that do not arrive within STALL_NS are given up as lost.
 */
static uint64_t deliveries_in_flight(struct publisher *self, uint64_t now)
{
    const uint64_t settled = board_settled(self->bench);
    const uint64_t owed = self->board->owed - self->board->forgiven;

    if (settled != self->settled) {
        self->settled = settled;
        self->moved_at = now;
    } else if (owed > settled && now - self->moved_at > STALL_NS) {
        board_add(&self->board->forgiven, owed - settled);
        self->moved_at = now;
        return 0;
    }
    return owed > settled ? owed - settled : 0;
}

/* Announces that we wait until half of the window has arrived, unless it already has. Returns the
 * ns to wait. */
static uint64_t wait_for_half_window(struct publisher *self, uint64_t most)
{
    const uint64_t owed = self->board->owed - self->board->forgiven;
    const uint64_t half = most / 2 < owed ? owed - most / 2 : 0;

    atomic_store_explicit(&self->board->goal, half, memory_order_relaxed);
    atomic_store_explicit(&self->board->waits, 1, memory_order_seq_cst);
    atomic_thread_fence(memory_order_seq_cst); /* pairs with the fence in wake_publisher */
    return board_settled(self->bench) >= half ? 0 : TICK_NS;
}

/* Publishes as much as the window has room for. Returns the ns to wait. */
static uint64_t run_closed_loop(struct publisher *self, uint64_t stop_at)
{
    const uint64_t each = count_unit_deliveries(self), pushes = count_unit_pushes(self);
    const uint64_t window = self->bench->window < pushes ? pushes : self->bench->window;
    const uint64_t most = self->bench->mode->users > 0 ? window : window * each;

    for (unsigned i = 0; i < TURN_MOST && pipes_have_room(self); i++) {
        const uint64_t now = bench_now();
        if (now >= stop_at)
            return TICK_NS;
        if (deliveries_in_flight(self, now) + each > most)
            return wait_for_half_window(self, most);
        push_next_unit(self, now, now);
    }
    return pipes_have_room(self) ? 0 : TICK_NS;
}

/* Handles a failed connection: reconnects if the server is killed or reloaded in this run, which
 * explains the failure. */
static const char *reopen_failed_pipe(struct publisher *self, struct pipe *pipe, const char *wrong)
{
    if (wrong == NULL || self->bench->mode->event == EVENT_NONE)
        return wrong;
    snprintf(self->board->error, sizeof(self->board->error), "%s", wrong);
    return pipe_reopen(pipe);
}

/* Sends, then waits for replies, room, a wake-up by a swarm, or until the time has passed. */
static const char *exchange_with_server(struct publisher *self, uint64_t ns)
{
    struct pollfd fds[PIPES_MAX + 1];
    const char *wrong = NULL;

    for (size_t i = 0; i < self->pipes && wrong == NULL; i++) {
        wrong = reopen_failed_pipe(self, &self->pipe[i], pipe_flush(&self->pipe[i]));
        const short out = self->pipe[i].out.len > 0 ? POLLOUT : 0;
        fds[i] = (struct pollfd){.fd = self->pipe[i].fd, .events = (short)(POLLIN | out)};
    }
    fds[self->pipes] = (struct pollfd){.fd = self->bench->wake_fd, .events = POLLIN};
    if (wrong != NULL)
        return wrong;
    if (ns > TICK_NS)
        ns = TICK_NS;
    if (ppoll(fds, self->pipes + 1, &(struct timespec){0, (long)ns}, NULL) <= 0)
        return NULL;
    for (size_t i = 0; i < self->pipes && wrong == NULL; i++) {
        if (fds[i].revents != 0)
            wrong = reopen_failed_pipe(self, &self->pipe[i], pipe_read(&self->pipe[i]));
    }
    if (fds[self->pipes].revents != 0) {
        uint64_t wakes;
        if (read(self->bench->wake_fd, &wakes, sizeof(wakes)) == -1 && errno != EAGAIN)
            return strerror(errno);
    }
    return wrong;
}

static bool fail_publisher(struct publisher *self, const char *why)
{
    snprintf(self->board->error, sizeof(self->board->error), "%s", why);
    return false;
}

static bool run_publisher_loop(struct publisher *self)
{
    const struct bench *bench = self->bench;
    enum phase phase;

    while ((phase = board_phase(bench)) != PHASE_END) {
        uint64_t ns = TICK_NS;
        if (phase == PHASE_RUN && mode_pushes(bench->mode)) {
            const uint64_t stop_at =
                atomic_load_explicit(&bench->board->stop_at, memory_order_relaxed);
            if (self->began == 0)
                self->began = self->moved_at = bench_now();
            ns = bench->rate > 0 ? run_open_loop(self, stop_at) : run_closed_loop(self, stop_at);
        }
        const char *wrong = exchange_with_server(self, ns);
        atomic_store_explicit(&self->board->waits, 0, memory_order_relaxed);
        if (wrong != NULL)
            return fail_publisher(self, wrong);
    }
    return true;
}

static const char *open_all_pipes(struct publisher *self, const struct target *target)
{
    for (size_t i = 0; i < self->pipes; i++)
        self->pipe[i].fd = -1;
    for (size_t i = 0; i < self->pipes; i++) {
        const char *wrong = pipe_open(&self->pipe[i], self->bench, target);
        if (wrong != NULL)
            return wrong;
    }
    return NULL;
}

bool publisher_run(const struct bench *bench, const struct target *target)
{
    const struct options *options = bench->options;
    struct publisher self = {
        .bench = bench,
        .board = &bench->board->publisher,
        .pipes = options->publish_connections,
        .random = options->seed * 0x9e3779b97f4a7c15 | 1, /* never 0 */
        .pipe = calloc(options->publish_connections, sizeof(struct pipe)),
        .order = calloc(bench->users, sizeof(uint32_t)),
        .topic_stayers = calloc(bench->topics, sizeof(uint32_t)),
        .payload = malloc(options->size),
        .message = malloc(options->size + DIALECT_WRAP),
    };
    bool ok = false;

    if (self.pipe == NULL || self.order == NULL || self.topic_stayers == NULL ||
        self.payload == NULL || self.message == NULL) {
        fail_publisher(&self, strerror(ENOMEM));
    } else {
        shuffle_user_order(&self);
        count_staying_clients(&self);
        const char *wrong = open_all_pipes(&self, target);
        ok = wrong == NULL ? run_publisher_loop(&self) : fail_publisher(&self, wrong);
        for (size_t i = 0; i < self.pipes; i++)
            pipe_close(&self.pipe[i]);
    }
    free(self.message);
    free(self.payload);
    free(self.topic_stayers);
    free(self.order);
    free(self.pipe);
    return ok;
}

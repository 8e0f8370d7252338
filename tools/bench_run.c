/*
 * The main process of a run: starts the publisher and the swarms, writes the orders on the board,
 * takes samples, causes the events of the mode, and computes the result when the other
 * processes have ended. It holds no client and publishes nothing, so that its work does not disturb
 * the measurement.
 *
 * If a child dies, the run ends without a result. If the main process dies, the kernel kills the
 * children.
 */
#include "tools/bench_run.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/bench_children.h"
#include "tools/bench_clock.h"
#include "tools/bench_progress.h"
#include "tools/bench_stall.h"

enum {
    LOOK_NS = 2 * BENCH_MS, /* interval between two looks at the board */
    SPARE_FDS = 64,         /* descriptors of a process besides its clients' */
    MEMORY_MS = 1000,       /* time before memory is measured (idle) */
};

static volatile sig_atomic_t stopped;

void run_stop(void)
{
    stopped = 1;
}

struct run {
    struct bench bench;
    struct result *result;
    struct children children;
    struct calls calls;
    struct progress progress;
};

static bool print_run_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
static bool print_run_error(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("wspush-bench: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return false;
}

/* --- beginning ---------------------------------------------------------------------------------
 */

static bool raise_descriptor_limit(uint32_t wanted)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
        return print_run_error("descriptors: %s", strerror(errno));
    if (limit.rlim_max < wanted)
        return print_run_error("each process needs %u descriptors, but %llu are allowed: use more "
                               "--processes",
                               wanted, (unsigned long long)limit.rlim_max);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return true;
}

/* --- time --------------------------------------------------------------------------------------
 */

/* Sleeps briefly and shows the progress. Returns false if a child has died. */
static bool watch_run_progress(struct run *run)
{
    nanosleep(&(struct timespec){0, LOOK_NS}, NULL);
    progress_show(&run->progress);
    return children_well(&run->children);
}

/* Waits until a time, or until a signal asks to stop. Returns false if a child has died. */
static bool wait_until_time(struct run *run, uint64_t until)
{
    while (bench_now() < until && !stopped) {
        if (!watch_run_progress(run))
            return false;
    }
    return true;
}

static bool wait_milliseconds(struct run *run, uint64_t ms)
{
    return wait_until_time(run, bench_now() + ms * BENCH_MS);
}

static void set_run_phase(struct run *run, enum phase phase, const char *name)
{
    run->progress.phase = name;
    atomic_store_explicit(&run->bench.board->phase, (uint32_t)phase, memory_order_release);
}

/* The slow parts come first, so that the server's CPU and the counters belong to one moment. */
static void take_usage_sample(struct run *run, struct sample *sample, bool memory)
{
    static struct tree server, tree;
    const struct options *options = run->bench.options;
    const pid_t redis = (pid_t)options->redis_pid, own = getpid();

    tree_find(&tree, &redis, 1);
    usage_read(&sample->redis, &tree, false);
    tree_find(&tree, &own, 1);
    usage_read(&sample->own, &tree, false);
    tree_find(&server, options->server, options->servers);
    machine_read(&sample->machine);
    sample->at = bench_now();
    sample->clients = board_sums(&run->bench);
    sample->published = run->bench.board->publisher.published;
    sample->calls = calls_read(&run->calls);
    usage_read(&sample->server, &server, memory);
}

/* Starts to count system calls, if requested. */
static void start_call_counting(struct run *run)
{
    const struct options *options = run->bench.options;

    if (options->syscalls)
        run->result->no_calls = calls_open(&run->calls, options->server, options->servers);
}

/* --- the run -----------------------------------------------------------------------------------
 */

/* True if the mode measures connections. */
static bool mode_connects_only(const struct mode *mode)
{
    return strcmp(mode->name, "connect") == 0;
}

/* Returns why a swarm's clients are refused for good, or NULL. */
static const char *find_client_denial(const struct bench *bench)
{
    for (uint32_t i = 0; i < bench->swarms; i++) {
        const struct swarm_board *swarm = &bench->board->swarm[i];
        if (atomic_load_explicit(&swarm->denied, memory_order_acquire) != 0)
            return swarm->error;
    }
    return NULL;
}

/* Connects the clients below `wanted`, and waits until all of them are ready. */
static bool connect_wanted_clients(struct run *run, uint32_t wanted)
{
    struct board *board = run->bench.board;
    uint64_t ready = 0, moved_at = bench_now();

    run->progress.phase = "connecting";
    atomic_store_explicit(&board->wanted, wanted, memory_order_relaxed);
    while (ready < wanted) {
        if (!watch_run_progress(run))
            return false;
        const struct swarm_sums sums = board_sums(&run->bench);
        const uint64_t now = bench_now();
        if (sums.ready != ready)
            moved_at = now;
        ready = sums.ready;
        const char *denied = find_client_denial(&run->bench);
        if (denied != NULL)
            return print_run_error("the clients are refused for good: %s", denied);
        if (stopped || now - moved_at > run->bench.options->patience * BENCH_MS) {
            const char *error = board->swarm[0].error;
            return print_run_error("only %llu of %u clients became ready: %s",
                                   (unsigned long long)ready, wanted,
                                   error[0] != '\0' ? error : "the server does not answer");
        }
    }
    return true;
}

/* Connects all clients, in two steps if the memory of a connection is measured. */
static bool connect_all_clients(struct run *run)
{
    struct result *result = run->result;

    if (mode_connects_only(run->bench.mode))
        start_call_counting(run);
    take_usage_sample(run, &result->empty, true);
    if (result->first > 0) {
        if (!connect_wanted_clients(run, result->first) || !wait_milliseconds(run, MEMORY_MS))
            return false;
        take_usage_sample(run, &result->half, true);
    }
    if (!connect_wanted_clients(run, result->users))
        return false;
    take_usage_sample(run, &result->full, false); /* immediately: the cost of the storm */
    run->progress.phase = "settling";
    if (!wait_milliseconds(run, run->bench.options->settle + (result->first > 0 ? MEMORY_MS : 0)))
        return false;
    struct sample settled; /* and the memory they use once they are quiet */
    take_usage_sample(run, &settled, true);
    result->full.machine.kernel = settled.machine.kernel;
    result->full.server.anonymous = settled.server.anonymous;
    result->full.server.shared = settled.server.shared;
    return true;
}

/* Causes one event of the mode, and records the time. */
static bool cause_server_event(struct run *run, uint32_t number)
{
    static struct tree tree;
    const pid_t server = run->bench.options->server[0];
    const enum event event = run->bench.mode->event;
    pid_t pid = server;

    if (event == EVENT_KILL) {
        tree_find(&tree, &server, 1);
        pid = tree_child(&tree, number);
        if (pid == 0)
            return print_run_error("process %d has no worker to kill", server);
    }
    /* First the mark, then the event: everything that arrives from now on belongs to it. */
    run->result->event[number].at = bench_now();
    atomic_store_explicit(&run->bench.board->events, number + 1, memory_order_release);
    const int signals[] = {
        [EVENT_KILL] = SIGKILL, [EVENT_RELOAD] = SIGHUP, [EVENT_UPGRADE] = SIGUSR2};
    if (event != EVENT_PAUSE && kill(pid, signals[event]) == -1)
        return print_run_error("kill %d: %s", pid, strerror(errno));
    run->result->events = number + 1;
    return true;
}

/* Causes the events of a run at equal intervals, then waits for one more interval. */
static bool cause_all_events(struct run *run, uint64_t from)
{
    const struct options *options = run->bench.options;

    for (uint32_t i = 0; i < options->events && !stopped; i++) {
        if (!wait_until_time(run, from + i * options->every * BENCH_MS))
            return false;
        if (!stopped && !cause_server_event(run, i))
            return false;
    }
    return wait_milliseconds(run, options->every);
}

static bool measure_run(struct run *run)
{
    const struct options *options = run->bench.options;
    struct board *board = run->bench.board;
    const uint64_t from = bench_now() + options->warmup * BENCH_MS;
    const bool events = run->bench.mode->event != EVENT_NONE;

    atomic_store_explicit(&board->measured_from, from, memory_order_relaxed);
    set_run_phase(run, PHASE_RUN, "warming up");
    if (!wait_until_time(run, from))
        return false;
    start_call_counting(run);
    run->progress.phase = "measuring";
    take_usage_sample(run, &run->result->began, false);
    /* From now, not from when it should have started: on a busy machine that may be long ago. */
    const uint64_t now = run->result->began.at;
    const bool ok = events ? cause_all_events(run, now)
                           : wait_until_time(run, now + options->seconds * BENCH_MS);
    run->result->stopped = bench_now();
    atomic_store_explicit(&board->stop_at, run->result->stopped, memory_order_relaxed);
    return ok;
}

/* True if all that was published has been answered and has arrived. */
static bool has_all_arrived(const struct run *run)
{
    const struct publisher_board *publisher = &run->bench.board->publisher;
    const struct swarm_sums sums = board_sums(&run->bench);

    return publisher->answered == publisher->published && sums.settled >= publisher->owed &&
           sums.accepted + sums.rejected >= sums.requests;
}

/* Waits for requests in flight, until nothing has arrived for --drain. */
static bool drain_run(struct run *run)
{
    uint64_t seen = 0, moved_at = bench_now();

    set_run_phase(run, PHASE_DRAIN, "draining");
    while (!has_all_arrived(run)) {
        if (!watch_run_progress(run))
            return false;
        const struct swarm_sums sums = board_sums(&run->bench);
        const uint64_t now = bench_now(), sum = sums.deliveries + sums.accepted + sums.rejected;
        if (sum != seen)
            moved_at = now;
        seen = sum;
        if (now - moved_at > run->bench.options->drain * BENCH_MS)
            break;
    }
    return true;
}

static bool conduct_whole_run(struct run *run)
{
    if (!children_start(&run->children) || !connect_all_clients(run))
        return false;
    if (mode_connects_only(run->bench.mode)) {
        run->result->began = run->result->empty;
        run->result->ended = run->result->full;
        run->result->stopped = run->result->full.at;
    } else if (!measure_run(run) || !drain_run(run)) {
        return false;
    } else {
        take_usage_sample(run, &run->result->ended, false);
    }
    set_run_phase(run, PHASE_END, "ending");
    return children_end(&run->children);
}

/* --- the result --------------------------------------------------------------------------------
 */

static void collect_event_result(const struct run *run, struct event_result *event, uint32_t number)
{
    for (uint32_t i = 0; i < run->bench.swarms; i++) {
        const struct event_mark *mark = &run->bench.board->swarm[i].event[number];
        if (mark->worst > event->worst)
            event->worst = mark->worst;
        if (mark->back > 0 && mark->back_at - event->at > event->back)
            event->back = mark->back_at - event->at;
        event->closed += mark->closed;
        event->returned += mark->back;
    }
    event->stall = stall_of(&run->bench, number);
}

static void collect_run_result(const struct run *run)
{
    struct result *result = run->result;
    const struct board *board = run->bench.board;

    result->clients = board_sums(&run->bench);
    result->published = board->publisher.published;
    result->answered = board->publisher.answered;
    result->receivers = board->publisher.receivers;
    result->nobody = board->publisher.nobody;
    result->failed = board->publisher.failed;
    result->lag = board->publisher.lag;
    snprintf(result->publish_error, sizeof(result->publish_error), "%s", board->publisher.error);
    for (uint32_t i = 0; i < run->bench.swarms; i++) {
        histogram_add(&result->latency, &board->swarm[i].latency);
        histogram_add(&result->connects, &board->swarm[i].connects);
        if (board->swarm[i].error[0] != '\0')
            snprintf(result->connect_error, sizeof(result->connect_error), "%s",
                     board->swarm[i].error);
    }
    for (uint32_t i = 0; i < result->events; i++)
        collect_event_result(run, &result->event[i], i);
    const struct swarm_sums *sums = &result->clients;
    result->lost = sums->expected > sums->settled ? sums->expected - sums->settled : 0;
    result->unanswered = sums->requests - sums->accepted - sums->rejected;
}

static uint64_t option_or_default(uint64_t option, uint64_t other)
{
    return option == OPTION_UNSET ? other : option;
}

static bool prepare_run(struct run *run, const struct options *options, const struct mode *mode)
{
    struct bench *bench = &run->bench;
    const bool idle = strcmp(mode->name, "idle") == 0;

    bench->options = options;
    bench->mode = mode;
    bench->users = (uint32_t)options->connections;
    bench->topics = (uint32_t)options->topics;
    bench->swarms = (uint32_t)options->processes;
    bench->rate = option_or_default(options->rate, mode->rate);
    bench->window = option_or_default(options->window, mode->window);
    *run->result = (struct result){.mode = mode,
                                   .users = bench->users,
                                   .rate = bench->rate,
                                   .window = bench->window,
                                   .no_calls = "not requested"};
    if (idle)
        run->result->first = (uint32_t)option_or_default(options->first, (bench->users + 9) / 10);
    if (!raise_descriptor_limit(bench->users / bench->swarms + SPARE_FDS))
        return false;
    if (!board_open(bench))
        return print_run_error("shared memory: %s", strerror(errno));
    progress_begin(&run->progress, bench);
    return true;
}

bool run_mode(struct result *result, const struct options *options, const struct mode *mode,
              const struct target *clients_to, const struct target *publish_to)
{
    struct run run = {.result = result,
                      .children = {.clients_to = clients_to, .publish_to = publish_to}};

    if (!prepare_run(&run, options, mode))
        return false;
    run.children.bench = &run.bench;
    const bool ok = conduct_whole_run(&run);
    progress_end(&run.progress);
    children_kill(&run.children);
    if (ok)
        collect_run_result(&run);
    calls_close(&run.calls);
    board_close(&run.bench);
    return ok;
}

bool result_good(const struct result *result)
{
    const struct swarm_sums *sums = &result->clients;
    const bool left_alone = result->mode->event == EVENT_NONE || result->mode->event == EVENT_PAUSE;

    if (left_alone && sums->closed > 0)
        return false;
    return result->lost == 0 && result->unanswered == 0 && result->failed == 0 && sums->late == 0 &&
           sums->foreign == 0 && sums->rejected == 0 &&
           (sums->doubled == 0 || result->mode->event == EVENT_KILL);
}

double result_seconds(const struct result *result)
{
    return (double)(result->stopped - result->began.at) / BENCH_S;
}

uint64_t result_deliveries(const struct result *result)
{
    const struct swarm_sums *from = &result->began.clients, *to = &result->ended.clients;
    return to->deliveries - from->deliveries + (to->accepted - from->accepted);
}

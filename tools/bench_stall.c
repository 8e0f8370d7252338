/*
 * See bench_stall.h.
 */
#include "tools/bench_stall.h"

#include <sched.h>

#include "tools/bench_clock.h"

enum { NAP_NS = BENCH_MS };

/* Returns the number of processors that this program may run on. */
static uint32_t count_processors(cpu_set_t *set)
{
    if (sched_getaffinity(0, sizeof(*set), set) == -1)
        CPU_ZERO(set);
    return (uint32_t)CPU_COUNT(set);
}

uint32_t stall_processes(const struct bench *bench)
{
    cpu_set_t set;
    const uint32_t count = count_processors(&set);

    if (bench->mode->event == EVENT_NONE)
        return 0;
    return count < STALLS_MAX ? count : STALLS_MAX;
}

/* Binds the process to the processor of this number, with real-time priority. */
static bool take_own_processor(uint32_t number)
{
    const struct sched_param first = {.sched_priority = sched_get_priority_max(SCHED_FIFO)};
    cpu_set_t set, own;
    size_t cpu = 0;

    count_processors(&set);
    for (uint32_t seen = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &set) && seen++ == number)
            break;
    CPU_ZERO(&own);
    CPU_SET(cpu, &own);
    return sched_setaffinity(0, sizeof(own), &own) == 0 &&
           sched_setscheduler(0, SCHED_FIFO, &first) == 0;
}

static void record_late_wakeup(struct stall_board *stall, uint32_t events, uint64_t late)
{
    if (events > 0 && late > stall->event[events - 1])
        stall->event[events - 1] = late;
}

bool stall_run(const struct bench *bench, uint32_t number)
{
    struct board *board = bench->board;
    struct stall_board *stall = &board->stall[number];

    if (!take_own_processor(number))
        return true;
    atomic_store_explicit(&stall->measures, 1, memory_order_relaxed);
    while (atomic_load_explicit(&board->phase, memory_order_relaxed) != PHASE_END) {
        const uint64_t asleep = bench_now();
        nanosleep(&(struct timespec){0, NAP_NS}, NULL);
        const uint64_t slept = bench_now() - asleep;
        record_late_wakeup(stall, atomic_load_explicit(&board->events, memory_order_acquire),
                           slept > NAP_NS ? slept - NAP_NS : 0);
    }
    return true;
}

uint64_t stall_of(const struct bench *bench, uint32_t event)
{
    const uint32_t count = stall_processes(bench);
    uint64_t longest = 0;

    for (uint32_t i = 0; i < count; i++) {
        const struct stall_board *stall = &bench->board->stall[i];
        if (!atomic_load_explicit(&stall->measures, memory_order_relaxed))
            return UINT64_MAX;
        longest = stall->event[event] > longest ? stall->event[event] : longest;
    }
    return count > 0 ? longest : UINT64_MAX;
}

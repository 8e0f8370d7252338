/* The progress line: see the header. */
#include "tools/bench_progress.h"

#include <stdio.h>
#include <unistd.h>

#include "tools/bench_clock.h"

enum { TERMINAL_NS = 200 * BENCH_MS, LINE_NS = BENCH_S };

void progress_begin(struct progress *progress, const struct bench *bench)
{
    const uint64_t now = bench_now();

    *progress = (struct progress){.bench = bench,
                                  .phase = "starting",
                                  .terminal = isatty(STDERR_FILENO) == 1,
                                  .began = now,
                                  .shown = now};
}

void progress_show(struct progress *progress)
{
    const struct bench *bench = progress->bench;
    const uint64_t now = bench_now(), passed = now - progress->shown;

    if (bench->options->quiet || passed < (progress->terminal ? TERMINAL_NS : (uint64_t)LINE_NS))
        return;
    const struct swarm_sums sums = board_sums(bench);
    const uint64_t done = sums.deliveries + sums.accepted;
    const unsigned long long sent = bench->board->publisher.published + sums.requests;
    const double rate = (double)(done - progress->deliveries) * BENCH_S / (double)passed;
    fprintf(stderr, "%s%s: %.1f s, %s, %llu of %u ready, %llu published, %llu delivered (%.0f/s)%s",
            progress->terminal ? "\r" : "", bench->mode->name,
            (double)(now - progress->began) / BENCH_S, progress->phase,
            (unsigned long long)sums.ready, bench->users, sent, (unsigned long long)done, rate,
            progress->terminal ? "\033[K" : "\n");
    progress->shown = now;
    progress->deliveries = done;
}

void progress_end(struct progress *progress)
{
    if (progress->terminal && !progress->bench->options->quiet)
        fputs("\r\033[K", stderr);
}

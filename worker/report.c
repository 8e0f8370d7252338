/*
 * See report.h. A report is a PUBLISH, so it comes to any node; nobody waits for its reply, and it
 * is not sent a second time: who has asked waits a moment and then says from how many nodes it has
 * heard.
 *
 * Each push that asks costs a command, and commands of clients wait in the same line: where many
 * are owed already, there is no report. So a flood of such pushes harms no more than one of others.
 */
#include "worker/report.h"

#include "worker/command.h"
#include "worker/subscribe.h"

#include <stdio.h>
#include <string.h>

enum {
    OWED_MAX = 4096, /* answers of Redis that may be outstanding; then nothing is told */
    CHANNEL_MAX = 64 + 32
};

/* The channel's name behind the prefix. */
static int channel_name(char out[CHANNEL_MAX], uint32_t boot, uint32_t worker)
{
    return snprintf(out, CHANNEL_MAX, "report:%x-%x", boot, worker);
}

void report_subscribe(struct worker *worker)
{
    char name[CHANNEL_MAX];
    channel_name(name, worker->segment->header->boot_id, worker->id);
    subscriptions_channel(worker, name, true);
}

static uint64_t count(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

struct tally report_tally(const struct worker *worker)
{
    const struct stats *stats = worker->stats;
    return (struct tally){.delivered = count(&stats->delivered),
                          .closed = count(&stats->dropped_closed),
                          .nobody = count(&stats->dropped_nobody)};
}

static void publish(struct worker *worker, const struct report *report)
{
    char name[CHANNEL_MAX], channel[2 * CHANNEL_MAX], text[REPORT_TEXT_MAX];
    channel_name(name, report->ticket.boot, report->ticket.worker);
    snprintf(channel, sizeof(channel), "%s%s", worker->config->prefix, name);
    const char *argv[] = {"PUBLISH", channel, text};
    const size_t lens[] = {strlen(argv[0]), strlen(channel), report_text(text, report)};
    command_send(worker, 3, argv, lens, NULL, NULL);
}

void report_tell(struct worker *worker, struct report *report, const struct tally *before,
                 uint32_t recipients, uint32_t repeated, uint32_t queued)
{
    const struct tally now = report_tally(worker);
    const uint64_t delivered = now.delivered - before->delivered;
    const uint64_t closed = now.closed - before->closed;
    if (command_owed(worker) >= OWED_MAX)
        return;
    report->boot = worker->segment->header->boot_id;
    report->worker = worker->id;
    report->outcome[REPORT_delivered] = delivered + repeated;
    report->outcome[REPORT_queued] = queued;
    report->outcome[REPORT_closed] = closed;
    report->outcome[REPORT_no_connection] = now.nobody - before->nobody;
    /* Whoever has it neither now nor later was too slow, if his connection did not break. */
    const uint64_t known = delivered + queued + closed;
    report->outcome[REPORT_slow] = recipients > known ? recipients - known : 0;
    publish(worker, report);
}

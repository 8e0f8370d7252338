/*
 * See report.h. A report is a PUBLISH, so it reaches any node. It is sent once, and its reply is
 * ignored: the asking worker waits for a moment and then says how many nodes have reported.
 *
 * Each push with a ticket costs a command, and clients' commands wait in the same queue: if many
 * replies are owed already, no report is sent. So a flood of such pushes does no more harm than one
 * of others.
 */
#include "worker/report.h"

#include "worker/command.h"
#include "worker/subscribe.h"

#include <stdio.h>
#include <string.h>

enum {
    OWED_MAX = 4096, /* replies that Redis may owe; with more, no report is sent */
    CHANNEL_MAX = 64 + 32
};

/* Writes the channel's name without the prefix. Returns its length. */
static int report_channel_name(char out[CHANNEL_MAX], uint32_t boot, uint32_t worker)
{
    return snprintf(out, CHANNEL_MAX, "report:%x-%x", boot, worker);
}

void report_subscribe(struct worker *worker)
{
    char name[CHANNEL_MAX];
    report_channel_name(name, worker->segment->header->boot_id, worker->id);
    subscriptions_channel(worker, name, true);
}

static uint64_t read_counter_value(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

struct tally report_tally(const struct worker *worker)
{
    const struct stats *stats = worker->stats;
    return (struct tally){.delivered = read_counter_value(&stats->delivered),
                          .closed = read_counter_value(&stats->dropped_closed),
                          .nobody = read_counter_value(&stats->dropped_nobody)};
}

static void publish_push_report(struct worker *worker, const struct report *report)
{
    char name[CHANNEL_MAX], channel[2 * CHANNEL_MAX], text[REPORT_TEXT_MAX];
    report_channel_name(name, report->ticket.boot, report->ticket.worker);
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
    /* A client that has not got the push and will not get it was too slow, unless its connection
     * broke. */
    const uint64_t known = delivered + queued + closed;
    report->outcome[REPORT_slow] = recipients > known ? recipients - known : 0;
    publish_push_report(worker, report);
}

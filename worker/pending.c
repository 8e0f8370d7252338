/*
 * See pending.h. The request waits as a `struct pending`; the loop goes on. It is answered after
 * the last reply and the last report, at a deadline, or not at all because its client has gone. Its
 * memory stays until the last reply has come, or the link has failed, because the replies lead to
 * it; reports name it by a number, and one that comes too late finds nobody.
 *
 * Its text is kept once. A push to many users is published a few at a time, as Redis replies: what
 * is on its way takes at most WINDOW_BYTES, however many there are.
 *
 * A part is complete when as many nodes have reported as PUBLISH has reached. A subscriber that is
 * no node, and a node of an older version, never do: then the answer says from how many it knows.
 */
#include "worker/pending.h"

#include "common/log.h"
#include "proto/report.h"
#include "worker/admin.h"
#include "worker/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    REPLIES_S = 5,                  /* for Redis to answer */
    REPORTS_MS = 1000,              /* for the nodes to report after that */
    TELLERS_MAX = 1024,             /* nodes that a part listens to */
    CHANNEL_MAX = 64 + 8 + 128 + 1, /* the longest prefix, "topic:" and the longest name */
    WINDOW = 64,                    /* commands of one request that Redis owes replies to */
    WINDOW_BYTES = 1 << 20,         /* and their bytes, if it is more than one command */
    PART_WEIGHT = 1024,             /* bytes that a part takes, with its place in the answer */
    WEIGHT_MAX = 32 << 20,          /* bytes of all requests that wait; more are answered 503 */
    UNAVAILABLE = 503,
    TIMED_OUT = 504
};

/* A node that reports. It has said all when its own report is here and one for each copy. */
struct teller {
    uint32_t boot;
    bool first;       /* the worker that has the push from Redis has reported */
    int64_t copies;   /* as it says */
    uint64_t workers; /* who has reported: one bit each, so that nobody counts twice */
};

/* What is appended to a text whose reports are wanted. */
#define TICKET_MEMBER ",\"report\":\"%s\"}"
_Static_assert(sizeof(TICKET_MEMBER) + REPORT_TICKET_MAX <= PENDING_TICKET_MAX, "as announced");

/* One PUBLISH of a request, and where its outcome is shown. */
struct part {
    struct pending *pending;
    char *channel; /* behind the prefix; NULL: it was published */
    json_t *entry; /* borrowed from the pending's answer */
    unsigned questions;
    bool complete;
    bool replied;
    uint64_t nodes; /* the reply */
    struct teller *teller;
    size_t tellers;
    uint64_t outcome[REPORT_OUTCOME_COUNT];
};

struct pending {
    struct pending *next;
    uint32_t number;
    struct evhttp_request *request; /* NULL: answered already, or its client has gone */
    struct event *deadline;
    json_t *answer;
    char *text; /* what is published, with room for a ticket */
    size_t len, weight;
    struct part *part;
    size_t parts, sent; /* parts that there are; of them, those published, or given up */
    size_t waiting;     /* replies that have not come */
    bool finished;      /* there are all parts that there will be */
    size_t incomplete;  /* parts that reports are missing of */
    bool failed;        /* a reply did not say how many nodes */
    bool reporting;     /* only reports are waited for */
};

static struct pending *all_pending;
static size_t all_weight;

/* ---- The answer ---- */

static bool is_whole(const struct teller *teller)
{
    return teller->first && __builtin_popcountll(teller->workers) > teller->copies;
}

/* Nodes that have said all. */
static size_t count_whole(const struct part *part)
{
    size_t count = 0;
    for (size_t i = 0; i < part->tellers; i++)
        count += is_whole(&part->teller[i]);
    return count;
}

/* {"reports":1,"delivered":2,"queued":0,"dropped":{"slow":0,"closed":0,"no_connection":0}} */
static void show_reports(const struct part *part)
{
    json_t *dropped = json_object();
    json_object_set_new(part->entry, "reports", json_integer((json_int_t)count_whole(part)));
    for (enum report_outcome i = 0; i < REPORT_OUTCOME_COUNT; i++)
        json_object_set_new(i < REPORT_slow ? part->entry : dropped, report_outcome_name(i),
                            json_integer((json_int_t)part->outcome[i]));
    json_object_set_new(part->entry, "dropped", dropped);
}

static void show(const struct part *part)
{
    json_object_set_new(part->entry, "nodes", json_integer((json_int_t)part->nodes));
    if (part->questions & PENDING_ONLINE)
        json_object_set_new(part->entry, "online", json_boolean(part->nodes > 0));
    if (part->questions & PENDING_REPORTS)
        show_reports(part);
}

static void answer(struct pending *pending)
{
    if (!pending->request)
        return;
    for (size_t i = 0; i < pending->parts; i++)
        show(&pending->part[i]);
    if (pending->failed)
        admin_answer_error(pending->request, UNAVAILABLE,
                           "Redis is not there, or refused; some of it may have been published");
    else
        admin_answer_json(pending->request, 200, json_incref(pending->answer));
}

static void end(struct pending *pending)
{
    struct pending **link = &all_pending;
    while (*link != pending)
        link = &(*link)->next;
    *link = pending->next;
    event_free(pending->deadline);
    json_decref(pending->answer);
    all_weight -= pending->weight;
    for (size_t i = 0; i < pending->parts; i++) {
        free(pending->part[i].teller);
        free(pending->part[i].channel);
    }
    free(pending->part);
    free(pending->text);
    free(pending);
}

/* Goes on to the next state when this one is over. */
static void settle(struct pending *pending)
{
    if (!pending->finished || pending->waiting > 0)
        return;
    if (pending->request && !pending->failed && pending->incomplete > 0) {
        const struct timeval wait = {REPORTS_MS / 1000, REPORTS_MS % 1000 * 1000};
        if (!pending->reporting && event_add(pending->deadline, &wait) == -1)
            abort();
        pending->reporting = true;
        return;
    }
    answer(pending);
    end(pending);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct pending *pending = arg;
    (void)fd, (void)what;
    if (pending->reporting) {
        answer(pending);
        end(pending);
        return;
    }
    if (pending->request)
        admin_answer_error(pending->request, TIMED_OUT,
                           "Redis does not answer; it may have been published");
    pending->request = NULL;
}

/* ---- A request ---- */

static struct pending *allocate(const char *text, size_t len, size_t parts)
{
    struct pending *pending = calloc(1, sizeof(*pending));
    if (!pending)
        abort();
    pending->part = calloc(parts, sizeof(*pending->part));
    pending->text = malloc(len + PENDING_TICKET_MAX);
    if (!pending->part || !pending->text)
        abort();
    memcpy(pending->text, text, len);
    pending->len = len;
    pending->weight = len + parts * PART_WEIGHT;
    all_weight += pending->weight;
    return pending;
}

struct pending *pending_begin(struct worker *worker, struct evhttp_request *request, json_t *answer,
                              size_t parts, const char *text, size_t len)
{
    static uint32_t number;
    if (!answer)
        abort();
    if (all_weight + len + parts * PART_WEIGHT > WEIGHT_MAX) {
        json_decref(answer);
        admin_answer_error(request, UNAVAILABLE, "too many requests wait for Redis; try again");
        return NULL;
    }
    struct pending *pending = allocate(text, len, parts);
    pending->deadline = event_new(worker->base, -1, 0, on_deadline, pending);
    if (!pending->deadline || event_add(pending->deadline, &(struct timeval){REPLIES_S, 0}) == -1)
        abort();
    pending->number = ++number;
    pending->request = request;
    pending->answer = answer;
    pending->next = all_pending;
    all_pending = pending;
    return pending;
}

void pending_gone(const struct evhttp_connection *connection)
{
    for (struct pending *each = all_pending; each; each = each->next)
        if (each->request && evhttp_request_get_connection(each->request) == connection)
            each->request = NULL;
}

/* ---- Publishing ---- */

/* Takes a part off the incomplete ones if it is one no more. */
static void check_complete(struct part *part)
{
    if (part->complete || !part->replied)
        return;
    part->complete = !(part->questions & PENDING_REPORTS) || count_whole(part) >= part->nodes;
    part->pending->incomplete -= part->complete;
}

static void on_reply(struct worker *worker, const redisReply *reply, void *arg);

/* Puts the ticket of the part behind the text, over its brace. Returns the length. */
static size_t add_ticket(const struct worker *worker, struct pending *pending, size_t part)
{
    char ticket[REPORT_TICKET_MAX + 1];
    const struct report_ticket next = {.boot = worker->segment->header->boot_id,
                                       .worker = worker->id,
                                       .request = pending->number,
                                       .part = (uint32_t)part};
    ticket[report_ticket_text(ticket, &next)] = '\0';
    return pending->len - 1 +
           (size_t)snprintf(pending->text + pending->len - 1, PENDING_TICKET_MAX, TICKET_MEMBER,
                            ticket);
}

/* Publishes the next part. Returns false if the link does not take it. */
static bool publish_next(struct worker *worker, struct pending *pending)
{
    char name[CHANNEL_MAX];
    struct part *part = &pending->part[pending->sent];
    const int name_len =
        snprintf(name, sizeof(name), "%s%s", worker->config->prefix, part->channel);
    const size_t len = part->questions & PENDING_REPORTS
                           ? add_ticket(worker, pending, pending->sent)
                           : pending->len;
    const char *argv[] = {"PUBLISH", name, pending->text};
    const size_t lens[] = {strlen(argv[0]), (size_t)name_len, len};
    if (command_send(worker, 3, argv, lens, on_reply, part) == -1)
        return false;
    free(part->channel);
    part->channel = NULL;
    pending->sent++;
    pending->waiting++;
    return true;
}

/* Publishes as many parts as may be on their way. The rest follows as Redis replies; if the link
 * takes none at all, it is given up. */
static void publish_more(struct worker *worker, struct pending *pending)
{
    while (pending->sent < pending->parts && pending->waiting < WINDOW &&
           (pending->waiting == 0 || (pending->waiting + 1) * pending->len <= WINDOW_BYTES))
        if (!publish_next(worker, pending))
            break;
    if (pending->waiting == 0 && pending->sent < pending->parts) {
        pending->failed = true;
        pending->sent = pending->parts;
    }
}

static void on_reply(struct worker *worker, const redisReply *reply, void *arg)
{
    struct part *part = arg;
    struct pending *pending = part->pending;
    pending->waiting--;
    if (reply && reply->type == REDIS_REPLY_INTEGER) {
        part->replied = true;
        part->nodes = (uint64_t)reply->integer;
        check_complete(part);
    } else {
        pending->failed = true;
        if (reply && reply->type == REDIS_REPLY_ERROR)
            log_warn("admin_publish_refused", "why=%s", log_quote(reply->str, reply->len));
    }
    publish_more(worker, pending);
    settle(pending);
}

void pending_publish(struct worker *worker, struct pending *pending, const char *channel,
                     json_t *entry, unsigned questions)
{
    struct part *part = &pending->part[pending->parts++];
    *part = (struct part){.pending = pending, .entry = entry, .questions = questions};
    part->channel = strdup(channel);
    if (!part->channel)
        abort();
    pending->incomplete++;
    publish_more(worker, pending);
}

void pending_finish(struct pending *pending)
{
    pending->finished = true;
    settle(pending);
}

/* ---- Reports ---- */

/* The part that a ticket speaks of, if it still waits. */
static struct part *part_of(const struct worker *worker, const struct report_ticket *ticket)
{
    struct pending *pending = all_pending;
    if (ticket->boot != worker->segment->header->boot_id || ticket->worker != worker->id)
        return NULL;
    while (pending && pending->number != ticket->request)
        pending = pending->next;
    return pending && ticket->part < pending->parts ? &pending->part[ticket->part] : NULL;
}

/* The node's place among those that report; NULL where there are too many. */
static struct teller *teller_of(struct part *part, uint32_t boot)
{
    for (size_t i = 0; i < part->tellers; i++)
        if (part->teller[i].boot == boot)
            return &part->teller[i];
    if (part->tellers == TELLERS_MAX)
        return NULL;
    part->teller = realloc(part->teller, (part->tellers + 1) * sizeof(*part->teller));
    if (!part->teller)
        abort();
    part->teller[part->tellers] = (struct teller){.boot = boot};
    return &part->teller[part->tellers++];
}

static void take(struct part *part, const struct report *report)
{
    struct teller *teller = teller_of(part, report->boot);
    const uint64_t bit = UINT64_C(1) << report->worker;
    if (!teller || teller->workers & bit)
        return; /* a worker that took over a dead one's slot says it again */
    teller->workers |= bit;
    if (report->copies != REPORT_COPY) {
        teller->first = true;
        teller->copies = report->copies;
    }
    for (enum report_outcome i = 0; i < REPORT_OUTCOME_COUNT; i++)
        part->outcome[i] += report->outcome[i];
}

void pending_report(struct worker *worker, const uint8_t *text, size_t len)
{
    struct report report;
    if (!report_parse(&report, (const char *)text, len) || report.worker >= WORKERS_MAX)
        return;
    struct part *part = part_of(worker, &report.ticket);
    if (!part || !(part->questions & PENDING_REPORTS))
        return;
    take(part, &report);
    check_complete(part);
    settle(part->pending);
}

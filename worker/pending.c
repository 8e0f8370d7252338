/*
 * See pending.h. The request waits as a `struct pending` while the loop goes on. It is answered
 * after the last reply and the last report, at a deadline, or not at all if its client has gone.
 * Its memory stays until the last reply has come or the link has failed, because commands under way
 * point to it; reports name it by number, and a late report finds no request.
 *
 * The text is stored once. A push to many users is published a few commands at a time, as Redis
 * replies: the commands under way take at most WINDOW_BYTES, however many users there are.
 *
 * A part is complete when as many nodes have reported as its PUBLISH has reached. A subscriber that
 * is not a node, or a node of an older version, never reports: then the answer says how many nodes
 * did.
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
    TELLERS_MAX = 1024,             /* nodes whose reports a part accepts */
    CHANNEL_MAX = 64 + 8 + 128 + 1, /* the longest prefix, "topic:" and the longest name */
    WINDOW = 64,                    /* commands of one request without a reply */
    WINDOW_BYTES = 1 << 20,         /* bytes of these commands, if there is more than one */
    PART_WEIGHT = 1024,             /* bytes that a part and its place in the answer take */
    WEIGHT_MAX = 32 << 20,          /* bytes of all waiting requests; further ones get 503 */
    UNAVAILABLE = 503,
    TIMED_OUT = 504
};

/* A node that reports. It is finished when its own report has come and one for each copy. */
struct teller {
    uint32_t boot;
    bool first;       /* the worker that got the push from Redis has reported */
    int64_t copies;   /* copies that it made, as it reports */
    uint64_t workers; /* workers that have reported, one bit each, so that none counts twice */
};

/* The member appended to an envelope to request reports. */
#define TICKET_MEMBER ",\"report\":\"%s\"}"
_Static_assert(sizeof(TICKET_MEMBER) + REPORT_TICKET_MAX <= PENDING_TICKET_MAX, "as announced");

/* One PUBLISH of a request, and the object that shows its outcome. */
struct part {
    struct pending *pending;
    char *channel; /* without the prefix; NULL: it was published */
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
    char *text; /* the text to publish, with room for a ticket */
    size_t len, weight;
    struct part *part;
    size_t parts, sent; /* all parts; those that were published or given up */
    size_t waiting;     /* replies still missing */
    bool finished;      /* all parts have been added */
    size_t incomplete;  /* parts without all their reports */
    bool failed;        /* a reply was not the number of nodes */
    bool reporting;     /* only reports are still missing */
};

static struct pending *all_pending;
static size_t all_weight;

/* ---- The answer ---- */

static bool teller_is_finished(const struct teller *teller)
{
    return teller->first && __builtin_popcountll(teller->workers) > teller->copies;
}

/* Returns the number of nodes that are finished. */
static size_t count_finished_tellers(const struct part *part)
{
    size_t count = 0;
    for (size_t i = 0; i < part->tellers; i++)
        count += teller_is_finished(&part->teller[i]);
    return count;
}

/* {"reports":1,"delivered":2,"queued":0,"dropped":{"slow":0,"closed":0,"no_connection":0}} */
static void show_part_reports(const struct part *part)
{
    json_t *dropped = json_object();
    json_object_set_new(part->entry, "reports",
                        json_integer((json_int_t)count_finished_tellers(part)));
    for (enum report_outcome i = 0; i < REPORT_OUTCOME_COUNT; i++)
        json_object_set_new(i < REPORT_slow ? part->entry : dropped, report_outcome_name(i),
                            json_integer((json_int_t)part->outcome[i]));
    json_object_set_new(part->entry, "dropped", dropped);
}

static void show_part_outcome(const struct part *part)
{
    json_object_set_new(part->entry, "nodes", json_integer((json_int_t)part->nodes));
    if (part->questions & PENDING_ONLINE)
        json_object_set_new(part->entry, "online", json_boolean(part->nodes > 0));
    if (part->questions & PENDING_REPORTS)
        show_part_reports(part);
}

static void answer_pending_request(struct pending *pending)
{
    if (!pending->request)
        return;
    for (size_t i = 0; i < pending->parts; i++)
        show_part_outcome(&pending->part[i]);
    if (pending->failed)
        admin_answer_error(pending->request, UNAVAILABLE,
                           "Redis is unavailable or refused; a part may have been published");
    else
        admin_answer_json(pending->request, 200, json_incref(pending->answer));
}

static void free_pending_request(struct pending *pending)
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

/* Moves to the next state if the present one is over. May free the request. */
static void advance_pending_state(struct pending *pending)
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
    answer_pending_request(pending);
    free_pending_request(pending);
}

static void pending_on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct pending *pending = arg;
    (void)fd, (void)what;
    if (pending->reporting) {
        answer_pending_request(pending);
        free_pending_request(pending);
        return;
    }
    if (pending->request)
        admin_answer_error(pending->request, TIMED_OUT,
                           "Redis does not answer; the text may have been published");
    pending->request = NULL;
}

/* ---- A request ---- */

static struct pending *allocate_pending(const char *text, size_t len, size_t parts)
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
    struct pending *pending = allocate_pending(text, len, parts);
    pending->deadline = event_new(worker->base, -1, 0, pending_on_deadline, pending);
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

/* Counts a part as complete once it is. */
static void check_part_complete(struct part *part)
{
    if (part->complete || !part->replied)
        return;
    part->complete =
        !(part->questions & PENDING_REPORTS) || count_finished_tellers(part) >= part->nodes;
    part->pending->incomplete -= part->complete;
}

static void pending_on_reply(struct worker *worker, const redisReply *reply, void *arg);

/* Appends the part's ticket to the text, over its closing brace. Returns the length in bytes. */
static size_t append_report_ticket(const struct worker *worker, struct pending *pending,
                                   size_t part)
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
static bool publish_next_part(struct worker *worker, struct pending *pending)
{
    char name[CHANNEL_MAX];
    struct part *part = &pending->part[pending->sent];
    const int name_len =
        snprintf(name, sizeof(name), "%s%s", worker->config->prefix, part->channel);
    const size_t len = part->questions & PENDING_REPORTS
                           ? append_report_ticket(worker, pending, pending->sent)
                           : pending->len;
    const char *argv[] = {"PUBLISH", name, pending->text};
    const size_t lens[] = {strlen(argv[0]), (size_t)name_len, len};
    if (command_send(worker, 3, argv, lens, pending_on_reply, part) == -1)
        return false;
    free(part->channel);
    part->channel = NULL;
    pending->sent++;
    pending->waiting++;
    return true;
}

/* Publishes as many parts as may be under way; the others follow as Redis replies. If the link
 * accepts none at all, they are given up. */
static void publish_more_parts(struct worker *worker, struct pending *pending)
{
    while (pending->sent < pending->parts && pending->waiting < WINDOW &&
           (pending->waiting == 0 || (pending->waiting + 1) * pending->len <= WINDOW_BYTES))
        if (!publish_next_part(worker, pending))
            break;
    if (pending->waiting == 0 && pending->sent < pending->parts) {
        pending->failed = true;
        pending->sent = pending->parts;
    }
}

static void pending_on_reply(struct worker *worker, const redisReply *reply, void *arg)
{
    struct part *part = arg;
    struct pending *pending = part->pending;
    pending->waiting--;
    if (reply && reply->type == REDIS_REPLY_INTEGER) {
        part->replied = true;
        part->nodes = (uint64_t)reply->integer;
        check_part_complete(part);
    } else {
        pending->failed = true;
        if (reply && reply->type == REDIS_REPLY_ERROR)
            log_warn("admin_publish_refused", "why=%s", log_quote(reply->str, reply->len));
    }
    publish_more_parts(worker, pending);
    advance_pending_state(pending);
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
    publish_more_parts(worker, pending);
}

void pending_finish(struct pending *pending)
{
    pending->finished = true;
    advance_pending_state(pending);
}

/* ---- Reports ---- */

/* Returns the part that a ticket names, or NULL if it does not wait any more. */
static struct part *find_ticket_part(const struct worker *worker,
                                     const struct report_ticket *ticket)
{
    struct pending *pending = all_pending;
    if (ticket->boot != worker->segment->header->boot_id || ticket->worker != worker->id)
        return NULL;
    while (pending && pending->number != ticket->request)
        pending = pending->next;
    return pending && ticket->part < pending->parts ? &pending->part[ticket->part] : NULL;
}

/* Returns the node's entry, or NULL if too many nodes report. */
static struct teller *find_or_add_teller(struct part *part, uint32_t boot)
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

static void take_node_report(struct part *part, const struct report *report)
{
    struct teller *teller = find_or_add_teller(part, report->boot);
    const uint64_t bit = UINT64_C(1) << report->worker;
    if (!teller || teller->workers & bit)
        return; /* the successor of a dead worker may report again */
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
    struct part *part = find_ticket_part(worker, &report.ticket);
    if (!part || !(part->questions & PENDING_REPORTS))
        return;
    take_node_report(part, &report);
    check_part_complete(part);
    advance_pending_state(part->pending);
}

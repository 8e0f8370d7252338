/*
 * See join.h. Each SUB has a number, and its memberships bear it until their SUBBED has left: not
 * until it is in the outbox, because a worker that dies takes its outbox with it. So SUBBED may
 * come twice after a death, and never not at all.
 *
 * A topic that is asked for again while its SUBBED is due goes over to the later SUB.
 */
#include "worker/join.h"

#include "common/killpoint.h"
#include "common/log.h"
#include "proto/json.h"
#include "proto/topic.h"
#include "worker/join_refusal.h"
#include "worker/outbox.h"
#include "worker/queue.h"
#include "worker/rates.h"
#include "worker/requests.h"
#include "worker/topic.h"

#include <stdlib.h>
#include <string.h>

_Static_assert((int)TOPIC_MAX == (int)TOPIC_NAME_MAX, "a name fits its record");

/* Private to the process: what it leaves undone, its successor finds in the memberships. */
struct join {
    /* descriptor << 32 | number of the SUB: perhaps to be answered now. Whoever has the descriptor
     * since has no membership with that number. */
    struct queue due;
    struct queue sent; /* memberships whose SUBBED is in the outbox */
};

struct join *join_new(void)
{
    return calloc(1, sizeof(struct join));
}

static struct topic_member *at(const struct worker *worker, uint32_t member)
{
    return &worker->topics.member[member];
}

static uint32_t fd_of(const struct worker *worker, const struct conn *conn)
{
    return (uint32_t)(conn - worker->table);
}

/* ---- {"topics":[...]} ---- */

/* The text of an answer. Grows to the longest. */
static struct {
    char *at;
    size_t len, size;
} text;

static void text_add(const char *bytes, size_t len)
{
    if (text.len + len > text.size) {
        text.size = 2 * (text.len + len);
        text.at = realloc(text.at, text.size);
        if (!text.at)
            abort();
    }
    memcpy(text.at + text.len, bytes, len);
    text.len += len;
}

static void text_begin(void)
{
    text.len = 0;
    text_add("{\"topics\":[", 11);
}

static void text_name(const char *name, size_t len)
{
    char quoted[2 * TOPIC_MAX + 3]; /* a name has no control characters */
    quoted[0] = ',';
    const size_t quoted_len = json_quote(quoted + 1, name, len);
    const bool first = text.at[text.len - 1] == '[';
    text_add(quoted + first, quoted_len + !first);
}

/* Ends the text and sends it. */
static void text_send(struct worker *worker, struct conn *conn, uint32_t op)
{
    text_add("]}", 2);
    const struct message message = {
        .op = op, .form = PAYLOAD_JSON, .payload = (const uint8_t *)text.at, .len = text.len};
    outbox_reserve(worker, text.len);
    outbox_add(worker, conn, outbox_message(worker, &message, conn_has(conn, CONN_JSON)));
}

/* ---- SUBBED ---- */

static void make_due(struct worker *worker, uint32_t fd, uint32_t request)
{
    queue_push(&worker->join->due, (uint64_t)fd << 32 | request);
}

static bool is_due(const struct worker *worker, const struct topic_member *member)
{
    return member->request != 0 && member->sent != worker->incarnation;
}

/* Gathers the names that a SUB is to be answered with. Returns false where not all of its topics
 * are live yet, or nothing is due. */
static bool gather(const struct worker *worker, const struct conn *conn, uint32_t request)
{
    bool any = false;
    text_begin();
    for (uint32_t i = conn->topics; i; i = at(worker, i)->of_conn) {
        const struct topic_member *member = at(worker, i);
        const struct topic *topic = &worker->topics.topic[topic_of(member)];
        if (member->request != request || !is_due(worker, member))
            continue;
        if (!topic_live(worker, topic_of(member)))
            return false;
        text_name(topic->name, topic_len(topic));
        any = true;
    }
    return any;
}

static void answer_if_live(struct worker *worker, uint32_t fd, uint32_t request)
{
    struct conn *conn = &worker->table[fd];
    const uint64_t word = conn_word(conn);
    const bool greeted = word_state(word) == CONN_OPEN || word_flags(word) & CONN_GREETING;
    if (word_owner(word) != worker->id || !greeted || !gather(worker, conn, request))
        return;
    text_send(worker, conn, OP_SUBBED);
    KILLPOINT(SUBBED_MADE);
    for (uint32_t i = conn->topics; i; i = at(worker, i)->of_conn) {
        if (at(worker, i)->request != request)
            continue;
        at(worker, i)->sent = worker->incarnation;
        queue_push(&worker->join->sent, i);
    }
}

/* What was in the outbox has left. */
static void note_sent(struct worker *worker)
{
    struct queue *sent = &worker->join->sent;
    while (sent->count > 0) {
        const uint32_t i = (uint32_t)queue_pop(sent);
        KILLPOINT(SUBBED_LEFT);
        if (topic_of(at(worker, i)) && at(worker, i)->sent == worker->incarnation)
            topics_request(&worker->topics, i, 0);
    }
}

void join_turn(struct worker *worker)
{
    struct queue *due = &worker->join->due;
    note_sent(worker);
    while (due->count > 0) {
        const uint64_t next = queue_pop(due);
        answer_if_live(worker, (uint32_t)(next >> 32), (uint32_t)next);
    }
}

/* Those who wait came last and so stand first, but for those who have asked again. */
void join_live(struct worker *worker, uint32_t number)
{
    const struct topic *topic = &worker->topics.topic[number];
    uint32_t left = topic->waiting;
    for (uint32_t i = topic->first; i && left > 0; i = at(worker, i)->next) {
        left -= at(worker, i)->request != 0;
        if (is_due(worker, at(worker, i)))
            make_due(worker, at(worker, i)->fd, at(worker, i)->request);
    }
}

void join_greeted(struct worker *worker, const struct conn *conn)
{
    for (uint32_t i = conn->topics; i; i = at(worker, i)->of_conn)
        if (is_due(worker, at(worker, i)))
            make_due(worker, fd_of(worker, conn), at(worker, i)->request);
}

/* ---- One topic ---- */

static uint32_t topics_of(const struct worker *worker, const struct conn *conn)
{
    uint32_t count = 0;
    for (uint32_t i = conn->topics; i; i = at(worker, i)->of_conn)
        count++;
    return count;
}

static enum verdict join(struct worker *worker, const struct conn *conn, const char *name,
                         size_t len, uint32_t request)
{
    struct topics *topics = &worker->topics;
    const uint32_t fd = fd_of(worker, conn);
    uint32_t topic = topics_find(topics, name, len);
    uint32_t member = topic ? topics_membership(topics, fd, topic) : 0;
    if (member) {
        topics_request(topics, member, request);
        return ALREADY;
    }
    if (topics_of(worker, conn) >= worker->config->max_topics)
        return TOO_MANY;
    topic = topics_add(topics, name, len, worker_topic_home(worker, name, len));
    if (!topic)
        return FULL;
    topic_changed(worker, topic);
    member = topics_join(topics, topic, fd);
    if (!member)
        return FULL;
    KILLPOINT(JOIN_MEMBER);
    topics_request(topics, member, request);
    stats_add(&worker->stats->topic_joins, 1);
    return DONE;
}

static void leave_one(struct worker *worker, uint32_t member)
{
    const uint32_t topic = topic_of(at(worker, member));
    topics_leave(&worker->topics, member);
    topic_changed(worker, topic);
    stats_add(&worker->stats->topic_leaves, 1);
}

static enum verdict leave(struct worker *worker, const struct conn *conn, const char *name,
                          size_t len)
{
    const uint32_t fd = fd_of(worker, conn);
    const uint32_t topic = topics_find(&worker->topics, name, len);
    const uint32_t member = topic ? topics_membership(&worker->topics, fd, topic) : 0;
    if (!member)
        return ALREADY;
    if (is_due(worker, at(worker, member)))
        make_due(worker, fd, at(worker, member)->request); /* for the others of that SUB */
    leave_one(worker, member);
    return DONE;
}

void join_end(struct worker *worker, struct conn *conn)
{
    while (conn->topics)
        leave_one(worker, conn->topics);
}

static uint32_t next_request(struct worker *worker)
{
    struct topics_control *control = worker->topics.control;
    return ++control->request ? control->request : ++control->request;
}

/* A SUB has one number here, too, as long as its memberships come one after another. */
static uint32_t renumber(struct worker *worker, struct conn_ref ref, uint32_t request)
{
    static struct {
        struct conn_ref ref;
        uint32_t request, number;
    } last;
    if (request == 0)
        return 0;
    if (last.ref.fd != ref.fd || last.ref.generation != ref.generation || last.request != request) {
        last.ref = ref;
        last.request = request;
        last.number = next_request(worker);
    }
    return last.number;
}

void join_brought(struct worker *worker, struct conn *conn, const char *name, size_t len,
                  uint32_t request)
{
    struct topics *topics = &worker->topics;
    const uint32_t fd = fd_of(worker, conn);
    const uint32_t topic = topics_add(topics, name, len, worker_topic_home(worker, name, len));
    const uint32_t member =
        !topic || topics_membership(topics, fd, topic) ? 0 : topics_join(topics, topic, fd);
    if (!member)
        return; /* it is there, or the table is full, as it was not at the other worker's */
    topics_request(topics, member, renumber(worker, conn_ref(worker->table, conn), request));
    topic_changed(worker, topic);
}

/* ---- SUB and UNSUB ---- */

/* Finds the array "topics" in a payload. Returns false where the payload is not one valid object
 * with an array of strings. */
static bool find_topics(const struct message *request, struct json_value *topics)
{
    struct json_value name, value;
    struct json_walk walk = json_walk_object((const char *)request->payload, request->len);
    topics->type = JSON_TYPE_NONE;
    while (json_next(&walk, &name, &value))
        if (json_string_is(&name, "topics"))
            *topics = value;
    if (walk.failed || topics->type != JSON_TYPE_ARRAY)
        return false;
    walk = json_walk_array(topics->at, topics->len);
    while (json_next(&walk, NULL, &value))
        if (value.type != JSON_TYPE_STRING)
            return false;
    return true;
}

static bool allowed(const struct worker *worker, const struct conn *conn, const char *name,
                    size_t len)
{
    const struct string_list *patterns = &worker->config->topics;
    for (size_t i = 0; i < patterns->count; i++)
        if (topic_matches(patterns->item[i], name, len, conn->user, conn->user_len))
            return true;
    return false;
}

/* Whether the name may be used, and a name more at all; decodes it into `name`. */
static enum verdict check_name(struct worker *worker, const struct conn *conn, uint32_t op,
                               const struct json_value *value, char name[6 * TOPIC_MAX + 2],
                               size_t *len)
{
    if (!rates_allow(worker, conn, op, worker->config->max_topics))
        return RATE_LIMITED;
    *len = value->len <= 6 * TOPIC_MAX + 2 ? json_unescape(name, value) : 0;
    if (!topic_name_valid(name, *len))
        return BAD_TOPIC;
    return op == OP_SUB && !allowed(worker, conn, name, *len) ? FORBIDDEN : DONE;
}

/* What became of the names of a request: verdicts as bits. */
static uint32_t handle_names(struct worker *worker, struct conn *conn, uint32_t op,
                             const struct json_value *topics, uint32_t number)
{
    uint32_t verdicts = 0;
    struct json_value value;
    struct json_walk walk = json_walk_array(topics->at, topics->len);
    verdicts_begin();
    while (!(verdicts & 1u << RATE_LIMITED) && json_next(&walk, NULL, &value)) {
        char name[6 * TOPIC_MAX + 2];
        size_t len = 0;
        enum verdict verdict = check_name(worker, conn, op, &value, name, &len);
        if (verdict == DONE)
            verdict = op == OP_SUB ? join(worker, conn, name, len, number)
                                   : leave(worker, conn, name, len);
        if (op == OP_UNSUB && verdict == DONE)
            text_name(name, len);
        verdicts |= 1u << verdict;
        verdicts_add(verdict);
    }
    return verdicts;
}

static void refuse_topics_payload(struct worker *worker, struct conn *conn,
                                  const struct message *request)
{
    char why[EXPLAIN_MAX];
    explain_topics(why, request);
    request_refuse(worker, conn, ERROR_BAD_PAYLOAD, request->op, why);
}

/* Whether a request is to be answered although none of its names came to anything: one that was
 * refused altogether is not. */
enum { REFUSED = ~((1u << DONE) | (1u << ALREADY)) & ((1u << VERDICT_COUNT) - 1) };

void join_requested(struct worker *worker, struct conn *conn, const struct message *request)
{
    struct json_value topics;
    if (!find_topics(request, &topics)) {
        refuse_topics_payload(worker, conn, request);
        return;
    }
    const uint32_t number = next_request(worker);
    const uint32_t verdicts = handle_names(worker, conn, request->op, &topics, number);
    make_due(worker, fd_of(worker, conn), number);
    if (verdicts == 0) {
        text_begin();
        text_send(worker, conn, OP_SUBBED);
    }
    verdicts_refuse(worker, conn, request->op, &topics);
}

void leave_requested(struct worker *worker, struct conn *conn, const struct message *request)
{
    struct json_value topics;
    if (!find_topics(request, &topics)) {
        refuse_topics_payload(worker, conn, request);
        return;
    }
    text_begin();
    const uint32_t verdicts = handle_names(worker, conn, request->op, &topics, 0);
    if ((verdicts & REFUSED) == 0 || verdicts & 1u << DONE)
        text_send(worker, conn, OP_UNSUBBED);
    verdicts_refuse(worker, conn, request->op, &topics);
}

/* ---- Backends ---- */

static void log_refused(const struct conn *conn, enum verdict verdict, const char *name, size_t len)
{
    static struct log_limit limit;
    if (log_allow(&limit, 10, NULL))
        log_warn("sub_refused", "why=%s user=%s topic=%s", error_code_name(verdict_error(verdict)),
                 log_quote(conn->user, conn->user_len), log_quote(name, len));
}

void join_commanded(struct worker *worker, struct conn *conn, const json_t *topics)
{
    const uint32_t number = next_request(worker);
    for (size_t i = 0; i < json_array_size(topics); i++) {
        const json_t *topic = json_array_get(topics, i);
        const char *name = json_string_value(topic);
        const enum verdict verdict = join(worker, conn, name, json_string_length(topic), number);
        if (verdict > ALREADY)
            log_refused(conn, verdict, name, json_string_length(topic));
    }
    make_due(worker, fd_of(worker, conn), number);
}

void leave_commanded(struct worker *worker, struct conn *conn, const json_t *topics)
{
    bool any = false;
    text_begin();
    for (size_t i = 0; i < json_array_size(topics); i++) {
        const json_t *topic = json_array_get(topics, i);
        const char *name = json_string_value(topic);
        if (leave(worker, conn, name, json_string_length(topic)) != DONE)
            continue;
        text_name(name, json_string_length(topic));
        any = true;
    }
    if (any)
        text_send(worker, conn, OP_UNSUBBED);
}

/*
 * See join.h. Each SUB has a number, which its memberships keep until their SUBBED has been sent to
 * the kernel, not only put into the outbox, because a dying worker takes its outbox with it. So
 * SUBBED may come twice after a death, but is never missing.
 *
 * A topic that is requested again while its SUBBED is due belongs to the later SUB.
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

/* Private to the process: a successor finds unfinished work in the memberships. */
struct join {
    /* descriptor << 32 | number of a SUB that may now be answered. A later connection with this
     * descriptor has no membership with that number. */
    struct queue due;
    struct queue sent; /* memberships whose SUBBED is in the outbox */
};

struct join *join_new(void)
{
    return calloc(1, sizeof(struct join));
}

static struct topic_member *join_member_at(const struct worker *worker, uint32_t member)
{
    return &worker->topics.member[member];
}

static uint32_t join_fd(const struct worker *worker, const struct conn *conn)
{
    return (uint32_t)(conn - worker->table);
}

/* ---- {"topics":[...]} ---- */

/* The text of the answer in the making. Grows to the longest. */
static struct {
    char *at;
    size_t len, size;
} text;

static void topics_text_add(const char *bytes, size_t len)
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

static void topics_text_begin(void)
{
    text.len = 0;
    topics_text_add("{\"topics\":[", 11);
}

static void topics_text_add_name(const char *name, size_t len)
{
    char quoted[2 * TOPIC_MAX + 3]; /* names have no control characters */
    quoted[0] = ',';
    const size_t quoted_len = json_quote(quoted + 1, name, len);
    const bool first = text.at[text.len - 1] == '[';
    topics_text_add(quoted + first, quoted_len + !first);
}

/* Ends the text and sends it. */
static void topics_text_send(struct worker *worker, struct conn *conn, uint32_t op)
{
    topics_text_add("]}", 2);
    const struct message message = {
        .op = op, .form = PAYLOAD_JSON, .payload = (const uint8_t *)text.at, .len = text.len};
    outbox_reserve(worker, text.len);
    outbox_add(worker, conn, outbox_message(worker, &message, conn_has(conn, CONN_JSON)));
}

/* ---- SUBBED ---- */

static void queue_due_sub(struct worker *worker, uint32_t fd, uint32_t request)
{
    queue_push(&worker->join->due, (uint64_t)fd << 32 | request);
}

static bool is_subbed_due(const struct worker *worker, const struct topic_member *member)
{
    return member->request != 0 && member->sent != worker->incarnation;
}

/* Collects the names for a SUB's answer. Returns false if not all of its topics are live yet, or
 * nothing is due. */
static bool gather_live_names(const struct worker *worker, const struct conn *conn,
                              uint32_t request)
{
    bool any = false;
    topics_text_begin();
    for (uint32_t i = conn->topics; i; i = join_member_at(worker, i)->of_conn) {
        const struct topic_member *member = join_member_at(worker, i);
        const struct topic *topic = &worker->topics.topic[topic_of(member)];
        if (member->request != request || !is_subbed_due(worker, member))
            continue;
        if (!topic_live(worker, topic_of(member)))
            return false;
        topics_text_add_name(topic->name, topic_len(topic));
        any = true;
    }
    return any;
}

static void send_subbed_if_live(struct worker *worker, uint32_t fd, uint32_t request)
{
    struct conn *conn = &worker->table[fd];
    const uint64_t word = conn_word(conn);
    const bool greeted = word_state(word) == CONN_OPEN || word_flags(word) & CONN_GREETING;
    if (word_owner(word) != worker->id || !greeted || !gather_live_names(worker, conn, request))
        return;
    topics_text_send(worker, conn, OP_SUBBED);
    KILLPOINT(SUBBED_MADE);
    for (uint32_t i = conn->topics; i; i = join_member_at(worker, i)->of_conn) {
        if (join_member_at(worker, i)->request != request)
            continue;
        join_member_at(worker, i)->sent = worker->incarnation;
        queue_push(&worker->join->sent, i);
    }
}

/* Clears the numbers of memberships whose SUBBED has been sent. */
static void note_subbed_sent(struct worker *worker)
{
    struct queue *sent = &worker->join->sent;
    while (sent->count > 0) {
        const uint32_t i = (uint32_t)queue_pop(sent);
        KILLPOINT(SUBBED_LEFT);
        if (topic_of(join_member_at(worker, i)) &&
            join_member_at(worker, i)->sent == worker->incarnation)
            topics_request(&worker->topics, i, 0);
    }
}

void join_turn(struct worker *worker)
{
    struct queue *due = &worker->join->due;
    note_subbed_sent(worker);
    while (due->count > 0) {
        const uint64_t next = queue_pop(due);
        send_subbed_if_live(worker, (uint32_t)(next >> 32), (uint32_t)next);
    }
}

/* Queues the SUBs that wait for the topic. Waiting members joined last, so they come first in the
 * list, except those that have requested the topic again. */
void join_live(struct worker *worker, uint32_t number)
{
    const struct topic *topic = &worker->topics.topic[number];
    uint32_t left = topic->waiting;
    for (uint32_t i = topic->first; i && left > 0; i = join_member_at(worker, i)->next) {
        left -= join_member_at(worker, i)->request != 0;
        if (is_subbed_due(worker, join_member_at(worker, i)))
            queue_due_sub(worker, join_member_at(worker, i)->fd,
                          join_member_at(worker, i)->request);
    }
}

void join_greeted(struct worker *worker, const struct conn *conn)
{
    for (uint32_t i = conn->topics; i; i = join_member_at(worker, i)->of_conn)
        if (is_subbed_due(worker, join_member_at(worker, i)))
            queue_due_sub(worker, join_fd(worker, conn), join_member_at(worker, i)->request);
}

/* ---- One topic ---- */

static uint32_t count_conn_topics(const struct worker *worker, const struct conn *conn)
{
    uint32_t count = 0;
    for (uint32_t i = conn->topics; i; i = join_member_at(worker, i)->of_conn)
        count++;
    return count;
}

static enum verdict join_one_topic(struct worker *worker, const struct conn *conn, const char *name,
                                   size_t len, uint32_t request)
{
    struct topics *topics = &worker->topics;
    const uint32_t fd = join_fd(worker, conn);
    uint32_t topic = topics_find(topics, name, len);
    uint32_t member = topic ? topics_membership(topics, fd, topic) : 0;
    if (member) {
        topics_request(topics, member, request);
        return ALREADY;
    }
    if (count_conn_topics(worker, conn) >= worker->config->max_topics)
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

static void end_membership(struct worker *worker, uint32_t member)
{
    const uint32_t topic = topic_of(join_member_at(worker, member));
    topics_leave(&worker->topics, member);
    topic_changed(worker, topic);
    stats_add(&worker->stats->topic_leaves, 1);
}

static enum verdict leave_one_topic(struct worker *worker, const struct conn *conn,
                                    const char *name, size_t len)
{
    const uint32_t fd = join_fd(worker, conn);
    const uint32_t topic = topics_find(&worker->topics, name, len);
    const uint32_t member = topic ? topics_membership(&worker->topics, fd, topic) : 0;
    if (!member)
        return ALREADY;
    if (is_subbed_due(worker, join_member_at(worker, member)))
        queue_due_sub(worker, fd,
                      join_member_at(worker, member)->request); /* for the SUB's other topics */
    end_membership(worker, member);
    return DONE;
}

void join_end(struct worker *worker, struct conn *conn)
{
    while (conn->topics)
        end_membership(worker, conn->topics);
}

static uint32_t next_sub_number(struct worker *worker)
{
    struct topics_control *control = worker->topics.control;
    return ++control->request ? control->request : ++control->request;
}

/* Returns this worker's number for another worker's SUB: one number per SUB, as long as its
 * memberships come one after another. */
static uint32_t renumber_brought_sub(struct worker *worker, struct conn_ref ref, uint32_t request)
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
        last.number = next_sub_number(worker);
    }
    return last.number;
}

void join_brought(struct worker *worker, struct conn *conn, const char *name, size_t len,
                  uint32_t request)
{
    struct topics *topics = &worker->topics;
    const uint32_t fd = join_fd(worker, conn);
    const uint32_t topic = topics_add(topics, name, len, worker_topic_home(worker, name, len));
    const uint32_t member =
        !topic || topics_membership(topics, fd, topic) ? 0 : topics_join(topics, topic, fd);
    if (!member)
        return; /* it exists already, or the table is full, though the other worker's was not */
    topics_request(topics, member,
                   renumber_brought_sub(worker, conn_ref(worker->table, conn), request));
    topic_changed(worker, topic);
}

/* ---- SUB and UNSUB ---- */

/* Finds the array "topics" in a payload. Returns false if the payload is not one valid object with
 * an array of strings. */
static bool find_topics_array(const struct message *request, struct json_value *topics)
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

static bool is_topic_allowed(const struct worker *worker, const struct conn *conn, const char *name,
                             size_t len)
{
    const struct string_list *patterns = &worker->config->topics;
    for (size_t i = 0; i < patterns->count; i++)
        if (topic_matches(patterns->item[i], name, len, conn->user, conn->user_len))
            return true;
    return false;
}

/* Checks a name, and the limit on names a second; decodes it into `name`. */
static enum verdict check_topic_name(struct worker *worker, const struct conn *conn, uint32_t op,
                                     const struct json_value *value, char name[6 * TOPIC_MAX + 2],
                                     size_t *len)
{
    if (!rates_allow(worker, conn, op, worker->config->max_topics))
        return RATE_LIMITED;
    *len = value->len <= 6 * TOPIC_MAX + 2 ? json_unescape(name, value) : 0;
    if (!topic_name_valid(name, *len))
        return BAD_TOPIC;
    return op == OP_SUB && !is_topic_allowed(worker, conn, name, *len) ? FORBIDDEN : DONE;
}

/* Handles the names of a request. Returns the set of their verdicts, as bits. */
static uint32_t handle_topic_names(struct worker *worker, struct conn *conn, uint32_t op,
                                   const struct json_value *topics, uint32_t number)
{
    uint32_t verdicts = 0;
    struct json_value value;
    struct json_walk walk = json_walk_array(topics->at, topics->len);
    verdicts_begin();
    while (!(verdicts & 1u << RATE_LIMITED) && json_next(&walk, NULL, &value)) {
        char name[6 * TOPIC_MAX + 2];
        size_t len = 0;
        enum verdict verdict = check_topic_name(worker, conn, op, &value, name, &len);
        if (verdict == DONE)
            verdict = op == OP_SUB ? join_one_topic(worker, conn, name, len, number)
                                   : leave_one_topic(worker, conn, name, len);
        if (op == OP_UNSUB && verdict == DONE)
            topics_text_add_name(name, len);
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

/* The refusals, as bits: an UNSUB gets no UNSUBBED if no name was removed and any was refused. */
enum { REFUSED = ~((1u << DONE) | (1u << ALREADY)) & ((1u << VERDICT_COUNT) - 1) };

void join_requested(struct worker *worker, struct conn *conn, const struct message *request)
{
    struct json_value topics;
    if (!find_topics_array(request, &topics)) {
        refuse_topics_payload(worker, conn, request);
        return;
    }
    const uint32_t number = next_sub_number(worker);
    const uint32_t verdicts = handle_topic_names(worker, conn, request->op, &topics, number);
    queue_due_sub(worker, join_fd(worker, conn), number);
    if (verdicts == 0) {
        topics_text_begin();
        topics_text_send(worker, conn, OP_SUBBED);
    }
    verdicts_refuse(worker, conn, request->op, &topics);
}

void leave_requested(struct worker *worker, struct conn *conn, const struct message *request)
{
    struct json_value topics;
    if (!find_topics_array(request, &topics)) {
        refuse_topics_payload(worker, conn, request);
        return;
    }
    topics_text_begin();
    const uint32_t verdicts = handle_topic_names(worker, conn, request->op, &topics, 0);
    if ((verdicts & REFUSED) == 0 || verdicts & 1u << DONE)
        topics_text_send(worker, conn, OP_UNSUBBED);
    verdicts_refuse(worker, conn, request->op, &topics);
}

/* ---- Backends ---- */

static void log_refused_sub(const struct conn *conn, enum verdict verdict, const char *name,
                            size_t len)
{
    static struct log_limit limit;
    if (log_allow(&limit, 10, NULL))
        log_warn("sub_refused", "why=%s user=%s topic=%s", error_code_name(verdict_error(verdict)),
                 log_quote(conn->user, conn->user_len), log_quote(name, len));
}

void join_commanded(struct worker *worker, struct conn *conn, const json_t *topics)
{
    const uint32_t number = next_sub_number(worker);
    for (size_t i = 0; i < json_array_size(topics); i++) {
        const json_t *topic = json_array_get(topics, i);
        const char *name = json_string_value(topic);
        const enum verdict verdict =
            join_one_topic(worker, conn, name, json_string_length(topic), number);
        if (verdict > ALREADY)
            log_refused_sub(conn, verdict, name, json_string_length(topic));
    }
    queue_due_sub(worker, join_fd(worker, conn), number);
}

void leave_commanded(struct worker *worker, struct conn *conn, const json_t *topics)
{
    bool any = false;
    topics_text_begin();
    for (size_t i = 0; i < json_array_size(topics); i++) {
        const json_t *topic = json_array_get(topics, i);
        const char *name = json_string_value(topic);
        if (leave_one_topic(worker, conn, name, json_string_length(topic)) != DONE)
            continue;
        topics_text_add_name(name, json_string_length(topic));
        any = true;
    }
    if (any)
        topics_text_send(worker, conn, OP_UNSUBBED);
}

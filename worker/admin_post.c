/*
 * See admin_post.h. Both publish on the channel that a backend would use, so every node gets the
 * message and treats it exactly like a backend's. The answer is made of Redis's replies, which
 * count nodes, and of the nodes' reports (pending.h).
 *
 * The envelope is published byte for byte, except for the members that name the addressee. After
 * the others comes the ticket by which the nodes report.
 */
#include "worker/admin_post.h"

#include "proto/envelope.h"
#include "proto/explain.h"
#include "proto/json.h"
#include "proto/topic.h"
#include "worker/admin.h"
#include "worker/checks.h"
#include "worker/pending.h"
#include "worker/unknown.h"

#include <event2/buffer.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    USERS_MAX = 1000,     /* in one request: each is one PUBLISH */
    WHOM_MAX = TOPIC_MAX, /* bytes of a user's or a topic's name */
    TOO_LARGE = 413
};
_Static_assert((int)TOPIC_MAX >= (int)USER_MAX, "a buffer for names is large enough for both");

/* Returns the request's body, borrowed from it. */
static const char *request_body(struct evhttp_request *request, size_t *len)
{
    struct evbuffer *input = evhttp_request_get_input_buffer(request);
    *len = evbuffer_get_length(input);
    const char *body = (const char *)evbuffer_pullup(input, -1);
    return body ? body : "";
}

/* Answers 400 if the body is not a JSON object. Returns true if it is one. */
static bool check_object_body(struct evhttp_request *request, const char *body, size_t len)
{
    char why[EXPLAIN_MAX], error[EXPLAIN_MAX + 64];
    if (json_valid(body, len) && !json_walk_object(body, len).failed)
        return true;
    explain_json(why, body, len);
    snprintf(error, sizeof(error), "the body is not a JSON object%s%s",
             json_valid(body, len) ? "" : ": ", json_valid(body, len) ? "" : why);
    admin_answer_error(request, 400, error);
    return false;
}

/* Counts and logs an unknown member, and adds a warning to the answer. */
static void warn_of_unknown(struct worker *worker, json_t *answer, const char *path,
                            const char *body, size_t len, const struct names *known)
{
    char why[EXPLAIN_MAX];
    if (!explain_unknown(why, body, len, known))
        return;
    unknown_note(worker, &worker->stats->unknown_admin,
                 &(struct origin_text){"", "", path, strlen(path)}, why);
    json_object_set_new(answer, "warning", json_string(why));
}

/* ---- POST /api/push ---- */

/* The addressees of a push. X(NAME, member of the body) */
#define ADDRESSEES(X) X(USER, "user") X(USERS, "users") X(TOPIC, "topic") X(ALL, "all")

enum addressee {
#define ADDRESSEE_ENUM(name, text) TO_##name,
    ADDRESSEES(ADDRESSEE_ENUM)
#undef ADDRESSEE_ENUM
        ADDRESSEE_COUNT
};

static enum addressee addressee_find(const struct json_value *name)
{
    static const char *const names[] = {
#define ADDRESSEE_NAME(name, text) [TO_##name] = text,
        ADDRESSEES(ADDRESSEE_NAME)
#undef ADDRESSEE_NAME
    };
    enum addressee i = 0;
    while (i < ADDRESSEE_COUNT && !json_string_is(name, names[i]))
        i++;
    return i;
}

/* The parsed body: the addressee, and the envelope without it. */
struct order {
    const char *body;
    size_t body_len;
    struct json_value whom[ADDRESSEE_COUNT];
    char *envelope;
    size_t len;
};

static void append_to_envelope(struct order *order, const char *at, size_t len)
{
    memcpy(order->envelope + order->len, at, len);
    order->len += len;
}

/* Copies the other members unchanged to order->envelope, which never gets longer than the body. */
static void split_push_body(struct order *order)
{
    struct json_walk walk = json_walk_object(order->body, order->body_len);
    struct json_value name, value;
    append_to_envelope(order, "{", 1);
    while (json_next(&walk, &name, &value)) {
        const enum addressee whom = addressee_find(&name);
        if (whom < ADDRESSEE_COUNT) {
            order->whom[whom] = value;
            continue;
        }
        if (order->len > 1)
            append_to_envelope(order, ",", 1);
        append_to_envelope(order, name.at, name.len);
        append_to_envelope(order, ":", 1);
        append_to_envelope(order, value.at, value.len);
    }
    append_to_envelope(order, "}", 1);
}

/* Checks the envelope. */
static bool check_envelope(char why[EXPLAIN_MAX], const struct order *order)
{
    struct push push;
    uint8_t *scratch = malloc(order->len);
    if (!scratch)
        abort();
    const uint8_t *envelope = (const uint8_t *)order->envelope;
    const enum push_error error = push_decode(&push, envelope, order->len, scratch);
    free(scratch);
    if (error)
        explain_push(why, error, envelope, order->len);
    return !error;
}

/* Begins a request that publishes the envelope up to `parts` times; consumes `answer`. Returns NULL
 * if it was refused. */
static struct pending *begin_push_request(struct worker *worker, struct evhttp_request *request,
                                          const struct order *order, json_t *answer, size_t parts)
{
    warn_of_unknown(worker, answer, "/api/push", order->body, order->body_len, &push_body_names);
    return pending_begin(worker, request, answer, parts, order->envelope, order->len);
}

static void publish_to_user(struct worker *worker, struct pending *pending, const char *user,
                            json_t *entry)
{
    char channel[sizeof("user:") + WHOM_MAX];
    snprintf(channel, sizeof(channel), "user:%s", user);
    pending_publish(worker, pending, channel, entry, PENDING_ONLINE | PENDING_REPORTS);
}

static void push_to_user(struct worker *worker, struct evhttp_request *request,
                         const struct order *order)
{
    char user[WHOM_MAX + 1];
    check_decode(user, WHOM_MAX, &order->whom[TO_USER]);
    json_t *entry = json_pack("{s:s}", "user", user);
    struct pending *pending = begin_push_request(worker, request, order, entry, 1);
    if (!pending)
        return;
    publish_to_user(worker, pending, user, entry);
    pending_finish(pending);
}

static size_t count_elements(const struct json_value *array)
{
    struct json_value value;
    size_t count = 0;
    struct json_walk walk = json_walk_array(array->at, array->len);
    while (json_next(&walk, NULL, &value))
        count++;
    return count;
}

/* Publishes to each user separately, so that the answer can say which of them are online. */
static void push_to_users(struct worker *worker, struct evhttp_request *request,
                          const struct order *order)
{
    char user[WHOM_MAX + 1];
    struct json_value value;
    json_t *list = json_array();
    const struct json_value *users = &order->whom[TO_USERS];
    struct pending *pending = begin_push_request(
        worker, request, order, json_pack("{s:o}", "users", list), count_elements(users));
    struct json_walk walk = json_walk_array(users->at, users->len);
    while (pending && json_next(&walk, NULL, &value) && check_decode(user, WHOM_MAX, &value) > 0) {
        json_t *entry = json_pack("{s:s}", "user", user);
        json_array_append_new(list, entry);
        publish_to_user(worker, pending, user, entry);
    }
    if (pending)
        pending_finish(pending);
}

static void push_to_topic(struct worker *worker, struct evhttp_request *request,
                          const struct order *order)
{
    char topic[WHOM_MAX + 1], channel[sizeof("topic:") + WHOM_MAX];
    check_decode(topic, WHOM_MAX, &order->whom[TO_TOPIC]);
    snprintf(channel, sizeof(channel), "topic:%s", topic);
    json_t *entry = json_pack("{s:s}", "topic", topic);
    struct pending *pending = begin_push_request(worker, request, order, entry, 1);
    if (!pending)
        return;
    pending_publish(worker, pending, channel, entry, PENDING_NODES | PENDING_REPORTS);
    pending_finish(pending);
}

static void push_to_all(struct worker *worker, struct evhttp_request *request,
                        const struct order *order)
{
    json_t *entry = json_pack("{s:b}", "all", true);
    struct pending *pending = begin_push_request(worker, request, order, entry, 1);
    if (!pending)
        return;
    pending_publish(worker, pending, "all", entry, PENDING_NODES | PENDING_REPORTS);
    pending_finish(pending);
}

/* ---- The addressee ---- */

static bool check_to_user(char why[EXPLAIN_MAX], const struct json_value *value)
{
    return check_user(why, "user", value);
}

static bool check_to_users(char why[EXPLAIN_MAX], const struct json_value *value)
{
    return check_users(why, "users", value, USERS_MAX);
}

static bool check_to_topic(char why[EXPLAIN_MAX], const struct json_value *value)
{
    return check_topic(why, "topic", value);
}

static bool check_to_all(char why[EXPLAIN_MAX], const struct json_value *value)
{
    char shown[64];
    if (value->type == JSON_TYPE_TRUE)
        return true;
    snprintf(why, EXPLAIN_MAX, "all must be true, not %s",
             explain_value(shown, sizeof(shown), value));
    return false;
}

static const struct {
    const char *name;
    bool (*check)(char why[EXPLAIN_MAX], const struct json_value *value);
    void (*push)(struct worker *worker, struct evhttp_request *request, const struct order *order);
} addressees[] = {
    [TO_USER] = {"user", check_to_user, push_to_user},
    [TO_USERS] = {"users", check_to_users, push_to_users},
    [TO_TOPIC] = {"topic", check_to_topic, push_to_topic},
    [TO_ALL] = {"all", check_to_all, push_to_all},
};
_Static_assert(sizeof(addressees) / sizeof(addressees[0]) == ADDRESSEE_COUNT, "one row for each");

/* Explains that the body names no addressee, or both `one` and `other`. Returns false. */
static bool explain_addressee_count(char why[EXPLAIN_MAX], const struct order *order,
                                    const char *one, const char *other)
{
    char more[EXPLAIN_MAX] = "";
    const bool any = !one && explain_unknown(more, order->body, order->body_len, &push_body_names);
    if (one)
        snprintf(more, sizeof(more), ", not %s and %s", one, other);
    snprintf(why, EXPLAIN_MAX, "exactly one of user, users, topic and all is required%s%.200s",
             any ? "; " : "", more);
    return false;
}

/* Finds and checks the addressee. */
static bool check_addressee(char why[EXPLAIN_MAX], const struct order *order, enum addressee *whom)
{
    const char *one = NULL;
    for (enum addressee i = 0; i < ADDRESSEE_COUNT; i++) {
        if (order->whom[i].type == JSON_TYPE_NONE)
            continue;
        if (one)
            return explain_addressee_count(why, order, one, addressees[i].name);
        one = addressees[i].name;
        *whom = i;
    }
    return one ? addressees[*whom].check(why, &order->whom[*whom])
               : explain_addressee_count(why, order, NULL, NULL);
}

static void carry_out_push(struct worker *worker, struct evhttp_request *request,
                           const struct order *order)
{
    char why[EXPLAIN_MAX];
    enum addressee whom = TO_USER;
    if (!check_addressee(why, order, &whom) || !check_envelope(why, order))
        admin_answer_error(request, 400, why);
    else if (order->len + PENDING_TICKET_MAX > worker->config->max_push)
        admin_answer_error(request, TOO_LARGE, "the push is larger than max_push");
    else
        addressees[whom].push(worker, request, order);
}

void admin_push(struct worker *worker, struct evhttp_request *request, const char *rest)
{
    struct order order = {.len = 0};
    (void)rest;
    order.body = request_body(request, &order.body_len);
    if (!check_object_body(request, order.body, order.body_len))
        return;
    order.envelope = malloc(order.body_len + 2);
    if (!order.envelope)
        abort();
    split_push_body(&order);
    carry_out_push(worker, request, &order);
    free(order.envelope);
}

/* ---- POST /api/kick ---- */

static const char *const kick_names[] = {"user", "code", "reason"};
static const struct names kick_members = {kick_names, 3};

static bool check_kick_body(char why[EXPLAIN_MAX], const char *body, size_t len,
                            const struct json_value *user)
{
    if (user->type == JSON_TYPE_NONE) {
        explain_missing(why, "user", body, len, &kick_members);
        return false;
    }
    return check_user(why, "user", user) && check_kick(why, body, len);
}

/* Writes the command for push:ctl. Returns it owned. */
static char *kick_command(const char *body, size_t body_len, const struct json_value *user)
{
    const struct json_value code = check_member(body, body_len, "code");
    const struct json_value reason = check_member(body, body_len, "reason");
    char *command = NULL;
    size_t len;
    FILE *out = open_memstream(&command, &len);
    if (!out)
        abort();
    fprintf(out, "{\"kick\":%.*s", (int)user->len, user->at);
    if (code.type != JSON_TYPE_NONE)
        fprintf(out, ",\"code\":%.*s", (int)code.len, code.at);
    if (reason.type != JSON_TYPE_NONE)
        fprintf(out, ",\"reason\":%.*s", (int)reason.len, reason.at);
    fputc('}', out);
    if (fclose(out) != 0)
        abort();
    return command;
}

void admin_kick(struct worker *worker, struct evhttp_request *request, const char *rest)
{
    size_t len;
    char why[EXPLAIN_MAX], name[USER_MAX + 1];
    const char *body = request_body(request, &len);
    (void)rest;
    if (!check_object_body(request, body, len))
        return;
    const struct json_value user = check_member(body, len, "user");
    if (!check_kick_body(why, body, len, &user)) {
        admin_answer_error(request, 400, why);
        return;
    }
    check_decode(name, USER_MAX, &user);
    char *command = kick_command(body, len, &user);
    json_t *entry = json_pack("{s:s}", "user", name);
    warn_of_unknown(worker, entry, "/api/kick", body, len, &kick_members);
    struct pending *pending = pending_begin(worker, request, entry, 1, command, strlen(command));
    if (pending) {
        pending_publish(worker, pending, "ctl", entry, PENDING_NODES);
        pending_finish(pending);
    }
    free(command);
}

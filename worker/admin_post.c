/*
 * See admin_post.h. Both are a PUBLISH on the channel that a backend would use, so every node gets
 * them and nothing is true of them that is not true of a backend's push. Redis's replies, the
 * numbers of nodes, and what these report make the answer (pending.h).
 *
 * The envelope is published as it came, to the letter, but for the members that say whom it is for;
 * behind the others stands the ticket by which the nodes report.
 */
#include "worker/admin_post.h"

#include "proto/envelope.h"
#include "proto/json.h"
#include "proto/report.h"
#include "proto/topic.h"
#include "proto/ws.h"
#include "worker/admin.h"
#include "worker/auth.h"
#include "worker/pending.h"

#include <event2/buffer.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    USERS_MAX = 1000,                 /* in one request: each is a command */
    WHOM_MAX = TOPIC_MAX,             /* bytes of a user's or a topic's name */
    WHOM_MAX_JSON = 6 * WHOM_MAX + 2, /* one with every byte escaped */
    TOO_LARGE = 413
};
_Static_assert((int)TOPIC_MAX >= (int)USER_MAX, "a buffer for names is large enough for both");

/* What is appended to each envelope. */
#define TICKET_MEMBER ",\"report\":\"%s\"}"
enum { TICKET_MEMBER_MAX = sizeof(TICKET_MEMBER) + REPORT_TICKET_MAX };

/* ---- POST /api/push ---- */

/* Whom a push may be for. X(NAME, member of the body) */
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

/* The body, taken apart: whom it is for, and the envelope that is left without that. */
struct order {
    struct json_value whom[ADDRESSEE_COUNT];
    char *envelope;
    size_t len;
};

static void append(struct order *order, const char *at, size_t len)
{
    memcpy(order->envelope + order->len, at, len);
    order->len += len;
}

/* Copies the other members to the letter, to order->envelope: it is never longer than the body. */
static bool take_apart(struct order *order, const char *body, size_t len)
{
    struct json_walk walk = json_walk_object(body, len);
    struct json_value name, value;
    append(order, "{", 1);
    while (json_next(&walk, &name, &value)) {
        const enum addressee whom = addressee_find(&name);
        if (whom < ADDRESSEE_COUNT) {
            order->whom[whom] = value;
            continue;
        }
        if (order->len > 1)
            append(order, ",", 1);
        append(order, name.at, name.len);
        append(order, ":", 1);
        append(order, value.at, value.len);
    }
    append(order, "}", 1);
    return !walk.failed;
}

/* Returns NULL, or what is wrong with the push itself. */
static const char *check_envelope(const struct order *order)
{
    struct push push;
    uint8_t *scratch = malloc(order->len);
    if (!scratch)
        abort();
    const enum push_error error =
        push_decode(&push, (const uint8_t *)order->envelope, order->len, scratch);
    free(scratch);
    return error ? push_error_text(error) : NULL;
}

/* Reads a name into `out`, with a NUL behind it; false where `valid` says that it is none. */
static bool read_name(char out[WHOM_MAX + 1], const struct json_value *value,
                      bool (*valid)(const char *, size_t))
{
    char name[WHOM_MAX_JSON];
    if (value->type != JSON_TYPE_STRING || value->len > sizeof(name))
        return false;
    const size_t len = json_unescape(name, value);
    if (len > WHOM_MAX || !valid(name, len))
        return false;
    memcpy(out, name, len);
    out[len] = '\0';
    return true;
}

/* Counts the names; 0 where one is none, or there are too many. */
static size_t count_users(const struct json_value *users)
{
    char name[WHOM_MAX + 1];
    struct json_value value;
    size_t count = 0;
    if (users->type != JSON_TYPE_ARRAY)
        return 0;
    struct json_walk walk = json_walk_array(users->at, users->len);
    while (json_next(&walk, NULL, &value))
        if (!read_name(name, &value, auth_user_valid) || ++count > USERS_MAX)
            return 0;
    return count;
}

static bool is_user(const struct json_value *value)
{
    char name[WHOM_MAX + 1];
    return read_name(name, value, auth_user_valid);
}

static bool is_users(const struct json_value *value)
{
    return count_users(value) > 0;
}

static bool is_topic(const struct json_value *value)
{
    char name[WHOM_MAX + 1];
    return read_name(name, value, topic_name_valid);
}

static bool is_true(const struct json_value *value)
{
    return value->type == JSON_TYPE_TRUE;
}

/* Publishes the envelope with the ticket of the next part. */
static void publish(struct worker *worker, struct pending *pending, const struct order *order,
                    const char *channel, json_t *entry, unsigned questions)
{
    char ticket[REPORT_TICKET_MAX + 1];
    pending_ticket(worker, pending, ticket);
    const int more =
        sprintf(order->envelope + order->len - 1, TICKET_MEMBER, ticket); /* over its brace */
    pending_publish(worker, pending, channel, order->envelope, order->len - 1 + (size_t)more, entry,
                    questions | PENDING_REPORTS);
}

static void publish_to_user(struct worker *worker, struct pending *pending,
                            const struct order *order, const char *user, json_t *entry)
{
    char channel[sizeof("user:") + WHOM_MAX];
    snprintf(channel, sizeof(channel), "user:%s", user);
    publish(worker, pending, order, channel, entry, PENDING_ONLINE);
}

static void push_to_user(struct worker *worker, struct evhttp_request *request,
                         const struct order *order)
{
    char user[WHOM_MAX + 1];
    read_name(user, &order->whom[TO_USER], auth_user_valid);
    json_t *entry = json_pack("{s:s}", "user", user);
    struct pending *pending = pending_begin(worker, request, entry, 1);
    publish_to_user(worker, pending, order, user, entry);
    pending_finish(pending);
}

/* Each by a PUBLISH of his own, so that the answer can tell who is online. */
static void push_to_users(struct worker *worker, struct evhttp_request *request,
                          const struct order *order)
{
    char user[WHOM_MAX + 1];
    struct json_value value;
    json_t *list = json_array();
    const struct json_value *users = &order->whom[TO_USERS];
    struct pending *pending =
        pending_begin(worker, request, json_pack("{s:o}", "users", list), count_users(users));
    struct json_walk walk = json_walk_array(users->at, users->len);
    while (json_next(&walk, NULL, &value) && read_name(user, &value, auth_user_valid)) {
        json_t *entry = json_pack("{s:s}", "user", user);
        json_array_append_new(list, entry);
        publish_to_user(worker, pending, order, user, entry);
    }
    pending_finish(pending);
}

static void push_to_topic(struct worker *worker, struct evhttp_request *request,
                          const struct order *order)
{
    char topic[WHOM_MAX + 1], channel[sizeof("topic:") + WHOM_MAX];
    read_name(topic, &order->whom[TO_TOPIC], topic_name_valid);
    snprintf(channel, sizeof(channel), "topic:%s", topic);
    json_t *entry = json_pack("{s:s}", "topic", topic);
    struct pending *pending = pending_begin(worker, request, entry, 1);
    publish(worker, pending, order, channel, entry, PENDING_NODES);
    pending_finish(pending);
}

static void push_to_all(struct worker *worker, struct evhttp_request *request,
                        const struct order *order)
{
    json_t *entry = json_pack("{s:b}", "all", true);
    struct pending *pending = pending_begin(worker, request, entry, 1);
    publish(worker, pending, order, "all", entry, PENDING_NODES);
    pending_finish(pending);
}

static const struct {
    bool (*valid)(const struct json_value *value);
    const char *wrong;
    void (*push)(struct worker *worker, struct evhttp_request *request, const struct order *order);
} addressees[] = {
    [TO_USER] = {is_user, "user is no user name", push_to_user},
    [TO_USERS] = {is_users, "users is not an array of 1 to 1000 user names", push_to_users},
    [TO_TOPIC] = {is_topic, "topic is no topic name", push_to_topic},
    [TO_ALL] = {is_true, "all can only be true", push_to_all},
};
_Static_assert(sizeof(addressees) / sizeof(addressees[0]) == ADDRESSEE_COUNT, "one row for each");

/* Returns NULL and which one it is for, or what is wrong with whom it is for. */
static const char *check_addressee(const struct order *order, enum addressee *whom)
{
    int given = 0;
    for (enum addressee i = 0; i < ADDRESSEE_COUNT; i++) {
        if (order->whom[i].type == JSON_TYPE_NONE)
            continue;
        *whom = i;
        given++;
    }
    if (given != 1)
        return "exactly one of user, users, topic and all says whom it is for";
    return addressees[*whom].valid(&order->whom[*whom]) ? NULL : addressees[*whom].wrong;
}

static void carry_out(struct worker *worker, struct evhttp_request *request,
                      const struct order *order)
{
    enum addressee whom = TO_USER;
    const char *wrong = check_addressee(order, &whom);
    if (!wrong)
        wrong = check_envelope(order);
    if (wrong)
        admin_answer_error(request, 400, wrong);
    else if (order->len + TICKET_MEMBER_MAX > worker->config->max_push)
        admin_answer_error(request, TOO_LARGE, "larger than max_push");
    else
        addressees[whom].push(worker, request, order);
}

/* Borrowed from the request. */
static const char *body_of(struct evhttp_request *request, size_t *len)
{
    struct evbuffer *input = evhttp_request_get_input_buffer(request);
    *len = evbuffer_get_length(input);
    const char *body = (const char *)evbuffer_pullup(input, -1);
    return body ? body : "";
}

void admin_push(struct worker *worker, struct evhttp_request *request, const char *rest)
{
    size_t len;
    const char *body = body_of(request, &len);
    (void)rest;
    char *envelope = malloc(len + 2 + TICKET_MEMBER_MAX);
    if (!envelope)
        abort();
    struct order order = {.envelope = envelope};
    if (take_apart(&order, body, len))
        carry_out(worker, request, &order);
    else
        admin_answer_error(request, 400, "the body is not one valid JSON object");
    free(envelope);
}

/* ---- POST /api/kick ---- */

/* Returns the command for push:ctl, owned, or NULL and what is wrong. */
static char *kick_command(json_t *body, const char **user, const char **wrong)
{
    const json_t *code = json_object_get(body, "code");
    json_t *reason = json_object_get(body, "reason"), *name = json_object_get(body, "user");
    const json_int_t number = code ? json_integer_value(code) : WS_CLOSE_KICKED;
    *user = json_string_value(name);
    *wrong = !*user || !auth_user_valid(*user, json_string_length(name)) ? "user is no user name"
             : number < 3000 || number > 4999    ? "code is not within 3000 to 4999"
             : reason && !json_is_string(reason) ? "reason is not a string"
                                                 : NULL;
    if (*wrong)
        return NULL;
    json_t *command = json_pack("{s:O, s:I, s:O*}", "kick", name, "code", number, "reason", reason);
    char *text = json_dumps(command, JSON_COMPACT);
    json_decref(command);
    if (!text)
        abort();
    return text;
}

void admin_kick(struct worker *worker, struct evhttp_request *request, const char *rest)
{
    size_t len;
    const char *user, *wrong = NULL, *text = body_of(request, &len);
    (void)rest;
    json_t *body = json_loadb(text, len, 0, NULL);
    char *command = kick_command(body, &user, &wrong);
    if (command) {
        json_t *entry = json_pack("{s:s}", "user", user);
        struct pending *pending = pending_begin(worker, request, entry, 1);
        pending_publish(worker, pending, "ctl", command, strlen(command), entry, PENDING_NODES);
        pending_finish(pending);
    } else {
        admin_answer_error(request, 400, body ? wrong : "the body is not valid JSON");
    }
    free(command);
    json_decref(body);
}

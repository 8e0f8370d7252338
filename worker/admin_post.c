/*
 * See admin_post.h. Both are a PUBLISH on the channel that a backend would use, so every node gets
 * them and nothing is true of them that is not true of a backend's push. Redis's replies, the
 * numbers of nodes, make the answer.
 *
 * The request waits for them as a `struct pending`; the loop goes on. It ends by the last reply,
 * by the deadline, or with its client, whichever comes first; its memory stays until the last reply
 * has come, or the link has failed, because the replies lead to it.
 */
#include "worker/admin_post.h"

#include "common/log.h"
#include "proto/envelope.h"
#include "proto/json.h"
#include "proto/ws.h"
#include "worker/admin.h"
#include "worker/auth.h"
#include "worker/command.h"

#include <event2/buffer.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEADLINE_S = 5,   /* for Redis to answer */
    USERS_MAX = 1000, /* in one request: each is a command */
    CHANNEL_MAX = 192,
    NAME_MAX_JSON = 6 * USER_MAX + 2, /* a user's name with every byte escaped */
    TOO_LARGE = 413,
    UNAVAILABLE = 503,
    TIMED_OUT = 504
};

/* One PUBLISH of a request, and where its reply is shown. */
struct part {
    struct pending *pending;
    json_t *entry; /* borrowed from the pending's answer */
    bool user;     /* nodes above 0 mean that a user is online */
};

struct pending {
    struct pending *next;
    struct evhttp_request *request; /* NULL: answered already, or its client has gone */
    struct event *deadline;
    json_t *answer;
    struct part *part;
    size_t parts;
    size_t waiting; /* replies that have not come */
    bool failed;    /* one of them did not say how many nodes */
};

static struct pending *all_pending;

/* ---- A request that waits ---- */

static void unlink_pending(const struct pending *pending)
{
    struct pending **link = &all_pending;
    while (*link != pending)
        link = &(*link)->next;
    *link = pending->next;
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct pending *pending = arg;
    (void)fd, (void)what;
    if (pending->request)
        admin_answer_error(pending->request, TIMED_OUT,
                           "Redis does not answer; it may have been published");
    pending->request = NULL;
}

/* Begins a request of at most `parts` commands; takes `answer`. It waits for one reply more than it
 * sends commands, until finish(). */
static struct pending *begin(struct worker *worker, struct evhttp_request *request, json_t *answer,
                             size_t parts)
{
    struct pending *pending = calloc(1, sizeof(*pending));
    if (!pending || !answer)
        abort();
    pending->part = calloc(parts, sizeof(*pending->part));
    pending->deadline = event_new(worker->base, -1, 0, on_deadline, pending);
    if (!pending->part || !pending->deadline ||
        event_add(pending->deadline, &(struct timeval){DEADLINE_S, 0}) == -1)
        abort();
    pending->request = request;
    pending->answer = answer;
    pending->waiting = 1;
    pending->next = all_pending;
    all_pending = pending;
    return pending;
}

/* One reply less to wait for: answers after the last. */
static void finish(struct pending *pending)
{
    if (--pending->waiting > 0)
        return;
    if (pending->request && pending->failed)
        admin_answer_error(pending->request, UNAVAILABLE,
                           "Redis is not there, or refused; some of it may have been published");
    else if (pending->request)
        admin_answer_json(pending->request, 200, json_incref(pending->answer));
    unlink_pending(pending);
    event_free(pending->deadline);
    json_decref(pending->answer);
    free(pending->part);
    free(pending);
}

void admin_post_gone(const struct evhttp_connection *connection)
{
    for (struct pending *each = all_pending; each; each = each->next)
        if (each->request && evhttp_request_get_connection(each->request) == connection)
            each->request = NULL;
}

/* ---- Redis ---- */

static void on_reply(struct worker *worker, const redisReply *reply, void *arg)
{
    const struct part *part = arg;
    (void)worker;
    if (reply && reply->type == REDIS_REPLY_INTEGER) {
        json_object_set_new(part->entry, "nodes", json_integer(reply->integer));
        if (part->user)
            json_object_set_new(part->entry, "online", json_boolean(reply->integer > 0));
    } else {
        part->pending->failed = true;
        if (reply && reply->type == REDIS_REPLY_ERROR)
            log_warn("admin_publish_refused", "why=%s", log_quote(reply->str, reply->len));
    }
    finish(part->pending);
}

/* Publishes on a channel behind the prefix; `entry` will show what became of it. */
static void publish(struct worker *worker, struct pending *pending, const char *channel,
                    const char *bytes, size_t len, json_t *entry, bool user)
{
    char name[CHANNEL_MAX];
    struct part *part = &pending->part[pending->parts++];
    const int name_len = snprintf(name, sizeof(name), "%s%s", worker->config->prefix, channel);
    const char *argv[] = {"PUBLISH", name, bytes};
    const size_t lens[] = {strlen(argv[0]), (size_t)name_len, len};
    *part = (struct part){pending, entry, user};
    if (command_send(worker, 3, argv, lens, on_reply, part) == 0)
        pending->waiting++;
    else
        pending->failed = true;
}

static void publish_to_user(struct worker *worker, struct pending *pending, const char *user,
                            const char *envelope, size_t len, json_t *entry)
{
    char channel[sizeof("user:") + USER_MAX];
    snprintf(channel, sizeof(channel), "user:%s", user);
    publish(worker, pending, channel, envelope, len, entry, true);
}

/* ---- POST /api/push ---- */

/* The body, taken apart: whom it is for, and the envelope that is left without that. */
struct order {
    struct json_value user, users, all;
    char *envelope;
    size_t len;
};

static struct json_value *addressee(struct order *order, const struct json_value *name)
{
    return json_string_is(name, "user")    ? &order->user
           : json_string_is(name, "users") ? &order->users
           : json_string_is(name, "all")   ? &order->all
                                           : NULL;
}

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
        struct json_value *whom = addressee(order, &name);
        if (whom) {
            *whom = value;
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

/* Reads a user's name into `out`, with a NUL behind it. */
static bool read_user(char out[USER_MAX + 1], const struct json_value *value)
{
    char name[NAME_MAX_JSON];
    if (value->type != JSON_TYPE_STRING || value->len > sizeof(name))
        return false;
    const size_t len = json_unescape(name, value);
    if (!auth_user_valid(name, len))
        return false;
    memcpy(out, name, len);
    out[len] = '\0';
    return true;
}

/* Counts the names; 0 where one is none, or there are too many. */
static size_t count_users(const struct json_value *users)
{
    char name[USER_MAX + 1];
    struct json_value value;
    size_t count = 0;
    if (users->type != JSON_TYPE_ARRAY)
        return 0;
    struct json_walk walk = json_walk_array(users->at, users->len);
    while (json_next(&walk, NULL, &value))
        if (!read_user(name, &value) || ++count > USERS_MAX)
            return 0;
    return count;
}

/* Returns NULL, or what is wrong with whom it is for. */
static const char *check_addressees(const struct order *order)
{
    char name[USER_MAX + 1];
    const int given = (order->user.type != JSON_TYPE_NONE) + (order->users.type != JSON_TYPE_NONE) +
                      (order->all.type != JSON_TYPE_NONE);
    if (given != 1)
        return "exactly one of user, users and all says whom it is for";
    if (order->user.type != JSON_TYPE_NONE && !read_user(name, &order->user))
        return "user is no user name";
    if (order->users.type != JSON_TYPE_NONE && count_users(&order->users) == 0)
        return "users is not an array of 1 to 1000 user names";
    if (order->all.type != JSON_TYPE_NONE && order->all.type != JSON_TYPE_TRUE)
        return "all can only be true";
    return NULL;
}

static void push_to_user(struct worker *worker, struct evhttp_request *request,
                         const struct order *order)
{
    char user[USER_MAX + 1];
    read_user(user, &order->user);
    struct pending *pending = begin(worker, request, json_pack("{s:s}", "user", user), 1);
    publish_to_user(worker, pending, user, order->envelope, order->len, pending->answer);
    finish(pending);
}

/* Each by a PUBLISH of his own, so that the answer can tell who is online. */
static void push_to_users(struct worker *worker, struct evhttp_request *request,
                          const struct order *order)
{
    char user[USER_MAX + 1];
    struct json_value value;
    json_t *list = json_array();
    struct pending *pending =
        begin(worker, request, json_pack("{s:o}", "users", list), count_users(&order->users));
    struct json_walk walk = json_walk_array(order->users.at, order->users.len);
    while (json_next(&walk, NULL, &value) && read_user(user, &value)) {
        json_t *entry = json_pack("{s:s}", "user", user);
        json_array_append_new(list, entry);
        publish_to_user(worker, pending, user, order->envelope, order->len, entry);
    }
    finish(pending);
}

static void push_to_all(struct worker *worker, struct evhttp_request *request,
                        const struct order *order)
{
    struct pending *pending = begin(worker, request, json_object(), 1);
    publish(worker, pending, "all", order->envelope, order->len, pending->answer, false);
    finish(pending);
}

static void carry_out(struct worker *worker, struct evhttp_request *request,
                      const struct order *order)
{
    const char *wrong = check_addressees(order);
    if (!wrong)
        wrong = check_envelope(order);
    if (wrong)
        admin_answer_error(request, 400, wrong);
    else if (order->len > worker->config->max_push)
        admin_answer_error(request, TOO_LARGE, "larger than max_push");
    else if (order->user.type != JSON_TYPE_NONE)
        push_to_user(worker, request, order);
    else if (order->users.type != JSON_TYPE_NONE)
        push_to_users(worker, request, order);
    else
        push_to_all(worker, request, order);
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
    char *envelope = malloc(len + 2);
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
        struct pending *pending = begin(worker, request, json_pack("{s:s}", "user", user), 1);
        publish(worker, pending, "ctl", command, strlen(command), pending->answer, false);
        finish(pending);
    } else {
        admin_answer_error(request, 400, body ? wrong : "the body is not valid JSON");
    }
    free(command);
    json_decref(body);
}

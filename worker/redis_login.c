/*
 * See redis_login.h. All commands are sent at once, and Redis answers in order. Nothing else is
 * sent before the last reply, so no byte of the login belongs to a link's streams.
 */
#include "worker/redis_login.h"

#include "common/log.h"
#include "proto/redis_error.h"
#include "worker/descriptors.h"
#include "worker/redis_role.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOGIN_TIMEOUT_S = 5, WHY_SIZE = 512 };

/* X(name, the command as logged, true if an ACL may refuse it) */
#define LOGIN_STEPS(X)              \
    X(AUTH, "AUTH", false)          \
    X(SELECT, "SELECT", false)      \
    X(NAME, "CLIENT SETNAME", true) \
    X(ROLE, "ROLE", true)           \
    X(CLUSTER, "INFO cluster", true)
enum step {
#define STEP_ENUM(name, command, refusable) STEP_##name,
    LOGIN_STEPS(STEP_ENUM)
#undef STEP_ENUM
        STEP_COUNT
};
static const struct {
    const char *command;
    bool refusable;
} steps[] = {
#define STEP_ROW(name, command, refusable) {command, refusable},
    LOGIN_STEPS(STEP_ROW)
#undef STEP_ROW
};

struct redis_login {
    struct worker *worker;
    redis_connected *done;
    bool select;
    struct bufferevent *socket; /* NULL: no login is in progress */
    redisReader *reader;
    enum step expected[STEP_COUNT];
    uint32_t sent, answered;
    uint32_t refused; /* bits: steps that this Redis has refused */
    uint32_t told;    /* bits: steps whose refusal was logged */
    char text[160];   /* the peer's address */
    char why[WHY_SIZE];
};

/* ---- Commands ---- */

static void login_send_step(struct redis_login *login, enum step step, int argc, const char **argv)
{
    char *bytes = NULL;
    const int len = redisFormatCommandArgv(&bytes, argc, argv, NULL);
    if (len < 0 || evbuffer_add(bufferevent_get_output(login->socket), bytes, (size_t)len) == -1)
        abort();
    redisFreeCommand(bytes);
    login->expected[login->sent++] = step;
}

static void login_send_all(struct redis_login *login)
{
    const struct worker *worker = login->worker;
    const struct redis_address *address = &worker->config->redis_at;
    char name[64], db[16];
    snprintf(name, sizeof(name), "wspushd-%08x-%u", worker->segment->header->boot_id, worker->id);
    snprintf(db, sizeof(db), "%u", address->db);
    if (address->password && address->user)
        login_send_step(login, STEP_AUTH, 3,
                        (const char *[]){"AUTH", address->user, address->password});
    else if (address->password)
        login_send_step(login, STEP_AUTH, 2, (const char *[]){"AUTH", address->password});
    if (login->select)
        login_send_step(login, STEP_SELECT, 2, (const char *[]){"SELECT", db});
    else
        login_send_step(login, STEP_NAME, 3, (const char *[]){"CLIENT", "SETNAME", name});
    login_send_step(login, STEP_ROLE, 1, (const char *[]){"ROLE"});
    login_send_step(login, STEP_CLUSTER, 2, (const char *[]){"INFO", "cluster"});
}

/* ---- Ends ---- */

/* Returns the socket, now owned by the caller, and frees the rest of the login. */
static int login_release_socket(struct redis_login *login)
{
    const int fd = bufferevent_getfd(login->socket);
    bufferevent_free(login->socket);
    redisReaderFree(login->reader);
    login->socket = NULL;
    login->reader = NULL;
    return fd;
}

void redis_login_cancel(struct redis_login *login)
{
    if (!login->socket)
        return;
    const int fd = login_release_socket(login);
    descriptors_forget(login->worker, fd);
    close(fd);
}

static void redis_login_fail(struct redis_login *login, const char *reason)
{
    char why[WHY_SIZE + sizeof(login->text)];
    snprintf(why, sizeof(why), "%s: %s", login->text, reason);
    redis_login_cancel(login);
    login->done(login->worker, -1, why);
}

/* ---- Answers ---- */

/* Handles an error reply. Returns NULL if the login can go on without the step, or the reason why
 * not. */
static const char *login_take_error(struct redis_login *login, enum step step,
                                    const redisReply *reply)
{
    const enum redis_error kind = redis_error_kind(reply->str, reply->len);
    const char *advice = redis_error_advice(reply->str, reply->len);
    if (!steps[step].refusable || (kind != REDIS_ERROR_DENIED && kind != REDIS_ERROR_UNKNOWN)) {
        snprintf(login->why, sizeof(login->why), advice ? "%s (%s)" : "%s", reply->str, advice);
        return login->why;
    }
    if (!(login->told & 1U << step))
        log_warn("redis_refused", "redis=%s command=%s why=%s",
                 log_quote(login->text, strlen(login->text)),
                 log_quote(steps[step].command, strlen(steps[step].command)),
                 log_quote(reply->str, reply->len));
    login->told |= 1U << step;
    login->refused |= 1U << step;
    return NULL;
}

/* Handles one reply. Returns NULL, or the reason why the login fails. */
static const char *login_take_reply(struct redis_login *login, const redisReply *reply)
{
    if (login->answered == login->sent)
        return "unexpected reply from Redis";
    const enum step step = login->expected[login->answered++];
    if (reply->type == REDIS_REPLY_ERROR)
        return login_take_error(login, step, reply);
    const bool wrong =
        (step == STEP_ROLE && redis_role_is_wrong(reply, login->why, sizeof(login->why))) ||
        (step == STEP_CLUSTER && redis_cluster_is_wrong(reply, login->why, sizeof(login->why)));
    return wrong ? login->why : NULL;
}

/* Handles all complete replies. Returns NULL, or the reason why the login fails. */
static const char *login_take_replies(struct redis_login *login)
{
    for (;;) {
        void *reply = NULL;
        if (redisReaderGetReply(login->reader, &reply) != REDIS_OK)
            return "malformed reply (not RESP): is this Redis?";
        if (!reply)
            return NULL;
        const char *wrong = login_take_reply(login, reply);
        freeReplyObject(reply);
        if (wrong)
            return wrong;
    }
}

static void login_on_read(struct bufferevent *socket, void *arg)
{
    struct redis_login *login = arg;
    struct evbuffer *input = bufferevent_get_input(socket);
    const size_t len = evbuffer_get_length(input);
    worker_note_time(login->worker);
    redisReaderFeed(login->reader, (const char *)evbuffer_pullup(input, -1), len);
    evbuffer_drain(input, len);
    const char *wrong = login_take_replies(login);
    if (wrong)
        redis_login_fail(login, wrong);
    else if (login->answered == login->sent)
        login->done(login->worker, login_release_socket(login), login->text);
}

static void login_on_event(struct bufferevent *socket, short what, void *arg)
{
    struct redis_login *login = arg;
    (void)socket;
    worker_note_time(login->worker);
    if (what & BEV_EVENT_EOF)
        redis_login_fail(login, "Redis closed the connection");
    else if (what & BEV_EVENT_TIMEOUT)
        redis_login_fail(login, "Redis does not answer");
    else
        redis_login_fail(login, evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR()));
}

/* ---- Beginning ---- */

void redis_login_begin(struct redis_login *login, int fd, const char *text)
{
    const struct timeval timeout = {LOGIN_TIMEOUT_S, 0};
    redis_login_cancel(login);
    snprintf(login->text, sizeof(login->text), "%s", text);
    login->sent = login->answered = login->refused = 0;
    login->reader = redisReaderCreate();
    login->socket = bufferevent_socket_new(login->worker->base, fd, BEV_OPT_DEFER_CALLBACKS);
    if (!login->reader || !login->socket)
        abort();
    bufferevent_setcb(login->socket, login_on_read, NULL, login_on_event, login);
    bufferevent_set_timeouts(login->socket, &timeout, &timeout);
    login_send_all(login);
    bufferevent_enable(login->socket, EV_READ | EV_WRITE);
}

struct redis_login *redis_login_new(struct worker *worker, bool select, redis_connected *done)
{
    struct redis_login *login = calloc(1, sizeof(*login));
    if (login)
        *login = (struct redis_login){.worker = worker, .select = select, .done = done};
    return login;
}

bool redis_login_tells_role(const struct redis_login *login)
{
    return !(login->refused & 1U << STEP_CLUSTER);
}

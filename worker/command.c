/*
 * See command.h. Commands are pipelined: hiredis answers in the order of asking, so a connection's
 * requests keep theirs. A request that waits when the link fails is answered with
 * `unavailable`: whether Redis has stored it is then unknown, and nothing is pretended.
 */
#include "worker/command.h"

#include "common/clock.h"
#include "common/log.h"
#include "worker/outbox.h"
#include "worker/requests.h"
#include "worker/resolve.h"

#include <arpa/inet.h>
#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

enum {
    RETRY_MS = 1000,
    WAITING_MAX = 10000 /* requests without an answer; more are refused */
};

struct command {
    redisAsyncContext *redis; /* NULL: not connected */
    struct event *retry;
    int fd;
    uint32_t waiting;
    bool ready; /* connected and logged in */
};

static void retry_later(struct worker *worker)
{
    event_add(worker->command->retry, &(struct timeval){RETRY_MS / 1000, 0});
}

/* hiredis frees the context behind this call. */
static void gone(struct worker *worker)
{
    struct command *command = worker->command;
    slot_aux_remove(worker->slot, command->fd);
    command->redis = NULL;
    command->ready = false;
    retry_later(worker);
}

static void on_disconnect(const redisAsyncContext *redis, int status)
{
    (void)status;
    gone(redis->data);
}

static void on_connect(const redisAsyncContext *redis, int status)
{
    if (status != REDIS_OK)
        gone(redis->data);
}

/* A refused login shows in the subscription link's log, too; here it only must not count as ready.
 */
static void on_login(redisAsyncContext *redis, void *reply, void *data)
{
    struct worker *worker = redis->data;
    const redisReply *answer = reply;
    (void)data;
    if (answer)
        worker->command->ready = answer->type != REDIS_REPLY_ERROR;
}

static void log_in(struct worker *worker, redisAsyncContext *redis)
{
    const struct redis_address *address = &worker->config->redis_at;
    if (address->password && address->user)
        redisAsyncCommand(redis, NULL, NULL, "AUTH %s %s", address->user, address->password);
    else if (address->password)
        redisAsyncCommand(redis, NULL, NULL, "AUTH %s", address->password);
    redisAsyncCommand(redis, on_login, NULL, "SELECT %u", address->db);
}

static redisAsyncContext *connect_async(const struct sockaddr *addr)
{
    char host[INET6_ADDRSTRLEN];
    if (addr->sa_family == AF_UNIX)
        return redisAsyncConnectUnix(((const struct sockaddr_un *)addr)->sun_path);
    if (addr->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)addr;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        return redisAsyncConnect(host, ntohs(in->sin_port));
    }
    const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)addr;
    inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof(host));
    return redisAsyncConnect(host, ntohs(in->sin6_port));
}

static void connect_to(struct worker *worker, const struct sockaddr *addr, socklen_t len,
                       const char *why)
{
    struct command *command = worker->command;
    redisAsyncContext *redis = addr ? connect_async(addr) : NULL;
    (void)len, (void)why;
    if (!redis || redis->err || slot_aux_add(worker->slot, redis->c.fd) == -1) {
        if (redis)
            redisAsyncFree(redis);
        retry_later(worker);
        return;
    }
    redis->data = worker;
    command->redis = redis;
    command->fd = redis->c.fd;
    redisLibeventAttach(redis, worker->base);
    redisAsyncSetConnectCallback(redis, on_connect);
    redisAsyncSetDisconnectCallback(redis, on_disconnect);
    log_in(worker, redis);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    struct worker *worker = arg;
    (void)fd, (void)what;
    resolve(worker, &worker->config->redis_at, connect_to);
}

struct command *command_open(struct worker *worker)
{
    struct command *command = calloc(1, sizeof(*command));
    if (!command)
        return NULL;
    worker->command = command;
    command->retry = event_new(worker->base, -1, 0, on_retry, worker);
    if (!command->retry)
        return NULL;
    event_add(command->retry, &(struct timeval){0, 0});
    return command;
}

void command_probe(struct worker *worker)
{
    if (!worker->command->ready)
        return;
    redisAsyncCommand(worker->command->redis, NULL, NULL, "PUBLISH %sprobe:%08x 1",
                      worker->config->prefix, worker->segment->header->boot_id);
}

/* ---- Requests of clients ---- */

/* A request that Redis has not answered yet. */
struct asked {
    struct conn_ref ref;
    uint32_t op;
};

static void accepted(struct worker *worker, struct conn *conn, uint32_t op,
                     const redisReply *answer)
{
    char json[128];
    const bool id = answer->type == REDIS_REPLY_STRING && answer->len < 64;
    const int len = id ? snprintf(json, sizeof(json), "{\"op\":%u,\"id\":\"%s\"}", op, answer->str)
                       : snprintf(json, sizeof(json), "{\"op\":%u}", op);
    const struct message message = {.op = OP_ACCEPTED,
                                    .form = PAYLOAD_JSON,
                                    .payload = (const uint8_t *)json,
                                    .len = (size_t)len};
    outbox_reserve(worker, sizeof(json));
    outbox_add(worker, conn, outbox_message(worker, &message, conn_has(conn, CONN_JSON), 0));
}

static void on_answer(redisAsyncContext *redis, void *reply, void *data)
{
    struct worker *worker = redis->data;
    const redisReply *answer = reply;
    struct asked *asked = data;
    struct conn *conn = conn_deref(worker->table, worker->capacity, asked->ref, worker->id);
    worker->command->waiting--;
    if (answer && answer->type == REDIS_REPLY_ERROR) {
        static struct log_limit limit;
        if (log_allow(&limit, 10, NULL))
            log_warn("request_refused_by_redis", "op=%u why=%s", asked->op,
                     log_quote(answer->str, answer->len));
        answer = NULL;
    }
    if (conn && answer)
        accepted(worker, conn, asked->op, answer);
    else if (conn)
        request_refuse(worker, conn, ERROR_UNAVAILABLE, asked->op);
    free(asked);
}

/* The command of a rule: its words, with the request's particulars in between. */
struct words {
    const char *at[20];
    size_t len[20];
    int count;
};

static void word(struct words *words, const void *at, size_t len)
{
    words->at[words->count] = at;
    words->len[words->count++] = len;
}

static void text(struct words *words, const char *at)
{
    word(words, at, strlen(at));
}

/* What a request is on a stream: fields and values; the payload last. */
static void add_fields(struct words *words, const char *const fields[5], const struct conn *conn,
                       const struct message *request)
{
    static const char *const names[] = {"op", "user", "conn", "node", "ts"};
    for (int i = 0; i < 5; i++) {
        text(words, names[i]);
        if (i == 1)
            word(words, conn->user, conn->user_len);
        else
            text(words, fields[i]);
    }
    text(words, "data");
    word(words, request->payload, request->len);
}

void command_request(struct worker *worker, struct conn *conn, const struct opcode_rule *rule,
                     const struct message *request)
{
    struct command *command = worker->command;
    char op[16], name[CONN_NAME_MAX + 1], ts[24];
    struct words words = {0};
    struct asked *asked = malloc(sizeof(*asked));
    if (!asked || !command->ready || command->waiting >= WAITING_MAX) {
        free(asked);
        request_refuse(worker, conn, ERROR_UNAVAILABLE, request->op);
        return;
    }
    *asked = (struct asked){conn_ref(worker->table, conn), request->op};
    snprintf(op, sizeof(op), "%u", request->op);
    snprintf(ts, sizeof(ts), "%llu", (unsigned long long)clock_wall_ms());
    name[conn_name(name, worker->segment->header->boot_id, asked->ref)] = '\0';
    if (rule->target == TARGET_STREAM) {
        text(&words, "XADD");
        text(&words, rule->key);
        text(&words, "*");
        add_fields(&words, (const char *const[]){op, NULL, name, worker->segment->header->node, ts},
                   conn, request);
    } else {
        /* A channel or a list has one value: the payload as it came. */
        text(&words, rule->target == TARGET_CHANNEL ? "PUBLISH" : "RPUSH");
        text(&words, rule->key);
        word(&words, request->payload, request->len);
    }
    command->waiting++;
    if (redisAsyncCommandArgv(command->redis, on_answer, asked, words.count, words.at, words.len) ==
        REDIS_OK)
        return;
    command->waiting--;
    free(asked);
    request_refuse(worker, conn, ERROR_UNAVAILABLE, request->op);
}

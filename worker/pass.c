/*
 * See pass.h. Requests of one connection keep their order: they go over one link, which answers
 * in order.
 */
#include "worker/pass.h"

#include "common/clock.h"
#include "common/log.h"
#include "worker/command.h"
#include "worker/outbox.h"
#include "worker/requests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A request that Redis has not answered yet. */
struct asked {
    struct conn_ref ref;
    uint32_t op;
};

static void accepted(struct worker *worker, struct conn *conn, uint32_t op, const redisReply *reply)
{
    char json[128];
    const bool id = reply->type == REDIS_REPLY_STRING && reply->len < 64;
    const int len = id ? snprintf(json, sizeof(json), "{\"op\":%u,\"id\":\"%s\"}", op, reply->str)
                       : snprintf(json, sizeof(json), "{\"op\":%u}", op);
    const struct message message = {.op = OP_ACCEPTED,
                                    .form = PAYLOAD_JSON,
                                    .payload = (const uint8_t *)json,
                                    .len = (size_t)len};
    outbox_reserve(worker, sizeof(json));
    outbox_add(worker, conn, outbox_message(worker, &message, conn_has(conn, CONN_JSON)));
}

static void log_refusal(const struct asked *asked, const redisReply *reply)
{
    static struct log_limit limit;
    if (log_allow(&limit, 10, NULL))
        log_warn("request_refused_by_redis", "op=%u why=%s", asked->op,
                 log_quote(reply->str, reply->len));
}

static void on_answer(struct worker *worker, const redisReply *reply, void *arg)
{
    struct asked *asked = arg;
    struct conn *conn = conn_deref(worker->table, worker->capacity, asked->ref, worker->id);
    const bool refused = reply && reply->type == REDIS_REPLY_ERROR;
    if (refused)
        log_refusal(asked, reply);
    if (conn && word_state(conn_word(conn)) != CONN_CLOSING) {
        if (reply && !refused)
            accepted(worker, conn, asked->op, reply);
        else
            request_refuse(worker, conn, ERROR_UNAVAILABLE, asked->op);
    }
    free(asked);
}

/* The words of a command. */
struct words {
    const char *at[20];
    size_t len[20];
    int count;
};

static void add(struct words *words, const void *at, size_t len)
{
    words->at[words->count] = at;
    words->len[words->count++] = len;
}

static void add_text(struct words *words, const char *text)
{
    add(words, text, strlen(text));
}

/* The numbers of a request, as text. */
struct particulars {
    char op[16], conn[CONN_NAME_MAX + 1], ts[24];
};

/* XADD key * op N user U conn C node N ts T data ... */
static void stream_words(const struct worker *worker, struct words *words, const char *key,
                         const struct conn *conn, const struct particulars *particulars)
{
    add_text(words, "XADD");
    add_text(words, key);
    add_text(words, "*");
    add_text(words, "op");
    add_text(words, particulars->op);
    add_text(words, "user");
    add(words, conn->user, conn->user_len);
    add_text(words, "conn");
    add_text(words, particulars->conn);
    add_text(words, "node");
    add_text(words, worker->segment->header->node);
    add_text(words, "ts");
    add_text(words, particulars->ts);
    add_text(words, "data");
}

void pass_request(struct worker *worker, struct conn *conn, const struct opcode_rule *rule,
                  const struct message *request)
{
    struct particulars particulars;
    struct words words = {.count = 0};
    struct asked *asked = malloc(sizeof(*asked));
    if (!asked)
        abort();
    *asked = (struct asked){conn_ref(worker->table, conn), request->op};
    snprintf(particulars.op, sizeof(particulars.op), "%u", request->op);
    snprintf(particulars.ts, sizeof(particulars.ts), "%llu", (unsigned long long)clock_wall_ms());
    particulars.conn[conn_name(particulars.conn, worker->segment->header->boot_id, asked->ref)] =
        '\0';
    if (rule->target == TARGET_STREAM) {
        stream_words(worker, &words, rule->key, conn, &particulars);
    } else {
        /* A channel or a list has one value for a request: the payload as it came. */
        add_text(&words, rule->target == TARGET_CHANNEL ? "PUBLISH" : "RPUSH");
        add_text(&words, rule->key);
    }
    add(&words, request->payload, request->len);
    if (command_send(worker, words.count, words.at, words.len, on_answer, asked) == 0)
        return;
    free(asked);
    request_refuse(worker, conn, ERROR_UNAVAILABLE, request->op);
}

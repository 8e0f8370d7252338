/*
 * See pass.h. Requests of one connection keep their order, because they use one link, which answers
 * in order. Until its reply a forwarded request has a place among the connection's answers
 * (answers.h).
 */
#include "worker/pass.h"

#include "common/clock.h"
#include "common/log.h"
#include "worker/answers.h"
#include "worker/command.h"
#include "worker/requests.h"

#include <stdio.h>
#include <string.h>

static void pass_answer_accepted(struct worker *worker, struct place *place,
                                 const redisReply *reply)
{
    char json[128];
    const uint32_t op = answers_op(place);
    const bool id = reply->type == REDIS_REPLY_STRING && reply->len < 64;
    const int len = id ? snprintf(json, sizeof(json), "{\"op\":%u,\"id\":\"%s\"}", op, reply->str)
                       : snprintf(json, sizeof(json), "{\"op\":%u}", op);
    const struct message message = {.op = OP_ACCEPTED,
                                    .form = PAYLOAD_JSON,
                                    .payload = (const uint8_t *)json,
                                    .len = (size_t)len};
    answers_fill(worker, place, &message);
}

static void pass_answer_refused(struct worker *worker, struct place *place, const char *why)
{
    struct request_error error;
    request_error(&error, ERROR_UNAVAILABLE, answers_op(place), why);
    stats_add(&worker->stats->errors_sent, 1);
    answers_fill(worker, place, &error.message);
}

static void pass_log_refusal(const struct place *place, const redisReply *reply)
{
    static struct log_limit limit;
    if (log_allow(&limit, 10, NULL))
        log_warn("request_refused_by_redis", "op=%u why=%s", answers_op(place),
                 log_quote(reply->str, reply->len));
}

static void pass_on_answer(struct worker *worker, const redisReply *reply, void *arg)
{
    struct place *place = arg;
    if (!reply) {
        pass_answer_refused(worker, place, "Redis did not answer: it may have stored the request");
    } else if (reply->type == REDIS_REPLY_ERROR) {
        pass_log_refusal(place, reply);
        pass_answer_refused(worker, place, "Redis refused the request");
    } else {
        pass_answer_accepted(worker, place, reply);
    }
}

/* The arguments of a Redis command; borrowed. */
struct words {
    const char *at[20];
    size_t len[20];
    int count;
};

static void words_add_bytes(struct words *words, const void *at, size_t len)
{
    words->at[words->count] = at;
    words->len[words->count++] = len;
}

static void words_add_text(struct words *words, const char *text)
{
    words_add_bytes(words, text, strlen(text));
}

static size_t words_total_size(const struct words *words)
{
    size_t size = 0;
    for (int i = 0; i < words->count; i++)
        size += words->len[i];
    return size;
}

/* The numbers of a request, as text. */
struct particulars {
    char op[16], conn[CONN_NAME_MAX + 1], ts[24];
};

/* XADD key * op N user U conn C node N ts T data ... */
static void words_of_stream_entry(const struct worker *worker, struct words *words, const char *key,
                                  const struct conn *conn, const struct particulars *particulars)
{
    words_add_text(words, "XADD");
    words_add_text(words, key);
    words_add_text(words, "*");
    words_add_text(words, "op");
    words_add_text(words, particulars->op);
    words_add_text(words, "user");
    words_add_bytes(words, conn->user, conn->user_len);
    words_add_text(words, "conn");
    words_add_text(words, particulars->conn);
    words_add_text(words, "node");
    words_add_text(words, worker->segment->header->node);
    words_add_text(words, "ts");
    words_add_text(words, particulars->ts);
    words_add_text(words, "data");
}

void pass_request(struct worker *worker, struct conn *conn, const struct opcode_rule *rule,
                  const struct message *request)
{
    struct particulars particulars;
    struct words words = {.count = 0};
    const struct conn_ref ref = conn_ref(worker->table, conn);
    snprintf(particulars.op, sizeof(particulars.op), "%u", request->op);
    snprintf(particulars.ts, sizeof(particulars.ts), "%llu", (unsigned long long)clock_wall_ms());
    particulars.conn[conn_name(particulars.conn, worker->segment->header->boot_id, ref)] = '\0';
    if (rule->target == TARGET_STREAM) {
        words_of_stream_entry(worker, &words, rule->key, conn, &particulars);
    } else {
        /* A channel or a list takes one value: the payload unchanged. */
        words_add_text(&words, rule->target == TARGET_CHANNEL ? "PUBLISH" : "RPUSH");
        words_add_text(&words, rule->key);
    }
    words_add_bytes(&words, request->payload, request->len);
    struct place *place = answers_owe(worker, conn, request->op, words_total_size(&words));
    if (!place) {
        request_refuse(worker, conn, ERROR_UNAVAILABLE, request->op,
                       "too many requests wait for Redis; try again");
    } else if (command_send(worker, words.count, words.at, words.len, pass_on_answer, place) ==
               -1) {
        answers_cancel(worker, place);
        request_refuse(worker, conn, ERROR_UNAVAILABLE, request->op,
                       "Redis is unavailable; try again");
    }
}

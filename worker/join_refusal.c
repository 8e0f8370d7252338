/*
 * See join_refusal.h. The names are walked once more for each kind of refusal, which costs nothing
 * as long as none is refused.
 */
#include "worker/join_refusal.h"

#include "proto/topic.h"
#include "worker/answers.h"
#include "worker/checks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAME_WRITTEN_MAX = 6 * TOPIC_MAX + 2, /* bytes of a name in JSON; longer ones are left out */
    SHOWN_MAX = 40,                       /* bytes of a name in the message */
};

/* The verdicts of the current request. Grows to the most. */
static struct {
    uint8_t *at;
    size_t count, size;
} list;

enum error_code verdict_error(enum verdict verdict)
{
    static const enum error_code codes[VERDICT_COUNT] = {
#define VERDICT_ROW(name, code) [name] = (code),
        VERDICTS(VERDICT_ROW)
#undef VERDICT_ROW
    };
    return codes[verdict];
}

void verdicts_begin(void)
{
    list.count = 0;
}

void verdicts_add(enum verdict verdict)
{
    if (list.count == list.size) {
        list.size = list.size ? 2 * list.size : 64;
        list.at = realloc(list.at, list.size);
        if (!list.at)
            abort();
    }
    list.at[list.count++] = (uint8_t)verdict;
}

static enum verdict verdict_of_name(size_t name)
{
    return (enum verdict)list.at[name < list.count ? name : list.count - 1];
}

/* ---- The text of an ERROR ---- */

/* Writes the reason for this verdict. */
static void write_refusal_cause(char *out, size_t size, const struct worker *worker,
                                enum verdict verdict)
{
    const struct config *config = worker->config;
    switch (verdict) {
    case BAD_TOPIC:
        snprintf(out, size, "a name is 1 to %d bytes of UTF-8 without control characters",
                 TOPIC_MAX);
        break;
    case FORBIDDEN:
        snprintf(out, size, "%s",
                 config->topics.count > 0 ? "no pattern of `topics` in push.conf allows it"
                                          : "push.conf has no `topics`");
        break;
    case TOO_MANY:
        snprintf(out, size, "more than %u topics on one connection (max_topics)",
                 config->max_topics);
        break;
    case RATE_LIMITED:
        snprintf(out, size, "more than %u names a second (max_topics)", config->max_topics);
        break;
    case FULL:
        snprintf(out, size, "the server has no room for more topics");
        break;
    case DONE:
    case ALREADY:
    case VERDICT_COUNT:
        snprintf(out, size, "not refused");
        break;
    }
}

/* Writes the message, which names the first refused topic. */
static void write_refusal_message(char why[EXPLAIN_MAX], const struct worker *worker,
                                  enum verdict verdict, const struct json_value *name)
{
    char cause[128];
    size_t len = name->len - 2;
    write_refusal_cause(cause, sizeof(cause), worker, verdict);
    const bool cut = len > SHOWN_MAX;
    for (len = cut ? SHOWN_MAX : len; cut && ((unsigned char)name->at[1 + len] & 0xc0) == 0x80;
         len--)
        ;
    snprintf(why, EXPLAIN_MAX, "topic \"%.*s%s\": %s", (int)len, name->at + 1, cut ? "..." : "",
             cause);
}

/* Appends ,"topics":[...}} with the names that have this verdict, as the client wrote them. */
static void write_refused_topics(FILE *out, enum verdict verdict, const struct json_value *topics)
{
    struct json_value name;
    struct json_walk walk = json_walk_array(topics->at, topics->len);
    const char *comma = "";
    fputs(",\"topics\":[", out);
    for (size_t i = 0; json_next(&walk, NULL, &name); i++) {
        if (verdict_of_name(i) != verdict || name.len > NAME_WRITTEN_MAX)
            continue;
        fprintf(out, "%s%.*s", comma, (int)name.len, name.at);
        comma = ",";
    }
    fputs("]}", out);
}

/* Finds the first name with this verdict. */
static bool find_first_refused(enum verdict verdict, const struct json_value *topics,
                               struct json_value *name)
{
    struct json_walk walk = json_walk_array(topics->at, topics->len);
    for (size_t i = 0; json_next(&walk, NULL, name); i++)
        if (verdict_of_name(i) == verdict)
            return true;
    return false;
}

static void send_sub_refusal(struct worker *worker, struct conn *conn, uint32_t op,
                             enum verdict verdict, const struct json_value *topics)
{
    char why[EXPLAIN_MAX], quoted[6 * EXPLAIN_MAX + 2], *text = NULL;
    size_t len = 0;
    struct json_value first;
    if (!find_first_refused(verdict, topics, &first))
        return;
    write_refusal_message(why, worker, verdict, &first);
    FILE *out = open_memstream(&text, &len);
    if (!out)
        abort();
    fprintf(out, "{\"code\":\"%s\",\"op\":%u,\"message\":%.*s",
            error_code_name(verdict_error(verdict)), op, (int)json_quote(quoted, why, strlen(why)),
            quoted);
    write_refused_topics(out, verdict, topics);
    if (fclose(out) != 0)
        abort();
    const struct message error = {
        .op = OP_ERROR, .form = PAYLOAD_JSON, .payload = (const uint8_t *)text, .len = len};
    stats_add(&worker->stats->errors_sent, 1);
    answers_send(worker, conn, &error);
    free(text);
}

void verdicts_refuse(struct worker *worker, struct conn *conn, uint32_t op,
                     const struct json_value *topics)
{
    for (enum verdict verdict = BAD_TOPIC; verdict < VERDICT_COUNT; verdict++)
        if (list.count > 0 && memchr(list.at, (int)verdict, list.count))
            send_sub_refusal(worker, conn, op, verdict, topics);
}

/* ---- Invalid payloads ---- */

void explain_topics(char why[EXPLAIN_MAX], const struct message *request)
{
    static const char *const known[] = {"topics"};
    const char *text = (const char *)request->payload;
    char shown[64];
    struct json_value name;
    if (!json_valid(text, request->len) || json_walk_object(text, request->len).failed) {
        explain_json(why, text, request->len);
        return;
    }
    const struct json_value topics = check_member(text, request->len, "topics");
    if (topics.type == JSON_TYPE_NONE) {
        explain_missing(why, "topics", text, request->len, &(struct names){known, 1});
        return;
    }
    snprintf(why, EXPLAIN_MAX, "topics must be an array of strings, not %s",
             explain_value(shown, sizeof(shown), &topics));
    struct json_walk walk = json_walk_array(topics.at, topics.len);
    for (size_t i = 0; json_next(&walk, NULL, &name); i++) {
        if (name.type == JSON_TYPE_STRING)
            continue;
        snprintf(why, EXPLAIN_MAX, "topics[%zu] must be a string, not %s", i,
                 explain_value(shown, sizeof(shown), &name));
        return;
    }
}

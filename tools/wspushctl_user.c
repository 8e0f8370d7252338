/*
 * push and kick: each sends one request, whose body is composed here. DATA is sent without changes.
 */
#include "tools/wspushctl_ask.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base64.h"
#include "proto/json.h"
#include "proto/utf8.h"
#include "tools/wspush_input.h"
#include "tools/wspushctl_text.h"

static enum ctl_exit refuse_argument(const char *what, const char *why)
{
    complain("%s: %s", safe_text(what, strlen(what)), why);
    return CTL_USAGE;
}

/* Appends a text as a JSON string. Returns false if it is not UTF-8. */
static bool append_json_string(struct buffer *out, const void *text, size_t len)
{
    if (!utf8_valid(text, len))
        return false;
    const size_t size = json_quote(NULL, text, len);
    json_quote(buffer_space(out, size), text, len);
    buffer_grew(out, size);
    return true;
}

static void append_base64_string(struct buffer *out, const void *bytes, size_t len)
{
    buffer_text(out, "\"");
    buffer_grew(out, base64_encode(buffer_space(out, BASE64_ENCODED(len)), bytes, len));
    buffer_text(out, "\"");
}

/* Appends the payload in the form that the server would detect for a raw push: JSON as `data`,
 * other UTF-8 as `text`, anything else as `b64`. After "text:" it is text even if it is valid JSON.
 */
static void append_payload_member(struct buffer *out, const char *argument, struct buffer *payload)
{
    const bool text = strncmp(argument, "text:", 5) == 0;
    const char *at = buffer_string(payload);
    if (!text && json_valid(at, payload->len)) {
        buffer_text(out, ",\"data\":");
        buffer_append(out, at, payload->len);
    } else if (utf8_valid(at, payload->len)) {
        buffer_text(out, ",\"text\":");
        append_json_string(out, at, payload->len);
    } else {
        buffer_text(out, ",\"b64\":");
        append_base64_string(out, at, payload->len);
    }
}

/* Composes the body of the push. Returns false after printing an error. */
static bool compose_push_body(const struct ctl *ctl, struct buffer *body)
{
    struct buffer payload = {0};
    const char *user = ctl->argument[0], *op = ctl->argument[1], *wrong = NULL;
    uint32_t number;
    buffer_text(body, "{\"user\":");
    if (!append_json_string(body, user, strlen(user)))
        wrong = "is not UTF-8";
    if (wrong || !opcode_parse(op, strlen(op), &number)) {
        refuse_argument(wrong ? user : op,
                        wrong ? wrong : "expected an opcode, a number from 0 to 4294967295");
        return false;
    }
    buffer_format(body, ",\"op\":%u", number);
    if (ctl->arguments > 2) {
        wrong = payload_parse(&payload, ctl->argument[2]);
        if (wrong)
            refuse_argument(ctl->argument[2], wrong);
        else
            append_payload_member(body, ctl->argument[2], &payload);
        buffer_free(&payload);
    }
    buffer_text(body, "}");
    return !wrong;
}

/* Prints what became of the push: ": delivered 2, queued 1, dropped 1 (slow)". */
static void print_push_outcome(json_t *answer)
{
    const char *reason;
    json_t *count;
    printf(": delivered %s", grouped(number_of(answer, "delivered")));
    if (number_of(answer, "queued") > 0)
        printf(", queued %s", grouped(number_of(answer, "queued")));
    json_object_foreach(json_object_get(answer, "dropped"), reason, count)
    {
        if (json_integer_value(count) > 0)
            printf(", dropped %s (%s)", grouped(json_integer_value(count)),
                   safe_text(reason, strlen(reason)));
    }
    const long long unknown = number_of(answer, "nodes") - number_of(answer, "reports");
    if (unknown > 0)
        printf("; %s node%s not reported", grouped(unknown), unknown == 1 ? " has" : "s have");
}

enum ctl_exit ctl_push(const struct ctl *ctl)
{
    struct buffer body = {0};
    struct document answer;
    enum ctl_exit status = CTL_USAGE;
    if (compose_push_body(ctl, &body))
        status = ask_to(ctl, "/api/push", (const char *)body.at, body.len, &answer);
    buffer_free(&body);
    if (status != CTL_DONE)
        return status;
    const bool online = truth_of(answer.json, "online");
    const long long nodes = number_of(answer.json, "nodes");
    if (ctl->options->json) {
        document_print(&answer);
    } else if (online) {
        printf("user %s is %sonline%s on %s node%s", text_of(answer.json, "user"),
               paint(stdout, GREEN), paint(stdout, PLAIN), grouped(nodes), nodes == 1 ? "" : "s");
        print_push_outcome(answer.json);
        putchar('\n');
    } else {
        printf("user %s is %soffline%s\n", text_of(answer.json, "user"), paint(stdout, YELLOW),
               paint(stdout, PLAIN));
    }
    document_free(&answer);
    return online ? CTL_DONE : CTL_OFFLINE;
}

enum ctl_exit ctl_kick(const struct ctl *ctl)
{
    struct buffer body = {0};
    struct document answer;
    buffer_text(&body, "{\"user\":");
    if (!append_json_string(&body, ctl->argument[0], strlen(ctl->argument[0]))) {
        buffer_free(&body);
        return refuse_argument(ctl->argument[0], "is not UTF-8");
    }
    buffer_text(&body, "}");
    const enum ctl_exit status = ask_to(ctl, "/api/kick", (const char *)body.at, body.len, &answer);
    buffer_free(&body);
    if (status != CTL_DONE)
        return status;
    const long long nodes = number_of(answer.json, "nodes");
    if (ctl->options->json)
        document_print(&answer);
    else
        printf("%s node%s told to close every connection of user %s\n", grouped(nodes),
               nodes == 1 ? " is" : "s are", text_of(answer.json, "user"));
    document_free(&answer);
    return CTL_DONE;
}

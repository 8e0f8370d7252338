/*
 * See requests.h. Each system opcode has a handler, by the table in proto/message.h; an opcode of
 * the application has a rule in push.conf.
 */
#include "worker/requests.h"

#include "common/fault.h"
#include "proto/explain.h"
#include "proto/json.h"
#include "proto/json_error.h"
#include "proto/utf8.h"
#include "worker/answers.h"
#include "worker/auth.h"
#include "worker/client.h"
#include "worker/join.h"
#include "worker/last_words.h"
#include "worker/outbox.h"
#include "worker/pass.h"
#include "worker/poison.h"
#include "worker/rates.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WHY_MAX = 240 }; /* bytes of the text in an ERROR */

/* Returns the length of the text, cut between two characters if it is too long. */
static size_t cut_error_text(const char *text)
{
    size_t len = strnlen(text, WHY_MAX + 1);
    if (len <= WHY_MAX)
        return len;
    for (len = WHY_MAX; len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80; len--)
        ;
    return len;
}

void request_error(struct request_error *error, enum error_code code, uint32_t op, const char *why)
{
    const char *text = why ? why : error_code_text(code);
    const int begun =
        snprintf(error->json, sizeof(error->json),
                 "{\"code\":\"%s\",\"op\":%u,\"message\":", error_code_name(code), op);
    size_t len = (size_t)begun + json_quote(error->json + begun, text, cut_error_text(text));
    error->json[len++] = '}';
    error->message = (struct message){
        .op = OP_ERROR, .form = PAYLOAD_JSON, .payload = (const uint8_t *)error->json, .len = len};
}

void request_refuse(struct worker *worker, struct conn *conn, enum error_code code, uint32_t op,
                    const char *why)
{
    struct request_error error;
    request_error(&error, code, op, why);
    stats_add(&worker->stats->errors_sent, 1);
    answers_send(worker, conn, &error.message);
}

/* ---- The system's opcodes ---- */

typedef void request_handler(struct worker *worker, struct conn *conn,
                             const struct message *request);

static void request_on_unknown(struct worker *worker, struct conn *conn,
                               const struct message *request)
{
    char why[96];
    const char *name = system_opcode_name(request->op);
    if (name)
        snprintf(why, sizeof(why), "no such opcode: only the server sends %s", name);
    else
        snprintf(why, sizeof(why), "no such opcode: push.conf does not declare %u", request->op);
    request_refuse(worker, conn, ERROR_UNKNOWN_OPCODE, request->op, why);
}

static void on_ping(struct worker *worker, struct conn *conn, const struct message *request)
{
    struct message pong = *request;
    pong.op = OP_PONG;
    outbox_reserve(worker, pong.len);
    outbox_add(worker, conn, outbox_message(worker, &pong, conn_has(conn, CONN_JSON)));
}

static void on_pong(struct worker *worker, struct conn *conn, const struct message *request)
{
    (void)worker, (void)conn, (void)request; /* any message counts as a sign of life */
}

enum { RENEWALS_A_SECOND = 5 }; /* on one connection: checking a signature costs time */

static void on_auth(struct worker *worker, struct conn *conn, const struct message *request)
{
    static const char json[] = "{\"op\":10}";
    const struct message accepted = {.op = OP_ACCEPTED,
                                     .form = PAYLOAD_JSON,
                                     .payload = (const uint8_t *)json,
                                     .len = sizeof(json) - 1};
    char why[EXPLAIN_MAX];
    if (!rates_allow(worker, conn, OP_AUTH, RENEWALS_A_SECOND)) {
        request_refuse(worker, conn, ERROR_RATE_LIMITED, OP_AUTH,
                       "more than 5 AUTH requests a second on this connection");
        return;
    }
    const int error = auth_renew(worker, conn, request, why);
    if (error < 0)
        answers_send(worker, conn, &accepted);
    else
        request_refuse(worker, conn, (enum error_code)error, OP_AUTH, why);
}

/* The handler of each opcode that clients may send, as its row names it: a row without one does not
 * compile. NULL for those that only the server sends. */
static request_handler *const system_handlers[] = {
#define TO_CLIENT                                NULL
#define TO_SERVER(handler)                       handler
#define EITHER(handler)                          handler
#define SYSTEM_HANDLER(name, number, from, text) [OP_##name] = from,
    SYSTEM_OPCODES(SYSTEM_HANDLER)
#undef SYSTEM_HANDLER
#undef EITHER
#undef TO_SERVER
#undef TO_CLIENT
};

/* ---- The application's opcodes ---- */

/* Returns the index of the first byte that is not UTF-8. */
static size_t find_invalid_utf8(const struct message *request)
{
    uint32_t state = UTF8_ACCEPT;
    size_t i = 0;
    while (i < request->len && (state = utf8_feed(state, request->payload + i, 1)) != UTF8_REJECT)
        i++;
    return i;
}

static void refuse_bad_payload(struct worker *worker, struct conn *conn,
                               const struct opcode_rule *rule, const struct message *request)
{
    char why[EXPLAIN_MAX], error[EXPLAIN_MAX - 64];
    if (rule->payload == KIND_JSON)
        snprintf(
            why, sizeof(why), "the payload is not JSON: %s",
            json_error_text(error, sizeof(error), (const char *)request->payload, request->len));
    else
        snprintf(why, sizeof(why), "the payload is not UTF-8: byte %zu is invalid",
                 find_invalid_utf8(request));
    request_refuse(worker, conn, ERROR_BAD_PAYLOAD, request->op, why);
}

static void refuse_large_payload(struct worker *worker, struct conn *conn,
                                 const struct opcode_rule *rule, const struct message *request)
{
    char why[96];
    snprintf(why, sizeof(why), "the payload has %zu bytes, and opcode %u takes at most %u",
             request->len, request->op, rule->max);
    request_refuse(worker, conn, ERROR_TOO_LARGE, request->op, why);
}

static void refuse_rapid_request(struct worker *worker, struct conn *conn,
                                 const struct opcode_rule *rule)
{
    char why[96];
    snprintf(why, sizeof(why), "more than %u a second with opcode %u on this connection",
             rule->rate, rule->op);
    request_refuse(worker, conn, ERROR_RATE_LIMITED, rule->op, why);
}

static bool payload_fits_rule(const struct opcode_rule *rule, const struct message *request)
{
    const char *text = (const char *)request->payload;
    switch (rule->payload) {
    case KIND_JSON:
        return request->form == PAYLOAD_JSON || json_valid(text, request->len);
    case KIND_UTF8:
        return request->form == PAYLOAD_JSON || request->form == PAYLOAD_TEXT ||
               utf8_valid(text, request->len);
    case KIND_ANY:
        break;
    }
    return true;
}

static void follow_opcode_rule(struct worker *worker, struct conn *conn,
                               const struct opcode_rule *rule, const struct message *request)
{
    if (rule->max > 0 && request->len > rule->max)
        refuse_large_payload(worker, conn, rule, request);
    else if (!payload_fits_rule(rule, request))
        refuse_bad_payload(worker, conn, rule, request);
    else if (rule->rate > 0 && !rates_allow(worker, conn, request->op, rule->rate))
        refuse_rapid_request(worker, conn, rule);
    else if (rule->target == TARGET_ECHO)
        answers_send(worker, conn, request);
    else if (rule->target != TARGET_DROP)
        pass_request(worker, conn, rule, request);
}

bool request_known(const struct worker *worker, uint32_t op)
{
    const size_t count = sizeof(system_handlers) / sizeof(system_handlers[0]);
    if (op < OP_APPLICATION_MIN)
        return op < count && system_handlers[op];
    return config_rule(worker->config, op);
}

/* Counts a request. Clients may send any opcode, so unknown ones share one counter. */
static void count_request(struct worker *worker, uint32_t op, bool known)
{
    stats_add(known ? stats_requests(worker->stats, op) : &worker->stats->requests_other, 1);
}

static void dispatch_by_opcode(struct worker *worker, struct conn *conn,
                               const struct message *request)
{
    const size_t count = sizeof(system_handlers) / sizeof(system_handlers[0]);
    words_op(&worker->slot->words, request->op);
    fault_meet(request->payload, request->len);
    if (request->op < OP_APPLICATION_MIN) {
        request_handler *handler = request->op < count ? system_handlers[request->op] : NULL;
        count_request(worker, request->op, handler);
        (handler ? handler : request_on_unknown)(worker, conn, request);
        return;
    }
    const struct opcode_rule *rule = config_rule(worker->config, request->op);
    count_request(worker, request->op, rule);
    if (rule)
        follow_opcode_rule(worker, conn, rule, request);
    else
        request_on_unknown(worker, conn, request);
}

/* ---- The modes ---- */

static void receive_echo_message(struct worker *worker, struct conn *conn, enum ws_opcode kind,
                                 const uint8_t *bytes, size_t len)
{
    outbox_reserve(worker, len);
    outbox_add(worker, conn, outbox_frame(worker, kind, bytes, len));
}

static void receive_binary_message(struct worker *worker, struct conn *conn, enum ws_opcode kind,
                                   const uint8_t *bytes, size_t len)
{
    struct message request;
    if (kind != WS_BINARY)
        client_close(worker, conn, WS_CLOSE_UNSUPPORTED, "binary messages only", CLOSED_PROTOCOL);
    else if (!message_from_binary(&request, bytes, len))
        request_refuse(worker, conn, ERROR_SHORT_MESSAGE, 0, NULL);
    else
        dispatch_by_opcode(worker, conn, &request);
}

static void receive_json_message(struct worker *worker, struct conn *conn, enum ws_opcode kind,
                                 const uint8_t *bytes, size_t len)
{
    /* Decoded text and base64; grows to the size of the largest message. */
    static uint8_t *decoded;
    static size_t size;
    struct message request;
    if (kind != WS_TEXT) {
        client_close(worker, conn, WS_CLOSE_UNSUPPORTED, "text messages only", CLOSED_PROTOCOL);
        return;
    }
    if (len > size) {
        free(decoded);
        size = len + 4096;
        decoded = malloc(size);
        if (!decoded)
            abort();
    }
    if (message_from_json(&request, (const char *)bytes, len, decoded) == 0) {
        dispatch_by_opcode(worker, conn, &request);
        return;
    }
    char why[EXPLAIN_MAX];
    explain_message(why, (const char *)bytes, len, decoded);
    request_refuse(worker, conn, ERROR_BAD_PAYLOAD, 0, why);
}

void request_received(struct worker *worker, struct conn *conn, enum ws_opcode kind,
                      const uint8_t *bytes, size_t len)
{
    stats_add(&worker->stats->messages_in, 1);
    if (poison_refuses(worker, conn, bytes, len))
        return;
    last_words_message(bytes, len);
    if (conn_has(conn, CONN_ECHO))
        receive_echo_message(worker, conn, kind, bytes, len);
    else if (conn_has(conn, CONN_JSON))
        receive_json_message(worker, conn, kind, bytes, len);
    else
        receive_binary_message(worker, conn, kind, bytes, len);
    last_words_message(NULL, 0);
    words_op(&worker->slot->words, 0);
}

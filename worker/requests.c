/*
 * See requests.h. The system's opcodes have a handler each, by the table in proto/message.h; an
 * application's opcode has a rule in push.conf.
 */
#include "worker/requests.h"

#include "common/fault.h"
#include "proto/json.h"
#include "proto/utf8.h"
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

static void reply(struct worker *worker, struct conn *conn, const struct message *message)
{
    outbox_reserve(worker, message->len);
    outbox_add(worker, conn, outbox_message(worker, message, conn_has(conn, CONN_JSON)));
}

void request_refuse(struct worker *worker, struct conn *conn, enum error_code code, uint32_t op)
{
    char json[256];
    const int len = snprintf(json, sizeof(json), "{\"code\":\"%s\",\"op\":%u,\"message\":\"%s\"}",
                             error_code_name(code), op, error_code_text(code));
    const struct message error = {
        .op = OP_ERROR, .form = PAYLOAD_JSON, .payload = (const uint8_t *)json, .len = (size_t)len};
    stats_add(&worker->stats->errors_sent, 1);
    reply(worker, conn, &error);
}

/* ---- The system's opcodes ---- */

typedef void request_handler(struct worker *worker, struct conn *conn,
                             const struct message *request);

static void on_unknown(struct worker *worker, struct conn *conn, const struct message *request)
{
    request_refuse(worker, conn, ERROR_UNKNOWN_OPCODE, request->op);
}

static void on_ping(struct worker *worker, struct conn *conn, const struct message *request)
{
    struct message pong = *request;
    pong.op = OP_PONG;
    reply(worker, conn, &pong);
}

static void on_pong(struct worker *worker, struct conn *conn, const struct message *request)
{
    (void)worker, (void)conn, (void)request; /* that it came is all that it says */
}

enum { RENEWALS_A_SECOND = 5 }; /* on one connection: a signature costs time to check */

static void on_auth(struct worker *worker, struct conn *conn, const struct message *request)
{
    static const char json[] = "{\"op\":10}";
    const struct message accepted = {.op = OP_ACCEPTED,
                                     .form = PAYLOAD_JSON,
                                     .payload = (const uint8_t *)json,
                                     .len = sizeof(json) - 1};
    if (!rates_allow(worker, conn, OP_AUTH, RENEWALS_A_SECOND)) {
        request_refuse(worker, conn, ERROR_RATE_LIMITED, OP_AUTH);
        return;
    }
    const int error = auth_renew(worker, conn, request);
    if (error < 0)
        reply(worker, conn, &accepted);
    else
        request_refuse(worker, conn, (enum error_code)error, OP_AUTH);
}

static request_handler *const system_handlers[] = {
    [OP_PING] = on_ping,       [OP_PONG] = on_pong,          [OP_AUTH] = on_auth,
    [OP_SUB] = join_requested, [OP_UNSUB] = leave_requested,
};

/* ---- The application's opcodes ---- */

static bool payload_fits(const struct opcode_rule *rule, const struct message *request)
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

static void follow_rule(struct worker *worker, struct conn *conn, const struct opcode_rule *rule,
                        const struct message *request)
{
    if (rule->max > 0 && request->len > rule->max)
        request_refuse(worker, conn, ERROR_TOO_LARGE, request->op);
    else if (!payload_fits(rule, request))
        request_refuse(worker, conn, ERROR_BAD_PAYLOAD, request->op);
    else if (rule->rate > 0 && !rates_allow(worker, conn, request->op, rule->rate))
        request_refuse(worker, conn, ERROR_RATE_LIMITED, request->op);
    else if (rule->target == TARGET_ECHO)
        reply(worker, conn, request);
    else if (rule->target != TARGET_DROP)
        pass_request(worker, conn, rule, request);
}

static void dispatch(struct worker *worker, struct conn *conn, const struct message *request)
{
    const size_t count = sizeof(system_handlers) / sizeof(system_handlers[0]);
    words_op(&worker->slot->words, request->op);
    fault_meet(request->payload, request->len);
    if (request->op < OP_APPLICATION_MIN) {
        request_handler *handler = request->op < count ? system_handlers[request->op] : NULL;
        (handler ? handler : on_unknown)(worker, conn, request);
        return;
    }
    const struct opcode_rule *rule = config_rule(worker->config, request->op);
    if (rule)
        follow_rule(worker, conn, rule, request);
    else
        on_unknown(worker, conn, request);
}

/* ---- The modes ---- */

static void in_echo(struct worker *worker, struct conn *conn, enum ws_opcode kind,
                    const uint8_t *bytes, size_t len)
{
    outbox_reserve(worker, len);
    outbox_add(worker, conn, outbox_frame(worker, kind, bytes, len));
}

static void in_binary(struct worker *worker, struct conn *conn, enum ws_opcode kind,
                      const uint8_t *bytes, size_t len)
{
    struct message request;
    if (kind != WS_BINARY)
        client_close(worker, conn, WS_CLOSE_UNSUPPORTED, "binary messages only", CLOSED_PROTOCOL);
    else if (!message_from_binary(&request, bytes, len))
        request_refuse(worker, conn, ERROR_SHORT_MESSAGE, 0);
    else
        dispatch(worker, conn, &request);
}

static void in_json(struct worker *worker, struct conn *conn, enum ws_opcode kind,
                    const uint8_t *bytes, size_t len)
{
    /* Decoded text and base64. Grows to the largest message. */
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
    if (message_from_json(&request, (const char *)bytes, len, decoded) == -1)
        request_refuse(worker, conn, ERROR_BAD_PAYLOAD, 0);
    else
        dispatch(worker, conn, &request);
}

void request_received(struct worker *worker, struct conn *conn, enum ws_opcode kind,
                      const uint8_t *bytes, size_t len)
{
    stats_add(&worker->stats->messages_in, 1);
    if (poison_refuses(worker, conn, bytes, len))
        return;
    last_words_message(bytes, len);
    if (conn_has(conn, CONN_ECHO))
        in_echo(worker, conn, kind, bytes, len);
    else if (conn_has(conn, CONN_JSON))
        in_json(worker, conn, kind, bytes, len);
    else
        in_binary(worker, conn, kind, bytes, len);
    last_words_message(NULL, 0);
    words_op(&worker->slot->words, 0);
}

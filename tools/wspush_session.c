/*
 * A session. Each turn of the loop: bytes move, typed lines are obeyed, the clock is looked at,
 * then every event of the connection is taken. What the end of a connection means is one function,
 * judge. Sends nothing before the server is ready (HELLO), because what is sent earlier may be
 * answered by pushes that do not reach this connection yet; and does not repeat a --send after a
 * reconnect, because a request that was stored twice is worse than one that was not.
 */
#include "tools/wspush_session.h"

#include <stdlib.h>
#include <string.h>

#include "proto/json.h"
#include "proto/message.h"
#include "proto/ws.h"
#include "tools/wspush_print.h"
#include "tools/wspush_retry.h"
#include "tools/wspush_text.h"

enum { OUTPUT_MOST = 1 << 20 };

static void connect_now(struct session *session, uint64_t now_ms)
{
    const struct url *url = &session->options->url;
    print_note("connecting to %s", (const char *)(url->is_unix ? url->host.at : url->authority.at));
    session->retry_at = 0;
    session->has_bye = false;
    conn_open(&session->conn, session->options, now_ms);
}

void session_leave(struct session *session, enum exit_code exit_code, uint64_t now_ms)
{
    if (session->leaving)
        return;
    session->leaving = true;
    session->exit_code = exit_code;
    if (session->conn.state == CONN_CLOSED)
        session->finished = true;
    else
        conn_close(&session->conn, WS_CLOSE_NORMAL, "", now_ms);
}

/* --- sending ---------------------------------------------------------------------------------- */

static void send_message(struct session *session, uint32_t op, const struct buffer *payload)
{
    const struct message message = {.op = op, .payload = payload->at, .len = payload->len};
    struct buffer wire = {0};
    if (session->options->json) {
        char *text = buffer_space(&wire, message_json_bound(message.len));
        buffer_grew(&wire, message_to_json(text, &message));
    } else {
        opcode_put(buffer_space(&wire, OPCODE_SIZE), op);
        buffer_grew(&wire, OPCODE_SIZE);
        buffer_append(&wire, payload->at, payload->len);
    }
    conn_send(&session->conn, session->options->json ? WS_TEXT : WS_BINARY, wire.at, wire.len);
    buffer_free(&wire);
    print_message(SENT, &message);
}

static void send_plain(struct session *session, enum ws_opcode opcode, const char *kind,
                       const struct buffer *payload)
{
    conn_send(&session->conn, opcode, payload->at, payload->len);
    print_plain(SENT, kind, payload->at, payload->len);
}

static void send_due(struct session *session, uint64_t now_ms)
{
    const struct send_list *sends = &session->options->sends;
    for (size_t i = 0; i < sends->count; i++)
        send_message(session, sends->item[i].op, &sends->item[i].payload);
    session->has_sent = true;
    session->send_at = session->options->every > 0 ? now_ms + session->options->every : 0;
}

/* Obeys a command; false where it has to wait until the server is ready. */
static bool obey(struct session *session, const struct command *command, uint64_t now_ms)
{
    const bool sends = command->kind == COMMAND_MESSAGE || command->kind == COMMAND_PING;
    if (sends && !session->ready)
        return false;

    switch (command->kind) {
    case COMMAND_NOTHING:
        break;
    case COMMAND_MISTAKE:
        print_error("%s", command->mistake);
        break;
    case COMMAND_MESSAGE:
        if (session->options->echo)
            send_plain(session, WS_TEXT, "text", &command->payload);
        else
            send_message(session, command->op, &command->payload);
        break;
    case COMMAND_PING:
        send_plain(session, WS_PING, "ping", &command->payload);
        break;
    case COMMAND_CLOSE:
        if (!session->leaving)
            conn_close(&session->conn, command->code, (const char *)command->payload.at, now_ms);
        session_leave(session, EXIT_CLEAN, now_ms);
        break;
    case COMMAND_QUIT:
        session_leave(session, EXIT_CLEAN, now_ms);
        break;
    case COMMAND_HELP:
        commands_describe(stderr);
        break;
    }
    return true;
}

static void obey_lines(struct session *session, uint64_t now_ms)
{
    const char *line;
    bool obeyed = true;
    while (obeyed && !session->leaving && session->conn.out.len < OUTPUT_MOST &&
           (line = input_line(&session->input)) != NULL) {
        struct command command = {0};
        command_parse(&command, line, session->options->echo);
        buffer_string(&command.payload);
        obeyed = obey(session, &command, now_ms);
        buffer_free(&command.payload);
        if (obeyed)
            input_next(&session->input);
    }
}

/* --- receiving -------------------------------------------------------------------------------- */

static void become_ready(struct session *session, uint64_t now_ms)
{
    session->ready = true;
    session->attempt = 0;
    if (session->options->sends.count > 0 && (!session->has_sent || session->options->every > 0))
        session->send_at = now_ms;
}

/* A member of a system message that is a number; false where it is none. */
static bool number_in(const struct message *message, const char *name, uint64_t max, uint64_t *out)
{
    const struct json_value value = json_member((const char *)message->payload, message->len, name);
    return json_uint(&value, max, out);
}

static void take_system_message(struct session *session, const struct message *message,
                                uint64_t now_ms)
{
    uint64_t heartbeat;
    if (message->op == OP_HELLO && !session->ready) {
        /* The server pings after so long a silence; two such and its time for an answer. */
        if (number_in(message, "heartbeat", 3600, &heartbeat))
            session->silence_ms = (2 * heartbeat + 10) * 1000;
        become_ready(session, now_ms);
    } else if (message->op == OP_BYE) {
        session->has_bye = number_in(message, "reconnect_ms", 3600000, &session->bye_ms);
    }
}

/* Reads the frame as a message with an opcode, in the mode agreed on. `scratch` holds what had to
 * be decoded. */
static bool decode(const struct session *session, const struct conn_frame *frame,
                   struct message *message, struct buffer *scratch)
{
    if (session->options->echo)
        return false;
    if (session->options->json)
        return frame->opcode == WS_TEXT &&
               message_from_json(message, (const char *)frame->data, frame->len,
                                 buffer_space(scratch, frame->len)) == 0;
    return frame->opcode == WS_BINARY && message_from_binary(message, frame->data, frame->len);
}

static void take_message(struct session *session, const struct conn_frame *frame, uint64_t now_ms)
{
    const struct options *options = session->options;
    struct message message = {0};
    struct buffer scratch = {0};

    if (options->count > 0 && session->received >= options->count)
        return; /* what comes while the connection is being closed is not asked for any more */
    const bool understood = decode(session, frame, &message, &scratch);
    if (understood) {
        print_message(RECEIVED, &message);
        take_system_message(session, &message, now_ms);
    } else {
        print_plain(RECEIVED, frame->opcode == WS_TEXT ? "text" : "binary", frame->data,
                    frame->len);
    }
    if (!understood || message.op != OP_HELLO)
        session->received++;
    buffer_free(&scratch);
    if (options->timeout > 0 && options->count == 0)
        session->timeout_at = now_ms + options->timeout;
    if (options->count > 0 && session->received == options->count)
        session_leave(session, EXIT_CLEAN, now_ms);
}

/* --- the end of a connection ------------------------------------------------------------------ */

/* What follows from an end: whether trying again may help, and the exit code if it is not done. */
struct verdict {
    bool retry;
    enum exit_code exit_code;
};

static struct verdict judge(const struct session *session)
{
    const struct conn_end *end = &session->conn.end;
    switch (end->kind) {
    case END_UNREACHABLE: /* at the first attempt more likely a wrong address than a short outage */
        return (struct verdict){session->was_open, EXIT_UNCONNECTED};
    case END_UNTRUSTED:
    case END_NOT_WEBSOCKET:
        return (struct verdict){false, EXIT_UNCONNECTED};
    case END_REFUSED:
        return (struct verdict){retry_after_status(end->status), EXIT_UNCONNECTED};
    case END_BY_PEER:
        return (struct verdict){retry_after_close(end->code),
                                end->code == WS_CLOSE_NORMAL ? EXIT_CLEAN : EXIT_CLOSED};
    case END_BY_US:
        return (struct verdict){false, EXIT_CLEAN};
    case END_LOST:
        return (struct verdict){true, EXIT_CLOSED};
    case END_BROKEN:
        return (struct verdict){false, EXIT_CLOSED};
    }
    abort();
}

/* "closed by the server: 4001 kicked: spam" */
static void describe_end(struct buffer *out, struct conn_end *end)
{
    static const char *const words[] = {
        [END_UNREACHABLE] = "could not connect", [END_UNTRUSTED] = "could not connect",
        [END_REFUSED] = "refused by the server", [END_NOT_WEBSOCKET] = "not a server for wspush",
        [END_BY_PEER] = "closed by the server",  [END_BY_US] = "closed",
        [END_LOST] = "connection lost",          [END_BROKEN] = "the server broke the protocol",
    };
    buffer_text(out, words[end->kind]);
    if (end->kind == END_REFUSED)
        buffer_format(out, ": HTTP %d", end->status);
    if (end->kind == END_BY_PEER && end->code == 1005) /* RFC 6455 §7.1.5 */
        buffer_text(out, ": no code given");
    else if (end->kind == END_BY_PEER)
        buffer_format(out, ": %u %s", end->code, ws_close_text(end->code));
    else if (end->kind == END_BROKEN)
        buffer_format(out, ": %u", end->code);
    const char *said = buffer_string(&end->text);
    const bool again = end->kind == END_BY_PEER && strcmp(said, ws_close_text(end->code)) == 0;
    if (end->text.len > 0 && !again)
        buffer_format(out, ": %s", said);
}

static uint64_t retry_delay(struct session *session)
{
    const uint64_t asked = (uint64_t)session->conn.end.retry_after_s * 1000;
    const uint64_t delay = retry_delay_ms(session->attempt++);
    if (session->has_bye)
        return session->bye_ms; /* already spread by the server */
    return delay > asked ? delay : asked;
}

static void take_end(struct session *session, uint64_t now_ms)
{
    const struct verdict verdict = judge(session);
    struct buffer text = {0};

    session->ready = false;
    session->send_at = session->silent_at = session->silence_ms = 0;
    describe_end(&text, &session->conn.end);
    if (session->leaving) {
        session->finished = true;
        print_note("%s", buffer_string(&text));
    } else if (verdict.retry && !session->options->no_reconnect) {
        const uint64_t delay = retry_delay(session);
        session->retry_at = now_ms + delay;
        print_note("%s; reconnecting in %.1f s", buffer_string(&text), (double)delay / 1000);
    } else {
        session->finished = true;
        session->exit_code = verdict.exit_code;
        if (verdict.exit_code == EXIT_CLEAN)
            print_note("%s; not reconnecting", buffer_string(&text));
        else
            print_error("%s; not reconnecting", buffer_string(&text));
    }
    buffer_free(&text);
}

/* --- the loop --------------------------------------------------------------------------------- */

static void take_opened(struct session *session, uint64_t now_ms)
{
    session->was_open = true;
    if (session->options->echo) {
        print_note("connected");
        become_ready(session, now_ms);
    } else {
        print_note("connected, waiting for HELLO");
    }
}

static void take_events(struct session *session, uint64_t now_ms)
{
    struct conn_frame frame;
    enum conn_event event;
    while ((event = conn_next(&session->conn, &frame)) != CONN_NOTHING) {
        if (event == CONN_OPENED)
            take_opened(session, now_ms);
        else if (event == CONN_MESSAGE)
            take_message(session, &frame, now_ms);
        else if (event == CONN_CONTROL)
            print_plain(RECEIVED, frame.opcode == WS_PING ? "ping" : "pong", frame.data, frame.len);
        else
            take_end(session, now_ms);
        if (event != CONN_ENDED && session->silence_ms > 0)
            session->silent_at = now_ms + session->silence_ms;
    }
}

static bool is_due(uint64_t when, uint64_t now_ms)
{
    return when != 0 && now_ms >= when;
}

static void watch_clock(struct session *session, uint64_t now_ms)
{
    if (is_due(session->retry_at, now_ms) && !session->leaving)
        connect_now(session, now_ms);
    if (is_due(session->silent_at, now_ms) && session->conn.state == CONN_OPEN)
        conn_lose(&session->conn, "not even a ping for two heartbeats");
    if (is_due(session->timeout_at, now_ms) && !session->leaving) {
        print_error(session->options->count > 0 ? "timeout: %llu of %llu messages came"
                                                : "timeout: nothing came",
                    (unsigned long long)session->received,
                    (unsigned long long)session->options->count);
        session_leave(session, EXIT_TIMEOUT, now_ms);
    }
    if (is_due(session->send_at, now_ms) && session->ready && !session->leaving)
        send_due(session, now_ms);
}

/* Whether the command line asked for no more than its --send's, and nobody types. */
static bool has_nothing_left(const struct session *session)
{
    const struct options *options = session->options;
    return session->has_sent && session->input.eof && session->input.text.len == 0 &&
           options->every == 0 && options->count == 0 && options->timeout == 0;
}

void session_turn(struct session *session, const struct pollfd fds[SESSION_FDS], uint64_t now_ms)
{
    if (fds[SESSION_STDIN].revents != 0)
        input_read(&session->input);
    conn_drive(&session->conn, fds[SESSION_SOCKET].revents, now_ms);
    take_events(session, now_ms);
    watch_clock(session, now_ms);
    obey_lines(session, now_ms);
    if (has_nothing_left(session))
        session_leave(session, EXIT_CLEAN, now_ms);
    take_events(session, now_ms); /* what watch_clock and obey_lines brought about */
}

void session_open(struct session *session, const struct options *options, uint64_t now_ms)
{
    session->options = options;
    if (options->timeout > 0)
        session->timeout_at = now_ms + options->timeout;
    connect_now(session, now_ms);
    take_events(session, now_ms); /* it may have failed at once */
}

static void sooner(uint64_t *soonest, uint64_t when)
{
    if (when != 0 && (*soonest == 0 || when < *soonest))
        *soonest = when;
}

int session_poll(struct session *session, struct pollfd fds[SESSION_FDS], uint64_t now_ms)
{
    const bool reads = !session->input.eof && session->conn.out.len < OUTPUT_MOST &&
                       input_line(&session->input) == NULL;
    fds[SESSION_STDIN] = (struct pollfd){.fd = reads ? 0 : -1, .events = POLLIN};
    fds[SESSION_SOCKET] =
        (struct pollfd){.fd = conn_fd(&session->conn), .events = conn_poll_events(&session->conn)};
    if (conn_has_pending(&session->conn))
        return 0;

    uint64_t soonest = 0;
    sooner(&soonest, session->conn.deadline_ms);
    sooner(&soonest, session->retry_at);
    sooner(&soonest, session->silent_at);
    if (!session->leaving) {
        sooner(&soonest, session->timeout_at);
        sooner(&soonest, session->send_at);
    }
    if (soonest == 0)
        return -1;
    return soonest <= now_ms ? 0 : (int)(soonest - now_ms);
}

void session_free(struct session *session)
{
    conn_free(&session->conn);
    buffer_free(&session->input.text);
}

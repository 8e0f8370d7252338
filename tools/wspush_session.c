/*
 * A session. Each turn of the loop moves bytes, executes typed lines, checks the clock, then takes
 * every event of the connection. One function decides what the end of a connection means. Sends
 * nothing before the server is ready (HELLO), because the pushes that answer earlier messages may
 * not reach this connection yet. Does not repeat a --send after a reconnect, because a request that
 * was stored twice is worse than one that was not.
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

static void connect_session_now(struct session *session, uint64_t now_ms)
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

static void send_opcode_message(struct session *session, uint32_t op, const struct buffer *payload)
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

static void send_plain_frame(struct session *session, enum ws_opcode opcode, const char *kind,
                             const struct buffer *payload)
{
    conn_send(&session->conn, opcode, payload->at, payload->len);
    print_plain(SENT, kind, payload->at, payload->len);
}

static void send_due_messages(struct session *session, uint64_t now_ms)
{
    const struct send_list *sends = &session->options->sends;
    for (size_t i = 0; i < sends->count; i++)
        send_opcode_message(session, sends->item[i].op, &sends->item[i].payload);
    session->has_sent = true;
    session->send_at = session->options->every > 0 ? now_ms + session->options->every : 0;
}

/* Executes a command. Returns false if it has to wait until the server is ready. */
static bool execute_command(struct session *session, const struct command *command, uint64_t now_ms)
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
            send_plain_frame(session, WS_TEXT, "text", &command->payload);
        else
            send_opcode_message(session, command->op, &command->payload);
        break;
    case COMMAND_PING:
        send_plain_frame(session, WS_PING, "ping", &command->payload);
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

static void execute_typed_lines(struct session *session, uint64_t now_ms)
{
    const char *line;
    bool obeyed = true;
    while (obeyed && !session->leaving && session->conn.out.len < OUTPUT_MOST &&
           (line = input_line(&session->input)) != NULL) {
        struct command command = {0};
        command_parse(&command, line, session->options->echo);
        buffer_string(&command.payload);
        obeyed = execute_command(session, &command, now_ms);
        buffer_free(&command.payload);
        if (obeyed)
            input_next(&session->input);
    }
}

/* --- receiving -------------------------------------------------------------------------------- */

static void mark_session_ready(struct session *session, uint64_t now_ms)
{
    session->ready = true;
    session->attempt = 0;
    if (session->options->sends.count > 0 && (!session->has_sent || session->options->every > 0))
        session->send_at = now_ms;
}

/* Reads a numeric member of a system message. Returns false if it is absent or not a number. */
static bool read_number_member(const struct message *message, const char *name, uint64_t max,
                               uint64_t *out)
{
    const struct json_value value = json_member((const char *)message->payload, message->len, name);
    return json_uint(&value, max, out);
}

static void take_system_message(struct session *session, const struct message *message,
                                uint64_t now_ms)
{
    uint64_t heartbeat;
    if (message->op == OP_HELLO && !session->ready) {
        /* The server pings after this time of silence; allow two intervals and its time for an
         * answer. */
        if (read_number_member(message, "heartbeat", 3600, &heartbeat))
            session->silence_ms = (2 * heartbeat + 10) * 1000;
        mark_session_ready(session, now_ms);
    } else if (message->op == OP_BYE) {
        session->has_bye = read_number_member(message, "reconnect_ms", 3600000, &session->bye_ms);
    }
}

/* Reads the frame as a message with an opcode, in the negotiated mode. `scratch` receives decoded
 * data. */
static bool decode_frame_message(const struct session *session, const struct conn_frame *frame,
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

static void take_message_frame(struct session *session, const struct conn_frame *frame,
                               uint64_t now_ms)
{
    const struct options *options = session->options;
    struct message message = {0};
    struct buffer scratch = {0};

    if (options->count > 0 && session->received >= options->count)
        return; /* messages that arrive while the connection is being closed are ignored */
    const bool understood = decode_frame_message(session, frame, &message, &scratch);
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

/* The consequence of an end: whether a retry may help, and the exit code otherwise. */
struct verdict {
    bool retry;
    enum exit_code exit_code;
};

static struct verdict judge_connection_end(const struct session *session)
{
    const struct conn_end *end = &session->conn.end;
    switch (end->kind) {
    case END_UNREACHABLE: /* at the first attempt a wrong address is more likely than an outage */
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
static void describe_connection_end(struct buffer *out, struct conn_end *end)
{
    static const char *const words[] = {
        [END_UNREACHABLE] = "could not connect",
        [END_UNTRUSTED] = "could not connect",
        [END_REFUSED] = "refused by the server",
        [END_NOT_WEBSOCKET] = "the server does not support this protocol",
        [END_BY_PEER] = "closed by the server",
        [END_BY_US] = "closed",
        [END_LOST] = "connection lost",
        [END_BROKEN] = "the server broke the protocol",
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

static uint64_t choose_retry_delay(struct session *session)
{
    const uint64_t asked = (uint64_t)session->conn.end.retry_after_s * 1000;
    const uint64_t delay = retry_delay_ms(session->attempt++);
    if (session->has_bye)
        return session->bye_ms; /* already randomised by the server */
    return delay > asked ? delay : asked;
}

static void take_connection_end(struct session *session, uint64_t now_ms)
{
    const struct verdict verdict = judge_connection_end(session);
    struct buffer text = {0};

    session->ready = false;
    session->send_at = session->silent_at = session->silence_ms = 0;
    describe_connection_end(&text, &session->conn.end);
    if (session->leaving) {
        session->finished = true;
        print_note("%s", buffer_string(&text));
    } else if (verdict.retry && !session->options->no_reconnect) {
        const uint64_t delay = choose_retry_delay(session);
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

static void take_opened_event(struct session *session, uint64_t now_ms)
{
    session->was_open = true;
    if (session->options->echo) {
        print_note("connected");
        mark_session_ready(session, now_ms);
    } else {
        print_note("connected, waiting for HELLO");
    }
}

static void take_all_events(struct session *session, uint64_t now_ms)
{
    struct conn_frame frame;
    enum conn_event event;
    while ((event = conn_next(&session->conn, &frame)) != CONN_NOTHING) {
        if (event == CONN_OPENED)
            take_opened_event(session, now_ms);
        else if (event == CONN_MESSAGE)
            take_message_frame(session, &frame, now_ms);
        else if (event == CONN_CONTROL)
            print_plain(RECEIVED, frame.opcode == WS_PING ? "ping" : "pong", frame.data, frame.len);
        else
            take_connection_end(session, now_ms);
        if (event != CONN_ENDED && session->silence_ms > 0)
            session->silent_at = now_ms + session->silence_ms;
    }
}

static bool is_time_due(uint64_t when, uint64_t now_ms)
{
    return when != 0 && now_ms >= when;
}

static void watch_session_clock(struct session *session, uint64_t now_ms)
{
    if (is_time_due(session->retry_at, now_ms) && !session->leaving)
        connect_session_now(session, now_ms);
    if (is_time_due(session->silent_at, now_ms) && session->conn.state == CONN_OPEN)
        conn_lose(&session->conn, "nothing received, not even a ping, for two heartbeats");
    if (is_time_due(session->timeout_at, now_ms) && !session->leaving) {
        print_error(session->options->count > 0 ? "timeout: received %llu of %llu messages"
                                                : "timeout: nothing received",
                    (unsigned long long)session->received,
                    (unsigned long long)session->options->count);
        session_leave(session, EXIT_TIMEOUT, now_ms);
    }
    if (is_time_due(session->send_at, now_ms) && session->ready && !session->leaving)
        send_due_messages(session, now_ms);
}

/* True if the command line asked for no more than its --sends, and stdin has ended. */
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
    take_all_events(session, now_ms);
    watch_session_clock(session, now_ms);
    execute_typed_lines(session, now_ms);
    if (has_nothing_left(session))
        session_leave(session, EXIT_CLEAN, now_ms);
    take_all_events(session,
                    now_ms); /* caused by watch_session_clock() and execute_typed_lines() */
}

void session_open(struct session *session, const struct options *options, uint64_t now_ms)
{
    session->options = options;
    if (options->timeout > 0)
        session->timeout_at = now_ms + options->timeout;
    connect_session_now(session, now_ms);
    take_all_events(session, now_ms); /* the connection may have failed immediately */
}

static void choose_sooner_time(uint64_t *soonest, uint64_t when)
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
    choose_sooner_time(&soonest, session->conn.deadline_ms);
    choose_sooner_time(&soonest, session->retry_at);
    choose_sooner_time(&soonest, session->silent_at);
    if (!session->leaving) {
        choose_sooner_time(&soonest, session->timeout_at);
        choose_sooner_time(&soonest, session->send_at);
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

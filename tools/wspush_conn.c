/*
 * One connection. conn_drive() moves bytes, and conn_next() turns them into events: so there are no
 * callbacks, and events have the order of the bytes. Pings are answered and close frames returned
 * here (RFC 6455 §5.5). Refuses messages above 64 MiB and, as the RFC requires of a client, masked
 * frames.
 */
#include "tools/wspush_conn.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>

#include "tools/wspush_opening.h"
#include "tools/wspush_text.h"

enum { READ_SIZE = 65536, OPEN_TIMEOUT_MS = 10000, CLOSE_TIMEOUT_MS = 1000 };

static const struct ws_limits limits = {.max_message = 64 << 20, .masked = false};

static void finish_connection(struct conn *conn, enum end_kind kind)
{
    net_close(&conn->net);
    conn->state = CONN_CLOSED;
    conn->deadline_ms = 0;
    conn->has_ended = true;
    conn->end.kind = kind;
}

static void finish_with_text(struct conn *conn, enum end_kind kind, const char *why)
{
    buffer_text(&conn->end.text, why);
    finish_connection(conn, kind);
}

static void finish_failed_stream(struct conn *conn)
{
    const enum end_kind unopened = conn->net.untrusted ? END_UNTRUSTED : END_UNREACHABLE;
    text_escape(&conn->end.text, conn->net.error, strlen(conn->net.error));
    if (conn->state == CONN_CLOSING)
        finish_connection(conn, END_BY_US);
    else
        finish_connection(conn, conn->state == CONN_OPEN ? END_LOST : unopened);
}

void conn_open(struct conn *conn, const struct options *options, uint64_t now_ms)
{
    conn->options = options;
    conn->state = CONN_CONNECTING;
    conn->deadline_ms = now_ms + OPEN_TIMEOUT_MS;
    conn->rx = (struct ws_rx){0};
    conn->used = 0;
    conn->eof = conn->has_ended = false;
    buffer_clear(&conn->in);
    buffer_clear(&conn->out);
    buffer_clear(&conn->message);
    buffer_clear(&conn->end.text);
    conn->end = (struct conn_end){.text = conn->end.text};
    net_open(&conn->net, &options->url, options->insecure);
    if (conn->net.state == NET_FAILED)
        finish_failed_stream(conn);
}

int conn_fd(const struct conn *conn)
{
    return conn->state == CONN_CLOSED ? -1 : conn->net.fd;
}

short conn_poll_events(const struct conn *conn)
{
    return net_poll_events(&conn->net, conn->out.len > 0);
}

bool conn_has_pending(const struct conn *conn)
{
    return conn->state != CONN_CLOSED && net_has_pending(&conn->net);
}

static void append_masked_frame(struct conn *conn, enum ws_opcode opcode, const void *data,
                                size_t len)
{
    uint8_t header[WS_HEADER_MAX], key[4] = {0};
    /* RFC 6455 §10.3: the key is unpredictable. getrandom(2) does not fail for 4 bytes from an
     * initialised pool; if it did, a zero key would still be well-formed. */
    if (getrandom(key, sizeof(key), 0) != sizeof(key))
        memset(key, 0, sizeof(key));
    buffer_append(&conn->out, header, ws_header_masked(header, opcode, len, key));
    uint8_t *payload = buffer_space(&conn->out, len);
    if (len > 0)
        memcpy(payload, data, len);
    ws_mask(payload, len, key);
    buffer_grew(&conn->out, len);
}

void conn_send(struct conn *conn, enum ws_opcode opcode, const void *data, size_t len)
{
    if (conn->state == CONN_OPEN)
        append_masked_frame(conn, opcode, data, len);
}

static void append_close_frame(struct conn *conn, uint16_t code, const void *reason, size_t len)
{
    uint8_t payload[WS_CONTROL_MAX] = {(uint8_t)(code >> 8), (uint8_t)code};
    if (len > WS_REASON_MAX)
        len = WS_REASON_MAX;
    if (len > 0)
        memcpy(payload + 2, reason, len);
    append_masked_frame(conn, WS_CLOSE, payload, 2 + len);
}

void conn_close(struct conn *conn, uint16_t code, const char *reason, uint64_t now_ms)
{
    if (conn->state == CONN_OPEN) {
        append_close_frame(conn, code, reason, strlen(reason));
        conn->state = CONN_CLOSING;
        conn->deadline_ms = now_ms + CLOSE_TIMEOUT_MS;
    } else if (conn->state != CONN_CLOSED && conn->state != CONN_CLOSING) {
        finish_connection(conn, END_BY_US);
    }
}

static void flush_output(struct conn *conn)
{
    while (conn->out.len > 0) {
        const ssize_t sent = net_write(&conn->net, conn->out.at, conn->out.len);
        if (sent <= 0)
            return;
        buffer_drop(&conn->out, (size_t)sent);
    }
}

static void fill_input(struct conn *conn)
{
    const ssize_t got = net_read(&conn->net, buffer_space(&conn->in, READ_SIZE), READ_SIZE);
    if (got > 0)
        buffer_grew(&conn->in, (size_t)got);
    else if (got == 0)
        conn->eof = true;
}

static void handle_deadline(struct conn *conn)
{
    if (conn->state == CONN_CLOSING)
        finish_connection(conn, END_BY_US);
    else
        finish_with_text(conn, END_UNREACHABLE,
                         conn->state == CONN_CONNECTING
                             ? "the server did not accept the connection within 10 s"
                             : "the server did not answer the handshake within 10 s");
}

void conn_drive(struct conn *conn, short revents, uint64_t now_ms)
{
    if (conn->state == CONN_CLOSED)
        return;
    if (conn->state == CONN_CONNECTING && revents != 0) {
        net_continue(&conn->net);
        if (conn->net.state == NET_READY) {
            conn->state = CONN_OPENING;
            opening_request(conn);
        }
    }
    if (conn->net.state == NET_READY && !conn->eof &&
        ((revents & (POLLIN | POLLHUP | POLLERR)) != 0 || conn->net.tls_wants_write ||
         net_has_pending(&conn->net)))
        fill_input(conn);
    if (conn->net.state == NET_READY)
        flush_output(conn);
    if (conn->net.state == NET_FAILED && conn->in.len == 0)
        finish_failed_stream(conn);
    else if (conn->deadline_ms != 0 && now_ms >= conn->deadline_ms)
        handle_deadline(conn);
}

static enum conn_event next_opening_event(struct conn *conn)
{
    const ssize_t head = opening_answer(conn, conn->eof || conn->net.state == NET_FAILED);
    if (head == 0)
        return CONN_NOTHING;
    if (head < 0) {
        finish_connection(conn, conn->end.kind);
        return CONN_NOTHING; /* conn_next() returns the end */
    }
    conn->used = (size_t)head;
    conn->state = CONN_OPEN;
    conn->deadline_ms = 0;
    return CONN_OPENED;
}

/* Returns the server's close frame with the same code (RFC 6455 §5.5.1), unless it answers ours. */
static void take_close_frame(struct conn *conn, const struct ws_event *event)
{
    const bool ours = conn->state == CONN_CLOSING;
    conn->end.code = event->close_code;
    if (event->len > 2)
        text_escape(&conn->end.text, event->data + 2, event->len - 2);
    if (!ours) {
        append_masked_frame(conn, WS_CLOSE, event->data, event->len < 2 ? 0 : 2);
        flush_output(conn);
    }
    finish_connection(conn, ours ? END_BY_US : END_BY_PEER);
}

static enum conn_event take_control_frame(struct conn *conn, const struct ws_event *event,
                                          struct conn_frame *frame)
{
    if (event->opcode == WS_CLOSE) {
        take_close_frame(conn, event);
        return CONN_NOTHING;
    }
    if (event->opcode == WS_PING)
        conn_send(conn, WS_PONG, event->data, event->len);
    *frame = (struct conn_frame){event->opcode, event->data, event->len};
    return CONN_CONTROL;
}

/* Takes a part of a message. A message that is whole is returned in place. */
static enum conn_event take_data_part(struct conn *conn, const struct ws_event *event,
                                      struct conn_frame *frame)
{
    if (event->first)
        buffer_clear(&conn->message);
    *frame = (struct conn_frame){event->opcode, event->data, event->len};
    if (event->first && event->last)
        return CONN_MESSAGE;
    buffer_append(&conn->message, event->data, event->len);
    frame->data = conn->message.at;
    frame->len = conn->message.len;
    return event->last ? CONN_MESSAGE : CONN_NOTHING;
}

static void fail_protocol(struct conn *conn, uint16_t code)
{
    append_close_frame(conn, code, NULL, 0);
    flush_output(conn);
    conn->end.code = code;
    buffer_text(&conn->end.text, ws_close_text(code));
    finish_connection(conn, END_BROKEN);
}

static enum conn_event next_frame_event(struct conn *conn, struct conn_frame *frame)
{
    while (conn->used < conn->in.len && conn->state != CONN_CLOSED) {
        struct ws_event event;
        enum conn_event found = CONN_NOTHING;
        const ssize_t used = ws_rx_next(&conn->rx, &limits, conn->in.at + conn->used,
                                        conn->in.len - conn->used, &event);
        if (used < 0) {
            fail_protocol(conn, (uint16_t)-used);
            return CONN_NOTHING;
        }
        if (event.kind == WS_EVENT_CONTROL)
            found = take_control_frame(conn, &event, frame);
        else if (event.kind == WS_EVENT_DATA)
            found = take_data_part(conn, &event, frame);
        conn->used += (size_t)used;
        if (found != CONN_NOTHING)
            return found;
    }
    buffer_drop(&conn->in, conn->used);
    conn->used = 0;
    return CONN_NOTHING;
}

/* Ends the connection: the stream has ended, and every earlier event has been returned. */
static void handle_end_of_stream(struct conn *conn)
{
    if (conn->net.state == NET_FAILED)
        finish_failed_stream(conn);
    else if (conn->state == CONN_CLOSING)
        finish_connection(conn, END_BY_US);
    else
        finish_with_text(conn, END_LOST, "the server closed the connection without a close frame");
}

enum conn_event conn_next(struct conn *conn, struct conn_frame *frame)
{
    enum conn_event event = CONN_NOTHING;

    if (conn->state == CONN_OPENING && (conn->in.len > 0 || conn->eof))
        event = next_opening_event(conn);
    else if (conn->state == CONN_OPEN || conn->state == CONN_CLOSING)
        event = next_frame_event(conn, frame);
    if (event != CONN_NOTHING)
        return event;
    if ((conn->state == CONN_OPEN || conn->state == CONN_CLOSING) &&
        (conn->eof || conn->net.state == NET_FAILED))
        handle_end_of_stream(conn);
    if (!conn->has_ended)
        return CONN_NOTHING;
    conn->has_ended = false;
    return CONN_ENDED;
}

void conn_lose(struct conn *conn, const char *why)
{
    finish_with_text(conn, END_LOST, why);
}

void conn_free(struct conn *conn)
{
    net_close(&conn->net);
    buffer_free(&conn->in);
    buffer_free(&conn->out);
    buffer_free(&conn->message);
    buffer_free(&conn->end.text);
}

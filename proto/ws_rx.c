/*
 * The receiving half of the WebSocket codec (RFC 6455 §5). Bytes may be split anywhere: all that a
 * receiver must remember between two reads is struct ws_rx.
 *
 *                    ┌────────────── the frame's last byte ─────────────┐
 *                    ▼                                                  │
 *              ┌───────────┐ 2 bytes ┌────────┐ length ┌──────┐ ┌───────┴────┐
 *              │ between   ├────────▶│ length ├───────▶│ mask ├▶│ in_payload │
 *              │ frames    │         └────────┘        └──────┘ └────────────┘
 *              └───────────┘ header_len says how far the header has come
 *
 * Independently of that, a message may be open: message_op is set by its first frame and cleared by
 * its last. Control frames may come between the frames of a message and leave message_op unchanged.
 *
 * Payload is unmasked in place and returned as it arrives; only a control frame that arrives in
 * parts is collected (at most 125 bytes, in the ws_rx), so that the caller always gets it whole.
 * Each mistake is reported as early as possible, and the first mistake is the one reported, however
 * the bytes were split.
 *
 * It does not assemble messages, does not answer pings, and does not enforce that nothing follows a
 * close frame: the caller stops reading then. The server negotiates no extension, so the reserved
 * bits must be zero.
 */
#include "proto/ws.h"

#include <string.h>

#include "proto/utf8.h"

enum { FIN = 0x80, RESERVED = 0x70, OPCODE = 0x0f, MASKED = 0x80, LENGTH = 0x7f };
enum { CONTROL_BIT = 0x8, LENGTH_16 = 126, LENGTH_64 = 127, HEADER_START = 2, KEY_SIZE = 4 };
enum { CLOSE_CODE_SIZE = 2, NO_CODE = 1005 };

static const bool known_opcode[OPCODE + 1] = {
    [WS_CONTINUATION] = true, [WS_TEXT] = true, [WS_BINARY] = true,
    [WS_CLOSE] = true,        [WS_PING] = true, [WS_PONG] = true,
};

static bool is_control_opcode(uint8_t opcode)
{
    return (opcode & CONTROL_BIT) != 0;
}

/* Collects the header until it has `size` bytes. Returns false if more bytes must be read. */
static bool gather_header_bytes(struct ws_rx *rx, size_t size, const uint8_t *buf, size_t len,
                                size_t *used)
{
    if (rx->header_len >= size)
        return true;
    const size_t missing = size - rx->header_len;
    const size_t there = len - *used;
    const size_t take = missing < there ? missing : there;
    memcpy(rx->header + rx->header_len, buf + *used, take);
    rx->header_len = (uint8_t)(rx->header_len + take);
    *used += take;
    return take == missing;
}

/* True if the first two bytes are allowed now (RFC 6455 §5.1, §5.2, §5.4, §5.5). */
static bool header_start_allowed(const struct ws_rx *rx, const struct ws_limits *limits)
{
    const uint8_t opcode = rx->header[0] & OPCODE;
    const bool masked = (rx->header[1] & MASKED) != 0;

    if ((rx->header[0] & RESERVED) != 0 || !known_opcode[opcode] || masked != limits->masked)
        return false;
    if (is_control_opcode(opcode))
        return (rx->header[0] & FIN) != 0 && (rx->header[1] & LENGTH) <= WS_CONTROL_MAX;
    return (opcode == WS_CONTINUATION) == (rx->message_op != 0);
}

static size_t length_field_size(uint8_t length7)
{
    return length7 == LENGTH_64 ? 8 : length7 == LENGTH_16 ? 2 : 0;
}

/* Returns the length of the payload. The length field must be complete. */
static uint64_t read_payload_length(const uint8_t *header)
{
    const uint8_t length7 = header[1] & LENGTH;
    const size_t size = length_field_size(length7);
    if (size == 0)
        return length7;
    uint64_t length = 0;
    for (size_t i = 0; i < size; i++)
        length = length << 8 | header[HEADER_START + i];
    return length;
}

/* True if the length uses "the minimal number of bytes" and its top bit is 0 (RFC 6455 §5.2). */
static bool length_is_wellformed(uint8_t length7, uint64_t length)
{
    switch (length7) {
    case LENGTH_16:
        return length >= LENGTH_16;
    case LENGTH_64:
        return length > UINT16_MAX && length <= INT64_MAX;
    default:
        return true;
    }
}

/* True if the message stays within the limit. Avoids a sum that could overflow, and stays correct
 * if the limit is lowered in the middle of a message. */
static bool message_fits_limit(const struct ws_rx *rx, const struct ws_limits *limits,
                               uint64_t length)
{
    const uint64_t before = rx->message_op == 0 ? 0 : rx->message;
    return length <= limits->max_message && before <= limits->max_message - length;
}

static void begin_frame_payload(struct ws_rx *rx, uint64_t length, const uint8_t *key)
{
    rx->opcode = rx->header[0] & OPCODE;
    rx->fin = (rx->header[0] & FIN) != 0;
    rx->left = length;
    rx->header_len = 0;
    rx->control_len = 0;
    rx->in_payload = true;
    memcpy(rx->mask, key, KEY_SIZE);
    if (rx->opcode == WS_TEXT || rx->opcode == WS_BINARY) {
        rx->message_op = rx->opcode;
        rx->message = 0;
        rx->utf8 = UTF8_ACCEPT;
    }
}

/* Takes the available bytes of a header. Returns the number of bytes used, or a negated close code.
 */
static ssize_t take_frame_header(struct ws_rx *rx, const struct ws_limits *limits,
                                 const uint8_t *buf, size_t len)
{
    size_t used = 0;
    if (!gather_header_bytes(rx, HEADER_START, buf, len, &used))
        return (ssize_t)used;
    if (!header_start_allowed(rx, limits))
        return -WS_CLOSE_PROTOCOL;

    const uint8_t length7 = rx->header[1] & LENGTH;
    const size_t key_at = HEADER_START + length_field_size(length7);
    if (!gather_header_bytes(rx, key_at, buf, len, &used))
        return (ssize_t)used;
    const uint64_t length = read_payload_length(rx->header);
    if (!length_is_wellformed(length7, length))
        return -WS_CLOSE_PROTOCOL;
    if (!is_control_opcode(rx->header[0] & OPCODE) && !message_fits_limit(rx, limits, length))
        return -WS_CLOSE_TOO_BIG;

    if (gather_header_bytes(rx, key_at + (limits->masked ? KEY_SIZE : 0), buf, len, &used))
        begin_frame_payload(rx, length, rx->header + key_at);
    return (ssize_t)used;
}

/* Unmasks the next `len` bytes of the frame and rotates the key for the bytes that follow. */
static void unmask_frame_bytes(struct ws_rx *rx, const struct ws_limits *limits, uint8_t *data,
                               size_t len)
{
    if (!limits->masked)
        return;
    ws_mask(data, len, rx->mask);
    uint8_t turned[KEY_SIZE];
    for (size_t i = 0; i < KEY_SIZE; i++)
        turned[i] = rx->mask[(len + i) % KEY_SIZE];
    memcpy(rx->mask, turned, KEY_SIZE);
}

/* Subtracts `len` bytes from the frame. Returns true at its end. */
static bool count_frame_bytes(struct ws_rx *rx, size_t len)
{
    rx->left -= len;
    rx->in_payload = rx->left > 0;
    return !rx->in_payload;
}

/* True if a peer may send the code (RFC 6455 §7.4, and 1012 to 1014 of the IANA registry): 1004,
 * 1005, 1006 and 1015 are reserved, and 1016 to 2999 are for future standards. */
static bool close_code_allowed(unsigned code)
{
    if (code >= 3000)
        return code <= 4999;
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}

/* Reads a close frame's payload (RFC 6455 §5.5.1). Returns 0 or a negated close code. */
static ssize_t read_close_payload(struct ws_event *event)
{
    event->close_code = NO_CODE;
    if (event->len == 0)
        return 0;
    if (event->len < CLOSE_CODE_SIZE)
        return -WS_CLOSE_PROTOCOL;
    event->close_code = (uint16_t)(event->data[0] << 8 | event->data[1]);
    if (!close_code_allowed(event->close_code))
        return -WS_CLOSE_PROTOCOL;
    if (!utf8_valid(event->data + CLOSE_CODE_SIZE, event->len - CLOSE_CODE_SIZE))
        return -WS_CLOSE_INVALID;
    return 0;
}

static ssize_t take_control_payload(struct ws_rx *rx, const struct ws_limits *limits, uint8_t *buf,
                                    size_t len, struct ws_event *event)
{
    const size_t take = len < rx->left ? len : (size_t)rx->left;
    unmask_frame_bytes(rx, limits, buf, take);
    const bool ends = count_frame_bytes(rx, take);
    const bool in_pieces = rx->control_len > 0 || !ends;
    if (in_pieces) {
        memcpy(rx->control + rx->control_len, buf, take);
        rx->control_len = (uint8_t)(rx->control_len + take);
    }
    if (!ends)
        return (ssize_t)take;

    event->kind = WS_EVENT_CONTROL;
    event->opcode = (enum ws_opcode)rx->opcode;
    event->data = in_pieces ? rx->control : buf;
    event->len = in_pieces ? rx->control_len : take;
    const ssize_t error = rx->opcode == WS_CLOSE ? read_close_payload(event) : 0;
    return error != 0 ? error : (ssize_t)take;
}

static ssize_t take_data_payload(struct ws_rx *rx, const struct ws_limits *limits, uint8_t *buf,
                                 size_t len, struct ws_event *event)
{
    const size_t take = len < rx->left ? len : (size_t)rx->left;
    const bool first = rx->message == 0;
    unmask_frame_bytes(rx, limits, buf, take);
    rx->message += take;
    const bool last = count_frame_bytes(rx, take) && rx->fin;

    if (rx->message_op == WS_TEXT) {
        rx->utf8 = utf8_feed(rx->utf8, buf, take);
        if (rx->utf8 == UTF8_REJECT || (last && rx->utf8 != UTF8_ACCEPT))
            return -WS_CLOSE_INVALID;
    }
    /* An empty fragment is not reported, unless it ends the message. */
    if (take > 0 || last) {
        *event = (struct ws_event){
            .kind = WS_EVENT_DATA,
            .opcode = (enum ws_opcode)rx->message_op,
            .first = first,
            .last = last,
            .data = buf,
            .len = take,
        };
    }
    if (last)
        rx->message_op = 0;
    return (ssize_t)take;
}

static ssize_t take_frame_payload(struct ws_rx *rx, const struct ws_limits *limits, uint8_t *buf,
                                  size_t len, struct ws_event *event)
{
    return is_control_opcode(rx->opcode) ? take_control_payload(rx, limits, buf, len, event)
                                         : take_data_payload(rx, limits, buf, len, event);
}

/* True if a frame without payload is complete: it needs no byte after its header. */
static bool frame_is_empty(const struct ws_rx *rx)
{
    return rx->in_payload && rx->left == 0;
}

ssize_t ws_rx_next(struct ws_rx *rx, const struct ws_limits *limits, uint8_t *buf, size_t len,
                   struct ws_event *event)
{
    size_t used = 0;
    *event = (struct ws_event){.kind = WS_EVENT_NONE};
    while (event->kind == WS_EVENT_NONE && (used < len || frame_is_empty(rx))) {
        const ssize_t step = rx->in_payload
                                 ? take_frame_payload(rx, limits, buf + used, len - used, event)
                                 : take_frame_header(rx, limits, buf + used, len - used);
        if (step < 0)
            return step;
        used += (size_t)step;
    }
    return (ssize_t)used;
}

bool ws_rx_idle(const struct ws_rx *rx)
{
    return rx->header_len == 0 && !rx->in_payload && rx->message_op == 0;
}

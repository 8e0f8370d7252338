/*
 * Converts messages between their two encodings: an opcode followed by bytes, or a JSON text. The
 * form of a payload is detected only if it is unknown (PAYLOAD_UNKNOWN) and a text is written. A
 * JSON payload is inserted into the text unchanged, without being parsed and printed again.
 *
 * This file does not decide who may send which opcode. An opcode above OP_APPLICATION_MAX in a
 * binary message is passed on: the worker answers it like any unknown one.
 */
#include "proto/message.h"

#include <endian.h>
#include <string.h>

#include "proto/base64.h"
#include "proto/json.h"
#include "proto/members.h"
#include "proto/utf8.h"

const char *system_opcode_name(uint32_t op)
{
    static const char *const names[] = {
#define NAME_ROW(name, number, direction, text) [number] = #name,
        SYSTEM_OPCODES(NAME_ROW)
#undef NAME_ROW
    };
    return op < sizeof names / sizeof names[0] ? names[op] : NULL;
}

static const struct {
    const char *name, *text;
} errors[] = {
#define ERROR_ROW(id, code, message) [ERROR_##id] = {(code), (message)},
    ERROR_CODES(ERROR_ROW)
#undef ERROR_ROW
};

const char *error_code_name(enum error_code code)
{
    return errors[code].name;
}

const char *error_code_text(enum error_code code)
{
    return errors[code].text;
}

void opcode_put(uint8_t out[OPCODE_SIZE], uint32_t op)
{
    op = htobe32(op);
    memcpy(out, &op, OPCODE_SIZE);
}

uint32_t opcode_get(const uint8_t in[OPCODE_SIZE])
{
    uint32_t op;
    memcpy(&op, in, OPCODE_SIZE);
    return be32toh(op);
}

bool message_from_binary(struct message *message, const uint8_t *bytes, size_t len)
{
    if (len < OPCODE_SIZE)
        return false;
    *message = (struct message){.op = opcode_get(bytes),
                                .form = PAYLOAD_UNKNOWN,
                                .payload = bytes + OPCODE_SIZE,
                                .len = len - OPCODE_SIZE};
    return true;
}

int message_from_json(struct message *message, const char *text, size_t len, uint8_t *scratch)
{
    struct members members;
    if (!members_collect(&members, text, len))
        return -1;
    return members_message(&members, message, scratch) == PUSH_OK ? 0 : -1;
}

size_t message_json_bound(size_t len)
{
    /* A control character becomes "\u0001": six bytes. sizeof counts the terminator, too. */
    static const char FRAME[] = "{\"op\":4294967295,\"text\":\"\"}";
    return sizeof FRAME + 6 * len;
}

static char *put_text_bytes(char *out, const void *bytes, size_t len)
{
    memcpy(out, bytes, len);
    return out + len;
}

static char *put_decimal_number(char *out, uint32_t number)
{
    char digits[10];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    return put_text_bytes(out, digits + at, sizeof digits - at);
}

/* Detects how an unknown payload can be sent. JSON must be exactly one text: otherwise it could
 * break out of "data", into which it is inserted unchanged. */
static enum payload_form detect_payload_form(const struct message *message)
{
    if (json_valid((const char *)message->payload, message->len))
        return PAYLOAD_JSON;
    return utf8_valid(message->payload, message->len) ? PAYLOAD_TEXT : PAYLOAD_BINARY;
}

static char *put_payload_member(char *out, const struct message *message, enum payload_form form)
{
    const char *payload = (const char *)message->payload;
    switch (form) {
    case PAYLOAD_UNKNOWN:
        break;
    case PAYLOAD_JSON:
        out = put_text_bytes(out, ",\"data\":", 8);
        out = put_text_bytes(out, payload, message->len);
        break;
    case PAYLOAD_TEXT:
        out = put_text_bytes(out, ",\"text\":", 8);
        out += json_quote(out, payload, message->len);
        break;
    case PAYLOAD_BINARY:
        out = put_text_bytes(out, ",\"b64\":\"", 8);
        out += base64_encode(out, payload, message->len);
        *out++ = '"';
        break;
    }
    return out;
}

size_t message_to_json(char *out, const struct message *message)
{
    enum payload_form form = message->form;
    if (message->len == 0 && form == PAYLOAD_JSON)
        form = PAYLOAD_UNKNOWN; /* an empty text is not JSON */
    if (message->len > 0 && form == PAYLOAD_UNKNOWN)
        form = detect_payload_form(message);

    char *at = put_text_bytes(out, "{\"op\":", 6);
    at = put_decimal_number(at, message->op);
    at = put_payload_member(at, message, form);
    *at++ = '}';
    return (size_t)(at - out);
}

/*
 * Makes bytes from outside printable. A terminal obeys escape sequences (ESC, and the C1 controls
 * U+0080 to U+009F), and characters that change the direction of writing deceive a reader ("Trojan
 * Source", CVE-2021-42574): both are printed as escapes. Accepts any bytes.
 */
#include "tools/wspush_text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/utf8.h"

/* Code points that are printed as \uXXXX: from..to. */
static const struct {
    uint32_t from, to;
} hidden[] = {
    {0x0080, 0x009f},   /* C1 controls */
    {0x061c, 0x061c},   /* Arabic letter mark */
    {0x200e, 0x200f},   /* left-to-right and right-to-left mark */
    {0x2028, 0x202e},   /* line and paragraph separator, bidirectional embeddings */
    {0x2060, 0x206f},   /* invisible operators, bidirectional isolates */
    {0xfeff, 0xfeff},   /* byte order mark */
    {0xfff9, 0xfffb},   /* interlinear annotations */
    {0xe0000, 0xe007f}, /* tags */
};

static bool is_hidden_character(uint32_t point)
{
    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
        if (point >= hidden[i].from && point <= hidden[i].to)
            return true;
    }
    return false;
}

/* Returns the length of the code point at `at`, 1 to 4, or 0 if it is not UTF-8. */
static size_t read_code_point(const uint8_t *at, size_t len, uint32_t *point)
{
    const size_t size = at[0] < 0x80 ? 1 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    if (size > len || !utf8_valid(at, size))
        return 0;
    *point = size == 1 ? at[0] : at[0] & (0xffu >> (size + 1));
    for (size_t i = 1; i < size; i++)
        *point = *point << 6 | (at[i] & 0x3f);
    return size;
}

static void escape_control_byte(struct buffer *out, uint8_t byte)
{
    static const char letters[] = {['\t'] = 't', ['\n'] = 'n', ['\r'] = 'r'};
    if (byte < sizeof(letters) && letters[byte] != '\0')
        buffer_format(out, "\\%c", letters[byte]);
    else
        buffer_format(out, "\\x%02x", byte);
}

void text_escape(struct buffer *out, const void *bytes, size_t len)
{
    const uint8_t *at = bytes, *end = at + len;
    while (at < end) {
        uint32_t point = 0;
        const size_t size = read_code_point(at, (size_t)(end - at), &point);
        if (size == 0 || point < ' ' || point == 0x7f)
            escape_control_byte(out, *at);
        else if (is_hidden_character(point))
            buffer_format(out, point > 0xffff ? "\\U%08x" : "\\u%04x", point);
        else
            buffer_append(out, at, size);
        at += size > 0 ? size : 1;
    }
}

void text_payload(struct buffer *out, const void *bytes, size_t len)
{
    if (utf8_valid(bytes, len)) {
        text_escape(out, bytes, len);
        return;
    }
    const uint8_t *at = bytes;
    buffer_text(out, "hex ");
    for (size_t i = 0; i < len && i < HEX_MOST; i++)
        buffer_format(out, "%02x", at[i]);
    if (len > HEX_MOST)
        buffer_format(out, "... and %zu more bytes", len - HEX_MOST);
}

void text_json(struct buffer *out, const struct json_value *value)
{
    if (value->type == JSON_TYPE_NONE)
        return;
    if (value->type != JSON_TYPE_STRING) {
        text_escape(out, value->at, value->len);
        return;
    }
    struct buffer plain = {0};
    char *to = buffer_space(&plain, value->len);
    text_escape(out, to, json_unescape(to, value));
    buffer_free(&plain);
}

struct json_value json_member(const char *text, size_t len, const char *name)
{
    struct json_value found = {.type = JSON_TYPE_NONE}, at, value;
    struct json_walk walk = json_walk_object(text, len);
    while (json_next(&walk, &at, &value)) {
        if (found.type == JSON_TYPE_NONE && json_string_is(&at, name))
            found = value;
    }
    if (walk.failed)
        found.type = JSON_TYPE_NONE;
    return found;
}

/* How a system message is put into words: parts of its payload, each with a text before and after
 * it. A part in thousandths is milliseconds in the payload and seconds in words. Missing parts are
 * omitted; the first one is required. */
struct phrase {
    uint32_t op;
    const char *opening;
    struct {
        const char *member, *before, *after;
        bool milliseconds;
    } piece[6];
};

static const struct phrase phrases[] = {
    {OP_ERROR,
     "refused: ",
     {{"code", "", "", false}, {"op", " (opcode ", ")", false}, {"message", ": ", "", false}}},
    {OP_HELLO,
     "ready: ",
     {{"conn", "connection ", "", false},
      {"user", ", user ", "", false},
      {"node", ", node ", "", false},
      {"heartbeat", ", heartbeat ", " s", false},
      {"server", ", ", "", false}}},
    {OP_GAP,
     "pushes may be missing: ",
     {{"ms", "the server's link to Redis was down for ", " s", true}}},
    {OP_BYE,
     "the server is about to close: ",
     {{"reason", "", "", false},
      {"reconnect_ms", "; the client should reconnect in ", " s", true}}},
};

static void append_phrase_value(struct buffer *out, const struct json_value *value,
                                bool milliseconds)
{
    uint64_t ms;
    if (milliseconds && json_uint(value, UINT32_MAX, &ms))
        buffer_format(out, "%.1f", (double)ms / 1000);
    else
        text_json(out, value);
}

bool text_system_message(struct buffer *out, const struct message *message)
{
    const struct phrase *phrase = NULL;
    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++) {
        if (phrases[i].op == message->op)
            phrase = &phrases[i];
    }
    if (phrase == NULL)
        return false;
    const char *text = (const char *)message->payload;
    if (json_member(text, message->len, phrase->piece[0].member).type == JSON_TYPE_NONE)
        return false;
    buffer_text(out, phrase->opening);
    for (size_t i = 0; phrase->piece[i].member != NULL; i++) {
        const struct json_value value = json_member(text, message->len, phrase->piece[i].member);
        if (value.type == JSON_TYPE_NONE)
            continue;
        buffer_text(out, phrase->piece[i].before);
        append_phrase_value(out, &value, phrase->piece[i].milliseconds);
        buffer_text(out, phrase->piece[i].after);
    }
    return true;
}

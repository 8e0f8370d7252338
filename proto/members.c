/*
 * Turns a JSON object into a message: one walk checks the whole text and collects the members by
 * name, then op and the payload are read from them. Nothing is copied except a text that contains
 * escapes and the bytes of a b64.
 */
#include "proto/members.h"

#include <string.h>

#include "proto/base64.h"

static const struct {
    const char *text;
    size_t len;
} member_name[MEMBER_COUNT] = {
#define MEMBER_ROW(id, text) [MEMBER_##id] = {(text), sizeof(text) - 1},
    MEMBERS(MEMBER_ROW)
#undef MEMBER_ROW
};

static bool string_has_escapes(const struct json_value *string)
{
    return memchr(string->at, '\\', string->len) != NULL;
}

/* Returns the member of this name, or MEMBER_COUNT if it is unknown. A name written with escapes is
 * legal but very rare, so it is compared last. */
static enum member find_member_index(const struct json_value *name)
{
    const char *text = name->at + 1;
    size_t len = name->len - 2;
    for (enum member i = 0; i < MEMBER_COUNT; i++)
        if (member_name[i].len == len && member_name[i].text[0] == text[0] &&
            memcmp(member_name[i].text, text, len) == 0)
            return i;
    if (!string_has_escapes(name))
        return MEMBER_COUNT;
    enum member i = 0;
    while (i < MEMBER_COUNT && !json_string_is(name, member_name[i].text))
        i++;
    return i;
}

bool members_collect(struct members *members, const char *text, size_t len)
{
    struct json_value name, value;
    struct json_walk walk = json_walk_object(text, len);
    for (enum member i = 0; i < MEMBER_COUNT; i++)
        members->value[i].type = JSON_TYPE_NONE;
    members->unknown = 0;
    while (json_next(&walk, &name, &value)) {
        enum member member = find_member_index(&name);
        if (member < MEMBER_COUNT)
            members->value[member] = value;
        else
            members->unknown = 1;
    }
    return !walk.failed;
}

/* True if a number is written as an integer, of any sign and size. */
static bool is_integer_number(const struct json_value *value)
{
    if (value->type != JSON_TYPE_NUMBER)
        return false;
    for (size_t i = 0; i < value->len; i++)
        if (value->at[i] == '.' || value->at[i] == 'e' || value->at[i] == 'E')
            return false;
    return true;
}

static enum push_error read_opcode_member(uint32_t *op, const struct json_value *value)
{
    uint64_t number;
    if (json_uint(value, OP_APPLICATION_MAX, &number)) {
        *op = (uint32_t)number;
        return PUSH_OK;
    }
    return is_integer_number(value) ? PUSH_BAD_OP : PUSH_NO_OP;
}

static bool member_is_present(const struct json_value *value)
{
    return value->type != JSON_TYPE_NONE;
}

static void set_message_payload(struct message *message, enum payload_form form, const void *at,
                                size_t len)
{
    message->form = form;
    message->payload = at;
    message->len = len;
}

static enum push_error read_text_payload(struct message *message, const struct json_value *text,
                                         uint8_t *scratch)
{
    if (text->type != JSON_TYPE_STRING)
        return PUSH_BAD_TEXT;
    if (string_has_escapes(text))
        set_message_payload(message, PAYLOAD_TEXT, scratch, json_unescape((char *)scratch, text));
    else
        set_message_payload(message, PAYLOAD_TEXT, text->at + 1, text->len - 2);
    return PUSH_OK;
}

/* Decodes a b64. Some encoders write "\/" for "/", which is in the base64 alphabet, so escapes are
 * decoded first. */
static enum push_error read_base64_payload(struct message *message, const struct json_value *b64,
                                           uint8_t *scratch)
{
    if (b64->type != JSON_TYPE_STRING)
        return PUSH_BAD_BASE64;
    const char *text = b64->at + 1;
    size_t len = b64->len - 2;
    if (string_has_escapes(b64)) {
        len = json_unescape((char *)scratch, b64);
        text = (const char *)scratch;
    }
    ssize_t decoded = base64_decode(scratch, text, len);
    if (decoded < 0)
        return PUSH_BAD_BASE64;
    set_message_payload(message, PAYLOAD_BINARY, scratch, (size_t)decoded);
    return PUSH_OK;
}

enum push_error members_message(const struct members *members, struct message *message,
                                uint8_t *scratch)
{
    const struct json_value *data = &members->value[MEMBER_DATA];
    const struct json_value *text = &members->value[MEMBER_TEXT];
    const struct json_value *b64 = &members->value[MEMBER_B64];

    enum push_error error = read_opcode_member(&message->op, &members->value[MEMBER_OP]);
    if (error != PUSH_OK)
        return error;
    if (member_is_present(data) + member_is_present(text) + member_is_present(b64) > 1)
        return PUSH_TWO_PAYLOADS;
    if (member_is_present(text))
        return read_text_payload(message, text, scratch);
    if (member_is_present(b64))
        return read_base64_payload(message, b64, scratch);
    if (member_is_present(data))
        set_message_payload(message, PAYLOAD_JSON, data->at, data->len);
    else
        set_message_payload(message, PAYLOAD_UNKNOWN, scratch, 0);
    return PUSH_OK;
}

/*
 * From a JSON object to a message: one walk checks the whole text and collects the members by
 * name, then op and the one payload are read from what was found. Nothing is copied except a text
 * that has escapes and the bytes of a b64.
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

static bool has_escapes(const struct json_value *string)
{
    return memchr(string->at, '\\', string->len) != NULL;
}

/* The member that `name` names, MEMBER_COUNT for an unknown one. That a name is written with
 * escapes is legal and almost never happens: it is looked at only after all else. */
static enum member member_find(const struct json_value *name)
{
    const char *text = name->at + 1;
    size_t len = name->len - 2;
    for (enum member i = 0; i < MEMBER_COUNT; i++)
        if (member_name[i].len == len && member_name[i].text[0] == text[0] &&
            memcmp(member_name[i].text, text, len) == 0)
            return i;
    if (!has_escapes(name))
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
        enum member member = member_find(&name);
        if (member < MEMBER_COUNT)
            members->value[member] = value;
        else
            members->unknown = 1;
    }
    return !walk.failed;
}

/* Whether a number is written as an integer, of any sign and size. */
static bool is_integer(const struct json_value *value)
{
    if (value->type != JSON_TYPE_NUMBER)
        return false;
    for (size_t i = 0; i < value->len; i++)
        if (value->at[i] == '.' || value->at[i] == 'e' || value->at[i] == 'E')
            return false;
    return true;
}

static enum push_error read_op(uint32_t *op, const struct json_value *value)
{
    uint64_t number;
    if (json_uint(value, OP_APPLICATION_MAX, &number)) {
        *op = (uint32_t)number;
        return PUSH_OK;
    }
    return is_integer(value) ? PUSH_BAD_OP : PUSH_NO_OP;
}

static bool is_there(const struct json_value *value)
{
    return value->type != JSON_TYPE_NONE;
}

static void set_payload(struct message *message, enum payload_form form, const void *at, size_t len)
{
    message->form = form;
    message->payload = at;
    message->len = len;
}

static enum push_error read_text(struct message *message, const struct json_value *text,
                                 uint8_t *scratch)
{
    if (text->type != JSON_TYPE_STRING)
        return PUSH_BAD_TEXT;
    if (has_escapes(text))
        set_payload(message, PAYLOAD_TEXT, scratch, json_unescape((char *)scratch, text));
    else
        set_payload(message, PAYLOAD_TEXT, text->at + 1, text->len - 2);
    return PUSH_OK;
}

/* Some encoders write "\/" for "/", which is a letter of base64: escapes are undone first. */
static enum push_error read_base64(struct message *message, const struct json_value *b64,
                                   uint8_t *scratch)
{
    if (b64->type != JSON_TYPE_STRING)
        return PUSH_BAD_BASE64;
    const char *text = b64->at + 1;
    size_t len = b64->len - 2;
    if (has_escapes(b64)) {
        len = json_unescape((char *)scratch, b64);
        text = (const char *)scratch;
    }
    ssize_t decoded = base64_decode(scratch, text, len);
    if (decoded < 0)
        return PUSH_BAD_BASE64;
    set_payload(message, PAYLOAD_BINARY, scratch, (size_t)decoded);
    return PUSH_OK;
}

enum push_error members_message(const struct members *members, struct message *message,
                                uint8_t *scratch)
{
    const struct json_value *data = &members->value[MEMBER_DATA];
    const struct json_value *text = &members->value[MEMBER_TEXT];
    const struct json_value *b64 = &members->value[MEMBER_B64];

    enum push_error error = read_op(&message->op, &members->value[MEMBER_OP]);
    if (error != PUSH_OK)
        return error;
    if (is_there(data) + is_there(text) + is_there(b64) > 1)
        return PUSH_TWO_PAYLOADS;
    if (is_there(text))
        return read_text(message, text, scratch);
    if (is_there(b64))
        return read_base64(message, b64, scratch);
    if (is_there(data))
        set_payload(message, PAYLOAD_JSON, data->at, data->len);
    else
        set_payload(message, PAYLOAD_UNKNOWN, scratch, 0);
    return PUSH_OK;
}

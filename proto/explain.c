/*
 * See explain.h. A table says what each member must be; the value that was found is taken from the
 * text.
 */
#include "proto/explain.h"

#include <stdio.h>
#include <string.h>

#include "proto/envelope_options.h"
#include "proto/json_error.h"
#include "proto/members.h"

enum {
    SHOWN_MAX = 40,  /* longest name or value that is shown, in bytes */
    VALUE_SIZE = 64, /* size of the text that shows one */
};

static const char *const member_names[] = {
#define NAME_ROW(id, text) [MEMBER_##id] = (text),
    MEMBERS(NAME_ROW)
#undef NAME_ROW
        "user",
    "topic", "all" /* only in the body of POST /api/push */
};
enum { NAME_COUNT = sizeof member_names / sizeof member_names[0] };

const struct names envelope_names = {member_names, MEMBER_COUNT};
const struct names push_body_names = {member_names, NAME_COUNT};
const struct names message_names = {member_names, MEMBER_B64 + 1};
_Static_assert(MEMBER_OP == 0 && MEMBER_B64 == 3, "the first four are a message's");

static const char *const must_be[MEMBER_COUNT] = {
    [MEMBER_OP] = "op must be an integer from 0 to 16777215",
    [MEMBER_TEXT] = "text must be a string",
    [MEMBER_B64] = "b64 must be a string",
    [MEMBER_ID] = "id must be a string",
    [MEMBER_TTL] = "ttl must be an integer from 0 to 4294967295",
    [MEMBER_KEY] = "key must be a string of 1 to 128 bytes",
    [MEMBER_CONN] = "conn must be a string",
    [MEMBER_EXCEPT] = "except must be a string",
    [MEMBER_USERS] = "users must be an array of strings",
    [MEMBER_REPORT] = "report must be a ticket from POST /api/push",
};

/* ---- Values and names ---- */

const char *explain_value(char *out, size_t size, const struct json_value *value)
{
    static const char *const kinds[] = {
        [JSON_TYPE_NONE] = "nothing",    [JSON_TYPE_OBJECT] = "an object",
        [JSON_TYPE_ARRAY] = "an array",  [JSON_TYPE_STRING] = "a string",
        [JSON_TYPE_NUMBER] = "a number", [JSON_TYPE_TRUE] = "true",
        [JSON_TYPE_FALSE] = "false",     [JSON_TYPE_NULL] = "null",
    };
    const bool is_scalar = value->type == JSON_TYPE_STRING || value->type == JSON_TYPE_NUMBER;
    if (is_scalar && value->len <= SHOWN_MAX)
        snprintf(out, size, "%.*s", (int)value->len, value->at);
    else if (is_scalar)
        snprintf(out, size, "%s of %zu bytes", kinds[value->type],
                 value->type == JSON_TYPE_STRING ? value->len - 2 : value->len);
    else
        snprintf(out, size, "%s", kinds[value->type]);
    return out;
}

static void explain_member_value(char out[EXPLAIN_MAX], enum member member,
                                 const struct json_value *value)
{
    char shown[VALUE_SIZE];
    explain_value(shown, sizeof shown, value);
    snprintf(out, EXPLAIN_MAX, "%s, not %s", must_be[member], shown);
}

/* Returns the number of bytes to show of a name. A long name is cut between two characters. */
static int shown_name_length(const char *name, size_t len)
{
    if (len <= SHOWN_MAX)
        return (int)len;
    for (len = SHOWN_MAX; len > 0 && ((unsigned char)name[len] & 0xc0) == 0x80; len--)
        ;
    return (int)len;
}

static bool is_known_name(const struct json_value *name, const struct names *known)
{
    for (size_t i = 0; i < known->count; i++)
        if (json_string_is(name, known->at[i]))
            return true;
    return false;
}

bool explain_unknown(char out[EXPLAIN_MAX], const char *text, size_t len, const struct names *known)
{
    struct json_value name, value;
    struct json_walk walk = json_walk_object(text, len);
    while (json_next(&walk, &name, &value)) {
        if (is_known_name(&name, known))
            continue;
        const char *hint = hint_for(name.at + 1, name.len - 2, known);
        snprintf(out, EXPLAIN_MAX, "unknown member \"%.*s\"%s%s%s",
                 shown_name_length(name.at + 1, name.len - 2), name.at + 1,
                 hint ? ": did you mean \"" : "", hint ? hint : "", hint ? "\"" : "");
        return true;
    }
    return false;
}

/* ---- Explanations ---- */

void explain_json(char out[EXPLAIN_MAX], const char *text, size_t len)
{
    struct json_error error;
    if (json_error_find(&error, text, len))
        json_error_text(out, EXPLAIN_MAX, text, len);
    else
        snprintf(out, EXPLAIN_MAX, "not a JSON object");
}

void explain_missing(char out[EXPLAIN_MAX], const char *member, const char *text, size_t len,
                     const struct names *known)
{
    char unknown[EXPLAIN_MAX];
    if (explain_unknown(unknown, text, len, known))
        snprintf(out, EXPLAIN_MAX, "%s is missing; %.200s", member, unknown);
    else
        snprintf(out, EXPLAIN_MAX, "%s is missing", member);
}

static void explain_op_member(char out[EXPLAIN_MAX], const struct members *members,
                              const char *text, size_t len, const struct names *known)
{
    if (members->value[MEMBER_OP].type == JSON_TYPE_NONE)
        explain_missing(out, "op", text, len, known);
    else
        explain_member_value(out, MEMBER_OP, &members->value[MEMBER_OP]);
}

static void explain_payload_count(char out[EXPLAIN_MAX], const struct members *members)
{
    static const enum member payloads[] = {MEMBER_DATA, MEMBER_TEXT, MEMBER_B64};
    const char *found[3] = {"", "", ""};
    size_t count = 0;
    for (size_t i = 0; i < 3; i++)
        if (members->value[payloads[i]].type != JSON_TYPE_NONE)
            found[count++] = member_names[payloads[i]];
    snprintf(out, EXPLAIN_MAX, "%s%s%s and %s: only one of data, text and b64 is allowed", found[0],
             count > 2 ? ", " : "", count > 2 ? found[1] : "", found[count > 2 ? 2 : 1]);
}

static bool is_base64_character(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/' || c == '=';
}

static void explain_base64_member(char out[EXPLAIN_MAX], const struct json_value *b64)
{
    if (b64->type != JSON_TYPE_STRING) {
        explain_member_value(out, MEMBER_B64, b64);
        return;
    }
    for (size_t i = 1; i < b64->len - 1; i++) {
        if (is_base64_character(b64->at[i]) || b64->at[i] == '\\')
            continue;
        snprintf(out, EXPLAIN_MAX, "b64 is not base64: invalid character at byte %zu", i - 1);
        return;
    }
    snprintf(out, EXPLAIN_MAX,
             "b64 is not base64: expected a multiple of 4 characters, padded with =, "
             "found %zu",
             b64->len - 2);
}

/* Explains which element is not a user name. Returns false if `users` is not an array or every
 * element is valid. */
static bool explain_users_element(char out[EXPLAIN_MAX], const struct json_value *users)
{
    struct json_value user;
    char shown[VALUE_SIZE];
    struct json_walk walk = json_walk_array(users->at, users->len);
    for (size_t i = 0; users->type == JSON_TYPE_ARRAY && json_next(&walk, NULL, &user); i++) {
        if (envelope_user_valid(&user))
            continue;
        explain_value(shown, sizeof shown, &user);
        snprintf(out, EXPLAIN_MAX, "users[%zu] must be a string of 1 to 63 bytes, not %s", i,
                 shown);
        return true;
    }
    return false;
}

/* Explains the first invalid option. */
static void explain_wrong_option(char out[EXPLAIN_MAX], const struct members *members)
{
    for (enum member i = MEMBER_ID; i < MEMBER_COUNT; i++) {
        const struct json_value *value = &members->value[i];
        if (envelope_option_valid(i, value))
            continue;
        if (i != MEMBER_USERS || !explain_users_element(out, value))
            explain_member_value(out, i, value);
        return;
    }
    snprintf(out, EXPLAIN_MAX, "users is missing: expected an array of user names");
}

static void explain_envelope_error(char out[EXPLAIN_MAX], enum push_error error, const char *text,
                                   size_t len, const struct names *known)
{
    struct members members;
    if (!members_collect(&members, text, len)) {
        explain_json(out, text, len);
        return;
    }
    switch (error) {
    case PUSH_NO_OP:
    case PUSH_BAD_OP:
        explain_op_member(out, &members, text, len, known);
        break;
    case PUSH_TWO_PAYLOADS:
        explain_payload_count(out, &members);
        break;
    case PUSH_BAD_TEXT:
        explain_member_value(out, MEMBER_TEXT, &members.value[MEMBER_TEXT]);
        break;
    case PUSH_BAD_BASE64:
        explain_base64_member(out, &members.value[MEMBER_B64]);
        break;
    case PUSH_BAD_OPTION:
        explain_wrong_option(out, &members);
        break;
    case PUSH_OK:
    case PUSH_SHORT:
    case PUSH_BAD_JSON:
    case PUSH_ERROR_END:
        snprintf(out, EXPLAIN_MAX, "%s", push_error_text(error));
        break;
    }
}

void explain_push(char out[EXPLAIN_MAX], enum push_error error, const uint8_t *bytes, size_t len)
{
    struct message message;
    if (len > 0 && bytes[0] == '{')
        explain_envelope_error(out, error, (const char *)bytes, len, &envelope_names);
    else if (!message_from_binary(&message, bytes, len))
        snprintf(out, EXPLAIN_MAX,
                 "a raw frame must start with a 4-byte opcode; its length in bytes is %zu", len);
    else if (error == PUSH_BAD_OP)
        snprintf(
            out, EXPLAIN_MAX,
            "a raw frame's opcode must be at most 16777215, not %u; an envelope begins with '{'",
            message.op);
    else
        explain_wrong_option(out, &(struct members){0});
}

void explain_message(char out[EXPLAIN_MAX], const char *text, size_t len, uint8_t *scratch)
{
    struct members members;
    struct message message;
    if (members_collect(&members, text, len))
        explain_envelope_error(out, members_message(&members, &message, scratch), text, len,
                               &message_names);
    else
        explain_json(out, text, len);
}

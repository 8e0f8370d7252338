/*
 * Decodes what a backend published. members_collect() parses an envelope's JSON once; this file
 * then checks the types of the options, so that later code need not. All options are checked even
 * if the push does not use them: a backend's mistake should show at its first push, not at the
 * first push that happens to be affected.
 */
#include "proto/envelope.h"

#include <string.h>

#include "proto/envelope_options.h"
#include "proto/members.h"
#include "proto/report.h"

enum {
    USER_MAX = 63, /* maximum length of a user name, in bytes */
    TEXT_QUOTED_MAX =
        2 + 6 * PUSH_KEY_MAX, /* the longest way to write a key: every byte as \u0041 */
};
_Static_assert((int)USER_MAX < (int)PUSH_KEY_MAX, "no user's name is longer");

static const struct {
    const char *name, *text;
} errors[PUSH_ERROR_END] = {[PUSH_OK] = {"ok", "no error"},
#define ERROR_ROW(id, code, message) [PUSH_##id] = {(code), (message)},
                            PUSH_ERRORS(ERROR_ROW)
#undef ERROR_ROW
};

const char *push_error_name(enum push_error error)
{
    return errors[error].name;
}

const char *push_error_text(enum push_error error)
{
    return errors[error].text;
}

static enum push_error decode_raw_frame(struct push *push, const uint8_t *bytes, size_t len)
{
    if (!message_from_binary(&push->message, bytes, len))
        return PUSH_SHORT;
    return push->message.op <= OP_APPLICATION_MAX ? PUSH_OK : PUSH_BAD_OP;
}

/* Copies a string option to `out`. True if the option is absent or a string. */
static bool take_string_option(struct json_value *out, const struct json_value *value)
{
    if (value->type != JSON_TYPE_STRING)
        return value->type == JSON_TYPE_NONE;
    *out = *value;
    return true;
}

static bool take_ttl_option(uint32_t *ttl, const struct json_value *value)
{
    uint64_t seconds;
    if (!json_uint(value, UINT32_MAX, &seconds))
        return value->type == JSON_TYPE_NONE;
    *ttl = (uint32_t)seconds;
    return true;
}

/* True if the value is a string of 1 to `max` bytes. */
static bool is_string_within(const struct json_value *value, size_t max)
{
    char text[TEXT_QUOTED_MAX];
    if (value->type != JSON_TYPE_STRING || value->len > sizeof(text))
        return false;
    size_t len = value->len - 2;
    if (len > max)
        len = json_unescape(text, value);
    return len >= 1 && len <= max;
}

static bool take_key_option(struct json_value *key, const struct json_value *value)
{
    return value->type == JSON_TYPE_NONE ||
           (is_string_within(value, PUSH_KEY_MAX) && take_string_option(key, value));
}

static bool take_users_option(struct json_value *users, const struct json_value *value)
{
    if (value->type == JSON_TYPE_NONE)
        return true;
    *users = *value;
    struct json_value user;
    struct json_walk walk = json_walk_array(value->at, value->len);
    while (json_next(&walk, NULL, &user))
        if (!is_string_within(&user, USER_MAX))
            return false;
    return !walk.failed;
}

static bool take_report_option(struct json_value *report, const struct json_value *value)
{
    struct report_ticket ticket;
    return value->type == JSON_TYPE_NONE ||
           (take_string_option(report, value) &&
            report_ticket_parse(&ticket, value->at + 1, value->len - 2));
}

static bool take_all_options(struct push *push, const struct members *members)
{
    return take_string_option(&push->conn, &members->value[MEMBER_CONN]) &&
           take_string_option(&push->except, &members->value[MEMBER_EXCEPT]) &&
           take_key_option(&push->key, &members->value[MEMBER_KEY]) &&
           take_ttl_option(&push->ttl, &members->value[MEMBER_TTL]) &&
           take_users_option(&push->users, &members->value[MEMBER_USERS]) &&
           take_report_option(&push->report, &members->value[MEMBER_REPORT]);
}

bool envelope_user_valid(const struct json_value *value)
{
    return is_string_within(value, USER_MAX);
}

bool envelope_option_valid(enum member member, const struct json_value *value)
{
    struct push push;
    switch (member) {
    case MEMBER_ID:
    case MEMBER_CONN:
    case MEMBER_EXCEPT:
        return take_string_option(&push.id, value);
    case MEMBER_KEY:
        return take_key_option(&push.key, value);
    case MEMBER_TTL:
        return take_ttl_option(&push.ttl, value);
    case MEMBER_USERS:
        return take_users_option(&push.users, value);
    case MEMBER_REPORT:
        return take_report_option(&push.report, value);
    case MEMBER_OP:
    case MEMBER_DATA:
    case MEMBER_TEXT:
    case MEMBER_B64:
    case MEMBER_COUNT:
        break;
    }
    return true;
}

static enum push_error decode_envelope_object(struct push *push, const char *text, size_t len,
                                              uint8_t *scratch)
{
    struct members members;
    if (!members_collect(&members, text, len))
        return PUSH_BAD_JSON;
    const bool id = take_string_option(
        &push->id, &members.value[MEMBER_ID]); /* set even if the rest is malformed */
    enum push_error error = members_message(&members, &push->message, scratch);
    if (error != PUSH_OK)
        return error;
    push->unknown = members.unknown;
    return id && take_all_options(push, &members) ? PUSH_OK : PUSH_BAD_OPTION;
}

/* Resets the options of a push; the message is always written as a whole. Only the types are reset,
 * because nothing else of an absent value is read: clearing the whole struct took a sixth of the
 * time of a push. */
static void clear_push_options(struct push *push)
{
    push->conn.type = push->except.type = push->id.type = push->key.type = JSON_TYPE_NONE;
    push->users.type = push->report.type = JSON_TYPE_NONE;
    push->ttl = 0;
    push->unknown = false;
}

enum push_error push_decode(struct push *push, const uint8_t *bytes, size_t len, uint8_t *scratch)
{
    clear_push_options(push);
    if (len > 0 && bytes[0] == '{')
        return decode_envelope_object(push, (const char *)bytes, len, scratch);
    return decode_raw_frame(push, bytes, len);
}

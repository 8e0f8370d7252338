/*
 * See session.h. "user" is a string or an integer, as many frameworks use for their keys; the
 * digits are then the name. Other members belong to the application. Text that starts with '{' is
 * JSON, never a name.
 */
#include "proto/session.h"

#include <string.h>

#include "proto/json.h"

static bool is_json_object(const char *text, size_t len)
{
    size_t i = 0;
    while (i < len && memchr(" \t\r\n", text[i], 4))
        i++;
    return i < len && text[i] == '{';
}

static ssize_t copy_user_name(char *out, size_t max, const char *text, size_t len)
{
    if (len > max)
        return -1;
    if (len > 0)
        memcpy(out, text, len);
    return (ssize_t)len;
}

static ssize_t read_user_member(char *out, size_t max, const struct json_value *user)
{
    char name[512];
    uint64_t number;
    if (user->type == JSON_TYPE_NUMBER && json_uint(user, UINT64_MAX, &number))
        return copy_user_name(out, max, user->at, user->len);
    if (user->type != JSON_TYPE_STRING || user->len > sizeof(name))
        return -1;
    return copy_user_name(out, max, name, json_unescape(name, user));
}

ssize_t session_user(char *out, size_t max, char *text, size_t len)
{
    struct json_value name, value, user = {0};
    if (!is_json_object(text, len))
        return copy_user_name(out, max, text, len);
    json_mask_surrogates(text, len);
    struct json_walk walk = json_walk_object(text, len);
    while (json_next(&walk, &name, &value)) {
        if (!json_string_is(&name, "user"))
            continue;
        if (user.type != JSON_TYPE_NONE)
            return -1; /* two users: ambiguous */
        user = value;
    }
    return walk.failed ? -1 : read_user_member(out, max, &user);
}

/*
 * See checks.h. These texts are rare and small, so each member is searched for separately.
 */
#include "worker/checks.h"

#include "proto/topic.h"
#include "worker/auth.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum {
    CODE_MIN = 3000, /* close codes of applications: RFC 6455 §7.4.2 */
    CODE_MAX = 4999,
    NAME_MAX_BYTES = TOPIC_MAX,
    SHOWN_SIZE = 64,
};
_Static_assert((int)TOPIC_MAX >= (int)USER_MAX, "a buffer for names is large enough for both");

/* A kind of name. */
struct name_kind {
    const char *many; /* "user names" */
    size_t max;
    bool (*valid)(const char *name, size_t len);
};
static const struct name_kind users = {"user names", USER_MAX, auth_user_valid};
static const struct name_kind topics = {"topic names", TOPIC_MAX, topic_name_valid};

struct json_value check_member(const char *text, size_t len, const char *name)
{
    struct json_value found = {.type = JSON_TYPE_NONE}, member, value;
    struct json_walk walk = json_walk_object(text, len);
    while (json_next(&walk, &member, &value))
        if (json_string_is(&member, name))
            found = value;
    return found;
}

ssize_t check_decode(char *out, size_t max, const struct json_value *value)
{
    char name[6 * NAME_MAX_BYTES + 2]; /* every byte may be escaped */
    if (value->type != JSON_TYPE_STRING || value->len > sizeof(name))
        return -1;
    const size_t len = json_unescape(name, value);
    if (len > max)
        return -1;
    memcpy(out, name, len);
    out[len] = '\0';
    return (ssize_t)len;
}

static bool explain_wrong_value(char why[EXPLAIN_MAX], const char *label, const char *wanted,
                                const struct json_value *value)
{
    char shown[SHOWN_SIZE];
    explain_value(shown, sizeof(shown), value);
    snprintf(why, EXPLAIN_MAX, "%s must be %s, not %s", label, wanted, shown);
    return false;
}

static bool check_one_name(char why[EXPLAIN_MAX], const char *label, const struct json_value *value,
                           const struct name_kind *kind)
{
    char name[NAME_MAX_BYTES + 1], wanted[48];
    const ssize_t len = check_decode(name, kind->max, value);
    if (len > 0 && kind->valid(name, (size_t)len))
        return true;
    snprintf(wanted, sizeof(wanted), "a string of 1 to %zu bytes", kind->max);
    if (len <= 0)
        return explain_wrong_value(why, label, wanted, value);
    snprintf(why, EXPLAIN_MAX, "%s must not have control characters", label);
    return false;
}

static bool check_name_array(char why[EXPLAIN_MAX], const char *label,
                             const struct json_value *value, size_t most,
                             const struct name_kind *kind)
{
    char wanted[64], element[32];
    struct json_value name;
    size_t count = 0;
    struct json_walk walk = json_walk_array(value->at, value->len);
    if (most == SIZE_MAX)
        snprintf(wanted, sizeof(wanted), "an array of one or more %s", kind->many);
    else
        snprintf(wanted, sizeof(wanted), "an array of 1 to %zu %s", most, kind->many);
    if (value->type != JSON_TYPE_ARRAY)
        return explain_wrong_value(why, label, wanted, value);
    for (; json_next(&walk, NULL, &name); count++) {
        snprintf(element, sizeof(element), "%s[%zu]", label, count);
        if (!check_one_name(why, element, &name, kind))
            return false;
    }
    if (count >= 1 && count <= most)
        return true;
    snprintf(why, EXPLAIN_MAX, "%s has %zu elements: it must be %s", label, count, wanted);
    return false;
}

bool check_user(char why[EXPLAIN_MAX], const char *label, const struct json_value *value)
{
    return check_one_name(why, label, value, &users);
}

bool check_topic(char why[EXPLAIN_MAX], const char *label, const struct json_value *value)
{
    return check_one_name(why, label, value, &topics);
}

bool check_users(char why[EXPLAIN_MAX], const char *label, const struct json_value *value,
                 size_t most)
{
    return check_name_array(why, label, value, most, &users);
}

bool check_topics(char why[EXPLAIN_MAX], const char *label, const struct json_value *value,
                  size_t most)
{
    return check_name_array(why, label, value, most, &topics);
}

/* True if the string has an escaped U+0000, which jansson rejects when the command is carried
 * out. */
static bool has_nul_escape(const struct json_value *string)
{
    return memmem(string->at, string->len, "\\u0000", 6) != NULL;
}

bool check_kick(char why[EXPLAIN_MAX], const char *text, size_t len)
{
    const struct json_value code = check_member(text, len, "code");
    const struct json_value reason = check_member(text, len, "reason");
    uint64_t number = 0;
    if (code.type != JSON_TYPE_NONE && (!json_uint(&code, CODE_MAX, &number) || number < CODE_MIN))
        return explain_wrong_value(why, "code", "an integer from 3000 to 4999", &code);
    if (reason.type != JSON_TYPE_NONE && reason.type != JSON_TYPE_STRING)
        return explain_wrong_value(why, "reason", "a string", &reason);
    if (reason.type == JSON_TYPE_NONE || !has_nul_escape(&reason))
        return true;
    snprintf(why, EXPLAIN_MAX, "reason must not have U+0000");
    return false;
}

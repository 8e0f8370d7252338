/*
 * The JSON scanner. It reads the text once, from left to right: grammar, UTF-8 and escapes are
 * checked in the same pass that finds where a value ends, and a value is returned as a slice of the
 * text. The open containers are bits of one 64-bit word, not a recursion, so a hostile "[[[[..."
 * costs no more than any other text.
 *
 * It allocates nothing and builds nothing. It does not detect duplicate names, does not normalise,
 * and converts only unsigned integers to values. It refuses what RFC 8259 refuses, and two things
 * that the RFC leaves open: nesting beyond JSON_DEPTH_MAX, and escapes of lone surrogates (section
 * 8.2), which UTF-8 cannot represent.
 */
#include "proto/json.h"

#include <string.h>

#include "proto/json_string.h"

/* The type of a value by its first byte. JSON_TYPE_NONE: no value starts with it. */
static const unsigned char type_of[256] = {
    ['{'] = JSON_TYPE_OBJECT,         ['['] = JSON_TYPE_ARRAY,  ['"'] = JSON_TYPE_STRING,
    ['0' ... '9'] = JSON_TYPE_NUMBER, ['-'] = JSON_TYPE_NUMBER, ['t'] = JSON_TYPE_TRUE,
    ['f'] = JSON_TYPE_FALSE,          ['n'] = JSON_TYPE_NULL,
};

static inline enum json_type value_type_at(const char *at)
{
    return type_of[(unsigned char)*at];
}

static inline const char *skip_json_space(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    return at;
}

/* --- values: each scan_ function takes the first byte of its kind and returns the byte after the
 * value, or NULL if it is invalid --- */

/* Scans one or more digits. */
static const char *scan_number_digits(const char *at, const char *end)
{
    const char *begin = at;
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at > begin ? at : NULL;
}

static const char *scan_number_value(const char *at, const char *end)
{
    if (*at == '-')
        at++;
    at = at < end && *at == '0' ? at + 1 : scan_number_digits(at, end);
    if (at != NULL && at < end && *at == '.')
        at = scan_number_digits(at + 1, end);
    if (at != NULL && at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        at = scan_number_digits(at, end);
    }
    return at;
}

static const char *scan_literal_word(const char *at, const char *end, const char *word, size_t len)
{
    return (size_t)(end - at) >= len && memcmp(at, word, len) == 0 ? at + len : NULL;
}

static const char *scan_scalar_value(const char *at, const char *end)
{
    switch (value_type_at(at)) {
    case JSON_TYPE_STRING:
        return json_string_end(at, end);
    case JSON_TYPE_NUMBER:
        return scan_number_value(at, end);
    case JSON_TYPE_TRUE:
        return scan_literal_word(at, end, "true", 4);
    case JSON_TYPE_FALSE:
        return scan_literal_word(at, end, "false", 5);
    case JSON_TYPE_NULL:
        return scan_literal_word(at, end, "null", 4);
    case JSON_TYPE_NONE:
    case JSON_TYPE_OBJECT:
    case JSON_TYPE_ARRAY:
        break;
    }
    return NULL;
}

/* Scans a member's name and its colon, with the white space around them. */
static inline const char *scan_member_name(const char *at, const char *end, struct json_value *name)
{
    if (at == end || *at != '"')
        return NULL;
    const char *name_end = json_string_end(at, end);
    if (name_end == NULL)
        return NULL;
    *name = (struct json_value){JSON_TYPE_STRING, at, (size_t)(name_end - at)};
    at = skip_json_space(name_end, end);
    return at < end && *at == ':' ? skip_json_space(at + 1, end) : NULL;
}

/*
 * Steps to the next value of a container. *cursor points after the opening bracket (if `first`) or
 * after the last value, and is left at the next value or after the closing bracket.
 */
enum step { STEP_FAILED, STEP_VALUE, STEP_END };

static inline enum step step_to_value(const char **cursor, const char *end, bool object, bool first,
                                      struct json_value *name)
{
    const char *at = skip_json_space(*cursor, end);
    if (at < end && *at == (object ? '}' : ']')) {
        *cursor = at + 1;
        return STEP_END;
    }
    if (!first) {
        if (at == end || *at != ',')
            return STEP_FAILED;
        at = skip_json_space(at + 1, end);
    }
    if (object)
        at = scan_member_name(at, end, name);
    if (at == NULL || at == end)
        return STEP_FAILED;
    *cursor = at;
    return STEP_VALUE;
}

/* Scans any value; `at` is below `end`. Each open container is a bit of `objects`, the innermost
 * the lowest: 1 for an object, 0 for an array. */
static const char *scan_nested_value(const char *at, const char *end)
{
    uint64_t objects = 0;
    unsigned depth = 0;
    struct json_value name;
    _Static_assert(JSON_DEPTH_MAX <= 64, "one bit of `objects` for each level");

    do {
        bool opens = *at == '{' || *at == '[';
        if (opens) {
            if (depth++ == JSON_DEPTH_MAX)
                return NULL;
            objects = objects << 1 | (*at++ == '{');
        } else if ((at = scan_scalar_value(at, end)) == NULL) {
            return NULL;
        }
        enum step step = STEP_END;
        while (depth > 0 &&
               (step = step_to_value(&at, end, objects & 1, opens, &name)) == STEP_END) {
            objects >>= 1;
            depth--;
            opens = false;
        }
        if (step == STEP_FAILED)
            return NULL;
    } while (depth > 0);
    return at;
}

/* --- the interface --- */

bool json_valid(const char *text, size_t len)
{
    const char *end = text + len;
    const char *at = skip_json_space(text, end);
    if (at == end || (at = scan_nested_value(at, end)) == NULL)
        return false;
    return skip_json_space(at, end) == end;
}

static struct json_walk walk_container_begin(const char *text, size_t len, bool array)
{
    const char *end = text + len;
    const char *at = skip_json_space(text, end);
    if (at == end || *at != (array ? '[' : '{'))
        return (struct json_walk){.at = NULL, .end = end, .failed = true, .array = array};
    return (struct json_walk){.at = at + 1, .end = end, .array = array};
}

struct json_walk json_walk_object(const char *text, size_t len)
{
    return walk_container_begin(text, len, false);
}

struct json_walk json_walk_array(const char *text, size_t len)
{
    return walk_container_begin(text, len, true);
}

/* Ends the walk for good, by setting its position to NULL. */
static bool walk_container_end(struct json_walk *walk, bool failed)
{
    walk->at = NULL;
    walk->failed = failed;
    return false;
}

bool json_next(struct json_walk *walk, struct json_value *name, struct json_value *value)
{
    if (walk->at == NULL)
        return false;
    const char *at = walk->at;
    switch (step_to_value(&at, walk->end, !walk->array, !walk->begun, name)) {
    case STEP_FAILED:
        return walk_container_end(walk, true);
    case STEP_END:
        return walk_container_end(walk, skip_json_space(at, walk->end) != walk->end);
    case STEP_VALUE:
        break;
    }
    const char *value_end = scan_nested_value(at, walk->end);
    if (value_end == NULL)
        return walk_container_end(walk, true);
    *value = (struct json_value){value_type_at(at), at, (size_t)(value_end - at)};
    walk->at = value_end;
    walk->begun = true;
    return true;
}

bool json_uint(const struct json_value *number, uint64_t max, uint64_t *out)
{
    if (number->type != JSON_TYPE_NUMBER)
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < number->len; i++) {
        unsigned digit = (unsigned)number->at[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value) || value > max)
            return false;
    }
    *out = value;
    return true;
}

/*
 * The contents of header fields and targets: finding a field, comma-separated lists (RFC 9110
 * §5.6.1), cookies (RFC 6265 §5.4), queries. All functions work on slices of the parsed head, split
 * them at their separators and change nothing; the caller decides what a value means.
 */
#include "proto/http.h"

#include <stdint.h>
#include <string.h>

static bool is_space_or_tab(char byte)
{
    return byte == ' ' || byte == '\t';
}

struct slice slice_trimmed(struct slice s)
{
    while (s.len > 0 && is_space_or_tab(*s.at))
        s = (struct slice){s.at + 1, s.len - 1};
    while (s.len > 0 && is_space_or_tab(s.at[s.len - 1]))
        s.len--;
    return s;
}

/* Lowercases an ASCII letter. Not tolower(), because field names do not depend on the locale. */
static uint8_t lowercase_byte(char byte)
{
    const uint8_t b = (uint8_t)byte;
    return b >= 'A' && b <= 'Z' ? (uint8_t)(b | 0x20) : b;
}

static bool bytes_equal_nocase(const char *a, const char *b, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (lowercase_byte(a[i]) != lowercase_byte(b[i]))
            return false;
    }
    return true;
}

bool slice_equal(struct slice s, const char *text)
{
    return strlen(text) == s.len && (s.len == 0 || memcmp(s.at, text, s.len) == 0);
}

bool slice_equal_nocase(struct slice s, const char *text)
{
    return strlen(text) == s.len && bytes_equal_nocase(s.at, text, s.len);
}

const struct slice *http_header_next(const struct http_request *request, const char *name,
                                     size_t *from)
{
    const size_t len = strlen(name);
    while (*from < request->header_count) {
        const struct http_header *const header = &request->header[(*from)++];
        if (header->name.len == len && bytes_equal_nocase(header->name.at, name, len))
            return &header->value;
    }
    return NULL;
}

const struct slice *http_header_find(const struct http_request *request, const char *name,
                                     size_t *count)
{
    size_t from = 0, found = 0;
    const struct slice *const first = http_header_next(request, name, &from);
    if (count == NULL)
        return first;
    for (const struct slice *at = first; at != NULL; at = http_header_next(request, name, &from))
        found++;
    *count = found;
    return first;
}

struct slice http_host(const struct http_request *request)
{
    const struct slice *const host = http_header_find(request, "Host", NULL);
    if (request->authority.len > 0)
        return request->authority;
    return host ? *host : (struct slice){"", 0};
}

/* Returns the length up to the first comma outside a quoted string, or to the end. */
static size_t list_element_length(struct slice list)
{
    bool quoted = false;
    size_t i = 0;
    for (; i < list.len && (quoted || list.at[i] != ','); i++) {
        if (list.at[i] == '"')
            quoted = !quoted;
        else if (quoted && list.at[i] == '\\' && i + 1 < list.len)
            i++;
    }
    return i;
}

/* Takes `len` bytes and the separator after them from `rest`. */
static struct slice take_list_part(struct slice *rest, size_t len)
{
    const struct slice part = {rest->at, len};
    const size_t used = len < rest->len ? len + 1 : len;
    *rest = (struct slice){rest->at + used, rest->len - used};
    return part;
}

/* Skips empty elements, as RFC 9110 §5.6.1.2 requires. */
bool http_list_next(struct slice *rest, struct slice *element)
{
    while (rest->len > 0) {
        *element = slice_trimmed(take_list_part(rest, list_element_length(*rest)));
        if (element->len > 0)
            return true;
    }
    return false;
}

bool http_list_has(struct slice value, const char *token)
{
    struct slice element;
    while (http_list_next(&value, &element)) {
        if (slice_equal_nocase(element, token))
            return true;
    }
    return false;
}

/* Takes the next name=value from a list. Without '=', *value is empty and *has_value false. */
static void take_name_and_value(struct slice *rest, char separator, struct slice *name,
                                struct slice *value, bool *has_value)
{
    const char *const end = memchr(rest->at, separator, rest->len);
    const struct slice pair =
        take_list_part(rest, end != NULL ? (size_t)(end - rest->at) : rest->len);
    const char *const equals = memchr(pair.at, '=', pair.len);
    *has_value = equals != NULL;
    *name = (struct slice){pair.at, equals != NULL ? (size_t)(equals - pair.at) : pair.len};
    *value = (struct slice){pair.at + pair.len, 0};
    if (equals != NULL)
        *value = (struct slice){equals + 1, pair.len - name->len - 1};
}

bool http_cookie(struct slice cookies, const char *name, struct slice *value)
{
    bool found = false;
    while (cookies.len > 0) {
        struct slice key, text;
        bool has_value;
        take_name_and_value(&cookies, ';', &key, &text, &has_value);
        if (!has_value || !slice_equal(slice_trimmed(key), name))
            continue;
        text = slice_trimmed(text);
        if (text.len >= 2 && text.at[0] == '"' && text.at[text.len - 1] == '"')
            text = (struct slice){text.at + 1, text.len - 2};
        *value = text;
        found = true;
        if (text.len > 0)
            break;
    }
    return found;
}

bool http_query_find(struct slice query, const char *name, struct slice *value)
{
    while (query.len > 0) {
        struct slice key;
        bool has_value;
        take_name_and_value(&query, '&', &key, value, &has_value);
        if (slice_equal(key, name))
            return true;
    }
    return false;
}

/* Returns the value of a hexadecimal digit, or -1. */
static int hex_digit_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    const uint8_t letter = lowercase_byte(digit);
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

ssize_t http_percent_decode(char *out, size_t max, struct slice text)
{
    size_t written = 0;
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.at[i] == '+' ? ' ' : text.at[i];
        if (byte == '%') {
            const int high = text.len - i > 2 ? hex_digit_value(text.at[i + 1]) : -1;
            const int low = high >= 0 ? hex_digit_value(text.at[i + 2]) : -1;
            if (low < 0)
                return -1;
            byte = (char)(high << 4 | low);
            i += 2;
        }
        if (written == max)
            return -1;
        out[written++] = byte;
    }
    return (ssize_t)written;
}

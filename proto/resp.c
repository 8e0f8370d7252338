/*
 * RESP2, parsed in place. The parser keeps no state: when more bytes have arrived it starts again
 * at the first byte of the reply, which is cheap because it skips over bulks without reading them.
 * The only thing that a caller has to remember is *need: calling again before that many bytes are
 * there is useless.
 *
 *   reply    = value | "*" length CRLF { value }
 *   value    = "+" line | "-" line | ":" integer CRLF | "$" length CRLF bytes CRLF
 *
 * It refuses what Redis never sends: lines that do not end in CRLF, lengths with a plus sign or
 * leading zeros, negative lengths other than -1, bulks larger than Redis's own limit of 512 MiB,
 * the types of RESP3. It also refuses what a subscription link never receives: nested arrays, and
 * arrays of more than RESP_ELEMENTS_MAX elements.
 */
#include "proto/resp.h"

#include <string.h>

enum {
    BULK_MAX = 512 * 1024 * 1024, /* proto-max-bulk-len */
    VALUE_MIN = 3,                /* the shortest value: "+\r\n" */
    CRLF_SIZE = 2,
    NULL_LENGTH = -1,
};

/* The result of one step. Errors are negative, as resp_parse() returns them. */
enum outcome { OUTCOME_MORE = 0, OUTCOME_OK = 1 };

struct reader {
    const char *at, *end;
    size_t
        missing; /* with OUTCOME_MORE: minimum number of bytes after `end` that this value needs */
};

static inline int want_more_bytes(struct reader *reader, size_t missing)
{
    reader->missing = missing;
    return OUTCOME_MORE;
}

static int read_line_end(struct reader *reader)
{
    size_t left = (size_t)(reader->end - reader->at);
    if (left >= 1 && reader->at[0] != '\r')
        return RESP_MALFORMED;
    if (left < CRLF_SIZE)
        return want_more_bytes(reader, CRLF_SIZE - left);
    if (reader->at[1] != '\n')
        return RESP_MALFORMED;
    reader->at += CRLF_SIZE;
    return OUTCOME_OK;
}

/* Reads digits up to CRLF, without leading zeros, at most `max`. */
static inline int read_decimal_digits(struct reader *reader, uint64_t max, uint64_t *out)
{
    const char *begin = reader->at, *at = begin;
    uint64_t value = 0;
    for (; at < reader->end && *at >= '0' && *at <= '9'; at++) {
        if (at > begin && value == 0)
            return RESP_MALFORMED;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value) || value > max)
            return RESP_MALFORMED;
    }
    reader->at = at;
    *out = value;
    if (at == begin)
        return at == reader->end ? want_more_bytes(reader, 1 + CRLF_SIZE) : RESP_MALFORMED;
    return read_line_end(reader);
}

/* Reads the length of a bulk or an array: 0 to BULK_MAX, or NULL_LENGTH. */
static inline int read_length_line(struct reader *reader, int64_t *out)
{
    bool minus = reader->at < reader->end && *reader->at == '-';
    if (minus)
        reader->at++;
    uint64_t value = 0;
    int outcome = read_decimal_digits(reader, minus ? 1 : BULK_MAX, &value);
    if (outcome == OUTCOME_OK && minus && value != 1)
        return RESP_MALFORMED;
    *out = minus ? NULL_LENGTH : (int64_t)value;
    return outcome;
}

static int read_integer_value(struct reader *reader, struct resp_value *out)
{
    bool minus = reader->at < reader->end && *reader->at == '-';
    if (reader->at < reader->end && (*reader->at == '-' || *reader->at == '+'))
        reader->at++;
    uint64_t value;
    int outcome = read_decimal_digits(reader, (uint64_t)INT64_MAX + minus, &value);
    if (outcome == OUTCOME_OK)
        *out = (struct resp_value){RESP_INTEGER, NULL, 0, (int64_t)(minus ? 0 - value : value)};
    return outcome;
}

static int read_text_line(struct reader *reader, enum resp_type type, struct resp_value *out)
{
    const char *line = reader->at;
    size_t left = (size_t)(reader->end - line);
    const char *cr = memchr(line, '\r', left);
    size_t len = cr != NULL ? (size_t)(cr - line) : left;
    if (memchr(line, '\n', len) != NULL)
        return RESP_MALFORMED;
    reader->at = line + len;
    *out = (struct resp_value){type, line, len, 0};
    return read_line_end(reader);
}

static inline int read_bulk_string(struct reader *reader, struct resp_value *out)
{
    int64_t length = 0;
    int outcome = read_length_line(reader, &length);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (length == NULL_LENGTH) {
        *out = (struct resp_value){RESP_BULK, NULL, 0, 0};
        return OUTCOME_OK;
    }
    size_t len = (size_t)length, left = (size_t)(reader->end - reader->at);
    *out = (struct resp_value){RESP_BULK, reader->at, len, 0};
    if (left < len)
        return want_more_bytes(reader, len - left + CRLF_SIZE);
    reader->at += len;
    return read_line_end(reader);
}

/* Reads a value that is not an array. */
static inline int read_single_value(struct reader *reader, struct resp_value *out)
{
    if (reader->at == reader->end)
        return want_more_bytes(reader, VALUE_MIN);
    switch (*reader->at++) {
    case '$':
        return read_bulk_string(reader, out);
    case ':':
        return read_integer_value(reader, out);
    case '+':
        return read_text_line(reader, RESP_SIMPLE, out);
    case '-':
        return read_text_line(reader, RESP_ERROR, out);
    case '*':
        return RESP_TOO_DEEP;
    default:
        return RESP_MALFORMED;
    }
}

static int read_array_elements(struct reader *reader, struct resp_reply *reply)
{
    int64_t count = 0;
    int outcome = read_length_line(reader, &count);
    if (outcome != OUTCOME_OK)
        return outcome;
    if (count > RESP_ELEMENTS_MAX)
        return RESP_TOO_DEEP;
    const char *elements = reader->at;
    reply->count = count == NULL_LENGTH ? 0 : (size_t)count;
    for (size_t i = 0; i < reply->count; i++) {
        outcome = read_single_value(reader, &reply->element[i]);
        if (outcome == OUTCOME_MORE)
            reader->missing += (reply->count - i - 1) * VALUE_MIN;
        if (outcome != OUTCOME_OK)
            return outcome;
    }
    reply->value = (struct resp_value){RESP_ARRAY, count == NULL_LENGTH ? NULL : elements,
                                       (size_t)(reader->at - elements), 0};
    return OUTCOME_OK;
}

ssize_t resp_parse(struct resp_reply *reply, const char *buf, size_t len, size_t *need)
{
    struct reader reader = {buf, buf + len, 0};
    int outcome;
    if (len > 0 && buf[0] == '*') {
        reader.at++;
        reply->type = RESP_ARRAY;
        outcome = read_array_elements(&reader, reply);
    } else {
        reply->count = 0;
        outcome = read_single_value(&reader, &reply->value);
        if (outcome == OUTCOME_OK)
            reply->type = reply->value.type;
    }
    if (outcome == OUTCOME_MORE && need != NULL)
        *need = len + reader.missing;
    return outcome == OUTCOME_OK ? reader.at - buf : outcome;
}

bool resp_is(const struct resp_value *value, const char *text)
{
    size_t len = strlen(text);
    return (value->type == RESP_SIMPLE || value->type == RESP_BULK) && value->at != NULL &&
           value->len == len && memcmp(value->at, text, len) == 0;
}

/* --- commands --- */

static size_t decimal_text_size(size_t number)
{
    size_t size = 1;
    while (number >= 10) {
        number /= 10;
        size++;
    }
    return size;
}

/* Writes the marker, the number and CRLF. */
static char *put_head_line(char *out, char marker, size_t number)
{
    size_t digits = decimal_text_size(number);
    *out++ = marker;
    for (size_t i = digits; i > 0; i--, number /= 10)
        out[i - 1] = (char)('0' + number % 10);
    out += digits;
    *out++ = '\r';
    *out++ = '\n';
    return out;
}

static char *put_bulk_bytes(char *out, const void *bytes, size_t len)
{
    if (len > 0) /* an empty argument may be NULL */
        memcpy(out, bytes, len);
    return out + len;
}

size_t resp_command_size(size_t argc, const size_t *lens)
{
    size_t size = 1 + decimal_text_size(argc) + CRLF_SIZE;
    for (size_t i = 0; i < argc; i++)
        size += 1 + decimal_text_size(lens[i]) + CRLF_SIZE + lens[i] + CRLF_SIZE;
    return size;
}

size_t resp_command(char *out, size_t argc, const char *const *args, const size_t *lens)
{
    char *at = out + resp_array_head(out, argc);
    for (size_t i = 0; i < argc; i++)
        at += resp_bulk(at, args[i], lens[i]);
    return (size_t)(at - out);
}

size_t resp_array_head(char *out, size_t count)
{
    return (size_t)(put_head_line(out, '*', count) - out);
}

size_t resp_bulk(char *out, const void *bytes, size_t len)
{
    return resp_bulk_joined(out, bytes, len, NULL, 0);
}

size_t resp_bulk_joined(char *out, const void *prefix, size_t prefix_len, const void *rest,
                        size_t rest_len)
{
    char *at = put_head_line(out, '$', prefix_len + rest_len);
    at = put_bulk_bytes(at, prefix, prefix_len);
    at = put_bulk_bytes(at, rest, rest_len);
    at = put_bulk_bytes(at, "\r\n", CRLF_SIZE);
    return (size_t)(at - out);
}

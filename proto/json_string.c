/*
 * Checks, compares, decodes and writes JSON strings. Most of a push is strings, so they are scanned
 * eight bytes at a time; single bytes are examined only after one that could end the string, start
 * an escape or be invalid. The check and the decoding use the same reader of escapes, so that they
 * cannot disagree.
 *
 * Decoding trusts its input, because the text was checked when it was sliced.
 */
#include "proto/json_string.h"

#include <endian.h>
#include <string.h>

#include "proto/json.h"
#include "proto/utf8.h"

/* The single-letter escapes (RFC 8259 §7): X(letter after the backslash, character) */
#define ESCAPES(X) \
    X('"', '"')    \
    X('\\', '\\')  \
    X('/', '/')    \
    X('b', '\b')   \
    X('f', '\f')   \
    X('n', '\n')   \
    X('r', '\r')   \
    X('t', '\t')

static const char escape_means[256] = {
#define ESCAPE_ROW(letter, meaning) [letter] = (meaning),
    ESCAPES(ESCAPE_ROW)
#undef ESCAPE_ROW
};

static const char escape_letter[256] = {
#define ESCAPE_ROW(letter, meaning) [meaning] = (letter),
    ESCAPES(ESCAPE_ROW)
#undef ESCAPE_ROW
};

/* --- bytes, a word at a time --- */

static const uint64_t ONES = 0x0101010101010101;
static const uint64_t HIGHS = 0x8080808080808080;

/* Loads eight bytes; the first byte is the lowest, whatever the machine's byte order. */
static inline uint64_t load_word_bytes(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return le64toh(word);
}

/* Sets the high bit of each byte that a string must escape: below 0x20, quote, backslash. A borrow
 * can flag further bytes, but only above a byte that is flagged correctly: the lowest is exact. */
static inline uint64_t flag_escaped_bytes(uint64_t word)
{
    uint64_t quote = word ^ ONES * '"';
    uint64_t backslash = word ^ ONES * '\\';
    return ((word - ONES * 0x20) | (quote - ONES) | (backslash - ONES)) & ~word & HIGHS;
}

static inline bool must_be_escaped(unsigned char c)
{
    return c < 0x20 || c == '"' || c == '\\';
}

/* Returns the first byte that must be escaped or, if `ascii`, is not ASCII; or `end`. */
static inline const char *skip_plain_bytes(const char *at, const char *end, bool ascii)
{
    for (; end - at >= 8; at += 8) {
        uint64_t word = load_word_bytes(at);
        uint64_t stop = flag_escaped_bytes(word) | (ascii ? word & HIGHS : 0);
        if (stop != 0)
            return at + __builtin_ctzll(stop) / 8;
    }
    while (at < end && !must_be_escaped((unsigned char)*at) &&
           !(ascii && (unsigned char)*at >= 0x80))
        at++;
    return at;
}

/* Returns the end of the run of bytes that are not ASCII, or NULL if the run is not valid UTF-8. */
static const char *skip_utf8_run(const char *at, const char *end)
{
    const char *run = at;
    while (end - at >= 8 && (load_word_bytes(at) & HIGHS) == HIGHS)
        at += 8;
    while (at < end && (unsigned char)*at >= 0x80)
        at++;
    return utf8_valid(run, (size_t)(at - run)) ? at : NULL;
}

/* --- escapes --- */

static inline int hex_character_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    int letter = c | 0x20;
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* Reads "\uXXXX". Returns its end, or NULL if it is invalid. */
static const char *read_escape_unit(const char *at, const char *end, uint32_t *unit)
{
    if (end - at < 6 || at[0] != '\\' || at[1] != 'u')
        return NULL;
    *unit = 0;
    for (int i = 2; i < 6; i++) {
        int digit = hex_character_value(at[i]);
        if (digit < 0)
            return NULL;
        *unit = *unit << 4 | (uint32_t)digit;
    }
    return at + 6;
}

/* Reads the escape, or the surrogate pair of escapes, whose backslash is at `at`, and stores its
 * code point. Returns its end, or NULL if it is invalid. */
static const char *read_escape_pair(const char *at, const char *end, uint32_t *code)
{
    if (end - at < 2)
        return NULL;
    if (at[1] != 'u') {
        *code = (unsigned char)escape_means[(unsigned char)at[1]];
        return *code != 0 ? at + 2 : NULL;
    }
    at = read_escape_unit(at, end, code);
    if (at == NULL || *code < 0xd800 || *code > 0xdfff)
        return at;
    uint32_t low;
    if (*code > 0xdbff || (at = read_escape_unit(at, end, &low)) == NULL || low < 0xdc00 ||
        low > 0xdfff)
        return NULL;
    *code = 0x10000 + ((*code - 0xd800) << 10) + (low - 0xdc00);
    return at;
}

static size_t put_utf8_bytes(char *out, uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(0xf0 << (4 - len) | code);
    return len;
}

/* --- the interface --- */

const char *json_string_end(const char *at, const char *end)
{
    at = skip_plain_bytes(at + 1, end, true);
    while (at != NULL && at < end && *at != '"') {
        uint32_t code = 0;
        if ((unsigned char)*at < 0x20)
            return NULL;
        at = *at == '\\' ? read_escape_pair(at, end, &code) : skip_utf8_run(at, end);
        if (at != NULL)
            at = skip_plain_bytes(at, end, true);
    }
    return at != NULL && at < end ? at + 1 : NULL;
}

const char *json_escape_end(const char *at, const char *end)
{
    uint32_t code = 0;
    return read_escape_pair(at, end, &code);
}

bool json_string_is(const struct json_value *string, const char *text)
{
    if (string->type != JSON_TYPE_STRING)
        return false;
    const char *at = string->at + 1, *end = string->at + string->len - 1;
    while (at < end) {
        if (*at != '\\') {
            if (*at++ != *text++)
                return false;
            continue;
        }
        uint32_t code = 0;
        char utf8[4];
        at = read_escape_pair(at, end, &code);
        size_t n = put_utf8_bytes(utf8, code);
        /* \u0000 would match the terminator. */
        if (code == 0 || strncmp(text, utf8, n) != 0)
            return false;
        text += n;
    }
    return *text == '\0';
}

void json_mask_surrogates(char *text, size_t len)
{
    const char *const end = text + len;
    char *at = text;
    while ((at = memchr(at, '\\', (size_t)(end - at))) != NULL) {
        uint32_t code;
        const char *const after = read_escape_pair(at, end, &code);
        const char *const unit = after ? after : read_escape_unit(at, end, &code);
        if (!after && unit)
            memcpy(at + 2, "0000", 4);
        else if (!unit)
            return; /* not JSON at all: the scanner will report it */
        at = text + (unit - text);
    }
}

size_t json_unescape(char *out, const struct json_value *string)
{
    const char *at = string->at + 1, *end = string->at + string->len - 1;
    char *begin = out;
    while (at < end) {
        const char *escape = memchr(at, '\\', (size_t)(end - at));
        size_t run = (size_t)((escape != NULL ? escape : end) - at);
        memcpy(out, at, run);
        out += run;
        at += run;
        if (escape != NULL) {
            uint32_t code = 0;
            at = read_escape_pair(at, end, &code);
            out += put_utf8_bytes(out, code);
        }
    }
    return (size_t)(out - begin);
}

/* Appends to `out` at offset `n`, if `out` is not NULL. Returns the new length. */
static inline size_t append_string_bytes(char *out, size_t n, const char *bytes, size_t len)
{
    if (out != NULL)
        memcpy(out + n, bytes, len);
    return n + len;
}

static size_t append_escaped_byte(char *out, size_t n, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    char escape[6] = {'\\', escape_letter[c]};
    if (escape[1] != '\0')
        return append_string_bytes(out, n, escape, 2);
    memcpy(escape, "\\u00", 4);
    escape[4] = hex[c >> 4];
    escape[5] = hex[c & 15];
    return append_string_bytes(out, n, escape, 6);
}

size_t json_quote(char *out, const char *text, size_t len)
{
    const char *end = text + len;
    size_t n = append_string_bytes(out, 0, "\"", 1);
    while (text < end) {
        const char *stop = skip_plain_bytes(text, end, false);
        n = append_string_bytes(out, n, text, (size_t)(stop - text));
        text = stop;
        if (text < end)
            n = append_escaped_byte(out, n, (unsigned char)*text++);
    }
    return append_string_bytes(out, n, "\"", 1);
}

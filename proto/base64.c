/*
 * Base64 with the standard alphabet and padding (RFC 4648 §4), and with the URL alphabet without
 * padding (§5). The decoder is strict, as §3.5 advises: each value has exactly one text, so white
 * space, missing or superfluous padding and nonzero unused bits are errors.
 */
#include "proto/base64.h"

#include <stdbool.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The value of each character plus 1; 0 means "not in the alphabet". */
/* clang-format off */
static const uint8_t value_plus_1[256] = {
    ['A'] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,
             25, 26,
    ['a'] = 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48,
             49, 50, 51, 52,
    ['0'] = 53, 54, 55, 56, 57, 58, 59, 60, 61, 62,
    ['+'] = 63,
    ['/'] = 64,
};

static const uint8_t url_value_plus_1[256] = {
    ['A'] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,
             25, 26,
    ['a'] = 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48,
             49, 50, 51, 52,
    ['0'] = 53, 54, 55, 56, 57, 58, 59, 60, 61, 62,
    ['-'] = 63,
    ['_'] = 64,
};
/* clang-format on */

size_t base64_encode(char *out, const void *bytes, size_t len)
{
    const uint8_t *in = bytes;
    char *at = out;

    for (; len >= 3; in += 3, len -= 3) {
        const uint32_t group = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        *at++ = alphabet[group >> 18];
        *at++ = alphabet[group >> 12 & 63];
        *at++ = alphabet[group >> 6 & 63];
        *at++ = alphabet[group & 63];
    }
    if (len > 0) {
        const uint32_t group = (uint32_t)in[0] << 16 | (len == 2 ? (uint32_t)in[1] << 8 : 0);
        *at++ = alphabet[group >> 18];
        *at++ = alphabet[group >> 12 & 63];
        *at++ = len == 2 ? alphabet[group >> 6 & 63] : '=';
        *at++ = '=';
    }
    return (size_t)(at - out);
}

/* Reads `count` characters into the upper bits of a group of 24 bits. Returns -1 if one of them is
 * not base64. */
static int32_t read_group_bits(const uint8_t values[256], const uint8_t *text, size_t count)
{
    uint32_t group = 0;
    for (size_t i = 0; i < count; i++) {
        const uint32_t value = values[text[i]];
        if (value == 0)
            return -1;
        group |= (value - 1) << (18 - 6 * i);
    }
    return (int32_t)group;
}

/* Decodes whole groups. Returns the start of the next group, or NULL if the text is not base64.
 * Each group is read before its shorter result is written, so `out` may be the text itself. */
static const uint8_t *decode_whole_groups(const uint8_t values[256], const uint8_t *in,
                                          size_t groups, uint8_t **out)
{
    for (; groups > 0; in += 4, groups--) {
        const int32_t group = read_group_bits(values, in, 4);
        if (group < 0)
            return NULL;
        *(*out)++ = (uint8_t)(group >> 16);
        *(*out)++ = (uint8_t)(group >> 8);
        *(*out)++ = (uint8_t)group;
    }
    return in;
}

/* Decodes the last group, 2 to 4 characters for 1 to 3 bytes. Its unused bits must be zero. */
static bool decode_last_group(const uint8_t values[256], const uint8_t *in, size_t bytes,
                              uint8_t **out)
{
    const int32_t group = read_group_bits(values, in, bytes + 1);
    if (group < 0 || (group & (0xffffff >> 8 * bytes)) != 0)
        return false;
    for (size_t i = 0; i < bytes; i++)
        *(*out)++ = (uint8_t)(group >> (16 - 8 * i));
    return true;
}

ssize_t base64_decode(void *out, const char *text, size_t len)
{
    uint8_t *at = out;

    if (len == 0)
        return 0;
    if (len % 4 != 0)
        return -1;
    const uint8_t *const in =
        decode_whole_groups(value_plus_1, (const uint8_t *)text, len / 4 - 1, &at);
    if (in == NULL)
        return -1;
    const size_t bytes = in[3] != '=' ? 3 : in[2] != '=' ? 2 : 1;
    return decode_last_group(value_plus_1, in, bytes, &at) ? at - (uint8_t *)out : -1;
}

ssize_t base64url_decode(void *out, const char *text, size_t len)
{
    uint8_t *at = out;

    const uint8_t *const in =
        decode_whole_groups(url_value_plus_1, (const uint8_t *)text, len / 4, &at);
    if (in == NULL || len % 4 == 1)
        return -1;
    if (len % 4 != 0 && !decode_last_group(url_value_plus_1, in, len % 4 - 1, &at))
        return -1;
    return at - (uint8_t *)out;
}

/*
 * Base64 with the standard alphabet and padding (RFC 4648 §4). Strict: one text for each value, so
 * white space, missing padding and stray bits behind the last byte are refused, as §3.5 advises.
 * The URL alphabet of JSON Web Tokens is not spoken here.
 */
#include "proto/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The value of each character plus one, so that 0 says "not in the alphabet". */
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

/* Reads `count` characters as the upper bits of a group of 24; -1 where one is not base64. */
static int32_t group_of(const uint8_t *text, size_t count)
{
    uint32_t group = 0;
    for (size_t i = 0; i < count; i++) {
        const uint32_t value = value_plus_1[text[i]];
        if (value == 0)
            return -1;
        group |= (value - 1) << (18 - 6 * i);
    }
    return (int32_t)group;
}

ssize_t base64_decode(void *out, const char *text, size_t len)
{
    const uint8_t *in = (const uint8_t *)text;
    uint8_t *at = out;

    if (len == 0)
        return 0;
    if (len % 4 != 0)
        return -1;
    /* Each group is read before its shorter result is written: `out` may be the text. */
    for (; len > 4; in += 4, len -= 4) {
        const int32_t group = group_of(in, 4);
        if (group < 0)
            return -1;
        *at++ = (uint8_t)(group >> 16);
        *at++ = (uint8_t)(group >> 8);
        *at++ = (uint8_t)group;
    }

    const size_t bytes = in[3] != '=' ? 3 : in[2] != '=' ? 2 : 1;
    const int32_t group = group_of(in, bytes + 1);
    if (group < 0 || (group & (0xffffff >> 8 * bytes)) != 0)
        return -1;
    for (size_t i = 0; i < bytes; i++)
        *at++ = (uint8_t)(group >> (16 - 8 * i));
    return at - (uint8_t *)out;
}

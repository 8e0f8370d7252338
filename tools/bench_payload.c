/*
 * Payloads of the load generator: see the header. It validates everything that it reads: anything
 * that is not exactly such a payload is rejected.
 */
#include "tools/bench_payload.h"

#include <string.h>

static const char letters[] = {
#define SOURCE_LETTER(name, letter) letter,
    SOURCES(SOURCE_LETTER)
#undef SOURCE_LETTER
};

static void write_hex_number(char *out, unsigned digits, uint64_t value)
{
    for (unsigned i = digits; i-- > 0; value >>= 4)
        out[i] = "0123456789abcdef"[value & 15];
}

static int hex_number_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex_number(const char *text, unsigned digits, uint64_t *value)
{
    *value = 0;
    for (unsigned i = 0; i < digits; i++) {
        const int digit = hex_number_digit(text[i]);
        if (digit < 0)
            return false;
        *value = *value << 4 | (uint64_t)digit;
    }
    return true;
}

void payload_write(char *out, size_t size, const struct payload *payload)
{
    out[0] = letters[payload->kind];
    write_hex_number(out + 1, 8, payload->source);
    write_hex_number(out + 9, 8, payload->number);
    write_hex_number(out + 17, 16, payload->time);
    memset(out + PAYLOAD_MIN, '.', size - PAYLOAD_MIN);
}

bool payload_read(struct payload *payload, const char *text, size_t len)
{
    if (len < PAYLOAD_MIN)
        return false;
    const char *letter = memchr(letters, text[0], sizeof(letters));
    uint64_t source, number;
    if (letter == NULL || !read_hex_number(text + 1, 8, &source) ||
        !read_hex_number(text + 9, 8, &number) || !read_hex_number(text + 17, 16, &payload->time))
        return false;
    payload->kind = (enum source)(letter - letters);
    payload->source = (uint32_t)source;
    payload->number = (uint32_t)number;
    return true;
}

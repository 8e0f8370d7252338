/*
 * See hexid.h. Accepts only the exact output of printf("%x-%x..."): ids are also compared and
 * looked up as text, so a second spelling of a number would be a second id.
 */
#include "common/hexid.h"

#include <string.h>

/* Reads a number as %x prints it from *at, and advances *at: 1 to 8 digits, lower case, no leading
 * zeros. */
static bool parse_hex_number(const char **at, const char *end, uint32_t *number)
{
    static const char digits[] = "0123456789abcdef";
    const char *const start = *at;

    *number = 0;
    for (; *at < end; (*at)++) {
        const char *const digit = memchr(digits, **at, 16);
        if (digit == NULL)
            break;
        if (*at - start == 8 || (*at > start && *start == '0'))
            return false;
        *number = *number << 4 | (uint32_t)(digit - digits);
    }
    return *at > start;
}

bool hexid_parse(const char *text, size_t len, uint32_t *numbers, size_t count)
{
    const char *const end = text + len;

    for (size_t i = 0; i < count; i++)
        if ((i > 0 && (text == end || *text++ != '-')) ||
            !parse_hex_number(&text, end, &numbers[i]))
            return false;
    return text == end;
}

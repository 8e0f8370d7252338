/*
 * See proxy.h. The first byte tells the version:
 *
 *   1   PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n       a line of text, 107 bytes at most
 *
 *   2    0              12  13  14    16
 *        +--------------+---+---+-----+--------------------------+------------+
 *        | signature    | V | F | len | source, dest, ports      | TLVs       |
 *        +--------------+---+---+-----+--------------------------+------------+
 *        V: version 2 and command (0 LOCAL, 1 PROXY); F: family and transport
 *
 * Only TCP over IPv4 and IPv6 names a client. UNKNOWN, LOCAL and all other families are accepted
 * and name none (§2.1, §2.2). TLVs are skipped.
 */
#include "proto/proxy.h"

#include <arpa/inet.h>
#include <string.h>

#include "proto/forwarded.h"

enum { LINE_MAX_V1 = 107, FIXED_V2 = 16 };

static const uint8_t signature[12] = "\r\n\r\n\0\r\nQUIT\n";

/* Returns the length of the common prefix. */
static size_t common_prefix_length(const uint8_t *bytes, size_t len, const void *text,
                                   size_t text_len)
{
    size_t i = 0;
    while (i < len && i < text_len && bytes[i] == ((const uint8_t *)text)[i])
        i++;
    return i;
}

/* ---- Version 1 ---- */

/* Takes the next word from a line whose words are separated by single spaces. */
static struct slice take_line_word(struct slice *line)
{
    const char *const space = memchr(line->at, ' ', line->len);
    const size_t len = space ? (size_t)(space - line->at) : line->len;
    const struct slice word = {line->at, len};
    *line = (struct slice){line->at + len + (space != NULL), line->len - len - (space != NULL)};
    return word;
}

static bool read_line_port(struct slice text, uint16_t *port)
{
    uint32_t number = 0;
    if (text.len == 0 || text.len > 5 || (text.len > 1 && text.at[0] == '0'))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        number = number * 10 + (uint32_t)(text.at[i] - '0');
    }
    *port = (uint16_t)number;
    return number <= UINT16_MAX;
}

/* Parses an address of the given family, with nothing around it. */
static bool read_line_address(struct slice text, bool v4, uint8_t out[16])
{
    const bool colons = memchr(text.at, ':', text.len) != NULL;
    return colons != v4 && memchr(text.at, '[', text.len) == NULL && address_parse(text, out);
}

/* Parses the line after "PROXY ". */
static bool read_client_line(struct proxy_header *header, struct slice line)
{
    const struct slice family = take_line_word(&line);
    const bool v4 = slice_equal(family, "TCP4");
    uint8_t destination[16];
    uint16_t port;
    if (slice_equal(family, "UNKNOWN"))
        return true;
    header->has_client = true;
    return (v4 || slice_equal(family, "TCP6")) &&
           read_line_address(take_line_word(&line), v4, header->address) &&
           read_line_address(take_line_word(&line), v4, destination) &&
           read_line_port(take_line_word(&line), &header->port) &&
           read_line_port(take_line_word(&line), &port) && line.len == 0;
}

static ssize_t parse_proxy_v1(struct proxy_header *header, const uint8_t *bytes, size_t len)
{
    static const char word[] = "PROXY ";
    const size_t word_len = sizeof(word) - 1, window = len < LINE_MAX_V1 ? len : LINE_MAX_V1;
    const size_t alike = common_prefix_length(bytes, len, word, word_len);
    if (alike < word_len)
        return alike == len ? 0 : PROXY_BAD;
    const uint8_t *const end = memchr(bytes, '\n', window);
    if (end == NULL)
        return window < LINE_MAX_V1 ? 0 : PROXY_BAD;
    const size_t line_len = (size_t)(end - bytes) - word_len;
    if (end[-1] != '\r')
        return PROXY_BAD;
    const struct slice line = {(const char *)bytes + word_len, line_len - 1};
    return read_client_line(header, line) ? end + 1 - bytes : PROXY_BAD;
}

/* ---- Version 2 ---- */

enum { COMMAND_LOCAL = 0x20, COMMAND_PROXY = 0x21, TCP_V4 = 0x11, TCP_V6 = 0x21 };

/* Reads the addresses that follow the fixed part of a version 2 header: source, destination, ports.
 */
static bool read_binary_addresses(struct proxy_header *header, uint8_t family, const uint8_t *at,
                                  size_t len)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    const size_t size = family == TCP_V4 ? 4 : 16;
    if (family != TCP_V4 && family != TCP_V6)
        return true;
    if (len < 2 * size + 4)
        return false;
    if (family == TCP_V4)
        memcpy(header->address, mapped, sizeof(mapped));
    memcpy(header->address + 16 - size, at, size);
    header->port = (uint16_t)(at[2 * size] << 8 | at[2 * size + 1]);
    header->has_client = true;
    return true;
}

static ssize_t parse_proxy_v2(struct proxy_header *header, const uint8_t *bytes, size_t len)
{
    const size_t alike = common_prefix_length(bytes, len, signature, sizeof(signature));
    if (alike < sizeof(signature))
        return alike == len ? 0 : PROXY_BAD;
    if (len > sizeof(signature) && bytes[12] != COMMAND_LOCAL && bytes[12] != COMMAND_PROXY)
        return PROXY_BAD;
    if (len < FIXED_V2)
        return 0;
    const size_t rest = (size_t)bytes[14] << 8 | bytes[15];
    if (FIXED_V2 + rest > PROXY_MAX)
        return PROXY_BAD;
    if (len < FIXED_V2 + rest)
        return 0;
    if (bytes[12] == COMMAND_PROXY &&
        !read_binary_addresses(header, bytes[13], bytes + FIXED_V2, rest))
        return PROXY_BAD;
    return (ssize_t)(FIXED_V2 + rest);
}

ssize_t proxy_parse(struct proxy_header *header, const uint8_t *bytes, size_t len)
{
    *header = (struct proxy_header){0};
    if (len == 0)
        return 0;
    return bytes[0] == signature[0] ? parse_proxy_v2(header, bytes, len)
                                    : parse_proxy_v1(header, bytes, len);
}

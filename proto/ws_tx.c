/*
 * The sending half of the WebSocket codec (RFC 6455 §5): headers, masks, close frames. A message is
 * always sent as one frame because its length is known: it only needs a header before the payload,
 * and the same header serves every receiver. Nothing is fragmented or compressed here.
 */
#include "proto/ws.h"

#include <string.h>

enum { FIN = 0x80, MASKED = 0x80, LENGTH_16 = 126, LENGTH_64 = 127, KEY_SIZE = 4 };
enum { CODE_SIZE = 2, NO_CODE = 1005 };

const char *ws_close_text(uint16_t code)
{
    static const struct {
        uint16_t code;
        const char *text;
    } table[] = {
#define CLOSE_ROW(name, number, meaning, reconnect) {number, meaning},
        WS_CLOSE_CODES(CLOSE_ROW)
#undef CLOSE_ROW
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (table[i].code == code)
            return table[i].text;
    }
    return "";
}

void ws_mask(uint8_t *data, size_t len, const uint8_t key[4])
{
    /* memcpy is the portable unaligned load; it compiles to one instruction. The key needs no byte
     * order because it is loaded in the same way as the data. */
    uint64_t word, keys;
    memcpy(&keys, key, KEY_SIZE);
    memcpy((uint8_t *)&keys + KEY_SIZE, key, KEY_SIZE);
    for (; len >= sizeof(word); data += sizeof(word), len -= sizeof(word)) {
        memcpy(&word, data, sizeof(word));
        word ^= keys;
        memcpy(data, &word, sizeof(word));
    }
    for (size_t i = 0; i < len; i++)
        data[i] ^= key[i % KEY_SIZE];
}

size_t ws_header_size(uint64_t len)
{
    return len < LENGTH_16 ? 2 : len <= UINT16_MAX ? 4 : 10;
}

size_t ws_header(uint8_t out[10], enum ws_opcode opcode, uint64_t len)
{
    const size_t size = ws_header_size(len);
    out[0] = (uint8_t)(FIN | opcode);
    out[1] = size == 2 ? (uint8_t)len : size == 4 ? LENGTH_16 : LENGTH_64;
    for (size_t i = size; i > 2; i--, len >>= 8)
        out[i - 1] = (uint8_t)len;
    return size;
}

size_t ws_header_masked(uint8_t out[WS_HEADER_MAX], enum ws_opcode opcode, uint64_t len,
                        const uint8_t key[4])
{
    const size_t size = ws_header(out, opcode, len);
    out[1] |= MASKED;
    memcpy(out + size, key, KEY_SIZE);
    return size + KEY_SIZE;
}

/* Returns the length of the longest prefix of at most `max` bytes that does not split a code point.
 */
static size_t cut_reason_text(const char *text, size_t len, size_t max)
{
    if (len <= max)
        return len;
    while (max > 0 && ((uint8_t)text[max] & 0xc0) == 0x80)
        max--;
    return max;
}

size_t ws_close_frame(uint8_t out[WS_CLOSE_FRAME_MAX], uint16_t code, const char *reason,
                      size_t reason_len)
{
    if (code == NO_CODE)
        return ws_header(out, WS_CLOSE, 0);
    const size_t text = cut_reason_text(reason, reason_len, WS_REASON_MAX);
    const size_t header = ws_header(out, WS_CLOSE, CODE_SIZE + text);
    out[header] = (uint8_t)(code >> 8);
    out[header + 1] = (uint8_t)code;
    if (text > 0)
        memcpy(out + header + CODE_SIZE, reason, text);
    return header + CODE_SIZE + text;
}

/*
 * Incremental UTF-8 validation. A text message may be split anywhere, also within a code point, so
 * the state between two pieces is one small number and no byte is examined twice.
 *
 * The automaton is RFC 3629 §4's grammar:
 *
 *                     ┌──────────── 80-bf ────────────┐
 *                     ▼                               │
 *   00-7f ──▶ ┌──────────┐ ── c2-df ──────────────▶ TAIL1 ◀─┬── 80-bf ── TAIL2
 *         └── │  ACCEPT  │ ── e0 ──▶ AFTER_E0 ── a0-bf ─────┤              ▲
 *             │          │ ── ed ──▶ AFTER_ED ── 80-9f ─────┘              │
 *             │          │ ── e1-ec, ee, ef ──────────────────────────────▶┤
 *             │          │ ── f0 ──▶ AFTER_F0 ── 90-bf ───────────────────▶┤
 *             │          │ ── f4 ──▶ AFTER_F4 ── 80-8f ───────────────────▶┤
 *             └──────────┘ ── f1-f3 ──▶ TAIL3 ── 80-bf ───────────────────▶┘
 *   anything else: REJECT, permanently
 *
 * It runs as a "shift automaton": the row of a byte is one 64-bit word that holds the next state of
 * each state in 6 bits, and a state is the position of its 6 bits. A step is one load that does not
 * depend on the state and one shift, without a branch that mixed text would mispredict. Blocks of
 * ASCII are skipped without it.
 *
 * It does not decode, does not repair and does not normalise.
 */
#include "proto/utf8.h"

#include <string.h>

enum { ACCEPT = UTF8_ACCEPT, REJECT = UTF8_REJECT };
enum { TAIL1 = 2, TAIL2, TAIL3, AFTER_E0, AFTER_ED, AFTER_F0, AFTER_F4, STATES };
enum { STATE_BITS = 6, SHIFT_MASK = 63, BLOCK = 16 };

_Static_assert(STATES *STATE_BITS <= 64, "a row is one word");

/* A row in which every state goes to REJECT; GO, XORed into it, changes the next state of one
 * state. */
#define AT(from, next) ((uint64_t)((next)*STATE_BITS) << ((from)*STATE_BITS))
#define NOWHERE                                                                      \
    (AT(0, REJECT) | AT(1, REJECT) | AT(2, REJECT) | AT(3, REJECT) | AT(4, REJECT) | \
     AT(5, REJECT) | AT(6, REJECT) | AT(7, REJECT) | AT(8, REJECT))
#define GO(from, next) (AT(from, next) ^ AT(from, REJECT))
#define LEAD(next)     (NOWHERE ^ GO(ACCEPT, next))
#define TAIL           (NOWHERE ^ GO(TAIL1, ACCEPT) ^ GO(TAIL2, TAIL1) ^ GO(TAIL3, TAIL2))

static const uint64_t row[256] = {
    [0x00 ... 0x7f] = LEAD(ACCEPT),
    [0x80 ... 0x8f] = TAIL ^ GO(AFTER_ED, TAIL1) ^ GO(AFTER_F4, TAIL2),
    [0x90 ... 0x9f] = TAIL ^ GO(AFTER_ED, TAIL1) ^ GO(AFTER_F0, TAIL2),
    [0xa0 ... 0xbf] = TAIL ^ GO(AFTER_E0, TAIL1) ^ GO(AFTER_F0, TAIL2),
    [0xc0 ... 0xc1] = NOWHERE, /* overlong forms of ASCII */
    [0xc2 ... 0xdf] = LEAD(TAIL1),
    [0xe0] = LEAD(AFTER_E0), /* below U+0800 would be overlong */
    [0xe1 ... 0xec] = LEAD(TAIL2),
    [0xed] = LEAD(AFTER_ED), /* U+D800 to U+DFFF are surrogates */
    [0xee ... 0xef] = LEAD(TAIL2),
    [0xf0] = LEAD(AFTER_F0), /* below U+10000 would be overlong */
    [0xf1 ... 0xf3] = LEAD(TAIL3),
    [0xf4] = LEAD(AFTER_F4), /* U+10FFFF is the last */
    [0xf5 ... 0xff] = NOWHERE,
};

static bool block_is_ascii(const uint8_t *at)
{
    uint64_t word[2];
    memcpy(word, at, sizeof(word));
    return ((word[0] | word[1]) & UINT64_C(0x8080808080808080)) == 0;
}

/* Makes one step. `shift` is a state times STATE_BITS in the low 6 bits; the bits above are
 * ignored. */
static uint64_t step_automaton(uint64_t shift, uint8_t byte)
{
    return row[byte] >> (shift & SHIFT_MASK);
}

uint32_t utf8_feed(uint32_t state, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    uint64_t shift = (uint64_t)state * STATE_BITS;

    for (; len >= BLOCK; at += BLOCK, len -= BLOCK) {
        if (shift == ACCEPT * STATE_BITS && block_is_ascii(at))
            continue;
        for (size_t i = 0; i < BLOCK; i++)
            shift = step_automaton(shift, at[i]);
        shift &= SHIFT_MASK;
        if (shift == REJECT * STATE_BITS)
            return UTF8_REJECT;
    }
    for (size_t i = 0; i < len; i++)
        shift = step_automaton(shift, at[i]);
    return (uint32_t)(shift & SHIFT_MASK) / STATE_BITS;
}

bool utf8_valid(const void *bytes, size_t len)
{
    return utf8_feed(UTF8_ACCEPT, bytes, len) == UTF8_ACCEPT;
}

/* A C1 control character is two bytes in UTF-8: c2 80 to c2 9f. */
bool utf8_has_control(const void *bytes, size_t len)
{
    const uint8_t *const at = bytes;
    for (size_t i = 0; i < len; i++) {
        if (at[i] < 0x20 || at[i] == 0x7f)
            return true;
        if (at[i] == 0xc2 && i + 1 < len && at[i + 1] < 0xa0)
            return true;
    }
    return false;
}

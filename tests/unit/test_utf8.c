/*
 * The UTF-8 automaton against a decoder written the slow, obvious way, on every short sequence
 * that could matter; and its fast paths at every alignment and cut.
 */
#include "tests/unit/guard.h"

#include "proto/utf8.h"

/* RFC 3629 §3, by decoding: the length of the code point at the beginning of the bytes, 0 if they
 * may be the beginning of one, -1 if they cannot. */
static int reference_code_point(const uint8_t *at, size_t len)
{
    static const struct {
        uint8_t mask, lead;
        uint32_t least;
    } forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};

    for (size_t extra = 0; extra < 4; extra++) {
        if ((at[0] & forms[extra].mask) != forms[extra].lead)
            continue;
        /* True if some values of the missing bytes make a valid code point. */
        uint32_t low = at[0] & (uint8_t)~forms[extra].mask, high = low;
        for (size_t i = 1; i <= extra; i++) {
            if (i < len && (at[i] & 0xc0) != 0x80)
                return -1;
            low = low << 6 | (i < len ? at[i] & 0x3f : 0);
            high = high << 6 | (i < len ? at[i] & 0x3f : 0x3f);
        }
        if (high < forms[extra].least || low > 0x10ffff || (low >= 0xd800 && high <= 0xdfff))
            return -1;
        return len > extra ? (int)extra + 1 : 0;
    }
    return -1;
}

enum verdict { VALID, INCOMPLETE, INVALID };

static enum verdict reference(const uint8_t *at, size_t len)
{
    while (len > 0) {
        const int size = reference_code_point(at, len);
        if (size <= 0)
            return size == 0 ? INCOMPLETE : INVALID;
        at += size;
        len -= (size_t)size;
    }
    return VALID;
}

static enum verdict verdict_of(uint32_t state)
{
    return state == UTF8_ACCEPT ? VALID : state == UTF8_REJECT ? INVALID : INCOMPLETE;
}

static void assert_like_reference(const uint8_t *bytes, size_t len)
{
    const enum verdict expected = reference(bytes, len);
    if (verdict_of(utf8_feed(UTF8_ACCEPT, bytes, len)) != expected)
        fail_msg("%02x %02x %02x %02x, of which %zu: not %d", bytes[0], bytes[1], bytes[2],
                 bytes[3], len, expected);
    assert_int_equal(utf8_valid(bytes, len), expected == VALID);
}

static void short_sequences_match_the_reference(void **state)
{
    static const uint8_t edges[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0,
                                    0xbf, 0xc0, 0xc2, 0xe0, 0xed, 0xf0, 0xf4, 0xff};
    (void)state;
    uint8_t bytes[4] = {0};
    for (unsigned pair = 0; pair < 0x10000; pair++) {
        bytes[0] = (uint8_t)(pair >> 8);
        bytes[1] = (uint8_t)pair;
        assert_like_reference(bytes, 1);
        assert_like_reference(bytes, 2);
        for (size_t third = 0; third < sizeof(edges); third++) {
            bytes[2] = edges[third];
            assert_like_reference(bytes, 3);
            for (size_t fourth = 0; fourth < sizeof(edges); fourth++) {
                bytes[3] = edges[fourth];
                assert_like_reference(bytes, 4);
            }
        }
    }
}

static size_t encode(uint8_t *out, uint32_t code_point)
{
    if (code_point < 0x80) {
        out[0] = (uint8_t)code_point;
        return 1;
    }
    const size_t size = code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = size; i-- > 1; code_point >>= 6)
        out[i] = (uint8_t)(0x80 | (code_point & 0x3f));
    out[0] = (uint8_t)(lead[size] | code_point);
    return size;
}

static void every_code_point_is_valid_but_surrogates(void **state)
{
    (void)state;
    for (uint32_t code_point = 0; code_point <= 0x10ffff; code_point++) {
        uint8_t bytes[4];
        const size_t len = encode(bytes, code_point);
        const bool surrogate = code_point >= 0xd800 && code_point <= 0xdfff;
        if (utf8_valid(bytes, len) == surrogate)
            fail_msg("U+%04X", code_point);
    }
}

/* The usual cases for implementations (Autobahn 6.*, after Kuhn's stress test). Each text ends with
 * the byte at which it must be refused. */
static void wellknown_faults_are_refused_at_their_byte(void **state)
{
    static const struct {
        const char *text;
        const char *what;
    } cases[] = {
        {"\x80", "continuation without a lead"},
        {"\xbf", "continuation without a lead"},
        {"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0", "surrogate after Greek text"},
        {"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90", "above U+10FFFF after Greek text"},
        {"\xc0", "overlong slash"},
        {"\xc1", "overlong DEL"},
        {"\xe0\x80", "overlong slash in three"},
        {"\xe0\x9f", "overlong U+07FF"},
        {"\xf0\x80", "overlong slash in four"},
        {"\xf0\x8f", "overlong U+FFFF"},
        {"\xf5", "lead of U+140000"},
        {"\xf8", "lead of five"},
        {"\xfc", "lead of six"},
        {"\xfe", "impossible byte"},
        {"\xff", "impossible byte"},
        {"\xc3(", "lead without its continuation"},
        {"\xe2\x82(", "three cut short"},
        {"\xf0\x9f\x98(", "four cut short"},
        {"\xed\xa0", "first high surrogate"},
        {"\xed\xbf", "last low surrogate"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const size_t len = strlen(cases[i].text);
        const uint32_t before = utf8_feed(UTF8_ACCEPT, cases[i].text, len - 1);
        if (before == UTF8_REJECT)
            fail_msg("%s: refused too early", cases[i].what);
        if (utf8_feed(before, cases[i].text + len - 1, 1) != UTF8_REJECT)
            fail_msg("%s: not refused", cases[i].what);
    }
}

/* A running state, fed piece by piece. */
struct run {
    uint32_t state;
    uint32_t expected;
};

static void run_begin(void *context)
{
    ((struct run *)context)->state = UTF8_ACCEPT;
}

static void run_feed(void *context, uint8_t *piece, size_t len)
{
    struct run *const run = context;
    run->state = utf8_feed(run->state, piece, len);
}

static void run_end(void *context)
{
    const struct run *const run = context;
    assert_int_equal(run->state, run->expected);
}

static void cuts_change_nothing(void **state)
{
    static const char text[] = "plain ASCII of more than one block; \xe6\x88\x91\xe4\xbb\xac"
                               "\xe9\x83\xbd\xe5\xa5\xbd, \xce\xba\xcf\x8c\xcf\x83\xce\xbc\xce\xb5,"
                               " \xf0\x9f\x98\x80\xf4\x8f\xbf\xbf and again sixteen and more";
    static const char bad[] = "thirty bytes and a few of ASCII text \xe6\x88\x91\xed\xa0\x80 and a "
                              "long ASCII text behind it, to get well again in";
    (void)state;
    struct run run = {.expected = UTF8_ACCEPT};
    const struct guard_feeder feeder = {run_begin, run_feed, run_end, &run};
    guard_feed_all_ways(&feeder, text, sizeof(text) - 1);
    guard_feed_all_ways(&feeder, "", 0);
    run.expected = UTF8_REJECT;
    guard_feed_all_ways(&feeder, bad, sizeof(bad) - 1);
}

/* Puts a bad byte, and half a code point, at each place of blocks of ASCII. */
static void no_fault_hides_in_a_block(void **state)
{
    (void)state;
    struct guard guard = guard_open(80);
    for (size_t len = 1; len <= 80; len++) {
        for (size_t at = 0; at < len; at++) {
            uint8_t *const text = guard_room(&guard, len);
            memset(text, 'a', len);
            assert_true(utf8_valid(text, len));
            text[at] = 0x80;
            assert_int_equal(utf8_feed(UTF8_ACCEPT, text, len), UTF8_REJECT);
            text[at] = 0xc3;
            const uint32_t half = utf8_feed(UTF8_ACCEPT, text, len);
            if (at + 1 < len)
                assert_int_equal(half, UTF8_REJECT);
            else
                assert_true(half != UTF8_REJECT && half != UTF8_ACCEPT);
        }
    }
    guard_close(&guard);
}

static void a_rejected_text_stays_rejected(void **state)
{
    (void)state;
    const uint32_t rejected = utf8_feed(UTF8_ACCEPT, "\xff", 1);
    assert_int_equal(rejected, UTF8_REJECT);
    assert_int_equal(utf8_feed(rejected, "sixteen and more bytes of ASCII text", 36), UTF8_REJECT);
    assert_int_equal(utf8_feed(rejected, "", 0), UTF8_REJECT);
}

/* Random mixtures of code points and now and then a broken byte, in random pieces. */
static void random_texts_match_the_reference(void **state)
{
    (void)state;
    uint64_t random = 20111206;
    for (int round = 0; round < 20000; round++) {
        uint8_t text[160];
        size_t len = 0;
        while (len < 100) {
            static const uint32_t ranges[] = {0x80, 0x80, 0x80, 0x800, 0xd800, 0x110000};
            const uint32_t range = ranges[guard_random_below(&random, 6)];
            const size_t count = guard_random_below(&random, 12);
            for (size_t i = 0; i < count; i++)
                len += encode(text + len, (uint32_t)guard_random_below(&random, range));
        }
        if (guard_random_below(&random, 2) == 0)
            text[guard_random_below(&random, len)] = (uint8_t)guard_random(&random);
        uint32_t running = UTF8_ACCEPT;
        for (size_t done = 0, piece; done < len; done += piece) {
            piece = 1 + guard_random_below(&random, len - done);
            running = utf8_feed(running, text + done, piece);
        }
        assert_int_equal(verdict_of(running), reference(text, len));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_sequences_match_the_reference),
        cmocka_unit_test(every_code_point_is_valid_but_surrogates),
        cmocka_unit_test(wellknown_faults_are_refused_at_their_byte),
        cmocka_unit_test(cuts_change_nothing),
        cmocka_unit_test(no_fault_hides_in_a_block),
        cmocka_unit_test(a_rejected_text_stays_rejected),
        cmocka_unit_test(random_texts_match_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

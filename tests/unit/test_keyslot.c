/*
 * The slot function against vectors from the Redis Cluster specification, against a CRC computed
 * bit by bit, and the joined form against the key joined by hand at every place.
 */
#include "common/keyslot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static uint16_t slot_of(const char *key)
{
    return keyslot(key, strlen(key));
}

static uint16_t crc_of(const char *text)
{
    return keyslot_crc16(0, text, strlen(text));
}

static void crc_of_the_specification(void **state)
{
    (void)state;
    assert_int_equal(crc_of("123456789"), 0x31c3);
    assert_int_equal(crc_of(""), 0);
}

static void table_is_the_polynomial(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        const uint8_t input = (uint8_t)byte;
        unsigned crc = byte << 8;

        for (int bit = 0; bit < 8; bit++)
            crc = (crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1) & 0xffff;
        assert_int_equal(keyslot_crc16(0, &input, 1), crc);
    }
}

static void crc_goes_on_where_it_stopped(void **state)
{
    static const char text[] = "push:user:42";

    (void)state;
    for (size_t cut = 0; cut < sizeof text; cut++)
        assert_int_equal(keyslot_crc16(keyslot_crc16(0, text, cut), text + cut, sizeof text - cut),
                         keyslot_crc16(0, text, sizeof text));
}

static void slots_that_redis_gives(void **state)
{
    (void)state;
    assert_int_equal(slot_of("foo"), 12182);
    assert_int_equal(slot_of("bar"), 5061);
    assert_int_equal(slot_of(""), 0);
    assert_int_equal(slot_of("123456789"), 0x31c3 % KEYSLOTS);
}

static void only_a_tag_counts(void **state)
{
    (void)state;
    assert_int_equal(slot_of("{user1000}.following"), slot_of("user1000"));
    assert_int_equal(slot_of("{user1000}.followers"), slot_of("{user1000}.following"));
    assert_int_equal(slot_of("foo{{bar}}zap"), slot_of("{bar"));
    assert_int_equal(slot_of("foo{bar}{zap}"), slot_of("bar"));
    assert_int_equal(slot_of("}foo{bar}"), slot_of("bar"));
}

static void no_tag_where_it_is_empty_or_open(void **state)
{
    static const char *const whole[] = {"foo{}{bar}", "{}", "foo{bar", "foo}bar", "{", "}{", "a{}"};

    (void)state;
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++)
        assert_int_equal(slot_of(whole[i]), crc_of(whole[i]) % KEYSLOTS);
}

static void joined_is_joined_by_hand(void **state)
{
    static const char *const keys[] = {"push:user:42", "push:{a}b", "{ab}c", "a{}b{c}", "{",
                                       "{}",           "",          "x{y}",  "{a}{b}",  "a}b{c}",
                                       "{{}}"};

    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const size_t len = strlen(keys[i]);

        for (size_t cut = 0; cut <= len; cut++)
            assert_int_equal(keyslot_joined(keys[i], cut, keys[i] + cut, len - cut),
                             keyslot(keys[i], len));
    }
}

static void bytes_are_bytes(void **state)
{
    (void)state;
    assert_int_equal(keyslot("a\0b", 3), keyslot_joined("a", 1, "\0b", 2));
    assert_int_not_equal(keyslot("a\0b", 3), keyslot("a", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc_of_the_specification),
        cmocka_unit_test(table_is_the_polynomial),
        cmocka_unit_test(crc_goes_on_where_it_stopped),
        cmocka_unit_test(slots_that_redis_gives),
        cmocka_unit_test(only_a_tag_counts),
        cmocka_unit_test(no_tag_where_it_is_empty_or_open),
        cmocka_unit_test(joined_is_joined_by_hand),
        cmocka_unit_test(bytes_are_bytes),
    };
    return cmocka_run_group_tests_name("keyslot", tests, NULL, NULL);
}

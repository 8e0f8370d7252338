/* Connections counted by address: against a model, at the edges of the table, and the keys. */
#include "shm/addresses.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIZE = 64, KEYS = 30 };

static struct address_entry entries[SIZE];
static struct addresses table = {entries, SIZE};

static int begin(void **state)
{
    (void)state;
    memset((void *)entries, 0, sizeof(entries));
    return 0;
}

static uint64_t random_state = 88172645463325252u;
static uint32_t draw(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % below;
}

/* Keys that cluster at the end of the table and wrap around it, and some anywhere. */
static uint64_t key_number(uint32_t i)
{
    return i % 3 ? (uint64_t)(i + 1) * SIZE + SIZE - 3 + i % 5 : (uint64_t)(i + 1) * 7919;
}

static void against_a_model(void **state)
{
    uint32_t model[KEYS] = {0};
    (void)state;
    for (int step = 0; step < 20000; step++) {
        const uint32_t i = draw(KEYS);
        if (draw(2) == 0 && model[i] < 5) {
            addresses_add(&table, key_number(i));
            model[i]++;
        } else if (model[i] > 0) {
            addresses_remove(&table, key_number(i));
            model[i]--;
        }
        assert_true(addresses_valid(&table));
        for (uint32_t j = 0; j < KEYS; j++)
            assert_int_equal(addresses_count(&table, key_number(j)), model[j]);
    }
    addresses_clear(&table);
    assert_true(addresses_valid(&table));
    for (uint32_t j = 0; j < KEYS; j++)
        assert_int_equal(addresses_count(&table, key_number(j)), 0);
}

static void removing_what_is_not_there_changes_nothing(void **state)
{
    (void)state;
    addresses_remove(&table, 5);
    addresses_add(&table, 5);
    addresses_remove(&table, 5 + SIZE);
    assert_int_equal(addresses_count(&table, 5), 1);
    assert_int_equal(addresses_count(&table, 5 + SIZE), 0);
    assert_true(addresses_valid(&table));
}

static void the_predicate_sees_what_is_wrong(void **state)
{
    (void)state;
    assert_true(addresses_valid(&table));
    entries[9].key = 8; /* not reachable: place 8 is empty */
    entries[9].count = 1;
    assert_false(addresses_valid(&table));
    entries[9].key = 9;
    assert_true(addresses_valid(&table));
    entries[9].count = 0;
    assert_false(addresses_valid(&table));
    entries[9].key = 0;
    entries[9].count = 1;
    assert_false(addresses_valid(&table));
}

static void what_a_key_is(void **state)
{
    static const uint8_t v4[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 1};
    uint8_t other[16], v6[16] = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8};
    (void)state;
    memcpy(other, v4, 16);
    other[15] = 2;
    assert_true(address_key(1, v4) == address_key(1, v4));
    assert_true(address_key(1, v4) != address_key(1, other));
    assert_true(address_key(1, v4) != address_key(2, v4));
    memcpy(other, v6, 16);
    other[15] = 99; /* the same /64 */
    assert_true(address_key(1, v6) == address_key(1, other));
    other[7] = 2;
    assert_true(address_key(1, v6) != address_key(1, other));
}

static void sizes(void **state)
{
    (void)state;
    assert_int_equal(addresses_size(0), 16);
    assert_int_equal(addresses_size(8), 16);
    assert_int_equal(addresses_size(9), 32);
    assert_int_equal(addresses_size(100000), 262144);
    assert_int_equal(addresses_size(UINT32_MAX), UINT32_C(1) << 31);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(against_a_model, begin),
        cmocka_unit_test_setup(removing_what_is_not_there_changes_nothing, begin),
        cmocka_unit_test_setup(the_predicate_sees_what_is_wrong, begin),
        cmocka_unit_test(what_a_key_is),
        cmocka_unit_test(sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

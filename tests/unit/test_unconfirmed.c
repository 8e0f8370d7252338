/* Commands that Redis has not confirmed are kept, in order, until a later batch is confirmed. */
#include "worker/unconfirmed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void add(struct unconfirmed *kept, const char *command)
{
    unconfirmed_add(kept, command, strlen(command));
}

static void assert_kept(const struct unconfirmed *kept, const char *commands)
{
    assert_int_equal(kept->len, strlen(commands));
    if (kept->len > 0)
        assert_memory_equal(kept->bytes, commands, kept->len);
}

static void a_command_is_kept_until_a_batch_behind_it_is_confirmed(void **state)
{
    struct unconfirmed kept = {0};
    (void)state;
    add(&kept, "a");               /* of batch 1 */
    add(&kept, "b");               /* of batch 2 */
    unconfirmed_drop(&kept, 1, 3); /* it is unknown which of them it confirms: none is dropped */
    assert_kept(&kept, "ab");
    add(&kept, "c"); /* of batch 3 or 4 */
    unconfirmed_drop(&kept, 2, 4);
    assert_kept(&kept, "abc");
    unconfirmed_drop(&kept, 3, 5);
    assert_kept(&kept, "c");
    unconfirmed_drop(&kept, 4, 6);
    assert_kept(&kept, "c");
    unconfirmed_drop(&kept, 5, 6);
    assert_kept(&kept, "");
    assert_null(kept.bytes);
}

static void what_was_sent_again_waits_for_its_new_batch(void **state)
{
    struct unconfirmed kept = {0};
    (void)state;
    add(&kept, "a");
    unconfirmed_drop(&kept, 1, 2);
    add(&kept, "b");
    unconfirmed_sent(&kept, 7);
    unconfirmed_drop(&kept, 6, 8);
    assert_kept(&kept, "ab");
    add(&kept, "c");
    unconfirmed_drop(&kept, 7, 8);
    assert_kept(&kept, "c");
    unconfirmed_clear(&kept);
    assert_kept(&kept, "");
}

static void it_holds_what_it_is_given(void **state)
{
    struct unconfirmed kept = {0};
    (void)state;
    for (int i = 0; i < 10000; i++)
        add(&kept, "0123456789");
    assert_int_equal(kept.len, 100000);
    for (int i = 0; i < 10000; i++)
        assert_memory_equal(kept.bytes + 10 * i, "0123456789", 10);
    unconfirmed_clear(&kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_is_kept_until_a_batch_behind_it_is_confirmed),
        cmocka_unit_test(what_was_sent_again_waits_for_its_new_batch),
        cmocka_unit_test(it_holds_what_it_is_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

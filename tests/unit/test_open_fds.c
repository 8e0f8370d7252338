/*
 * The size of the descriptor table, and making room in it.
 */
#include "common/open_fds.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static void open_descriptors_are_below_the_end(void **state)
{
    (void)state;
    const int fd = fcntl(0, F_DUPFD_CLOEXEC, 300);
    assert_true(fd >= 300 && open_fds_has(fd));
    assert_true(open_fds_end() > fd);
    close(fd);
    assert_false(open_fds_has(fd));
}

static void room_is_made_and_nothing_is_left_open(void **state)
{
    (void)state;
    open_fds_make_room(2048);
    assert_true(open_fds_end() >= 2048);
    for (int fd = 300; fd < open_fds_end(); fd++)
        assert_false(open_fds_has(fd));
}

static void above_the_limit_nothing_happens(void **state)
{
    struct rlimit limit;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const int before = open_fds_end();
    open_fds_make_room((int)limit.rlim_cur + 1);
    assert_int_equal(open_fds_end(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_descriptors_are_below_the_end),
        cmocka_unit_test(room_is_made_and_nothing_is_left_open),
        cmocka_unit_test(above_the_limit_nothing_happens),
    };
    return cmocka_run_group_tests_name("open_fds", tests, NULL, NULL);
}

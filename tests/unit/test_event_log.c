/*
 * libevent's messages become lines of the log (master/event_log.h), at a limited rate.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"
#include "master/event_log.h"

#include <event2/event.h>

static struct event_base *base;

/* libevent warns of a loop within a loop. */
static void loop_again(evutil_socket_t fd, short what, void *arg)
{
    const int *times = arg;
    (void)fd, (void)what;
    for (int i = 0; i < *times; i++)
        event_base_loop(base, EVLOOP_NONBLOCK);
}

/* Returns the log after this many warnings by libevent; the caller frees it. */
static char *log_of_warnings(int times)
{
    char path[] = "/tmp/test_event_log.XXXXXX";
    char *text = calloc(1, 65536);
    close(mkstemp(path));
    assert_int_equal(log_open(path, LOG_LEVEL_INFO), 0);
    event_log_open();
    base = event_base_new();
    event_base_once(base, -1, EV_TIMEOUT, loop_again, &times, NULL);
    event_base_loop(base, EVLOOP_ONCE);
    event_base_free(base);
    FILE *file = fopen(path, "re");
    assert_true(fread(text, 1, 65535, file) > 0);
    fclose(file);
    unlink(path);
    return text;
}

static size_t count_lines(const char *text)
{
    size_t lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

static void a_warning_is_a_line_of_the_log(void **state)
{
    char *text = log_of_warnings(1);
    (void)state;
    assert_int_equal(count_lines(text), 1);
    assert_non_null(strstr(text, " level=warn "));
    assert_non_null(strstr(text, " event=libevent message=\"event_base_loop: reentrant"));
    free(text);
}

static void a_flood_is_a_few_lines(void **state)
{
    char *text = log_of_warnings(100000);
    (void)state;
    assert_in_range(count_lines(text), 1, 100); /* ten a second, for a few seconds at most */
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_warning_is_a_line_of_the_log),
        cmocka_unit_test(a_flood_is_a_few_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

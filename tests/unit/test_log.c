/*
 * The log: the format of a line, one line for each event with any input, the truncation of values
 * and lines, the limit on lines, and reopening.
 */
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"

static char path[] = "/tmp/wspushd-test-log-XXXXXX";
static char moved[sizeof path + 4];
static char text[1 << 16];

static int open_log(void **state)
{
    const int fd = mkstemp(path);

    (void)state;
    if (fd == -1)
        return -1;
    close(fd);
    snprintf(moved, sizeof moved, "%s.old", path);
    return log_open(path, LOG_LEVEL_INFO);
}

static int remove_log(void **state)
{
    (void)state;
    unlink(moved);
    return unlink(path);
}

static int empty_log(void **state)
{
    (void)state;
    log_set_source("test");
    return truncate(path, 0);
}

static const char *read_file(const char *name)
{
    const int fd = open(name, O_RDONLY | O_CLOEXEC);
    const ssize_t got = fd == -1 ? -1 : read(fd, text, sizeof text - 1);

    assert_true(got >= 0);
    close(fd);
    text[got] = '\0';
    return text;
}

static const char *logged(void)
{
    return read_file(path);
}

/* The text after the time, which differs every time. */
static const char *after_time(void)
{
    const char *at = strchr(logged(), ' ');

    assert_non_null(at);
    return at + 1;
}

static size_t lines(const char *from)
{
    size_t count = 0;

    for (; *from; from++)
        count += *from == '\n';
    return count;
}

static const char *quote(const char *value)
{
    return log_quote(value, strlen(value));
}

static void a_line_is_logfmt(void **state)
{
    (void)state;
    log_set_source("worker.1");
    log_warn("push_malformed", "reason=%s n=%d", "bad_json", 3);
    assert_string_equal(after_time(),
                        "level=warn from=worker.1 event=push_malformed reason=bad_json n=3\n");
}

static void the_time_is_utc_in_milliseconds(void **state)
{
    int year, month, day, hour, minute, second, ms, end = 0;

    (void)state;
    log_info("x", "%s", "");
    assert_int_equal(sscanf(logged(), "time=%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &year, &month, &day,
                            &hour, &minute, &second, &ms, &end),
                     7);
    assert_int_equal(end, (int)strlen("time=2026-11-22T20:45:19.123Z"));
}

static void no_pairs_no_space(void **state)
{
    (void)state;
    log_error("stop", "");
    assert_string_equal(strstr(logged(), "event"), "event=stop\n");
}

static void lines_above_the_level_are_left_out(void **state)
{
    (void)state;
    log_debug("no", "a=%d", 1);
    assert_int_equal(lines(logged()), 0);
    assert_int_equal(log_open(path, LOG_LEVEL_DEBUG), 0);
    log_debug("yes", "a=%d", 1);
    assert_int_equal(lines(logged()), 1);
    assert_int_equal(log_open(path, LOG_LEVEL_ERROR), 0);
    log_warn("no", "a=%d", 1);
    assert_int_equal(lines(logged()), 1);
    assert_int_equal(log_open(path, LOG_LEVEL_INFO), 0);
}

static void an_event_is_one_line(void **state)
{
    (void)state;
    log_info("x", "v=%s", "a\nlevel=error\r\x1b[31m\x7f");
    assert_int_equal(lines(logged()), 1);
    assert_non_null(strstr(text, "v=a?level=error??[31m?\n"));
}

static void a_long_line_is_cut(void **state)
{
    char value[4000];

    (void)state;
    memset(value, 'v', sizeof value);
    log_info("x", "v=%.*s", (int)sizeof value, value);
    assert_int_equal(strlen(logged()), 2047);
    assert_int_equal(lines(text), 1);
}

static void a_cut_tears_no_code_point(void **state)
{
    char value[4000];

    (void)state;
    for (size_t shift = 0; shift < 3; shift++) {
        assert_int_equal(empty_log(NULL), 0);
        for (size_t i = 0; i + 3 <= sizeof value; i += 3)
            memcpy(value + i, "\xe6\x88\x91", 3);
        log_info("x", "%.*s%.*s", (int)shift, "ab", 3999, value);

        const size_t len = strlen(logged());
        assert_in_range(len, 2044, 2047);
        assert_memory_equal(text + len - 4, "\xe6\x88\x91\n", 4);
    }
}

static void errno_is_kept(void **state)
{
    (void)state;
    errno = ENOTTY;
    log_info("x", "v=%d", 1);
    assert_int_equal(errno, ENOTTY);
}

static void safe_values_are_bare(void **state)
{
    static const char *const safe[] = {"push:user:42", "a.b-c_d/e", "\xe6\x88\x91", "1", "{}[]()'"};

    (void)state;
    for (size_t i = 0; i < sizeof safe / sizeof safe[0]; i++)
        assert_string_equal(quote(safe[i]), safe[i]);
}

static void other_values_are_quoted(void **state)
{
    (void)state;
    assert_string_equal(quote(""), "\"\"");
    assert_string_equal(quote("a b"), "\"a b\"");
    assert_string_equal(quote("a=b"), "\"a=b\"");
    assert_string_equal(quote("say \"hi\""), "\"say \\\"hi\\\"\"");
    assert_string_equal(quote("a\\b"), "\"a\\\\b\"");
    assert_string_equal(quote("a\n\r\t\x1b[0m\x7f"), "\"a\\n\\r\\t\\x1b[0m\\x7f\"");
    assert_string_equal(log_quote("a\0b", 3), "\"a\\x00b\"");
}

static void what_is_not_utf8_is_escaped(void **state)
{
    (void)state;
    assert_string_equal(quote("\xff"), "\"\\xff\"");
    assert_string_equal(quote("\xc0\xaf"), "\"\\xc0\\xaf\"");                   /* overlong */
    assert_string_equal(quote("\xed\xa0\x80"), "\"\\xed\\xa0\\x80\"");          /* a surrogate */
    assert_string_equal(quote("\xf4\x90\x80\x80"), "\"\\xf4\\x90\\x80\\x80\""); /* too high */
    assert_string_equal(quote("\xe6\x88"), "\"\\xe6\\x88\"");                   /* not whole */
    assert_string_equal(quote("\xe6x"), "\"\\xe6x\"");
}

static void what_a_terminal_obeys_is_escaped(void **state)
{
    (void)state;
    assert_string_equal(quote("\xc2\x9b"), "\"\\xc2\\x9b\"");          /* C1: CSI */
    assert_string_equal(quote("\xe2\x80\xae"), "\"\\xe2\\x80\\xae\""); /* right-to-left override */
    assert_string_equal(quote("\xe2\x80\xa8"), "\"\\xe2\\x80\\xa8\""); /* line separator */
    assert_string_equal(quote("\xe2\x81\xa6"), "\"\\xe2\\x81\\xa6\""); /* isolate */
}

static void a_long_value_is_cut(void **state)
{
    char value[300];

    (void)state;
    memset(value, 'a', sizeof value);
    assert_int_equal(strlen(log_quote(value, 256)), 256);
    assert_int_equal(strlen(log_quote(value, 257)), 256 + strlen("\"...\""));
    memcpy(value + 254, "\xe6\x88\x91", 3);
    assert_int_equal(strlen(log_quote(value, 257)), 254 + strlen("\"...\""));

    memset(value, 1, sizeof value); /* the longest result */
    assert_int_equal(strlen(log_quote(value, sizeof value)), 4 * 256 + strlen("\"...\""));
}

static void eight_values_live_together(void **state)
{
    const char *quoted[8];
    char value[2] = "a";

    (void)state;
    for (int i = 0; i < 8; i++) {
        value[0] = (char)('a' + i);
        quoted[i] = log_quote(value, 1);
    }
    for (int i = 0; i < 8; i++)
        assert_int_equal(quoted[i][0], 'a' + i);
}

static void a_limit_counts_what_it_left_out(void **state)
{
    struct log_limit limit;
    uint64_t suppressed;
    uint32_t second;

    (void)state;
    do { /* again if the second changed meanwhile */
        second = clock_mono_s();
        limit = (struct log_limit){0};
        suppressed = 99;
        assert_true(log_allow(&limit, 2, &suppressed));
        assert_true(log_allow(&limit, 2, NULL));
        const bool third = log_allow(&limit, 2, &suppressed) || log_allow(&limit, 2, &suppressed);
        if (clock_mono_s() == second)
            assert_false(third);
    } while (clock_mono_s() != second);
    assert_int_equal(suppressed, 0);
    assert_int_equal(limit.suppressed, 2);

    limit.second--; /* as if a second had gone by */
    assert_true(log_allow(&limit, 2, &suppressed));
    assert_int_equal(suppressed, 2);
    assert_int_equal(limit.suppressed, 0);
}

static void reopening_keeps_the_descriptor(void **state)
{
    (void)state;
    log_info("before", "n=%d", 1);
    assert_int_equal(rename(path, moved), 0);
    log_info("between", "n=%d", 2);

    const int lowest = dup(0);
    close(lowest);
    assert_int_equal(log_open(path, LOG_LEVEL_INFO), 0);
    const int still = dup(0);
    close(still);
    assert_int_equal(still, lowest); /* none was leaked */

    log_info("after", "n=%d", 3);
    assert_int_equal(lines(read_file(moved)), 2);
    assert_int_equal(lines(logged()), 1);
    assert_non_null(strstr(text, "event=after"));
}

static void a_file_that_cannot_be_opened(void **state)
{
    (void)state;
    assert_int_equal(log_open("/nonexistent/log", LOG_LEVEL_INFO), -1);
    assert_int_equal(errno, ENOENT);
    log_info("still", "n=%d", 1);
    assert_int_equal(lines(logged()), 1);
}

/* Logs to a pipe as stderr, and reads the output; JOURNAL_STREAM is its "device:inode" with `shift`
 * added. Runs in a child, because a process checks its stderr only once. */
static const char *logged_to_stderr(ino_t shift)
{
    int pipe_fd[2];
    struct stat file;
    char stream[64];

    assert_int_equal(pipe(pipe_fd), 0);
    assert_int_equal(fstat(pipe_fd[1], &file), 0);
    snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)file.st_dev,
             (unsigned long long)(file.st_ino + shift));
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setenv("JOURNAL_STREAM", stream, 1);
        dup2(pipe_fd[1], STDERR_FILENO);
        log_open(NULL, LOG_LEVEL_DEBUG);
        log_error("a", "%s", "");
        log_warn("b", "%s", "");
        log_info("c", "%s", "");
        log_debug("d", "%s", "");
        _exit(0);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(pipe_fd[1]);
    const ssize_t got = read(pipe_fd[0], text, sizeof text - 1);
    close(pipe_fd[0]);
    assert_true(got > 0);
    text[got] = '\0';
    return text;
}

/* The first three bytes of each line. */
static const char *line_beginnings(const char *lines)
{
    static char begin[64];
    size_t len = 0;

    for (const char *at = lines; at && *at; at = strchr(at, '\n') + 1, len += 3)
        memcpy(begin + len, at, 3);
    begin[len] = '\0';
    return begin;
}

static void the_journal_gets_priorities(void **state)
{
    (void)state;
    assert_string_equal(line_beginnings(logged_to_stderr(0)), "<3><4><6><7>");
}

/* stderr was redirected: JOURNAL_STREAM names another file. */
static void what_is_not_the_journal_gets_none(void **state)
{
    (void)state;
    assert_string_equal(line_beginnings(logged_to_stderr(1)), "timtimtimtim");
}

static void a_file_gets_no_priorities(void **state)
{
    (void)state;
    logged_to_stderr(0);
    assert_int_equal(log_open(path, LOG_LEVEL_INFO), 0);
    log_warn("filed", "%s", "");
    assert_memory_equal(logged(), "time=", 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_line_is_logfmt, empty_log),
        cmocka_unit_test_setup(the_time_is_utc_in_milliseconds, empty_log),
        cmocka_unit_test_setup(no_pairs_no_space, empty_log),
        cmocka_unit_test_setup(lines_above_the_level_are_left_out, empty_log),
        cmocka_unit_test_setup(an_event_is_one_line, empty_log),
        cmocka_unit_test_setup(a_long_line_is_cut, empty_log),
        cmocka_unit_test_setup(a_cut_tears_no_code_point, empty_log),
        cmocka_unit_test_setup(errno_is_kept, empty_log),
        cmocka_unit_test(safe_values_are_bare),
        cmocka_unit_test(other_values_are_quoted),
        cmocka_unit_test(what_is_not_utf8_is_escaped),
        cmocka_unit_test(what_a_terminal_obeys_is_escaped),
        cmocka_unit_test(a_long_value_is_cut),
        cmocka_unit_test(eight_values_live_together),
        cmocka_unit_test(a_limit_counts_what_it_left_out),
        cmocka_unit_test_setup(reopening_keeps_the_descriptor, empty_log),
        cmocka_unit_test_setup(a_file_that_cannot_be_opened, empty_log),
        cmocka_unit_test(the_journal_gets_priorities),
        cmocka_unit_test(what_is_not_the_journal_gets_none),
        cmocka_unit_test_setup(a_file_gets_no_priorities, empty_log),
    };
    return cmocka_run_group_tests_name("log", tests, open_log, remove_log);
}

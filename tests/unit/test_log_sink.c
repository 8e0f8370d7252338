/*
 * The log without a reader: with any kind of stderr, a line that cannot be written at once is lost,
 * counted and reported later, and the process that logs never waits. Each test has its own child
 * with its own stderr, because a process checks its stderr only once.
 */
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log_sink.h"

enum { MANY = 100000, CHILD_S = 20 };

static char text[1 << 20];

/* Runs `body` in a child with `fd` as stderr; its exit status tells which expectation failed. */
static void run_with_stderr(int fd, int (*body)(int peer), int peer)
{
    int status;
    const pid_t pid = fork();
    assert_int_not_equal(pid, -1);
    if (pid == 0) {
        alarm(CHILD_S); /* a child that blocks dies by SIGALRM */
        dup2(fd, STDERR_FILENO);
        close(fd);
        _exit(body(peer));
    }
    close(fd);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Reads the available bytes; never waits. */
static size_t read_all(int fd)
{
    size_t len = 0;
    ssize_t got;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    while ((got = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
        len += (size_t)got;
    text[len] = '\0';
    return len;
}

#define EXPECT(condition)    \
    do {                     \
        if (!(condition))    \
            return __LINE__; \
    } while (0)

/* Logs until far more is lost than was read; then there is room again. Exit statuses have 8 bits,
 * and so has every line number of this function modulo 256, none of which is 0. */
static int log_without_a_reader(int reader)
{
    unsigned long long lost = 0;
    EXPECT(log_open("", LOG_LEVEL_INFO) == 0);
    for (int i = 0; i < MANY; i++)
        log_info("flood", "n=%d", i);
    lost = log_tick();
    EXPECT(lost > MANY / 2 && lost < MANY);
    EXPECT(log_tick() == 0);
    EXPECT(read_all(reader) > 0);
    EXPECT(strncmp(text, "time=", 5) == 0);
    EXPECT(text[strlen(text) - 1] == '\n'); /* no line is cut */
    EXPECT(strstr(text, "log_lost") == NULL);
    EXPECT(log_tick() == 0);
    EXPECT(read_all(reader) > 0);
    const char *report = strstr(text, "event=log_lost lines=");
    EXPECT(report && strtoull(report + strlen("event=log_lost lines="), NULL, 10) == lost);
    log_info("after", "");
    EXPECT(read_all(reader) > 0);
    EXPECT(strstr(text, "event=after") && !strstr(text, "log_lost"));
    return 0;
}

static void a_pipe_nobody_reads(void **state)
{
    int ends[2];
    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    run_with_stderr(ends[1], log_without_a_reader, ends[0]);
    close(ends[0]);
}

static void a_socket_nobody_reads(void **state)
{
    int ends[2];
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    run_with_stderr(ends[1], log_without_a_reader, ends[0]);
    close(ends[0]);
}

/* A pipe that others write to keeps its flags. */
static int look_at_flags(int reader)
{
    (void)reader;
    EXPECT(log_open("", LOG_LEVEL_INFO) == 0);
    log_info("line", "");
    EXPECT((fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK) == 0);
    return 0;
}

static void a_shared_pipe_keeps_its_flags(void **state)
{
    int ends[2];
    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    run_with_stderr(ends[1], look_at_flags, ends[0]);
    assert_true(read_all(ends[0]) > 0);
    close(ends[0]);
}

/* The parent's losses are not the child's. */
static int name_itself_after_losses(int reader)
{
    EXPECT(log_open("", LOG_LEVEL_INFO) == 0);
    for (int i = 0; i < MANY; i++)
        log_info("flood", "n=%d", i);
    log_set_source("worker.0");
    EXPECT(read_all(reader) > 0);
    EXPECT(log_tick() == 0);
    log_info("line", "");
    EXPECT(read_all(reader) > 0);
    EXPECT(strstr(text, "event=line") && !strstr(text, "log_lost"));
    return 0;
}

static void a_worker_does_not_tell_of_its_masters_losses(void **state)
{
    int ends[2];
    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    run_with_stderr(ends[1], name_itself_after_losses, ends[0]);
    close(ends[0]);
}

static int log_to_fifo(int unused)
{
    char path[] = "/tmp/wspushd-test-fifo-XXXXXX";
    (void)unused;
    EXPECT(mkdtemp(path) != NULL);
    char fifo[sizeof(path) + 8];
    snprintf(fifo, sizeof(fifo), "%s/fifo", path);
    EXPECT(mkfifo(fifo, 0600) == 0);
    const int refused = log_open(fifo, LOG_LEVEL_INFO), why = errno;
    const int reader = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    const int opened = log_open(fifo, LOG_LEVEL_INFO);
    unlink(fifo);
    rmdir(path);
    EXPECT(refused == -1 && why == ENXIO); /* open(2) would have waited for a reader */
    EXPECT(reader != -1 && opened == 0);
    for (int i = 0; i < MANY; i++)
        log_info("flood", "n=%d", i);
    EXPECT(log_tick() > 0);
    EXPECT(read_all(reader) > 0);
    return 0;
}

static void a_fifo_as_log_file(void **state)
{
    (void)state;
    run_with_stderr(dup(STDERR_FILENO), log_to_fifo, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipe_nobody_reads),
        cmocka_unit_test(a_socket_nobody_reads),
        cmocka_unit_test(a_shared_pipe_keeps_its_flags),
        cmocka_unit_test(a_worker_does_not_tell_of_its_masters_losses),
        cmocka_unit_test(a_fifo_as_log_file),
    };
    return cmocka_run_group_tests_name("log_sink", tests, NULL, NULL);
}

/*
 * Which descriptors the audit may close (worker/descriptor_kind.h): real ones, of every kind that
 * the server or a library opens, are distinguished.
 */
#include "worker/descriptor_kind.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int inet_listener(const char *address, struct sockaddr_in *addr)
{
    socklen_t len = sizeof(*addr);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *addr = (struct sockaddr_in){.sin_family = AF_INET};
    inet_pton(AF_INET, address, &addr->sin_addr);
    assert_int_equal(bind(fd, (struct sockaddr *)addr, len), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)addr, &len), 0);
    return fd;
}

/* Listens at [::] for IPv4 as well; `addr` is its address for an IPv4 client. */
static int inet6_listener(struct sockaddr_in *addr)
{
    const int off = 0;
    struct sockaddr_in6 any = {.sin6_family = AF_INET6};
    socklen_t len = sizeof(any);
    const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    assert_int_equal(bind(fd, (struct sockaddr *)&any, len), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&any, &len), 0);
    *addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = any.sin6_port};
    addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return fd;
}

static int connect_inet(struct sockaddr_in addr)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (addr.sin_addr.s_addr == htonl(INADDR_ANY))
        addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

static void expect_kind(enum descriptor_kind expected, int fd, const int *listeners,
                        size_t listener_count, int link)
{
    const struct descriptor_peers peers = {listeners, listener_count, -1, &link, 1};
    const enum descriptor_kind kind = descriptor_kind(fd, &peers);
    if (kind != expected)
        fail_msg("descriptor %d is %s, not %s", fd, descriptor_kind_name(kind),
                 descriptor_kind_name(expected));
}

/* ---- Sockets ---- */

static void expect_accepted(int listener, struct sockaddr_in addr)
{
    struct sockaddr_in other;
    const int elsewhere = inet_listener("127.0.0.1", &other);
    const int listeners[] = {-1, elsewhere, listener};
    const int client = connect_inet(addr);
    const int accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    expect_kind(DESCRIPTOR_ACCEPTED, accepted, listeners, 3, -1);
    expect_kind(DESCRIPTOR_OTHER, accepted, listeners, 2, -1);
    expect_kind(DESCRIPTOR_OTHER, client, listeners, 3, -1);
    expect_kind(DESCRIPTOR_LISTENER, listener, listeners, 3, -1);
    expect_kind(DESCRIPTOR_LISTENER, listener, listeners, 1, -1);
    assert_int_equal(descriptor_kind(accepted, &(struct descriptor_peers){.admin = listener}),
                     DESCRIPTOR_ACCEPTED);
    close(client); /* it must be recognized even after its peer closed */
    expect_kind(DESCRIPTOR_ACCEPTED, accepted, listeners, 3, -1);
    close(accepted);
    close(elsewhere);
    close(listener);
}

static void what_came_through_a_listener_is_accepted(void **state)
{
    struct sockaddr_in addr;
    int listener;
    (void)state;
    listener = inet_listener("127.0.0.1", &addr);
    expect_accepted(listener, addr);
    listener = inet_listener("0.0.0.0", &addr);
    expect_accepted(listener, addr);
    listener = inet6_listener(&addr);
    expect_accepted(listener, addr);
}

static void what_came_through_a_unix_listener_is_accepted(void **state)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)state;
    snprintf(addr.sun_path, sizeof(addr.sun_path), "/tmp/test_descriptor_kind.%d", getpid());
    assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(connect(client, (struct sockaddr *)&addr, sizeof(addr)), 0);
    const int accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    expect_kind(DESCRIPTOR_ACCEPTED, accepted, &listener, 1, -1);
    expect_kind(DESCRIPTOR_OTHER, client, &listener, 1, -1);
    expect_kind(DESCRIPTOR_REDIS, client, &listener, 1, client);
    unlink(addr.sun_path);
    close(accepted);
    close(client);
    close(listener);
}

static void what_is_connected_as_a_link_is_redis(void **state)
{
    struct sockaddr_in addr, other;
    const int redis = inet_listener("127.0.0.1", &addr);
    const int another = inet_listener("127.0.0.1", &other);
    const int link = connect_inet(addr), twin = connect_inet(addr), stranger = connect_inet(other);
    (void)state;
    expect_kind(DESCRIPTOR_REDIS, twin, NULL, 0, link);
    expect_kind(DESCRIPTOR_OTHER, stranger, NULL, 0, link);
    expect_kind(DESCRIPTOR_OTHER, twin, NULL, 0, 0);
    const int mine[] = {redis, another, link, twin, stranger};
    for (size_t i = 0; i < sizeof(mine) / sizeof(mine[0]); i++)
        close(mine[i]);
}

static void what_has_no_name_yet_is_fresh(void **state)
{
    static const int families[] = {AF_INET, AF_INET6, AF_UNIX};
    struct sockaddr_in addr = {.sin_family = AF_INET};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const int fd = socket(families[i], SOCK_STREAM | SOCK_CLOEXEC, 0);
        expect_kind(DESCRIPTOR_FRESH, fd, NULL, 0, -1);
        close(fd);
    }
    const int bound = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(bound, (struct sockaddr *)&addr, sizeof(addr)), 0);
    expect_kind(DESCRIPTOR_OTHER, bound, NULL, 0, -1);
    close(bound);
}

/* ---- Others ---- */

static void the_rest_is_somebody_elses(void **state)
{
    int pair[2], pipes[2];
    sigset_t none;
    (void)state;
    sigemptyset(&none);
    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    const int others[] = {
        pair[0],
        pair[1],
        pipes[0],
        pipes[1],
        socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
        socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0),
        epoll_create1(EPOLL_CLOEXEC),
        eventfd(0, EFD_CLOEXEC),
        timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC),
        signalfd(-1, &none, SFD_CLOEXEC),
        pidfd_open(getpid(), 0),
        memfd_create("trial", MFD_CLOEXEC),
        open("/dev/urandom", O_RDONLY | O_CLOEXEC),
        open("/proc/self/exe", O_PATH | O_CLOEXEC),
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_true(others[i] > 0);
        expect_kind(DESCRIPTOR_OTHER, others[i], NULL, 0, pair[0]);
        close(others[i]);
    }
    expect_kind(DESCRIPTOR_OTHER, 9999, NULL, 0, -1); /* not open */
}

static void a_parcel_is_known_by_its_name(void **state)
{
    char target[64], cut[8];
    const int fd = memfd_create("wspushd-parcel", MFD_CLOEXEC);
    (void)state;
    expect_kind(DESCRIPTOR_PARCEL, fd, NULL, 0, -1);
    assert_string_equal(descriptor_target(fd, target, sizeof(target)),
                        "/memfd:wspushd-parcel (deleted)");
    assert_string_equal(descriptor_target(fd, cut, sizeof(cut)), "/memfd:");
    close(fd);
    assert_string_equal(descriptor_target(fd, target, sizeof(target)), "");
}

static void a_pidfd_is_left_over_when_its_process_has_ended(void **state)
{
    const pid_t pid = fork();
    (void)state;
    if (pid == 0)
        for (;;)
            pause();
    const int fd = pidfd_open(pid, 0);
    struct pollfd end = {.fd = fd, .events = POLLIN};
    expect_kind(DESCRIPTOR_OTHER, fd, NULL, 0, -1);
    kill(pid, SIGKILL);
    assert_int_equal(poll(&end, 1, 10000), 1);
    expect_kind(DESCRIPTOR_LOOKUP, fd, NULL, 0, -1);
    waitpid(pid, NULL, 0);
    expect_kind(DESCRIPTOR_LOOKUP, fd, NULL, 0, -1);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_came_through_a_listener_is_accepted),
        cmocka_unit_test(what_came_through_a_unix_listener_is_accepted),
        cmocka_unit_test(what_is_connected_as_a_link_is_redis),
        cmocka_unit_test(what_has_no_name_yet_is_fresh),
        cmocka_unit_test(the_rest_is_somebody_elses),
        cmocka_unit_test(a_parcel_is_known_by_its_name),
        cmocka_unit_test(a_pidfd_is_left_over_when_its_process_has_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * See redis_connect.h.
 *
 *     look-up ──▶ address 0: socket ──▶ failed, or 250 ms have passed ──▶ address 1: socket ──▶ ...
 *                      └──────────────────┬──────────────────────────────────────┘
 *                                         ▼
 *                       the first connected socket is returned, the others are closed
 *
 * Every socket is noted in the slot as soon as it exists, so that the worker's successor can close
 * it. The options that detect a dead peer are set before connect(2), which they limit, too.
 */
#include "worker/redis_connect.h"

#include "common/killpoint.h"
#include "worker/descriptors.h"
#include "worker/redis_resolve.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    ATTEMPT_DELAY_MS = 250,  /* then the next address is tried as well (RFC 8305 §5) */
    CONNECT_TIMEOUT_S = 5,   /* after the attempt at the last address began */
    KEEPALIVE_IDLE_S = 5,    /* of silence, then the kernel sends a probe */
    KEEPALIVE_EVERY_S = 3,   /* between probes */
    KEEPALIVE_COUNT = 3,     /* probes without an answer, then the connection has failed */
    USER_TIMEOUT_MS = 15000, /* sent bytes may stay unacknowledged for (TCP_USER_TIMEOUT, tcp(7)) */
    WHY_SIZE = 640,
};

struct attempt {
    struct redis_connect *connect;
    struct event *writable; /* NULL: not begun, or ended */
    int fd;
};

struct redis_connect {
    struct worker *worker;
    redis_connected *done;
    struct redis_lookup *lookup; /* NULL: none is under way */
    struct redis_addresses addresses;
    struct attempt attempt[REDIS_ADDRESSES_MAX]; /* one for each address */
    uint32_t begun;                              /* attempts that have begun */
    uint32_t live;                               /* attempts in progress */
    struct event *next, *deadline;
    char why[WHY_SIZE]; /* each address that has failed, with its error */
};

/* ---- Sockets ---- */

static void set_socket_option(int fd, int level, int name, int value)
{
    setsockopt(fd, level, name, &value, sizeof(value));
}

/* Sets options by which a peer that vanished silently (its host has died, a firewall has forgotten
 * the connection) is detected within 15 s, whether or not bytes are under way. */
static void set_redis_options(int fd, int family)
{
    if (family == AF_UNIX)
        return;
    set_socket_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_socket_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_socket_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    set_socket_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_EVERY_S);
    set_socket_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT);
    set_socket_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS);
}

/* True if the socket is connected to itself: that happens on a local port without a listener if the
 * kernel chooses the same port for the client's end. */
static bool socket_is_own_peer(int fd)
{
    struct sockaddr_storage own = {0}, peer = {0};
    socklen_t own_len = sizeof(own), peer_len = sizeof(peer);
    return getsockname(fd, (struct sockaddr *)&own, &own_len) == 0 && own.ss_family != AF_UNIX &&
           getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0 && own_len == peer_len &&
           memcmp(&own, &peer, own_len) == 0;
}

/* Returns 0, or the error of connect(2). */
static int redis_socket_error(int fd)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
        return errno;
    return error == 0 && socket_is_own_peer(fd) ? ECONNREFUSED : error;
}

/* ---- Attempts ---- */

static const char *attempt_address_text(const struct attempt *attempt, char *out, size_t size)
{
    const struct redis_connect *connect = attempt->connect;
    const size_t i = (size_t)(attempt - connect->attempt);
    return config_address_text((const struct sockaddr *)&connect->addresses.at[i].addr,
                               connect->addresses.at[i].len, out, size);
}

static void attempt_forget(struct attempt *attempt)
{
    event_free(attempt->writable);
    attempt->writable = NULL;
    attempt->connect->live--;
}

static void attempt_close(struct attempt *attempt)
{
    attempt_forget(attempt);
    descriptors_forget(attempt->connect->worker, attempt->fd);
    close(attempt->fd);
}

static void attempt_note_failure(const struct attempt *attempt, int error)
{
    struct redis_connect *connect = attempt->connect;
    char address[160];
    const size_t used = strlen(connect->why);
    snprintf(connect->why + used, sizeof(connect->why) - used, "%s%s: %s", used ? "; " : "",
             attempt_address_text(attempt, address, sizeof(address)), strerror(error));
}

void redis_connect_cancel(struct redis_connect *connect)
{
    if (connect->lookup)
        redis_resolve_cancel(connect->lookup);
    connect->lookup = NULL;
    for (uint32_t i = 0; i < connect->begun; i++)
        if (connect->attempt[i].writable)
            attempt_close(&connect->attempt[i]);
    event_del(connect->next);
    event_del(connect->deadline);
    connect->begun = connect->addresses.count = 0;
}

static void redis_connect_fail(struct redis_connect *connect, const char *why)
{
    redis_connect_cancel(connect);
    connect->done(connect->worker, -1, why);
}

static void redis_connect_succeed(struct attempt *attempt)
{
    struct redis_connect *connect = attempt->connect;
    const int fd = attempt->fd;
    char address[160];
    attempt_address_text(attempt, address, sizeof(address));
    attempt_forget(attempt);
    redis_connect_cancel(connect);
    connect->done(connect->worker, fd, address);
}

static void attempt_begin_next(struct redis_connect *connect);

static void attempt_on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct attempt *attempt = arg;
    struct redis_connect *connect = attempt->connect;
    const int error = redis_socket_error(fd);
    (void)what;
    worker_note_time(connect->worker);
    if (error == 0) {
        redis_connect_succeed(attempt);
        return;
    }
    attempt_note_failure(attempt, error);
    attempt_close(attempt);
    attempt_begin_next(connect);
}

/* Begins an attempt. Returns 0, and the event loop reports the result; or an errno value, and no
 * socket is open. */
static int attempt_begin(struct attempt *attempt, const struct sockaddr *addr, socklen_t len)
{
    struct worker *worker = attempt->connect->worker;
    const int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd == -1)
        return errno;
    KILLPOINT(REDIS_SOCKET);
    int error = descriptors_note(worker, fd) == -1 ? EMFILE : 0;
    set_redis_options(fd, addr->sa_family);
    if (error == 0 && connect(fd, addr, len) == -1 && errno != EINPROGRESS)
        error = errno;
    attempt->writable =
        error == 0 ? event_new(worker->base, fd, EV_WRITE, attempt_on_writable, attempt) : NULL;
    if (attempt->writable && event_add(attempt->writable, NULL) == 0) {
        attempt->fd = fd;
        attempt->connect->live++;
        return 0;
    }
    descriptors_forget(worker, fd);
    close(fd);
    return error ? error : ENOMEM;
}

/* Begins an attempt at the next address that does not fail at once. If there is none and no attempt
 * is in progress, all have failed. */
static void attempt_begin_next(struct redis_connect *connect)
{
    const struct timeval delay = {0, ATTEMPT_DELAY_MS * 1000}, limit = {CONNECT_TIMEOUT_S, 0};
    event_del(connect->next);
    while (connect->begun < connect->addresses.count) {
        const uint32_t i = connect->begun++;
        struct attempt *attempt = &connect->attempt[i];
        *attempt = (struct attempt){.connect = connect};
        const int error =
            attempt_begin(attempt, (const struct sockaddr *)&connect->addresses.at[i].addr,
                          connect->addresses.at[i].len);
        if (error != 0) {
            attempt_note_failure(attempt, error);
            continue;
        }
        event_add(connect->deadline, &limit);
        if (connect->begun < connect->addresses.count)
            event_add(connect->next, &delay);
        return;
    }
    if (connect->live == 0)
        redis_connect_fail(connect, connect->why);
}

static void connect_on_delay(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    attempt_begin_next(arg);
}

static void connect_on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct redis_connect *connect = arg;
    (void)fd, (void)what;
    for (uint32_t i = 0; i < connect->begun; i++)
        if (connect->attempt[i].writable)
            attempt_note_failure(&connect->attempt[i], ETIMEDOUT);
    redis_connect_fail(connect, connect->why);
}

/* ---- The look-up ---- */

static void connect_on_resolved(void *arg, const struct redis_addresses *found, const char *why)
{
    struct redis_connect *connect = arg;
    connect->lookup = NULL;
    if (!found) {
        redis_connect_fail(connect, why);
        return;
    }
    connect->addresses = *found;
    attempt_begin_next(connect);
}

void redis_connect_begin(struct redis_connect *connect, const struct redis_address *address)
{
    redis_connect_cancel(connect);
    connect->why[0] = '\0';
    struct redis_lookup *lookup =
        redis_resolve(connect->worker, address, connect_on_resolved, connect);
    if (lookup)
        connect->lookup = lookup;
}

struct redis_connect *redis_connect_new(struct worker *worker, redis_connected *done)
{
    struct redis_connect *connect = calloc(1, sizeof(*connect));
    if (!connect)
        return NULL;
    connect->worker = worker;
    connect->done = done;
    connect->next = event_new(worker->base, -1, 0, connect_on_delay, connect);
    connect->deadline = event_new(worker->base, -1, 0, connect_on_deadline, connect);
    return connect->next && connect->deadline ? connect : NULL;
}

const char *redis_address_text(const struct redis_address *address, char *out, size_t size)
{
    if (address->is_unix)
        snprintf(out, size, "unix:%s", address->host);
    else
        snprintf(out, size, strchr(address->host, ':') ? "[%s]:%u" : "%s:%u", address->host,
                 address->port);
    return out;
}

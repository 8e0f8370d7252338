/*
 * See accept.h. A client mostly sends its request along with the connection, so the request is read
 * at once: a connection that moves to its home worker is then never registered in this worker's
 * epoll set.
 */
#include "worker/accept.h"

#include "common/killpoint.h"
#include "common/log.h"
#include "worker/address.h"
#include "worker/client.h"
#include "worker/home.h"
#include "worker/move.h"
#include "worker/upgrade.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ACCEPTS_MAX = 16, /* per event: other workers may be idle */
    PAUSE_MS = 100    /* pause after running out of descriptors */
};

struct accepting {
    struct event **event;
    struct event *resume;
    size_t count;
};

static void set_accept_events(struct worker *worker, bool on)
{
    struct accepting *accepting = worker->accepting;
    for (size_t i = 0; i < accepting->count; i++) {
        if (on)
            event_add(accepting->event[i], NULL);
        else
            event_del(accepting->event[i]);
    }
}

/* Pauses accepting for PAUSE_MS: without descriptors accept4(2) would fail again and again for the
 * same connection. */
static void pause_accept_events(struct worker *worker, const char *why)
{
    static struct log_limit limit;
    if (log_allow(&limit, 1, NULL))
        log_warn("accept_paused", "listener=clients why=%s", log_quote(why, strlen(why)));
    set_accept_events(worker, false);
    event_add(worker->accepting->resume, &(struct timeval){0, PAUSE_MS * 1000});
}

static void accept_on_resume(evutil_socket_t fd, short what, void *arg)
{
    struct worker *worker = arg;
    (void)fd, (void)what;
    if (!worker->draining && move_admits(worker))
        set_accept_events(worker, true);
}

/* Claims the record of a new descriptor, and reads the first bytes. `handing` names the connection
 * until an epoll set or another worker has it. */
static void claim_accepted_socket(struct worker *worker, int fd,
                                  const struct sockaddr_storage *addr, bool proxy)
{
    struct slot *slot = worker->slot;
    struct conn *conn = &worker->table[fd];
    KILLPOINT(ACCEPTED);
    atomic_store_explicit(&slot->handing, conn_ref_pack(conn_ref(worker->table, conn)),
                          memory_order_release);
    KILLPOINT(ACCEPT_NOTED);
    worker_owns(worker, (uint32_t)fd); /* first: a successor scans no further than this */
    worker->segment->sent[fd] = 0;
    const struct conn_ref ref = conn_claim(worker->table, (uint32_t)fd, worker->id, worker->now_s);
    KILLPOINT(ACCEPT_CLAIMED);
    words_connection(&slot->words, ref.fd, ref.generation);
    worker_count(worker, 1, 0);
    address_accepted(worker, conn, (const struct sockaddr *)addr);
    if (proxy && conn_has(conn, CONN_TRUSTED))
        conn_set(conn, CONN_PROXY);
    stats_add(&worker->stats->accepted, 1);
    upgrade_accepted(worker, conn);
    KILLPOINT(ACCEPT_READ);
    if (conn_deref(worker->table, worker->capacity, ref, worker->id) == conn &&
        !conn_has(conn, CONN_ASKED) && client_watch(worker, conn) == -1)
        client_end(worker, conn, CLOSED_RESET);
    words_connection(&slot->words, 0, 0);
    atomic_store_explicit(&slot->handing, 0, memory_order_release);
}

/* True if the listening socket is one behind the PROXY protocol. */
static bool is_proxy_listener(const struct worker *worker, int listener)
{
    const struct worker_setup *setup = worker->setup;
    for (size_t i = 0; i < setup->listen_count; i++)
        if (setup->listen_fds[i] == listener)
            return worker->config->listen_at[i].proxy;
    return false;
}

/* Accepts connections. They have no SOCK_CLOEXEC, because an upgrade keeps the clients through
 * execve(2). */
static void accept_on_readable(evutil_socket_t listener, short what, void *arg)
{
    struct worker *worker = arg;
    (void)what;
    words_doing(&worker->slot->words, DOING_ACCEPTING);
    worker_note_time(worker);
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        struct sockaddr_storage addr = {0};
        socklen_t len = sizeof(addr);
        const int fd = accept4(listener, (struct sockaddr *)&addr, &len, SOCK_NONBLOCK);
        if (fd == -1) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                pause_accept_events(worker, strerror(errno));
            return; /* EAGAIN: another worker was faster; other errors concern one client only */
        }
        if ((uint32_t)fd >= worker->capacity) {
            close(fd);
            pause_accept_events(worker, "the connection table is full");
            return;
        }
        claim_accepted_socket(worker, fd, &addr, is_proxy_listener(worker, listener));
    }
}

int accept_open(struct worker *worker)
{
    const struct worker_setup *setup = worker->setup;
    struct accepting *accepting = calloc(1, sizeof(*accepting));
    if (!accepting)
        return -1;
    worker->accepting = accepting;
    accepting->event = calloc(setup->listen_count, sizeof(struct event *));
    accepting->resume = event_new(worker->base, -1, 0, accept_on_resume, worker);
    if (!accepting->event || !accepting->resume)
        return -1;
    if (worker->id >= worker->plan.active)
        return 0; /* not in use yet: move.h */
    for (; accepting->count < setup->listen_count; accepting->count++) {
        struct event *event = event_new(worker->base, setup->listen_fds[accepting->count],
                                        EV_READ | EV_PERSIST, accept_on_readable, worker);
        if (!event || event_add(event, NULL) == -1)
            return -1;
        accepting->event[accepting->count] = event;
    }
    return 0;
}

void accept_hold(struct worker *worker, bool on)
{
    set_accept_events(worker, !on);
    if (on)
        event_del(worker->accepting->resume);
}

/*
 * Uses shutdown(2), not close(2): all processes share the descriptor table, so only one of them may
 * close a socket, and its number may be another socket's a moment later; but every worker may shut
 * it down. The kernel then refuses new clients, and the address is free: a TCP socket is no longer
 * in LISTEN, as SO_REUSEADDR requires, and connect(2) to a unix socket gets ECONNREFUSED, which
 * tells the next master that the file is stale.
 */
void accept_shut_down(const struct worker *worker, int listener)
{
    if (listener >= worker->setup->passed_end)
        shutdown(listener, SHUT_RDWR);
}

void accept_give_up(struct worker *worker)
{
    const struct worker_setup *setup = worker->setup;
    accept_close(worker);
    for (size_t i = 0; i < setup->listen_count; i++)
        accept_shut_down(worker, setup->listen_fds[i]);
}

void accept_close(struct worker *worker)
{
    set_accept_events(worker, false);
    event_del(worker->accepting->resume);
}

/*
 * See visitors.h. evhttp asks for a bufferevent before it sets the descriptor of a new connection,
 * and calls nothing afterwards. So each connection is checked a moment later, within the same turn
 * of the loop: it is noted, or turned away.
 *
 * The listener pauses while all places for notes are taken, and while the process is out of
 * descriptors: accept(2) would fail repeatedly for the same connection.
 */
#include "worker/visitors.h"

#include "common/log.h"
#include "worker/descriptors.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    PLACES = VISITORS_MAX + 8, /* also for some that are being turned away */
    PAUSE_MS = 100
};

#define SLOT_AUX_PLACES(name, places) name##_PLACES = (places),
enum { SLOT_AUX_USES(SLOT_AUX_PLACES) };
#undef SLOT_AUX_PLACES
_Static_assert((int)PLACES <= (int)VISITOR_PLACES, "each can be noted");

static const char full[] = "HTTP/1.1 503 Service Unavailable\r\n"
                           "Content-Type: application/json\r\n"
                           "Content-Length: 32\r\n"
                           "Connection: close\r\n"
                           "\r\n"
                           "{\"error\":\"too many connections\"}";

/* A connection that evhttp is about to accept. */
struct visitor {
    struct worker *worker;
    struct bufferevent *bufferevent;
};

/* A global, because evhttp uses the listener's argument for itself. */
static struct {
    struct evconnlistener *listener;
    struct event *resume;
    uint32_t expected; /* accepted, and not noted yet */
    bool closed;       /* for good: visitors_close */
} visitors;

/* ---- Pauses ---- */

static void pause_visitors(void)
{
    if (visitors.closed)
        return;
    evconnlistener_disable(visitors.listener);
    event_add(visitors.resume, &(struct timeval){0, PAUSE_MS * 1000});
}

static void visitors_on_resume(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    if (descriptors_visitors(arg) < PLACES)
        evconnlistener_enable(visitors.listener);
    else
        pause_visitors();
}

/* Handles EMFILE, ENFILE, ENOBUFS and ENOMEM (libevent ignores errors that concern one connection
 * only), and EINVAL: another worker has shut the socket down, because the master is dead. */
static void visitors_on_accept_error(struct evconnlistener *listener, void *arg)
{
    static struct log_limit limit;
    const int error = EVUTIL_SOCKET_ERROR();
    const char *why = strerror(error);
    (void)listener, (void)arg;
    if (error == EINVAL) {
        visitors_close();
        return;
    }
    if (log_allow(&limit, 1, NULL))
        log_warn("accept_paused", "listener=admin why=%s", log_quote(why, strlen(why)));
    pause_visitors();
}

/* ---- Connections ---- */

/* Answers 503 and shuts down at once. Received bytes are discarded, so that no request is both
 * answered 503 and carried out; evhttp sees the end, and closes. */
static void turn_visitor_away(int fd)
{
    char bytes[4096];
    (void)!send(fd, full, sizeof(full) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    shutdown(fd, SHUT_RDWR);
    while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        ;
}

static void visitors_on_new(evutil_socket_t none, short what, void *arg)
{
    struct visitor *visitor = arg;
    const int fd = bufferevent_getfd(visitor->bufferevent);
    (void)none, (void)what;
    visitors.expected--;
    if (fd > 0) {
        const int noted = descriptors_note_visitor(visitor->worker, fd);
        if (noted == -1 || noted > VISITORS_MAX)
            turn_visitor_away(fd);
    }
    bufferevent_decref(visitor->bufferevent);
    free(visitor);
}

static struct bufferevent *make_visitor_bufferevent(struct event_base *base, void *arg)
{
    struct bufferevent *bufferevent = bufferevent_socket_new(base, -1, 0);
    struct visitor *visitor = malloc(sizeof(*visitor));
    if (!bufferevent || !visitor) {
        free(visitor);
        return bufferevent;
    }
    *visitor = (struct visitor){arg, bufferevent};
    bufferevent_incref(bufferevent);
    event_base_once(base, -1, EV_TIMEOUT, visitors_on_new, visitor, NULL);
    if (descriptors_visitors(arg) + ++visitors.expected >= PLACES)
        pause_visitors();
    return bufferevent;
}

int visitors_open(struct worker *worker, struct evhttp *http, int listener)
{
    struct evhttp_bound_socket *bound = evhttp_accept_socket_with_handle(http, listener);
    visitors.resume = event_new(worker->base, -1, 0, visitors_on_resume, worker);
    if (!bound || !visitors.resume)
        return -1;
    visitors.listener = evhttp_bound_socket_get_listener(bound);
    evconnlistener_set_error_cb(visitors.listener, visitors_on_accept_error);
    evhttp_set_bevcb(http, make_visitor_bufferevent, worker);
    return 0;
}

void visitors_close(void)
{
    visitors.closed = true;
    evconnlistener_disable(visitors.listener);
    event_del(visitors.resume);
}

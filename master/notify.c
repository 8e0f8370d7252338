/*
 * See notify.h. libsystemd does the same, but would be one more library in the process that must
 * not crash. Sending never blocks, and errors are ignored: a supervisor that does not read must not
 * affect the service.
 *
 * The watchdog covers only the master. The master itself replaces a hanging worker, which closes no
 * connection; if systemd knew of it, it would restart the whole service, which closes all of them.
 */
#include "master/notify.h"

#include "common/log.h"
#include "shm/slot.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static struct {
    struct sockaddr_un addr;
    socklen_t len; /* 0: no supervisor to notify */
    int fd;
    bool ready;
    char status[128]; /* as last sent */
    struct event *watchdog;
} notify;

static void send_notification(const char *text)
{
    if (notify.len > 0)
        (void)!sendto(notify.fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL,
                      (const struct sockaddr *)&notify.addr, notify.len);
}

/* Sets the address from a path, or from '@' and a name in the abstract namespace, whose first byte
 * is NUL (unix(7)). False if the name is invalid. */
static bool set_notify_address(const char *name)
{
    const size_t len = name ? strlen(name) : 0;
    if (len < 2 || len >= sizeof(notify.addr.sun_path) || (*name != '/' && *name != '@'))
        return false;
    notify.addr.sun_family = AF_UNIX;
    memcpy(notify.addr.sun_path, name, len);
    if (*name == '@')
        notify.addr.sun_path[0] = '\0';
    notify.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    return true;
}

/* ---- Readiness and status ---- */

void notify_status(const struct master *master)
{
    uint32_t connections = 0, up = 0;
    char status[sizeof(notify.status)];
    for (uint32_t i = 0; i < master->workers; i++) {
        const struct slot *slot = &master->segment.slot[i];
        connections += atomic_load_explicit(&slot->connections, memory_order_relaxed);
        up += atomic_load_explicit(&slot->link.state, memory_order_relaxed) == LINK_UP;
    }
    snprintf(status, sizeof(status), "STATUS=%s: %u of %u Redis links up, %u connections",
             up == master->workers ? "serving" : "waiting for Redis", up, master->workers,
             connections);
    if (!notify.ready || master->stopping || strcmp(status, notify.status) == 0)
        return;
    memcpy(notify.status, status, sizeof(status));
    send_notification(status);
}

void notify_ready(const struct master *master)
{
    notify.ready = true;
    send_notification("READY=1");
    notify_status(master);
}

void notify_reloading(void)
{
    struct timespec now;
    char text[64];
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
    send_notification(text);
}

void notify_stopping(uint32_t seconds)
{
    char text[96];
    snprintf(text, sizeof(text), "STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=%u000000",
             seconds);
    send_notification(text);
}

/* ---- The watchdog ---- */

void notify_alive(void)
{
    send_notification("WATCHDOG=1");
}

static void on_watchdog_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    notify_alive();
}

uint64_t notify_watchdog_usec(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    if (!usec || (pid && strtoll(pid, NULL, 10) != getpid()))
        return 0;
    return strtoull(usec, NULL, 10);
}

static int add_watchdog_timer(const struct master *master, uint64_t usec)
{
    const struct timeval every = {(time_t)(usec / 1000000), (suseconds_t)(usec % 1000000)};
    notify.watchdog = event_new(master->base, -1, EV_PERSIST, on_watchdog_timer, NULL);
    return notify.watchdog && event_add(notify.watchdog, &every) == 0 ? 0 : -1;
}

int notify_open(struct master *master)
{
    const char *name = getenv("NOTIFY_SOCKET");
    const uint64_t watchdog = notify_watchdog_usec();
    if (!name)
        return 0;
    if (!set_notify_address(name)) {
        log_warn("notify_socket", "name=%s why=\"neither a path nor an abstract name\"",
                 log_quote(name, strlen(name)));
        return 0;
    }
    notify.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (notify.fd == -1)
        return -1;
    if (watchdog == 0)
        return 0;
    notify_alive(); /* before an upgrade the previous version may have sent it long ago */
    return add_watchdog_timer(master, watchdog / 2 + 1);
}

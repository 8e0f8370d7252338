/*
 * See listen.h. What accepted sockets shall have is set on the listening socket: Linux lets them
 * inherit it, which saves a system call for each connection.
 */
#include "master/listen.h"

#include "common/log.h"
#include "master/inherit.h"
#include "master/upgrade.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    BACKLOG = 4096,              /* the kernel cuts it to net.core.somaxconn */
    NOTSENT_LOWAT = 16 * 1024,   /* bytes that wait unsent in a socket before it counts as full */
    USER_TIMEOUT_MS = 60 * 1000, /* then a peer that acknowledges nothing is given up, tcp(7) */
};

/* An option that cannot be set is only a worse server: it is logged. */
static void set(int fd, int level, int option, const char *name, int value)
{
    if (setsockopt(fd, level, option, &value, sizeof(value)) == -1)
        log_warn("setsockopt", "option=%s why=%s", name,
                 log_quote(strerror(errno), strlen(strerror(errno))));
}

static void set_options(int fd, const struct listen_address *address, uint32_t send_buffer)
{
    if (send_buffer > 0)
        set(fd, SOL_SOCKET, SO_SNDBUF, "SO_SNDBUF", (int)send_buffer);
    if (address->is_unix)
        return;
    set(fd, SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR", 1);
    set(fd, SOL_SOCKET, SO_KEEPALIVE, "SO_KEEPALIVE", 1);
    set(fd, IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY", 1);
    set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, "TCP_NOTSENT_LOWAT", NOTSENT_LOWAT);
    set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, "TCP_USER_TIMEOUT", USER_TIMEOUT_MS);
}

/* A file that a killed server left behind answers nobody; it is removed. */
static void remove_stale(const struct listen_address *address)
{
    const char *path = ((const struct sockaddr_un *)&address->addr)->sun_path;
    struct stat status;
    if (stat(path, &status) == -1 || !S_ISSOCK(status.st_mode))
        return;
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd == -1)
        return;
    if (connect(fd, (const struct sockaddr *)&address->addr, address->len) == -1 &&
        errno == ECONNREFUSED)
        unlink(path);
    close(fd);
}

int listen_open(const struct listen_address *address, uint32_t send_buffer)
{
    int passed = inherit_take(address);
    if (passed == -1)
        passed = upgrade_listener(address);
    if (passed != -1) {
        set_options(passed, address, send_buffer);
        return passed;
    }
    const int fd = socket(address->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd != -1) {
        set_options(fd, address, send_buffer);
        if (address->addr.ss_family == AF_INET6)
            set(fd, IPPROTO_IPV6, IPV6_V6ONLY, "IPV6_V6ONLY", 1);
        if (address->is_unix)
            remove_stale(address);
        if (bind(fd, (const struct sockaddr *)&address->addr, address->len) == 0 &&
            listen(fd, BACKLOG) == 0)
            return fd;
    }
    const char *why = strerror(errno);
    log_error("listen_failed", "address=%s why=%s", log_quote(address->text, strlen(address->text)),
              log_quote(why, strlen(why)));
    if (fd != -1)
        close(fd);
    return -1;
}

void listen_close(const struct listen_address *address, int fd)
{
    close(fd);
    if (address->is_unix && !inherit_owns(fd))
        unlink(((const struct sockaddr_un *)&address->addr)->sun_path);
}

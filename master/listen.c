/*
 * See listen.h. Options of accepted sockets are set on the listening socket: on Linux accepted
 * sockets inherit them, which saves a system call for each connection. Sockets are identified by
 * the address that they are bound to, so a reload keeps every socket whose address the new
 * configuration still names, be it in `listen` or in `admin`.
 */
#include "master/listen.h"

#include "common/log.h"
#include "master/handover.h"
#include "master/inherit.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    BACKLOG = 4096,            /* the kernel cuts it to net.core.somaxconn */
    NOTSENT_LOWAT = 16 * 1024, /* unsent bytes in a socket from which it counts as full */
    USER_TIMEOUT_MS =
        60 * 1000, /* closes the connection of a peer that acknowledges nothing: tcp(7) */
};

/* Sets a socket option. A failure is only logged: the server works without it. */
static void set_socket_option(int fd, int level, int option, const char *name, int value)
{
    if (setsockopt(fd, level, option, &value, sizeof(value)) == -1)
        log_warn("setsockopt", "option=%s why=%s", name,
                 log_quote(strerror(errno), strlen(strerror(errno))));
}

static void set_accept_options(int fd, const struct listen_address *address, uint32_t send_buffer)
{
    if (send_buffer > 0)
        set_socket_option(fd, SOL_SOCKET, SO_SNDBUF, "SO_SNDBUF", (int)send_buffer);
    if (address->is_unix)
        return;
    set_socket_option(fd, SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR", 1);
    set_socket_option(fd, SOL_SOCKET, SO_KEEPALIVE, "SO_KEEPALIVE", 1);
    set_socket_option(fd, IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY", 1);
    set_socket_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, "TCP_NOTSENT_LOWAT", NOTSENT_LOWAT);
    set_socket_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, "TCP_USER_TIMEOUT", USER_TIMEOUT_MS);
}

/* Removes the socket file of a killed server: one on which nothing listens any more. */
static void remove_stale_file(const struct listen_address *address)
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

/* The properties of the sockets of one key (listen, admin). */
struct manner {
    uint32_t send_buffer; /* bytes; 0: the kernel's default */
    const char *mode;     /* of a unix socket, in octal; empty: as the umask leaves it */
};

/* Sets the mode of a unix socket's file. Returns 0, or -1 with errno. */
static int set_file_mode(const struct listen_address *address, const char *mode)
{
    const char *path = ((const struct sockaddr_un *)&address->addr)->sun_path;
    if (!address->is_unix || !*mode)
        return 0;
    return chmod(path, (mode_t)strtoul(mode, NULL, 8));
}

/* Opens a new listening socket. Returns the descriptor, or -1 after logging why. The mode of a unix
 * socket's file is set before clients can connect. */
static int open_new_socket(const struct listen_address *address, const struct manner *manner)
{
    const int fd = socket(address->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd != -1) {
        set_accept_options(fd, address, manner->send_buffer);
        if (address->addr.ss_family == AF_INET6)
            set_socket_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, "IPV6_V6ONLY", 1);
        if (address->is_unix)
            remove_stale_file(address);
        if (bind(fd, (const struct sockaddr *)&address->addr, address->len) == 0 &&
            set_file_mode(address, manner->mode) == 0 && listen(fd, BACKLOG) == 0)
            return fd;
    }
    const char *why = strerror(errno);
    log_error("listen_failed", "address=%s why=%s", log_quote(address->text, strlen(address->text)),
              log_quote(why, strlen(why)));
    if (fd != -1)
        close(fd);
    return -1;
}

/* ---- A configuration's sockets ---- */

static int listener_at(const struct listeners *listeners, size_t i)
{
    return i < listeners->count ? listeners->fd[i] : listeners->admin;
}

static bool listeners_contain(const struct listeners *listeners, int fd)
{
    for (size_t i = 0; i <= listeners->count; i++)
        if (listener_at(listeners, i) == fd)
            return true;
    return false;
}

/* True if the file of a unix socket was deleted, so that clients cannot connect any more. False for
 * a passed socket, because its file is systemd's to create again. */
static bool is_unreachable(int fd, const struct listen_address *address)
{
    const char *path = ((const struct sockaddr_un *)&address->addr)->sun_path;
    return address->is_unix && !inherit_owns(fd) && access(path, F_OK) == -1 && errno == ENOENT;
}

/* Returns the socket of `old` that is bound to the address, reachable and not in use yet; or -1. */
static int find_reusable_socket(const struct listeners *listeners, const struct listeners *old,
                                const struct listen_address *address)
{
    for (size_t i = 0; i <= old->count; i++)
        if (listener_at(old, i) != -1 && !listeners_contain(listeners, listener_at(old, i)) &&
            inherit_is_bound(listener_at(old, i), address) &&
            !is_unreachable(listener_at(old, i), address))
            return listener_at(old, i);
    return -1;
}

static int open_or_reuse_socket(const struct listeners *listeners, const struct listeners *old,
                                const struct listen_address *address, const struct manner *manner)
{
    int fd = old ? find_reusable_socket(listeners, old, address) : -1;
    if (fd == -1)
        fd = inherit_take(address);
    if (fd == -1)
        fd = handover_listener(address);
    if (fd == -1)
        return open_new_socket(address, manner);
    set_accept_options(fd, address, manner->send_buffer);
    if (!inherit_owns(fd) && set_file_mode(address, manner->mode) == -1)
        log_warn("listen_mode", "address=%s why=%s",
                 log_quote(address->text, strlen(address->text)),
                 log_quote(strerror(errno), strlen(strerror(errno))));
    return fd;
}

static int open_all_sockets(struct listeners *listeners, const struct config *config,
                            const struct listeners *old)
{
    const struct manner clients = {config->send_buffer, config->listen_mode};
    const struct manner admin = {0, config->admin_mode};
    for (size_t i = 0; i < listeners->count; i++) {
        const int fd = open_or_reuse_socket(listeners, old, &config->listen_at[i], &clients);
        if (fd == -1)
            return -1;
        listeners->fd[i] = fd;
    }
    if (config->admin_at.len == 0)
        return 0;
    listeners->admin = open_or_reuse_socket(listeners, old, &config->admin_at, &admin);
    return listeners->admin == -1 ? -1 : 0;
}

/* Checks that every passed socket is in use: the server would never accept from the others. Returns
 * 0, or -1 after logging one that is not. */
static int check_passed_sockets(const struct listeners *listeners, const struct listeners *old)
{
    if (!old)
        return inherit_check();
    for (size_t i = 0; i <= old->count; i++)
        if (inherit_owns(listener_at(old, i)) && !listeners_contain(listeners, listener_at(old, i)))
            return inherit_unnamed(listener_at(old, i));
    return 0;
}

/* Gets the path that a unix socket is bound to. False if the socket is not a unix socket. */
static bool path_of_socket(int fd, struct sockaddr_un *addr)
{
    socklen_t len = sizeof(*addr) - 1; /* so that a path ends with a NUL */
    *addr = (struct sockaddr_un){0};
    return fd != -1 && getsockname(fd, (struct sockaddr *)addr, &len) == 0 &&
           addr->sun_family == AF_UNIX;
}

/* Removes the file of a unix socket, unless one of `fresh` has it now. */
static void remove_socket_file(int fd, const struct listeners *fresh)
{
    struct sockaddr_un addr, other;
    if (!path_of_socket(fd, &addr))
        return;
    for (size_t i = 0; fresh && i <= fresh->count; i++)
        if (path_of_socket(listener_at(fresh, i), &other) &&
            strcmp(addr.sun_path, other.sun_path) == 0)
            return;
    unlink(addr.sun_path);
}

/* Closes the sockets of `gone` that are not in `stay`. `newer`: `gone` is the newer of the two, so
 * all socket files at its paths are its own, even if `stay` has a socket with the same path whose
 * file was deleted. */
static void close_unshared_sockets(struct listeners *gone, const struct listeners *stay, bool newer)
{
    for (size_t i = 0; i <= gone->count; i++) {
        const int fd = listener_at(gone, i);
        if (fd == -1 || (stay && listeners_contain(stay, fd)) || handover_brought(fd))
            continue;
        if (!inherit_owns(fd))
            remove_socket_file(fd, newer ? NULL : stay);
        close(fd);
    }
    free(gone->fd);
    *gone = (struct listeners){.admin = -1};
}

int listeners_open(struct listeners *listeners, const struct config *config,
                   const struct listeners *old)
{
    *listeners = (struct listeners){.count = config->listen.count, .admin = -1};
    listeners->fd = malloc(listeners->count * sizeof(int));
    if (!listeners->fd) {
        log_error("listen_failed", "why=\"out of memory\"");
        return -1;
    }
    for (size_t i = 0; i < listeners->count; i++)
        listeners->fd[i] = -1;
    if (open_all_sockets(listeners, config, old) == 0 && check_passed_sockets(listeners, old) == 0)
        return 0;
    close_unshared_sockets(listeners, old, true);
    return -1;
}

void listeners_close(struct listeners *old, const struct listeners *fresh)
{
    close_unshared_sockets(old, fresh, false);
}

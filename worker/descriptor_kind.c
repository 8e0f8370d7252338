/*
 * See descriptor_kind.h. An accepted socket has the local address of its listener, and no other
 * socket can: connect(2) never picks a port that a listener has, and a unix socket that connects
 * has no address at all (unix(7)). A listener on all addresses ("0.0.0.0", "[::]") is recognised by
 * its port.
 */
#include "worker/descriptor_kind.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct name {
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    };
    socklen_t len;
};

typedef int name_getter(int fd, struct sockaddr *addr, socklen_t *len);

static bool get_socket_name(name_getter *getter, int fd, struct name *name)
{
    *name = (struct name){.len = sizeof(struct sockaddr_un)};
    return fd > 0 && getter(fd, &name->any, &name->len) == 0;
}

static int socket_option(int fd, int option)
{
    int value = -1;
    socklen_t len = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 ? value : -1;
}

/* ---- Names ---- */

/* Returns the address as IPv6, so that an IPv4 client of "[::]" compares equal. */
static struct in6_addr inet_address(const struct name *name)
{
    struct in6_addr address = {0};
    if (name->any.sa_family == AF_INET6)
        return name->in6.sin6_addr;
    if (name->in.sin_addr.s_addr == htonl(INADDR_ANY))
        return address;
    address.s6_addr[10] = address.s6_addr[11] = 0xff;
    memcpy(&address.s6_addr[12], &name->in.sin_addr, 4);
    return address;
}

static bool is_inet_name(const struct name *name)
{
    return name->any.sa_family == AF_INET || name->any.sa_family == AF_INET6;
}

static in_port_t inet_port(const struct name *name)
{
    return name->any.sa_family == AF_INET ? name->in.sin_port : name->in6.sin6_port;
}

/* True if the addresses are equal, or `pattern` is the wildcard address with the same port. */
static bool socket_name_matches(const struct name *name, const struct name *pattern)
{
    if (!is_inet_name(name) || !is_inet_name(pattern))
        return name->any.sa_family == AF_UNIX && pattern->any.sa_family == AF_UNIX &&
               name->len == pattern->len && name->len > offsetof(struct sockaddr_un, sun_path) &&
               memcmp(name->un.sun_path, pattern->un.sun_path,
                      name->len - offsetof(struct sockaddr_un, sun_path)) == 0;
    const struct in6_addr address = inet_address(name), wanted = inet_address(pattern);
    return inet_port(name) == inet_port(pattern) &&
           (IN6_IS_ADDR_UNSPECIFIED(&wanted) || IN6_ARE_ADDR_EQUAL(&address, &wanted));
}

static bool is_empty_name(const struct name *name)
{
    return is_inet_name(name) ? inet_port(name) == 0
                              : name->len <= offsetof(struct sockaddr_un, sun_path);
}

/* True if one of the descriptors has this address. */
static bool is_name_among(const struct name *name, name_getter *getter, const int *fds,
                          size_t count)
{
    struct name other;
    for (size_t i = 0; i < count; i++)
        if (get_socket_name(getter, fds[i], &other) && socket_name_matches(name, &other))
            return true;
    return false;
}

/* ---- Kinds ---- */

static enum descriptor_kind stream_socket_kind(int fd, const struct descriptor_peers *peers)
{
    struct name own, peer;
    if (socket_option(fd, SO_ACCEPTCONN) != 0)
        return DESCRIPTOR_LISTENER;
    if (!get_socket_name(getsockname, fd, &own) ||
        (!is_inet_name(&own) && own.any.sa_family != AF_UNIX))
        return DESCRIPTOR_OTHER;
    if (!is_empty_name(&own) &&
        (is_name_among(&own, getsockname, peers->listeners, peers->listener_count) ||
         is_name_among(&own, getsockname, &peers->admin, 1)))
        return DESCRIPTOR_ACCEPTED;
    if (!get_socket_name(getpeername, fd, &peer))
        return is_empty_name(&own) ? DESCRIPTOR_FRESH : DESCRIPTOR_OTHER;
    if (!is_empty_name(&peer) && is_name_among(&peer, getpeername, peers->links, peers->link_count))
        return DESCRIPTOR_REDIS;
    return DESCRIPTOR_OTHER;
}

static bool text_begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static bool is_fd_readable(int fd)
{
    struct pollfd look = {.fd = fd, .events = POLLIN};
    return poll(&look, 1, 0) == 1 && (look.revents & POLLIN);
}

/* "pidfd:[4711]" from Linux 6.9 on */
static enum descriptor_kind non_socket_kind(int fd)
{
    char target[64];
    descriptor_target(fd, target, sizeof(target));
    if (text_begins_with(target, "/memfd:wspushd-parcel"))
        return DESCRIPTOR_PARCEL;
    if ((text_begins_with(target, "anon_inode:[pidfd]") || text_begins_with(target, "pidfd:")) &&
        is_fd_readable(fd))
        return DESCRIPTOR_LOOKUP;
    return DESCRIPTOR_OTHER;
}

enum descriptor_kind descriptor_kind(int fd, const struct descriptor_peers *peers)
{
    const int type = socket_option(fd, SO_TYPE);
    if (type == -1)
        return non_socket_kind(fd);
    return type == SOCK_STREAM ? stream_socket_kind(fd, peers) : DESCRIPTOR_OTHER;
}

const char *descriptor_kind_name(enum descriptor_kind kind)
{
    static const char *const names[] = {
#define DESCRIPTOR_KIND_NAME(name, text) text,
        DESCRIPTOR_KINDS(DESCRIPTOR_KIND_NAME)
#undef DESCRIPTOR_KIND_NAME
    };
    return names[kind];
}

const char *descriptor_target(int fd, char *out, size_t size)
{
    char link[32];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    const ssize_t len = readlink(link, out, size - 1);
    out[len > 0 ? len : 0] = '\0';
    return out;
}

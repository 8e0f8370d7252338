/*
 * See descriptor_kind.h. An accepted socket has the local name of the socket that it was accepted
 * from. No other socket gets such a name: connect(2) does not choose a port that a listener has,
 * and a unix socket that connects has no name at all (unix(7)). A listener on all addresses
 * ("0.0.0.0",
 * "[::]") is recognised by its port.
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

static bool get_name(name_getter *getter, int fd, struct name *name)
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

/* An IPv4 address as IPv6 has it, so that a client of "[::]" that speaks IPv4 compares. */
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

static bool is_inet(const struct name *name)
{
    return name->any.sa_family == AF_INET || name->any.sa_family == AF_INET6;
}

static in_port_t inet_port(const struct name *name)
{
    return name->any.sa_family == AF_INET ? name->in.sin_port : name->in6.sin6_port;
}

/* True if the names are the same, or `pattern` is any address at the same port. */
static bool name_matches(const struct name *name, const struct name *pattern)
{
    if (!is_inet(name) || !is_inet(pattern))
        return name->any.sa_family == AF_UNIX && pattern->any.sa_family == AF_UNIX &&
               name->len == pattern->len && name->len > offsetof(struct sockaddr_un, sun_path) &&
               memcmp(name->un.sun_path, pattern->un.sun_path,
                      name->len - offsetof(struct sockaddr_un, sun_path)) == 0;
    const struct in6_addr address = inet_address(name), wanted = inet_address(pattern);
    return inet_port(name) == inet_port(pattern) &&
           (IN6_IS_ADDR_UNSPECIFIED(&wanted) || IN6_ARE_ADDR_EQUAL(&address, &wanted));
}

static bool is_nameless(const struct name *name)
{
    return is_inet(name) ? inet_port(name) == 0
                         : name->len <= offsetof(struct sockaddr_un, sun_path);
}

/* True if one of the descriptors has the name. */
static bool is_among(const struct name *name, name_getter *getter, const int *fds, size_t count)
{
    struct name other;
    for (size_t i = 0; i < count; i++)
        if (get_name(getter, fds[i], &other) && name_matches(name, &other))
            return true;
    return false;
}

/* ---- Kinds ---- */

static enum descriptor_kind stream_kind(int fd, const struct descriptor_peers *peers)
{
    struct name own, peer;
    if (socket_option(fd, SO_ACCEPTCONN) != 0)
        return DESCRIPTOR_LISTENER;
    if (!get_name(getsockname, fd, &own) || (!is_inet(&own) && own.any.sa_family != AF_UNIX))
        return DESCRIPTOR_OTHER;
    if (!is_nameless(&own) &&
        (is_among(&own, getsockname, peers->listeners, peers->listener_count) ||
         is_among(&own, getsockname, &peers->admin, 1)))
        return DESCRIPTOR_ACCEPTED;
    if (!get_name(getpeername, fd, &peer))
        return is_nameless(&own) ? DESCRIPTOR_FRESH : DESCRIPTOR_OTHER;
    if (!is_nameless(&peer) && is_among(&peer, getpeername, peers->links, peers->link_count))
        return DESCRIPTOR_REDIS;
    return DESCRIPTOR_OTHER;
}

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static bool is_readable(int fd)
{
    struct pollfd look = {.fd = fd, .events = POLLIN};
    return poll(&look, 1, 0) == 1 && (look.revents & POLLIN);
}

/* "pidfd:[4711]" from Linux 6.9 on */
static enum descriptor_kind other_kind(int fd)
{
    char target[64];
    descriptor_target(fd, target, sizeof(target));
    if (begins_with(target, "/memfd:wspushd-parcel"))
        return DESCRIPTOR_PARCEL;
    if ((begins_with(target, "anon_inode:[pidfd]") || begins_with(target, "pidfd:")) &&
        is_readable(fd))
        return DESCRIPTOR_LOOKUP;
    return DESCRIPTOR_OTHER;
}

enum descriptor_kind descriptor_kind(int fd, const struct descriptor_peers *peers)
{
    const int type = socket_option(fd, SO_TYPE);
    if (type == -1)
        return other_kind(fd);
    return type == SOCK_STREAM ? stream_kind(fd, peers) : DESCRIPTOR_OTHER;
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

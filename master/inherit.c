/*
 * See inherit.h. Sockets are matched by their addresses, not by their names, which are only logged.
 * So a unit file need not know push.conf, and a mistake in it cannot turn the admin socket into a
 * public listener.
 */
#include "master/inherit.h"

#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    FIRST_FD = 3, /* SD_LISTEN_FDS_START */
    PASSED_MAX = 64,
    BACKLOG = 4096,
    NAME_MAX_SHOWN = 64
};

static struct {
    int count;
    bool used[PASSED_MAX];
} passed;

/* Returns the name of the passed socket `index`, an element of LISTEN_FDNAMES, quoted. */
static const char *name_of_passed(int index)
{
    const char *at = getenv("LISTEN_FDNAMES");
    for (; at && index > 0; index--) {
        at = strchr(at, ':');
        at = at ? at + 1 : NULL;
    }
    const size_t len = at ? strcspn(at, ":") : 0;
    return log_quote(at ? at : "", len < NAME_MAX_SHOWN ? len : NAME_MAX_SHOWN);
}

static const char *address_of_passed(int fd, char *out, size_t size)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof(addr);
    if (getsockname(fd, (struct sockaddr *)&addr, &len) == -1)
        return "";
    return config_address_text((const struct sockaddr *)&addr, len, out, size);
}

static int refuse_passed_socket(int fd, const char *why)
{
    char text[160];
    const char *address = address_of_passed(fd, text, sizeof(text));
    log_error("inherit_failed", "fd=%d name=%s address=%s why=%s", fd,
              name_of_passed(fd - FIRST_FD), log_quote(address, strlen(address)),
              log_quote(why, strlen(why)));
    return -1;
}

/* Prepares a passed socket, which may be bound only or already listening. Returns 0, or -1. */
static int prepare_passed_socket(int fd)
{
    const int flags = fcntl(fd, F_GETFL);
    if (flags == -1 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) == -1 || listen(fd, BACKLOG) == -1)
        return refuse_passed_socket(fd, strerror(errno));
    return 0;
}

int inherit_open(void)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    if (!pid || !fds || strtoll(pid, NULL, 10) != getpid())
        return 0;
    const long count = strtol(fds, NULL, 10);
    if (count < 0 || count > PASSED_MAX) {
        log_error("inherit_failed", "why=\"LISTEN_FDS is not within 0 to %d\"", PASSED_MAX);
        return -1;
    }
    passed.count = (int)count;
    for (int i = 0; i < passed.count; i++)
        if (prepare_passed_socket(FIRST_FD + i) == -1)
            return -1;
    return 0;
}

/* ---- Addresses ---- */

static bool is_same_inet(const struct sockaddr *bound, const struct sockaddr *wanted)
{
    const struct sockaddr_in *a = (const struct sockaddr_in *)bound;
    const struct sockaddr_in *b = (const struct sockaddr_in *)wanted;
    return a->sin_port == b->sin_port && a->sin_addr.s_addr == b->sin_addr.s_addr;
}

static bool is_same_inet6(const struct sockaddr *bound, const struct sockaddr *wanted)
{
    const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)bound;
    const struct sockaddr_in6 *b = (const struct sockaddr_in6 *)wanted;
    return a->sin6_port == b->sin6_port && a->sin6_scope_id == b->sin6_scope_id &&
           memcmp(&a->sin6_addr, &b->sin6_addr, sizeof(a->sin6_addr)) == 0;
}

/* True if an IPv6 socket also serves the wanted "0.0.0.0:port": systemd's ListenStream=8080 opens
 * [::]:8080 for IPv4 and IPv6. */
static bool covers_any_inet(int fd, const struct sockaddr *bound, const struct sockaddr *wanted)
{
    const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)bound;
    const struct sockaddr_in *b = (const struct sockaddr_in *)wanted;
    int only = 1;
    socklen_t len = sizeof(only);
    return IN6_IS_ADDR_UNSPECIFIED(&a->sin6_addr) && b->sin_addr.s_addr == htonl(INADDR_ANY) &&
           a->sin6_port == b->sin_port &&
           getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &len) == 0 && only == 0;
}

bool inherit_is_bound(int fd, const struct listen_address *address)
{
    struct sockaddr_storage storage = {0};
    const struct sockaddr *bound = (const struct sockaddr *)&storage;
    const struct sockaddr *wanted = (const struct sockaddr *)&address->addr;
    socklen_t len = sizeof(storage) - 1; /* so that a path ends with a NUL */
    if (getsockname(fd, (struct sockaddr *)&storage, &len) == -1)
        return false;
    if (bound->sa_family == AF_INET6 && wanted->sa_family == AF_INET)
        return covers_any_inet(fd, bound, wanted);
    if (bound->sa_family != wanted->sa_family)
        return false;
    if (bound->sa_family == AF_INET)
        return is_same_inet(bound, wanted);
    if (bound->sa_family == AF_INET6)
        return is_same_inet6(bound, wanted);
    return bound->sa_family == AF_UNIX &&
           strcmp(((const struct sockaddr_un *)bound)->sun_path,
                  ((const struct sockaddr_un *)wanted)->sun_path) == 0;
}

/* ---- Use ---- */

int inherit_take(const struct listen_address *address)
{
    for (int i = 0; i < passed.count; i++) {
        const int fd = FIRST_FD + i;
        if (passed.used[i] || !inherit_is_bound(fd, address))
            continue;
        passed.used[i] = true;
        log_info("inherited", "address=%s fd=%d name=%s",
                 log_quote(address->text, strlen(address->text)), fd, name_of_passed(i));
        return fd;
    }
    return -1;
}

bool inherit_owns(int fd)
{
    return fd >= FIRST_FD && fd < inherit_end();
}

int inherit_end(void)
{
    return FIRST_FD + passed.count;
}

int inherit_unnamed(int fd)
{
    return refuse_passed_socket(fd, "push.conf names this address in neither listen nor admin");
}

int inherit_check(void)
{
    for (int i = 0; i < passed.count; i++)
        if (!passed.used[i])
            return inherit_unnamed(FIRST_FD + i);
    return 0;
}

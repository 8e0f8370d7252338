/*
 * Resolves and connects: see the header. SOURCE_CLIENTS clients share a source address; the kernel
 * chooses their ports at connect(2) (IP_BIND_ADDRESS_NO_PORT), so a port only has to be unique
 * together with the target. TLS is not supported: the server is measured, and a proxy would be
 * measured with it.
 */
#include "tools/bench_target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum { SOURCE_CLIENTS = 8000 };

/* 127.64-127.x.1 by the process id: different for each run. */
static uint32_t choose_first_source(void)
{
    const uint32_t pid = (uint32_t)getpid();
    return 127U << 24 | (64 + pid % 64) << 16 | (pid / 64 % 256) << 8 | 1;
}

static const char *resolve_host_port(struct target *target, const char *host, const char *port)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    const int result = getaddrinfo(host, port, &hints, &list);
    if (result != 0)
        return result == EAI_SYSTEM ? strerror(errno) : gai_strerror(result);
    memcpy(&target->address, list->ai_addr, list->ai_addrlen);
    target->len = list->ai_addrlen;
    freeaddrinfo(list);

    const struct sockaddr_in *in = (const struct sockaddr_in *)&target->address;
    const bool loopback =
        in->sin_family == AF_INET && ntohl(in->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    target->source = loopback ? choose_first_source() : 0;
    return NULL;
}

const char *target_resolve(struct target *target, const struct url *url)
{
    *target = (struct target){0};
    if (url->tls)
        return "TLS is not supported";
    if (!url->is_unix)
        return resolve_host_port(target, (const char *)url->host.at, (const char *)url->port.at);
    struct sockaddr_un *un = (struct sockaddr_un *)&target->address;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, url->host.at, url->host.len); /* url_parse() has checked the length */
    target->len = sizeof(*un);
    return NULL;
}

const char *target_resolve_text(struct target *target, const char *text)
{
    char host[256];
    const size_t len = strcspn(text, "/");

    *target = (struct target){0};
    if (len >= sizeof(host))
        return "the address is too long";
    memcpy(host, text, len);
    host[len] = '\0';
    char *colon = strrchr(host, ':');
    if (colon == NULL)
        return "expected HOST:PORT";
    *colon = '\0';
    const char *wrong = resolve_host_port(target, host, colon + 1);
    target->source = 0;
    return wrong;
}

static int close_failed_socket(int fd)
{
    const int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int bind_source_address(int fd, const struct target *target, uint32_t number)
{
    const uint32_t source = target->source + (number / SOURCE_CLIENTS << 8);
    const struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr = {htonl(source)}};

    if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int)) == -1)
        return -1;
    return bind(fd, (const struct sockaddr *)&own, sizeof(own));
}

int target_connect(const struct target *target, uint32_t number)
{
    const int family = target->address.ss_family;
    const int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd == -1)
        return -1;
    if (family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (target->source != 0 && bind_source_address(fd, target, number) == -1)
        return close_failed_socket(fd);
    if (connect(fd, (const struct sockaddr *)&target->address, target->len) == -1 &&
        errno != EINPROGRESS)
        return close_failed_socket(fd);
    return fd;
}

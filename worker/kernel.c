/*
 * See kernel.h. Each result is a sum of two counts between which the network moves bytes, so both
 * are read until two readings agree.
 */
#include "worker/kernel.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

bool kernel_counts(int fd)
{
    int domain = AF_UNIX;
    socklen_t len = sizeof(domain);
    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len);
    return domain != AF_UNIX;
}

static struct tcp_info read_tcp_info(int fd)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);
    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
    return info;
}

/* Returns the kernel's counts and, of the same moment, the result of an ioctl(2) `request` in
 * *waiting. */
static struct tcp_info read_tcp_counts(int fd, unsigned long request, int *waiting)
{
    struct tcp_info before, after;
    do {
        before = read_tcp_info(fd);
        ioctl(fd, request, waiting);
        after = read_tcp_info(fd);
    } while (before.tcpi_bytes_acked != after.tcpi_bytes_acked ||
             before.tcpi_bytes_received != after.tcpi_bytes_received);
    return after;
}

uint64_t kernel_sent(int fd)
{
    int queued = 0;
    const struct tcp_info info = read_tcp_counts(fd, SIOCOUTQ, &queued);
    return (uint64_t)info.tcpi_bytes_acked + (uint64_t)queued;
}

uint64_t kernel_received(int fd)
{
    int unread = 0;
    const struct tcp_info info = read_tcp_counts(fd, SIOCINQ, &unread);
    return (uint64_t)info.tcpi_bytes_received - (uint64_t)unread;
}

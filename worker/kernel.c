/*
 * See kernel.h. Either sum has two parts that the network moves bytes between, so it is asked for
 * until two answers agree.
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

static struct tcp_info info_of(int fd)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);
    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
    return info;
}

/* The kernel's counts, and in *waiting, of the same moment, what `request` of ioctl(2) asks for. */
static struct tcp_info counts_with(int fd, unsigned long request, int *waiting)
{
    struct tcp_info before, after;
    do {
        before = info_of(fd);
        ioctl(fd, request, waiting);
        after = info_of(fd);
    } while (before.tcpi_bytes_acked != after.tcpi_bytes_acked ||
             before.tcpi_bytes_received != after.tcpi_bytes_received);
    return after;
}

uint64_t kernel_sent(int fd)
{
    int queued = 0;
    const struct tcp_info info = counts_with(fd, SIOCOUTQ, &queued);
    return (uint64_t)info.tcpi_bytes_acked + (uint64_t)queued;
}

uint64_t kernel_received(int fd)
{
    int unread = 0;
    const struct tcp_info info = counts_with(fd, SIOCINQ, &unread);
    return (uint64_t)info.tcpi_bytes_received - (uint64_t)unread;
}

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

uint64_t kernel_sent(int fd)
{
    struct tcp_info before, after;
    socklen_t len = sizeof(before);
    int queued = 0;
    do {
        len = sizeof(before);
        getsockopt(fd, IPPROTO_TCP, TCP_INFO, &before, &len);
        ioctl(fd, SIOCOUTQ, &queued);
        len = sizeof(after);
        getsockopt(fd, IPPROTO_TCP, TCP_INFO, &after, &len);
    } while (before.tcpi_bytes_acked != after.tcpi_bytes_acked);
    return (uint64_t)after.tcpi_bytes_acked + (uint64_t)queued;
}

uint64_t kernel_received(int fd)
{
    struct tcp_info before, after;
    socklen_t len;
    int unread = 0;
    do {
        len = sizeof(before);
        getsockopt(fd, IPPROTO_TCP, TCP_INFO, &before, &len);
        ioctl(fd, SIOCINQ, &unread);
        len = sizeof(after);
        getsockopt(fd, IPPROTO_TCP, TCP_INFO, &after, &len);
    } while (before.tcpi_bytes_received != after.tcpi_bytes_received);
    return (uint64_t)after.tcpi_bytes_received - (uint64_t)unread;
}

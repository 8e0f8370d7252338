/*
 * The kernel's byte counts of a TCP socket, which a dead worker may not have recorded. A unix
 * socket has no such counts.
 */
#ifndef WSPUSHD_WORKER_KERNEL_H
#define WSPUSHD_WORKER_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

/* True if the kernel counts this socket's bytes: it is a TCP socket. */
bool kernel_counts(int fd);

/* Returns the bytes that send(2) has ever taken: those acknowledged, and those that the kernel
 * still holds. On a socket made by connect(2) the count starts at 1, for its SYN. */
uint64_t kernel_sent(int fd);

/* Returns the bytes that recv(2) has ever returned. */
uint64_t kernel_received(int fd);

#endif

/*
 * What the kernel knows of a TCP socket and a dead worker did not come to note: how many bytes went
 * through it. A unix socket keeps no such count.
 */
#ifndef WSPUSHD_WORKER_KERNEL_H
#define WSPUSHD_WORKER_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

/* Whether it does: of a TCP socket. */
bool kernel_counts(int fd);

/* Bytes that send(2) has ever taken: those acknowledged, and those that the kernel still holds. A
 * socket that connect(2) made begins with 1, for its SYN. */
uint64_t kernel_sent(int fd);

/* Bytes that recv(2) has ever given. */
uint64_t kernel_received(int fd);

#endif

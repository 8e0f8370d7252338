/*
 * Which descriptors are open.
 *
 * /proc/self/fd would tell, but who reads it pays at the end: the kernel makes a name and an inode
 * for each entry and keeps them until the process is waited for. Of a worker with 19,000 clients
 * that took wait4(2) 78 ms, before which no successor was started.
 */
#ifndef WSPUSHD_COMMON_OPEN_FDS_H
#define WSPUSHD_COMMON_OPEN_FDS_H

#include <stdbool.h>

/* No descriptor from this one on is open: the size of the process's descriptor table, FDSize of
 * proc_pid_status(5), which only grows. Returns -1 with errno where /proc cannot be read.
 * Async-signal-safe. */
int open_fds_end(void);

/* Whether a descriptor is open: F_GETFD of fcntl(2). */
bool open_fds_has(int fd);

#endif

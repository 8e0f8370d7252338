/*
 * Finds out which descriptors are open, without /proc/self/fd. Listing that directory makes the
 * kernel create a dentry and an inode for each descriptor, and it frees them only when the process
 * is reaped: for a worker with 19,000 clients that made wait4(2) take 78 ms, and delayed the start
 * of the successor by as much.
 */
#ifndef WSPUSHD_COMMON_OPEN_FDS_H
#define WSPUSHD_COMMON_OPEN_FDS_H

#include <stdbool.h>

/* Returns the size of the process's descriptor table, which only grows (FDSize in
 * proc_pid_status(5)): all open descriptors are below it. Returns -1 with errno if /proc cannot be
 * read. Async-signal-safe. */
int open_fds_end(void);

/*
 * Makes the descriptor table large enough for `count` descriptors. The kernel doubles a full table,
 * and if processes share it, whichever opens a descriptor then waits for an RCU grace period (8 to
 * 16 ms on an idle machine, far longer on a starved one), and with it all others that open one.
 * Called before there are other processes, this takes no time. Does nothing above the limit on open
 * files.
 */
void open_fds_make_room(int count);

/* True if the descriptor is open: F_GETFD of fcntl(2). */
bool open_fds_has(int fd);

#endif

/*
 * Socket activation: listening sockets that systemd has opened and passes (sd_listen_fds(3)).
 *
 *   LISTEN_PID=1234  LISTEN_FDS=2  LISTEN_FDNAMES=wspushd.socket:wspushd-admin.socket
 *                              └──▶ descriptors 3 and 4
 *
 * push.conf still decides on which addresses the server listens; a passed socket is used instead of
 * opening one for the address that it is bound to. The environment variables are not removed: they
 * stay valid as long as the pid does, across upgrades.
 */
#ifndef WSPUSHD_MASTER_INHERIT_H
#define WSPUSHD_MASTER_INHERIT_H

#include "common/config.h"

/* Finds the passed sockets. Call once, before opening any descriptor. Returns 0, or -1 after
 * logging why a socket cannot be used. */
int inherit_open(void);

/* Takes the passed socket that is bound to `address`: listening and non-blocking. Returns it, or
 * -1. */
int inherit_take(const struct listen_address *address);

/* True if the socket is bound to the address. */
bool inherit_is_bound(int fd, const struct listen_address *address);

/* True if the descriptor was passed: then its file belongs to systemd, which keeps listening. */
bool inherit_owns(int fd);

/* Returns the number after the last passed descriptor. No other listening socket has a lower
 * number. */
int inherit_end(void);

/* Checks that all passed sockets are taken: the server would never accept from the others. Returns
 * 0, or -1 after logging the first of those. */
int inherit_check(void);

/* Logs that push.conf does not name the address of a passed socket. Returns -1. */
int inherit_unnamed(int fd);

#endif

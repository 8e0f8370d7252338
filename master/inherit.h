/*
 * Listening sockets that systemd has opened before us: sd_listen_fds(3)'s protocol.
 *
 *   LISTEN_PID=1234  LISTEN_FDS=2  LISTEN_FDNAMES=wspushd.socket:wspushd-admin.socket
 *                              └──▶ descriptors 3 and 4
 *
 * push.conf says what is listened on, as always; a socket that is passed takes the place of the one
 * that would be opened for the address that it is bound to. The environment stays as it is, for it
 * holds as long as the pid does.
 */
#ifndef WSPUSHD_MASTER_INHERIT_H
#define WSPUSHD_MASTER_INHERIT_H

#include "common/config.h"

/* Finds what was passed. Call it once, before anything is opened. Returns 0, or -1 after logging
 * why it cannot be used. */
int inherit_open(void);

/* The passed socket that is bound to `address`, listening and non-blocking, or -1. It is then in
 * use. */
int inherit_take(const struct listen_address *address);

/* Whether a socket is bound to the address. */
bool inherit_is_bound(int fd, const struct listen_address *address);

/* Whether a descriptor was passed: then its file is systemd's, who goes on listening. */
bool inherit_owns(int fd);

/* The number behind the last descriptor that was passed. Lower ones are passed or not listening. */
int inherit_end(void);

/* Whether all are in use: nobody would ever accept who connects to one that is not. Returns 0, or
 * -1 after logging which. */
int inherit_check(void);

/* Logs that push.conf does not name the address of a passed socket. Returns -1. */
int inherit_unnamed(int fd);

#endif

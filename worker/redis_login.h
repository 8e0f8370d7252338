/*
 * Logs a connection in to Redis: user and password, the name for CLIENT LIST, the database of
 * commands, and a check that this Redis is a usable one (redis_role.h). Both links do this before
 * they use their sockets. A login that is not answered in time has failed.
 *
 * AUTH and SELECT must succeed. An ACL may refuse commands that only inform (CLIENT SETNAME, ROLE,
 * INFO): that is logged once, and the link goes on.
 */
#ifndef WSPUSHD_WORKER_REDIS_LOGIN_H
#define WSPUSHD_WORKER_REDIS_LOGIN_H

#include "worker/redis_connect.h"

struct redis_login;

/* Returns an object that logs in one connection at a time; NULL if memory is short. `select`:
 * choose the database. `done` is called as in redis_connect.h: with the socket, which the handler
 * then owns again, or with -1 and the reason, in which case the socket is closed. */
struct redis_login *redis_login_new(struct worker *worker, bool select, redis_connected *done);

/* Begins the login. Takes a socket that redis_connect.h has made; `text` is its address,
 * borrowed. */
void redis_login_begin(struct redis_login *login, int fd, const char *text);

/* Closes the socket, if there is one; `done` is not called. */
void redis_login_cancel(struct redis_login *login);

/* True if this Redis answers INFO, so that its role can be checked again. */
bool redis_login_tells_role(const struct redis_login *login);

#endif

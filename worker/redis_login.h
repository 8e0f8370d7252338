/*
 * Logs a connection to Redis in: user and password, the name that CLIENT LIST shows, the database
 * where commands go, and whether this Redis is the right one (redis_role.h). Both links do this
 * before anything else goes through their sockets; a login that is not answered in time has failed.
 *
 * AUTH and SELECT must succeed. What only tells or names something (CLIENT SETNAME, ROLE, INFO) may
 * be refused by an ACL: then the log says so, once, and the link goes on.
 */
#ifndef WSPUSHD_WORKER_REDIS_LOGIN_H
#define WSPUSHD_WORKER_REDIS_LOGIN_H

#include "worker/redis_connect.h"

struct redis_login;

/* Returns what logs one connection in at a time; NULL: out of memory. `select`: a database is
 * chosen. `done` is called as in redis_connect.h: with the socket, which is the handler's again, or
 * with -1 and the reason, and then it is closed. */
struct redis_login *redis_login_new(struct worker *worker, bool select, redis_connected *done);

/* Takes a socket that redis_connect.h has made; `text` is its address. */
void redis_login_begin(struct redis_login *login, int fd, const char *text);

/* Closes the socket, if there is one; `done` will not be called. */
void redis_login_cancel(struct redis_login *login);

/* Whether this Redis answers INFO, so that it can be asked again. */
bool redis_login_tells_role(const struct redis_login *login);

#endif

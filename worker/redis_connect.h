/*
 * Connects to Redis, at whichever of its addresses answers first. Both links use this: the look-up,
 * the order of the addresses, the time limits and the options of the socket are here and nowhere
 * else; what goes through the socket is the link's.
 *
 * RFC 8305 in its simplest form: the addresses are tried in the order of RFC 6724, the next one as
 * soon as one has failed or has not answered for a moment; the first connection wins.
 */
#ifndef WSPUSHD_WORKER_REDIS_CONNECT_H
#define WSPUSHD_WORKER_REDIS_CONNECT_H

#include "worker/worker.h"

struct redis_connect;

/* How an attempt has ended. fd >= 0: a connected, non-blocking socket, which is the handler's now
 * and is noted in the slot (descriptors.h); `text` is its address, "10.0.0.5:6379". fd -1: none
 * could be made, for the reason in `text`, which names each address that was tried. `text` is
 * borrowed. */
typedef void redis_connected(struct worker *worker, int fd, const char *text);

/* Returns what makes one connection at a time, for the life of the process; NULL: out of memory. */
struct redis_connect *redis_connect_new(struct worker *worker, redis_connected *done);

/* Begins to connect, and gives up what it may have begun before. Calls `done` once, at the earliest
 * before it returns; not after redis_connect_cancel. */
void redis_connect_begin(struct redis_connect *connect, const struct redis_address *address);

/* Gives up what was begun: nothing of it is left open, and `done` will not be called. */
void redis_connect_cancel(struct redis_connect *connect);

/* Writes where Redis is, as configured and without user or password: "host:port" or "unix:/path".
 * Returns `out`. */
const char *redis_address_text(const struct redis_address *address, char *out, size_t size);

#endif

/*
 * Connects to Redis at the first of its addresses that answers. Both links use it: look-up, order
 * of the addresses, time limits and socket options are all here. The use of the connected socket is
 * up to the link.
 *
 * RFC 8305 in its simplest form: the addresses are tried in the order of RFC 6724, the next one as
 * soon as one has failed or has not answered for a moment; the first connection wins.
 */
#ifndef WSPUSHD_WORKER_REDIS_CONNECT_H
#define WSPUSHD_WORKER_REDIS_CONNECT_H

#include "worker/worker.h"

struct redis_connect;

/* Called with the result of an attempt. fd >= 0: a connected, non-blocking socket, now owned by the
 * handler and noted in the slot (descriptors.h); `text` is its address, "10.0.0.5:6379". fd -1: no
 * connection could be made; `text` is the reason and names each address that was tried. `text` is
 * borrowed. */
typedef void redis_connected(struct worker *worker, int fd, const char *text);

/* Returns a connector, which makes one connection at a time and lives as long as the process; NULL
 * if memory is short. */
struct redis_connect *redis_connect_new(struct worker *worker, redis_connected *done);

/* Begins to connect; cancels an attempt that is under way. Calls `done` once, possibly before it
 * returns, unless redis_connect_cancel is called first. */
void redis_connect_begin(struct redis_connect *connect, const struct redis_address *address);

/* Cancels the attempt: closes all its sockets, and `done` is not called. */
void redis_connect_cancel(struct redis_connect *connect);

/* Writes Redis's configured address without user and password: "host:port" or "unix:/path". Returns
 * `out`. */
const char *redis_address_text(const struct redis_address *address, char *out, size_t size);

#endif

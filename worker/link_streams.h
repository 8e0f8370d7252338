/*
 * The bytes of the Redis link in both directions. They stay in shared memory until they are handled
 * (shm/stream.h), so that a successor continues with the same socket at the same byte.
 *
 *     Redis --recv--> in stream ----> routed, sent, committed          the event; link_route
 *     Redis <--send-- out stream <--- commands                         link_turn; link_write
 *                         ^---------- those that it had no room for, in private memory: `behind`
 */
#ifndef WSPUSHD_WORKER_LINK_STREAMS_H
#define WSPUSHD_WORKER_LINK_STREAMS_H

#include "worker/worker.h"

#include <stddef.h>

/* The link's source number in conn_mark. */
enum { LINK_SOURCE = 0 };

/* Appends commands, which link_turn sends. Only if link_writable(). */
void link_write(struct worker *worker, const void *bytes, size_t len);

/* True if so many bytes wait to be sent that nothing more should be requested now. */
bool link_congested(const struct worker *worker);

/* Routes the received pushes as one batch (batch.h). */
void link_route(struct worker *worker);

/* After a death: routes, sends and commits the stream up to position `end`, however long that
 * takes. */
void link_resume(struct worker *worker, uint64_t end);

/* Sends the appended commands. Called at the end of a turn. */
void link_turn(struct worker *worker);

#endif

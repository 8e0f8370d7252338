/*
 * The bytes of the Redis link, both ways. They stay in shared memory until they are dealt with
 * (shm/stream.h), so that a successor goes on with the same socket at the same byte.
 *
 *     Redis --recv--> in stream ----> routed, sent, committed          the event; link_route
 *     Redis <--send-- out stream <--- commands                         link_turn; link_write
 *                         ^---------- those that it had no room for, in private memory: `behind`
 */
#ifndef WSPUSHD_WORKER_LINK_STREAMS_H
#define WSPUSHD_WORKER_LINK_STREAMS_H

#include "worker/worker.h"

#include <stddef.h>

/* What it is called in conn_mark. */
enum { LINK_SOURCE = 0 };

/* Appends bytes of commands; sent by link_turn. Only while link_writable. */
void link_write(struct worker *worker, const void *bytes, size_t len);

/* Whether so much waits to be sent that no more should be asked for now. */
bool link_congested(const struct worker *worker);

/* Routes the pushes that have come, as one batch (batch.h). */
void link_route(struct worker *worker);

/* After a death: routes, sends and commits what is there up to position `end`, however long it
 * takes. */
void link_resume(struct worker *worker, uint64_t end);

/* End of a turn: sends the commands. */
void link_turn(struct worker *worker);

#endif

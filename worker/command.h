/*
 * The command link: one connection to Redis for each worker, beside the subscription link, for
 * commands that have an answer. Commands are pipelined; answers come in the order of asking.
 */
#ifndef WSPUSHD_WORKER_COMMAND_H
#define WSPUSHD_WORKER_COMMAND_H

#include "worker/worker.h"

#include <hiredis/hiredis.h>
#include <stddef.h>

/* Called once for each command: `reply` is borrowed; NULL where the link failed before the answer,
 * and then nobody knows whether Redis did it. */
typedef void command_done(struct worker *worker, const redisReply *reply, void *arg);

/* Begins to connect, and goes on trying by itself. Returns 0, or -1. */
int command_open(struct worker *worker);

/* Whether commands can be sent. */
bool command_ready(const struct worker *worker);

/* Whether they can, and Redis answers INFO (redis_watch.c). */
bool command_tells_role(const struct worker *worker);

/* Ends the connection, as soon as the reply in hand is dealt with, and makes another: for
 * command_done, which may not end it. */
void command_restart(struct worker *worker, const char *why);

/* How many answers are owed. */
uint32_t command_owed(const struct worker *worker);

/* Once a second: gives a link up on which Redis has fallen silent. */
void command_tick(struct worker *worker);

/* Sends a command; while the link is made for the first time, as soon as it is there. `done` may be
 * NULL. Returns 0; or -1 where the link is down or too many bytes wait for it, and then `done`
 * is not called. */
int command_send(struct worker *worker, int argc, const char **argv, const size_t *lens,
                 command_done *done, void *arg);

#endif

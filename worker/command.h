/*
 * The command link: each worker's second Redis connection, for commands that have an answer. (The
 * first carries its subscriptions: link.h.) Commands are pipelined; answers arrive in the order of
 * the commands.
 */
#ifndef WSPUSHD_WORKER_COMMAND_H
#define WSPUSHD_WORKER_COMMAND_H

#include "worker/worker.h"

#include <hiredis/hiredis.h>
#include <stddef.h>

/* Called once for each command. Borrows `reply`; NULL if the link failed before the answer came,
 * and then it is unknown whether Redis ran the command. */
typedef void command_done(struct worker *worker, const redisReply *reply, void *arg);

/* Starts connecting, and reconnects by itself after failures. Returns 0, or -1. */
int command_open(struct worker *worker);

/* True if commands can be sent. */
bool command_ready(const struct worker *worker);

/* True if commands can be sent, and Redis permits INFO (redis_watch.c). */
bool command_tells_role(const struct worker *worker);

/* Reconnects, once the reply at hand has been handled. A command_done may call this; it may not end
 * the connection itself. */
void command_restart(struct worker *worker, const char *why);

/* Returns the number of answers that Redis owes. */
uint32_t command_owed(const struct worker *worker);

/* Fails the link if Redis has fallen silent. Called once a second. */
void command_tick(struct worker *worker);

/* Sends a command; during the process's first connection attempt, as soon as the link is up. `done`
 * may be NULL. Returns 0; or -1 if the link is down or too many bytes await answers, and then
 * `done` is not called. */
int command_send(struct worker *worker, int argc, const char **argv, const size_t *lens,
                 command_done *done, void *arg);

#endif

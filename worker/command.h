/*
 * Commands to Redis that have an answer: requests of clients, and the probe. One hiredis
 * connection for each worker, beside the subscription link.
 */
#ifndef WSPUSHD_WORKER_COMMAND_H
#define WSPUSHD_WORKER_COMMAND_H

#include "proto/message.h"
#include "worker/worker.h"

/* Begins to connect; goes on trying by itself. */
struct command *command_open(struct worker *worker);

/* Publishes the probe of /readyz. */
void command_probe(struct worker *worker);

/* Passes a client's request on to where its rule says. Answers ACCEPTED when Redis has it, ERROR
 * unavailable where it has not. */
void command_request(struct worker *worker, struct conn *conn, const struct opcode_rule *rule,
                     const struct message *request);

#endif

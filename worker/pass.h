/*
 * A client's request is passed on to where its rule in push.conf says: a stream, a channel or a
 * list in Redis.
 */
#ifndef WSPUSHD_WORKER_PASS_H
#define WSPUSHD_WORKER_PASS_H

#include "proto/message.h"
#include "worker/worker.h"

/* Answers ACCEPTED when Redis has the request, ERROR unavailable where it has not, or where nobody
 * knows because the link failed. */
void pass_request(struct worker *worker, struct conn *conn, const struct opcode_rule *rule,
                  const struct message *request);

#endif

/*
 * Forwards a client's request to the stream, channel or list in Redis that its rule in push.conf
 * names.
 */
#ifndef WSPUSHD_WORKER_PASS_H
#define WSPUSHD_WORKER_PASS_H

#include "proto/message.h"
#include "worker/worker.h"

/* Forwards the request. The client gets ACCEPTED once Redis has the request; ERROR unavailable if
 * Redis does not have it, or if the link failed and the outcome is unknown. */
void pass_request(struct worker *worker, struct conn *conn, const struct opcode_rule *rule,
                  const struct message *request);

#endif

/* What a client receives, counted. */
#ifndef WSPUSHD_TOOLS_BENCH_ACCOUNT_H
#define WSPUSHD_TOOLS_BENCH_ACCOUNT_H

#include "tools/bench_client.h"

#include <stddef.h>

/* A message with a payload: a push, or a request that comes back. */
void account_payload(struct swarm *swarm, struct client *client, const char *text, size_t len);

/* An answer to the oldest request of the client. */
void account_answer(struct swarm *swarm, struct client *client, bool accepted);

/* The server closed a connection that was ready; it is ready again. */
void account_closed(struct swarm *swarm, struct client *client);
void account_ready(struct swarm *swarm, struct client *client);

/* Counts what was published for the swarm's clients: `expected`, at the end. */
void account_expected(struct swarm *swarm);

/* Whether a client has to get everything of a stream: one that comes and goes must get what is for
 * its user, but may miss what is for all. */
bool account_owed(const struct swarm *swarm, const struct client *client, enum source kind);

#endif

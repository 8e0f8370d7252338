/* Counts what a client receives. */
#ifndef WSPUSHD_TOOLS_BENCH_ACCOUNT_H
#define WSPUSHD_TOOLS_BENCH_ACCOUNT_H

#include "tools/bench_client.h"

#include <stddef.h>

/* Counts a message with a payload: a push, or a request that was echoed. */
void account_payload(struct swarm *swarm, struct client *client, const char *text, size_t len);

/* Counts an answer to the client's oldest unanswered request. */
void account_answer(struct swarm *swarm, struct client *client, bool accepted);

/* Count a connection that the server closed after it was ready, and its return. */
void account_closed(struct swarm *swarm, struct client *client);
void account_ready(struct swarm *swarm, struct client *client);

/* Sets `expected`, the number of pushes published for the swarm's clients; called at the end. */
void account_expected(struct swarm *swarm);

/* True if a client must receive everything of a stream. A client that comes and goes must receive
 * all pushes to its user, but may miss pushes to all. */
bool account_owed(const struct swarm *swarm, const struct client *client, enum source kind);

#endif

/*
 * When to reconnect after a lost connection: the rules that every client of the server follows.
 */
#ifndef WSPUSHD_TOOLS_WSPUSH_RETRY_H
#define WSPUSHD_TOOLS_WSPUSH_RETRY_H

#include <stdbool.h>
#include <stdint.h>

enum { RETRY_FIRST_MS = 500, RETRY_MOST_MS = 30000 };

/* Returns the longest delay before attempt number `attempt` (from 0): it doubles from
 * RETRY_FIRST_MS to RETRY_MOST_MS. */
uint64_t retry_ceiling_ms(unsigned attempt);

/* Returns a random delay between 0 and that maximum (full jitter), so that the clients of a server
 * that went away do not return in waves. */
uint64_t retry_delay_ms(unsigned attempt);

/* True if the client reconnects after a close with this code (1005: no code given). */
bool retry_after_close(uint16_t code);

/* True if the client reconnects after this answer to the handshake. */
bool retry_after_status(int status);

#endif

/*
 * When a lost connection is tried again: the rules that every client of the server follows.
 */
#ifndef WSPUSHD_TOOLS_WSPUSH_RETRY_H
#define WSPUSHD_TOOLS_WSPUSH_RETRY_H

#include <stdbool.h>
#include <stdint.h>

enum { RETRY_FIRST_MS = 500, RETRY_MOST_MS = 30000 };

/* The longest delay before attempt number `attempt` (from 0): doubling from RETRY_FIRST_MS to
 * RETRY_MOST_MS. */
uint64_t retry_ceiling_ms(unsigned attempt);

/* Full jitter: a random delay from 0 to the ceiling, so that the clients of a server that went
 * away do not come back in waves. */
uint64_t retry_delay_ms(unsigned attempt);

/* Whether to connect again after a close with this code (1005: none given). */
bool retry_after_close(uint16_t code);

/* Whether to connect again after this answer to the handshake. */
bool retry_after_status(int status);

#endif

/*
 * This worker's part in a change of the number of workers. shm/plan.h draws the phases; this table
 * says what each phase means for the modules.
 *
 *   phase     new users          topics' messages   the link                 connections
 *   -------   ----------------   ----------------   ----------------------   -----------------
 *   PREPARE   as usual           as usual           routed; subscribes more  served
 *   HOLD      wait (kernel)      wait               routed                   served
 *   SETTLE    wait               wait               routed; subscribes more  served
 *   FENCE     wait               wait               routed up to the fence   served
 *   GIVE      wait               wait               not read                 not read any more
 *   TAKE      go to their new home                  not read                 served by new owner
 *
 * A guest is a worker whose slot is not in use yet: it subscribes and does nothing else.
 *
 * A link that fails after it was SETTLED may never receive the fence, and one that was down has
 * nothing to settle: such a link is blind. Its worker goes on without the fence. Pushes may then be
 * missing, so every client whose push could have come over that link gets a GAP.
 */
#ifndef WSPUSHD_WORKER_MOVE_H
#define WSPUSHD_WORKER_MOVE_H

#include "worker/worker.h"

#include <stddef.h>

/* Allocates the state and the event. Returns 0, or -1 if memory is short. */
int move_open(struct worker *worker);

/* Reads the plan and reacts to a new phase. Call it first in each turn. */
void move_note(struct worker *worker);

/* True if new users are accepted; if other workers may be told about topics; if the node's channels
 * follow the number of users. */
bool move_admits(const struct worker *worker);
bool move_lets_talk(const struct worker *worker);
bool move_knows_users(const struct worker *worker);

/* True if bytes that came on the link must not be routed yet. */
bool move_holds_link(const struct worker *worker);

/* Handles the payload of a fence message. Returns true if the message, and all that follow it, must
 * stay in the stream. */
bool move_fence(struct worker *worker, const uint8_t *payload, size_t len);

/* Handles a push for a user or topic that this worker does not know. Returns true if the push
 * belongs to another worker; in PLAN_REST the channel is then unsubscribed. */
bool move_strays(struct worker *worker, const char *kind, const char *name, size_t len);

/* True if the fence has been reached in this phase. */
bool move_met_fence(const struct worker *worker);

/* True if this worker's link may have missed pushes since it was SETTLED. */
bool move_blind(const struct worker *worker);

/* Takes the phase's next step. Call it once in each turn. */
void move_turn(struct worker *worker);

/* True if the next step can run without waiting, or if the plan has changed. */
bool move_busy(const struct worker *worker);

#endif

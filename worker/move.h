/*
 * Another number of workers: this worker's part in it. shm/plan.h draws the phases; here is what
 * each of them means for the modules, and what they ask.
 *
 *   phase     users who come     topics' messages   the link                 connections
 *   -------   ----------------   ----------------   ----------------------   -----------------
 *   PREPARE   as ever            as ever            routed; subscribes more  served
 *   HOLD      wait (kernel)      wait               routed                   served
 *   SETTLE    wait               wait               routed; subscribes more  served
 *   FENCE     wait               wait               routed up to the fence   served
 *   GIVE      wait               wait               rests                    not read any more
 *   TAKE      come to their new home                rests                    served by the new one
 *
 * A worker of a slot that is not in use yet, a guest, subscribes and does nothing else.
 *
 * A link that fails after it was SETTLED may never meet the fence, and one that was down had
 * nothing to settle: such a link is blind. Its worker goes on without the fence, and because pushes
 * may be missing then, everybody whose push could have come over it gets a GAP.
 */
#ifndef WSPUSHD_WORKER_MOVE_H
#define WSPUSHD_WORKER_MOVE_H

#include "worker/worker.h"

#include <stddef.h>

/* Returns 0, or -1. */
int move_open(struct worker *worker);

/* First thing in a turn: looks at the plan. */
void move_note(struct worker *worker);

/* Whether new users are taken in; whether other workers may be told about topics; whether the
 * node's channels follow the users that there are. */
bool move_admits(const struct worker *worker);
bool move_lets_talk(const struct worker *worker);
bool move_knows_users(const struct worker *worker);

/* Whether what has come on the link has to wait. */
bool move_holds_link(const struct worker *worker);

/* The fence has come: its payload. Returns whether it is to stay where it is, and all behind it. */
bool move_fence(struct worker *worker, const uint8_t *payload, size_t len);

/* A push has come for a user, or to a topic, that this worker knows nothing of. Returns whether it
 * is none of its business; at rest it gives the channel up. */
bool move_strays(struct worker *worker, const char *kind, const char *name, size_t len);

/* Whether it has been met in this phase. */
bool move_met_fence(const struct worker *worker);

/* Whether pushes may have been missed on this worker's link since it was SETTLED. */
bool move_blind(const struct worker *worker);

/* In a turn: the phase's next step. */
void move_turn(struct worker *worker);

/* Whether that can go on at once, or the plan is another. */
bool move_busy(const struct worker *worker);

#endif

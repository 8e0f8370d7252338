/*
 * Kicks of users: push:ctl's {"kick":"42"}. Each ends all logins of the user that were made before
 * it (shm/kicks.h): the connections in the index in portions, so that others are served in between,
 * and logins under way when they arrive at their home.
 */
#ifndef WSPUSHD_WORKER_KICKS_H
#define WSPUSHD_WORKER_KICKS_H

#include "shm/kicks.h"
#include "worker/worker.h"

/* What a login notes before its credentials are looked at. */
uint64_t kicks_now(const struct worker *worker);

/* The node's home: adds a kick, and wakes all workers. `reason` is cut if it is too long; `origin`:
 * position of the command in the link's stream. Returns false if a worker is so far behind that
 * there is no room: then this worker is woken when there is. */
bool kicks_add(struct worker *worker, const char *user, size_t user_len, uint16_t code,
               const char *reason, uint64_t origin);

/* Finds the connections that kicks up to now end. Call before a login gets into the index: it is
 * not among them then. Closes nothing. */
void kicks_begin(struct worker *worker);

/* Whether a kick ends the login of an arriving connection, made at `made`. */
enum kicks_verdict kicks_judge_login(const struct worker *worker, const struct conn *conn,
                                     uint64_t made, struct kick *kick);

/* Closes some of the connections that kicks end. */
void kicks_turn(struct worker *worker);

/* True if there are connections to be closed in the next turn. */
bool kicks_busy(const struct worker *worker);

/* The connections of this worker are others than before, and those who had them have done all
 * kicks. */
void kicks_rehome(struct worker *worker);

#endif

/*
 * Kicks of users: push:ctl's {"kick":"42"}. A kick ends all of the user's logins that were made
 * before it (shm/kicks.h): indexed connections in portions, so that others are served in between,
 * and logins in progress when they arrive at their home.
 */
#ifndef WSPUSHD_WORKER_KICKS_H
#define WSPUSHD_WORKER_KICKS_H

#include "shm/kicks.h"
#include "worker/worker.h"

/* Returns the number of the latest kick. A login takes it before its credentials are checked. */
uint64_t kicks_now(const struct worker *worker);

/* Adds a kick, and wakes all workers. Called in the node's home. Cuts `reason` if it is too long;
 * `origin` is the command's position in the link's stream. Returns false if a worker is so far
 * behind that there is no room: then this worker is woken when there is. */
bool kicks_add(struct worker *worker, const char *user, size_t user_len, uint16_t code,
               const char *reason, uint64_t origin);

/* Finds the connections that the kicks so far end, and closes none of them. Call before a login
 * enters the index, so that it is not among them. */
void kicks_begin(struct worker *worker);

/* Says whether a kick since `made` ends the login of an arriving connection. */
enum kicks_verdict kicks_judge_login(const struct worker *worker, const struct conn *conn,
                                     uint64_t made, struct kick *kick);

/* Closes some of the connections that kicks end. */
void kicks_turn(struct worker *worker);

/* True if there are connections to be closed in the next turn. */
bool kicks_busy(const struct worker *worker);

/* Restarts after this worker's connections have changed: their previous workers have carried out
 * all kicks. */
void kicks_rehome(struct worker *worker);

#endif

/*
 * Starts workers, replaces dead ones and kills hanging ones.
 *
 *   event               | worker runs                  | worker waits for its start
 *   --------------------+------------------------------+---------------------------
 *   it has died         | start its successor: at once | -
 *                       | or after a delay (deaths.h); |
 *                       | none if it had drained, or   |
 *                       | was told to stop             |
 *   no heartbeat        | SIGABRT, a second later      | -
 *                       | SIGKILL (then: it has died)  |
 *   back-off is over    | -                            | start
 *   stop                | command DRAIN, later STOP    | do not start it
 *
 * A worker that has left for a move (move.h) is started again only by the move.
 */
#ifndef WSPUSHD_MASTER_SUPERVISE_H
#define WSPUSHD_MASTER_SUPERVISE_H

#include "master/master.h"
#include "shm/slot.h"

/* Creates the descriptors of all slots, or takes over those of the previous version. Returns 0, or
 * -1. */
int supervise_open(struct master *master);

/* Starts the workers. Call when all of the master's own descriptors are open. Returns 0, or -1. */
int supervise_start(struct master *master);

/* True if the descriptor belongs to a client or to a slot (its link, its parcel). `high`:
 * segment_high(), above which no connection record was ever used. */
bool supervise_knows(const struct master *master, int fd, uint32_t high);

/* Call on SIGCHLD: replaces dead workers, and handles the end of an upgrade's trial. */
void supervise_deaths(struct master *master);

/* Call once a second: kills workers whose heartbeat has stopped while the master was running. */
void supervise_watch(struct master *master);

/* Starts every worker that is not running. */
void supervise_restart(struct master *master);

/* Starts the slot's worker if it is not running. */
void supervise_run(struct master *master, uint32_t i);
/* Wakes all running workers, so that they read the plan. */
void supervise_wake(const struct master *master);

/* Gives every worker a command: SLOT_LEAVE, SLOT_DRAIN or SLOT_STOP. */
void supervise_command(struct master *master, enum slot_command command);

/* True if every running worker has the configuration of the last reload. */
bool supervise_reloaded(const struct master *master);

/* True if every worker runs and its loop has turned once, so that it accepts clients. */
bool supervise_serving(const struct master *master);

/* True if every worker serves and has lived for DEATHS_YOUNG_MS; and true if the workers of any
 * slot die young repeatedly. */
bool supervise_proven(const struct master *master);
bool supervise_failing(const struct master *master);

/* Call when all workers have been killed and reaped elsewhere: marks all as not running. */
void supervise_lost(struct master *master);

/* True if every running worker has drained; and true if no worker is running. */
bool supervise_drained(const struct master *master);
bool supervise_gone(const struct master *master);

/* Sends SIGKILL to all running workers. */
void supervise_kill(const struct master *master);

#endif

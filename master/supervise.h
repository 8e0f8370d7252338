/*
 * The lives of the workers.
 *
 *   event               | worker runs                  | worker waits for its start
 *   --------------------+------------------------------+---------------------------
 *   it has died         | start its successor: at once | -
 *                       | or after a wait (deaths.h);  |
 *                       | none if it had drained, or   |
 *                       | has to stop                  |
 *   no heartbeat        | SIGABRT, a second later      | -
 *                       | SIGKILL (then: it has died)  |
 *   back-off is over    | -                            | start
 *   stop                | command DRAIN, later STOP    | forget it
 *
 * A worker that a move lets go (move.h) is not started again until that says so.
 */
#ifndef WSPUSHD_MASTER_SUPERVISE_H
#define WSPUSHD_MASTER_SUPERVISE_H

#include "master/master.h"
#include "shm/slot.h"

/* Makes the descriptors of all slots, or takes them over. Returns 0, or -1. */
int supervise_open(struct master *master);

/* Starts the workers. Everything else is open. Returns 0, or -1. */
int supervise_start(struct master *master);

/* Whether a descriptor belongs to a client, to a slot's link, or is a parcel. Records were used
 * below `high`: segment_high. */
bool supervise_knows(const struct master *master, int fd, uint32_t high);

/* SIGCHLD: replaces whoever has died. */
void supervise_deaths(struct master *master);

/* Once a second: kills workers whose heartbeat has stopped while the master ran. */
void supervise_watch(struct master *master);

/* Starts every worker that is not running: after an upgrade that failed. */
void supervise_restart(struct master *master);

/* Starts the slot's worker if it is not running; and makes all that run look at the plan. */
void supervise_run(struct master *master, uint32_t i);
void supervise_wake(const struct master *master);

/* Tells every worker: SLOT_DRAIN or SLOT_STOP. */
void supervise_command(struct master *master, enum slot_command command);

/* Whether every worker has the configuration of the last reload. */
bool supervise_reloaded(const struct master *master);
/* Whether every worker that is to run does, and its loop has turned: clients are accepted. */
bool supervise_serving(const struct master *master);

/* Whether every worker serves and is not young any more; whether one has died young again and
 * again. */
bool supervise_proven(const struct master *master);
bool supervise_failing(const struct master *master);

/* All workers have been killed and reaped by others: none is running. */
void supervise_lost(struct master *master);

/* Whether every worker has drained; whether none is running. */
bool supervise_drained(const struct master *master);
bool supervise_gone(const struct master *master);

/* SIGKILL to whoever still runs. */
void supervise_kill(const struct master *master);

#endif

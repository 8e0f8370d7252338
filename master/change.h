/*
 * Planned changes: a reload or an upgrade. Only one runs at a time; it ends with a report on the
 * board (shm/board.h) and READY=1 to systemd. Changes requested meanwhile run after it.
 *
 *            change_ask                 change_end
 *    idle ──────────────▶ under way ──────────────▶ decided ──▶ idle
 *     ▲    RELOADING=1                                  │ every worker serves: report, READY=1
 *     └───────────────── another one was requested ─────┘
 *
 * The start of the program is handled as a change without a report; or, in the new version, as the
 * second half of the upgrade.
 */
#ifndef WSPUSHD_MASTER_CHANGE_H
#define WSPUSHD_MASTER_CHANGE_H

#include "master/master.h"
#include "shm/board.h"

/* Call after the workers were first started: waits until they serve, and reports an upgrade.
 * Returns 0, or -1. */
int change_open(struct master *master);

/* Requests a reload or an upgrade: begins it, or records the request while another change runs. */
void change_ask(struct master *master, enum change_kind kind);

/* Adds a line to the report of the current change. */
void change_note(const char *line);

/* Sets the outcome of the current change: done, refused (nothing changes), or failed in part. The
 * report follows once every worker serves. It says failed if they do not in time, and refused if
 * the server stops first. */
void change_end(struct master *master, enum change_outcome outcome);

#endif

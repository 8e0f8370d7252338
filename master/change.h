/*
 * Planned changes: a reload, an upgrade. One at a time, and each ends with a report on the board
 * and with READY=1; whoever asks meanwhile gets his after it.
 *
 *            change_ask                 change_end
 *    idle ──────────────▶ under way ──────────────▶ decided ──▶ idle
 *     ▲    RELOADING=1                                  │ every worker serves: report, READY=1
 *     └───────────────── another one is asked for ──────┘
 *
 * The start of the program is one that nobody has asked for; where it is the second half of an
 * upgrade, that ends here.
 */
#ifndef WSPUSHD_MASTER_CHANGE_H
#define WSPUSHD_MASTER_CHANGE_H

#include "master/master.h"
#include "shm/board.h"

/* The workers have just been started for the first time. Returns 0, or -1. */
int change_open(struct master *master);

/* A reload or an upgrade is wanted: begins it, or notes it while another is under way. */
void change_ask(struct master *master, enum change_kind kind);

/* Adds a line to the report of the change under way. */
void change_note(const char *line);

/* The change under way is decided: it happens; or it is refused, and nothing changes; or a part of
 * it has failed. Reported once every worker serves; as failed where they do not in time; as refused
 * where the server stops before. */
void change_end(struct master *master, enum change_outcome outcome);

#endif

/*
 * The destination of the log's lines: a file, or stderr. A line that cannot be written at once is
 * lost and counted, so that a stalled reader of the log cannot stall the server.
 */
#ifndef WSPUSHD_COMMON_LOG_SINK_H
#define WSPUSHD_COMMON_LOG_SINK_H

#include <stddef.h>
#include <stdint.h>

/* Directs lines to the file `path`, or to stderr if it is NULL or empty. A reopened file keeps its
 * descriptor number, in all processes that share the table. Returns 0, or -1 with errno; then lines
 * still go to the previous destination. */
int log_sink_open(const char *path);

/* Writes a line, including its newline, in one system call that never waits for a reader. Returns
 * 0, or -1 if the line is lost; log_sink_lost counts it. */
int log_sink_write(const char *line, size_t len);

/* Returns how many lines this process has lost. */
uint64_t log_sink_lost(void);

/* Subtracts `lines` from that number. */
void log_sink_forget(uint64_t lines);

#endif

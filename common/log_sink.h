/*
 * Where the log's lines go: a file, or what stderr is. A line that cannot be written at once is
 * lost and counted, so that nobody who stops reading the log can stop the server.
 */
#ifndef WSPUSHD_COMMON_LOG_SINK_H
#define WSPUSHD_COMMON_LOG_SINK_H

#include <stddef.h>
#include <stdint.h>

/* Lines go to the file `path` from now on, or to stderr if it is NULL or empty. The file keeps its
 * descriptor when it is opened again, for all processes that share it. Returns 0, or -1 with errno,
 * and then lines go where they went before. */
int log_sink_open(const char *path);

/* Writes a line, with its newline, in one system call that never waits for a reader. Returns 0, or
 * -1 if the line is lost, which this process counts. */
int log_sink_write(const char *line, size_t len);

/* Returns how many lines this process has lost. */
uint64_t log_sink_lost(void);

/* Takes that many lines out of the count. */
void log_sink_forget(uint64_t lines);

#endif

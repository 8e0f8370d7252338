/*
 * The log: one line for each event, in logfmt, to stderr or to the file that push.conf names. Each
 * line is one system call, so that the lines of several processes never mix. Logging never waits
 * for the reader of the log: a line that cannot be written at once is dropped, and a later line
 * says how many were dropped.
 *
 *   time=2026-11-22T20:45:19.123Z level=warn from=worker.1 event=push_malformed reason=bad_json
 * channel="push:user:4\n2"
 */
#ifndef WSPUSHD_COMMON_LOG_H
#define WSPUSHD_COMMON_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Opens the log at `path`, or stderr if it is NULL or empty. Lines less severe than `level` are not
 * written. Returns 0, or -1 with errno. May be called again, to reopen a file that was rotated. If
 * stderr is the journal, each line begins with its priority, "<4>" for a warning (sd-daemon(3)). */
int log_open(const char *path, enum log_level level);

/* Sets the process's name in its lines: "master", "worker.1". Copies `name`. */
void log_set_source(const char *name);

/* Writes one line. `event` is one word; `fmt` formats the other key=value pairs ("fd=%d code=%u")
 * and may be "". Pass text from outside through log_quote. A line is cut at 2,048 bytes. Preserves
 * errno. */
void log_line(enum log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* Call once a second: if lines were lost and writing works again, logs their number as log_lost.
 * Returns how many lines this process has lost since the last call. Preserves errno. */
uint64_t log_tick(void);

/* Returns `len` bytes as a logfmt value: bare if that is safe, otherwise in quotes with control
 * characters, quotes, backslashes and invalid UTF-8 escaped (\n, \x1b, \"), cut at 256 bytes of
 * input. The result is in one of eight static buffers that are reused in turn: use it at once. */
const char *log_quote(const void *bytes, size_t len);

/* Limits lines that strangers can cause to `burst` a second. True if the caller should log now;
 * then *suppressed (may be NULL) is the number of lines suppressed since the last one logged.
 * Zero-initialise the struct. */
struct log_limit {
    uint32_t second;
    uint32_t lines;
    uint64_t suppressed;
};
bool log_allow(struct log_limit *limit, uint32_t burst, uint64_t *suppressed);

#endif

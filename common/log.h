/*
 * The log: one line for each event, in logfmt, to stderr or to the file that
 * push.conf names. Each line is one system call, so that the lines of several
 * processes never mix. None waits for whatever reads the log: a line that cannot
 * be written at once is lost, and the next one says how many were.
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

/* Opens the log at `path`, or stderr when it is NULL or empty. Lines above
 * `level` are not written. Returns 0, or -1 with errno. May be called again: to
 * reopen after the file was rotated. If stderr is the journal, each line begins
 * with its priority, "<4>" for a warning (sd-daemon(3)). */
int log_open(const char *path, enum log_level level);

/* Names the process in its lines: "master", "worker.1". Copies `name`. */
void log_set_source(const char *name);

/* Writes one line: `event` is one word; `fmt` gives the further pairs in printf's
 * form ("fd=%d code=%u") and may be "". What came from outside goes through
 * log_quote first. A line is cut at 2,048 bytes. Keeps errno. */
void log_line(enum log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* Call once a second: if lines were lost and can be written again, writes how many
 * were, as log_lost. Returns how many this process has lost since the last call.
 * Keeps errno. */
uint64_t log_tick(void);

/* Returns `len` bytes as a logfmt value: bare where that is safe, otherwise in
 * quotes, with control characters, quotes, backslashes and invalid UTF-8 escaped
 * (\n, \x1b, \"), cut at 256 bytes of input. The result lies in one of eight static
 * buffers: use it in the same log_line. */
const char *log_quote(const void *bytes, size_t len);

/* A limit on lines that strangers can cause: at most `burst` in a second.
 * Returns whether to log now; on true, *suppressed (may be NULL) tells how many
 * were left out since the last that was logged. Zero-initialise the struct. */
struct log_limit {
    uint32_t second;
    uint32_t lines;
    uint64_t suppressed;
};
bool log_allow(struct log_limit *limit, uint32_t burst, uint64_t *suppressed);

#endif

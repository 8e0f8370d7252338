/*
 * The protocols by which pushes are published, as bytes: Redis's PUBLISH, or an HTTP POST for
 * nchan. Both are pipelined: many requests are in flight on a connection, and the replies arrive in
 * order. No I/O here.
 */
#ifndef WSPUSHD_TOOLS_BENCH_MEDIUM_H
#define WSPUSHD_TOOLS_BENCH_MEDIUM_H

#include "tools/bench_payload.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { PIPES_MAX = 64, CHANNEL_MAX = 512 };

struct medium_reply {
    bool ok;
    int64_t receivers; /* PUBLISH's reply; -1 if unknown */
    const char *text;  /* the error text if not ok; borrowed */
    size_t len;
};

struct medium {
    const char *scheme; /* "redis://" */
    const char
        *channel[SOURCE_STREAMS]; /* patterns, by enum source; {} is replaced by the number */
    const char *port;             /* the default */

    /* Appends one publication to `out`, which has room for host, channel, message and
     * MEDIUM_OVERHEAD bytes. Returns the number of bytes written. */
    size_t (*put)(char *out, const char *host, const char *channel, const char *message,
                  size_t len);

    /* Parses a reply. Returns its length, 0 if more bytes are needed, -1 if it is malformed. */
    ssize_t (*get)(struct medium_reply *reply, const char *buf, size_t len);
};

enum { MEDIUM_OVERHEAD = 256 };

/* Returns the medium that the URL names, or NULL. */
const struct medium *medium_find(const char *url);

/* Writes the pattern to `out` with {} replaced by `number`; cut if it is too long. */
void medium_name(char *out, size_t size, const char *pattern, uint32_t number);

#endif

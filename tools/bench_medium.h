/*
 * What pushes are published by, as bytes: Redis's PUBLISH, or an HTTP POST as nchan takes it. Both
 * are pipelined: many are under way on a connection, and the replies come in order. No I/O here.
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
    int64_t receivers; /* as PUBLISH's reply; -1 where it does not tell */
    const char *text;  /* what it says where it is not ok; borrowed */
    size_t len;
};

struct medium {
    const char *scheme;                  /* "redis://" */
    const char *channel[SOURCE_STREAMS]; /* patterns, by enum source; {}: the number */
    const char *port;                    /* where the URL has none */

    /* Appends one publication to `out`, which has MEDIUM_OVERHEAD bytes more than host, channel and
     * message together; returns the bytes written. */
    size_t (*put)(char *out, const char *host, const char *channel, const char *message,
                  size_t len);

    /* Reads a reply. Returns its length, 0 when more is needed, -1 where it is none. */
    ssize_t (*get)(struct medium_reply *reply, const char *buf, size_t len);
};

enum { MEDIUM_OVERHEAD = 256 };

/* The medium that the URL names, or NULL. */
const struct medium *medium_find(const char *url);

/* Writes a name to `out`: the pattern with `number` in the place of {}; cut where it is too long.
 */
void medium_name(char *out, size_t size, const char *pattern, uint32_t number);

#endif

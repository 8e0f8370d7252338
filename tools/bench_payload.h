/*
 * The payload of a push of the load generator, in ASCII, so that it can be sent in any frame and
 * embedded in JSON unchanged:
 *
 *    0 1        9        17               33                      size
 *   +-+--------+--------+----------------+-------------------------+
 *   |k| source | number | time           | filler: dots            |
 *   +-+--------+--------+----------------+-------------------------+
 *
 *   k        the recipient: one user, a topic, all; or that it is a client's request
 *   source   the user's or topic's number, in hexadecimal like all that follows
 *   number   of the push among those of its source, from 0: reveals loss and reordering
 *   time     when it was due, in ns (bench_now()), not when it was actually sent, so that a
 *            server that stalls the generator cannot hide it (coordinated omission)
 */
#ifndef WSPUSHD_TOOLS_BENCH_PAYLOAD_H
#define WSPUSHD_TOOLS_BENCH_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The sources of messages: X(NAME, letter). The first SOURCE_STREAMS are pushes. */
#define SOURCES(X) \
    X(USER, 'u')   \
    X(TOPIC, 't')  \
    X(ALL, 'a')    \
    X(REQUEST, 'r')

enum source {
#define SOURCE_ENUM(name, letter) SOURCE_##name,
    SOURCES(SOURCE_ENUM)
#undef SOURCE_ENUM
        SOURCE_COUNT,
    SOURCE_STREAMS = SOURCE_REQUEST,
};

struct payload {
    enum source kind;
    uint32_t source, number;
    uint64_t time; /* ns */
};

enum { PAYLOAD_MIN = 1 + 8 + 8 + 16 };

/* Writes a payload of `size` bytes, at least PAYLOAD_MIN. */
void payload_write(char *out, size_t size, const struct payload *payload);

/* Reads a payload from the beginning of a text. Returns false if there is none. */
bool payload_read(struct payload *payload, const char *text, size_t len);

#endif

/*
 * What a push of the load generator carries, in ASCII, so that it travels in any frame and through
 * JSON as it is:
 *
 *    0 1        9        17               33                      size
 *   +-+--------+--------+----------------+-------------------------+
 *   |k| source | number | time           | filler: dots            |
 *   +-+--------+--------+----------------+-------------------------+
 *
 *   k        whom it is for: one user, a topic, all; or it is a client's request
 *   source   the user's or topic's number, in hexadecimal like all that follows
 *   number   counts the pushes of this source from 0: what is lost, doubled or out of order shows
 *   time     at which it was to be sent, in ns (bench_now): not when it really was, so that a
 *            server that stalls the generator cannot hide it (coordinated omission)
 */
#ifndef WSPUSHD_TOOLS_BENCH_PAYLOAD_H
#define WSPUSHD_TOOLS_BENCH_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(NAME, letter): where a message comes from. The first SOURCE_STREAMS are pushes. */
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

/* Writes `size` bytes, PAYLOAD_MIN at least. */
void payload_write(char *out, size_t size, const struct payload *payload);

/* Reads one from the beginning of a text; false where there is none. */
bool payload_read(struct payload *payload, const char *text, size_t len);

#endif

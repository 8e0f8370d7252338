/*
 * One connection of the publisher: requests are sent, replies arrive in order. It never blocks;
 * bytes that the socket does not take stay in `out`.
 */
#ifndef WSPUSHD_TOOLS_BENCH_PIPE_H
#define WSPUSHD_TOOLS_BENCH_PIPE_H

#include "tools/bench_board.h"
#include "tools/bench_target.h"
#include "tools/wspush_buffer.h"

#include <stdbool.h>
#include <stdint.h>

struct pipe {
    const struct bench *bench;
    const struct target *target; /* borrowed */
    int fd;
    struct buffer out;
    uint64_t unanswered; /* requests without a reply */
    size_t in_len;
    char in[65536];
};

/* Connects, which may block. Returns NULL, or a description of the error. */
const char *pipe_open(struct pipe *pipe, const struct bench *bench, const struct target *target);
void pipe_close(struct pipe *pipe);

/* Connects again; unanswered requests count as failed. For a run that does something to the server
 * that also closes the publisher's connections. */
const char *pipe_reopen(struct pipe *pipe);

/* True if it accepts another request now. */
bool pipe_has_room(const struct pipe *pipe);

/* Appends a request; pipe_flush() sends it. */
void pipe_publish(struct pipe *pipe, const char *channel, const char *message, size_t len);

/* pipe_flush() sends as much as the socket takes; pipe_read() takes the available replies and
 * counts them on the board. Both return NULL, or a description of the error. */
const char *pipe_flush(struct pipe *pipe);
const char *pipe_read(struct pipe *pipe);

#endif

/*
 * One connection of the publisher: publications go out, replies come back in their order. It never
 * blocks; what does not fit into the socket waits in `out`.
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
    uint64_t unanswered; /* publications without a reply */
    size_t in_len;
    char in[65536];
};

/* Connects, which may block. Returns NULL, or what is wrong. */
const char *pipe_open(struct pipe *pipe, const struct bench *bench, const struct target *target);
void pipe_close(struct pipe *pipe);

/* Connects again; what was not answered counts as failed. For a run that does something to the
 * server which ends connections of publishers, too. */
const char *pipe_reopen(struct pipe *pipe);

/* Whether it takes another publication now. */
bool pipe_has_room(const struct pipe *pipe);

/* Appends a publication; pipe_flush sends it. */
void pipe_publish(struct pipe *pipe, const char *channel, const char *message, size_t len);

/* Sends what the socket takes; takes replies that are there, and counts them on the board. Both
 * return NULL, or what is wrong with the connection. */
const char *pipe_flush(struct pipe *pipe);
const char *pipe_read(struct pipe *pipe);

#endif

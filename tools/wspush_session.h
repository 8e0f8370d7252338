/*
 * A session: one user's wish to be connected, through as many connections as it takes. All that
 * wspush does in answer to frames, typed lines and the clock is decided here.
 */
#ifndef WSPUSHD_TOOLS_WSPUSH_SESSION_H
#define WSPUSHD_TOOLS_WSPUSH_SESSION_H

#include "tools/wspush_conn.h"
#include "tools/wspush_input.h"
#include "tools/wspush_options.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

enum exit_code {
    EXIT_CLEAN = 0,
    EXIT_USAGE = 1,
    EXIT_UNCONNECTED = 2, /* could not connect, or refused */
    EXIT_TIMEOUT = 3,
    EXIT_CLOSED = 4, /* by the server, for good */
};

/* Times are of CLOCK_MONOTONIC in milliseconds; 0: not set. */
struct session {
    const struct options *options; /* borrowed */
    struct conn conn;
    struct input input;
    uint64_t received;   /* messages, HELLO not counted */
    uint64_t timeout_at; /* --timeout */
    uint64_t send_at;    /* when the --send's are due */
    uint64_t retry_at;   /* when to connect again */
    uint64_t silence_ms; /* after which the connection is held to be lost: by HELLO's heartbeat */
    uint64_t silent_at;
    uint64_t bye_ms;  /* BYE's reconnect_ms, until the next attempt */
    bool has_bye;     /* bye_ms is set (0 is a delay) */
    unsigned attempt; /* since the server was last ready */
    bool ready;       /* HELLO came; with --echo: the handshake is done */
    bool was_open;    /* at least once */
    bool has_sent;    /* the --send's, at least once */
    bool leaving;     /* the connection is being closed by us, then it is over */
    bool finished;
    enum exit_code exit_code;
};

enum { SESSION_STDIN, SESSION_SOCKET, SESSION_FDS };

/* Begins to connect. `session` is all zero. */
void session_open(struct session *session, const struct options *options, uint64_t now_ms);

/* Fills what to poll for, and returns for how long at most, in milliseconds; -1: without limit. */
int session_poll(struct session *session, struct pollfd fds[SESSION_FDS], uint64_t now_ms);

/* Does all that can be done after poll(2) filled `fds`. */
void session_turn(struct session *session, const struct pollfd fds[SESSION_FDS], uint64_t now_ms);

/* Closes the connection with 1000; finished once that is done. */
void session_leave(struct session *session, enum exit_code exit_code, uint64_t now_ms);

void session_free(struct session *session);

#endif

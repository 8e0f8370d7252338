/*
 * A session keeps one user connected, through as many connections as that takes. All reactions of
 * wspush to frames, typed lines and the clock are decided here.
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
    EXIT_CLOSED = 4, /* closed by the server, final */
};

/* Times are CLOCK_MONOTONIC in milliseconds; 0: not set. */
struct session {
    const struct options *options; /* borrowed */
    struct conn conn;
    struct input input;
    uint64_t received;   /* messages, not counting HELLO */
    uint64_t timeout_at; /* --timeout */
    uint64_t send_at;    /* when the --sends are due */
    uint64_t retry_at;   /* when to connect again */
    uint64_t
        silence_ms; /* silence after which the connection counts as lost, from HELLO's heartbeat */
    uint64_t silent_at;
    uint64_t bye_ms;  /* BYE's reconnect_ms, used by the next attempt */
    bool has_bye;     /* bye_ms is set (0 is a delay) */
    unsigned attempt; /* attempts since the server was last ready */
    bool ready;       /* HELLO was received; with --echo: the handshake is complete */
    bool was_open;    /* at least once */
    bool has_sent;    /* the --sends, at least once */
    bool leaving;     /* we are closing the connection, then the session ends */
    bool finished;
    enum exit_code exit_code;
};

enum { SESSION_STDIN, SESSION_SOCKET, SESSION_FDS };

/* Starts to connect. `session` is all zero. */
void session_open(struct session *session, const struct options *options, uint64_t now_ms);

/* Fills the descriptors to poll, and returns the longest time to wait in milliseconds; -1: no
 * limit. */
int session_poll(struct session *session, struct pollfd fds[SESSION_FDS], uint64_t now_ms);

/* Handles everything that is possible after poll(2) filled `fds`. */
void session_turn(struct session *session, const struct pollfd fds[SESSION_FDS], uint64_t now_ms);

/* Closes the connection with code 1000; the session is finished once that is complete. */
void session_leave(struct session *session, enum exit_code exit_code, uint64_t now_ms);

void session_free(struct session *session);

#endif

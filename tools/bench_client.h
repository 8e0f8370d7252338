/*
 * A client of the load generator: one connection at a time, of one user.
 *
 *          due            connected          101             ready            joined
 *   AWAY ───────▶ CONNECTING ──────▶ UPGRADING ──▶ GREETING ──────▶ (JOINING) ──────▶ READY
 *    ▲               │                  │             │                 │              │  │
 *    │               └──────────────────┴─────────────┴─────────────────┘              │  │ leaves
 *    │                        refused: again after 50 ms                               │  ▼
 *    ├─────────────────────────────────────────────────────────────────── closed: ◀────┘ LEAVING
 *    │                                                                    again now       │ has all
 *    └────────────────────────────── CLOSING ◀────────────────────────────────────────────┘
 *                 end of the connection       close frame sent
 *
 * What a client has received for its user, its topic and all is counted over all its connections: a
 * push published while it had no connection is lost, unless it was away on purpose.
 */
#ifndef WSPUSHD_TOOLS_BENCH_CLIENT_H
#define WSPUSHD_TOOLS_BENCH_CLIENT_H

#include "proto/ws.h"
#include "tools/bench_board.h"
#include "tools/bench_sequence.h"
#include "tools/bench_target.h"
#include "tools/wspush_buffer.h"

#include <stdbool.h>
#include <stdint.h>

enum client_state {
    CLIENT_AWAY,
    CLIENT_CONNECTING,
    CLIENT_UPGRADING,
    CLIENT_GREETING,
    CLIENT_JOINING,
    CLIENT_READY,
    CLIENT_LEAVING,
    CLIENT_CLOSING,
};

enum { ASKED_MAX = 8 }; /* requests of a client that may be unanswered */

struct client {
    enum client_state state;
    int fd;
    uint32_t user;
    uint32_t closed_by; /* 1 + the event after which the server closed it; 0: none */
    uint64_t since;     /* ns: when it was due to connect, or started to leave */
    struct sequence got[SOURCE_STREAMS];
    bool joined_late[SOURCE_STREAMS]; /* has returned: the stream starts with the next push */
    uint64_t asked[ASKED_MAX];        /* ring: when the unanswered requests were due */
    uint32_t asked_first, asked_count;
    struct buffer answer; /* the incomplete answer to the handshake */
    struct ws_rx rx;
    uint8_t head[HEARD_MOST]; /* the beginning of an incomplete message */
    uint32_t head_len;
};

/* What the clients of one process share. */
struct swarm {
    const struct bench *bench;
    const struct target *target; /* one for each URL */
    struct swarm_board *board;
    uint32_t index; /* of the swarm: it has the users index, index + swarms, ... */
    uint32_t clients;
    struct client *client;
    int epoll_fd;
    uint64_t now; /* ns: when the current bytes were received */
    uint64_t measured_from;
    uint32_t connecting; /* clients that are neither AWAY nor READY yet */
    uint64_t unanswered; /* number of unanswered requests */
    uint32_t *due;       /* queue of the clients that will connect: a ring of `clients` */
    uint32_t due_first, due_count;
    uint32_t *leaving; /* clients in LEAVING */
    uint32_t leaving_count;
    uint8_t *buffer; /* CLIENT_BUFFER bytes for reading */
};

enum { CLIENT_BUFFER = 1 << 18 };

/* Schedules a connect for time `since` (ns), which may have passed. */
void client_due(struct swarm *swarm, struct client *client, uint64_t since);

/* Connects a client that is AWAY. */
void client_connect(struct swarm *swarm, struct client *client);

/* Handles `events` of epoll for the client's socket. */
void client_event(struct swarm *swarm, struct client *client, uint32_t events);

/* Makes a READY client leave as soon as it has received everything published for it. */
void client_leave(struct swarm *swarm, struct client *client);

/* Closes a LEAVING client that has received everything, and every answer. Returns true if so. */
bool client_left(struct swarm *swarm, struct client *client);

/* Sends a request that was due at `due` from a READY client. Returns false if too many are
 * unanswered. */
bool client_ask(struct swarm *swarm, struct client *client, uint64_t due);

/* Ends a connection that takes too long. */
void client_give_up(struct swarm *swarm, struct client *client, const char *why);

#endif

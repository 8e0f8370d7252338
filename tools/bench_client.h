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
 * What it received of its user, its topic and everybody is counted over all its connections: what
 * was published while it had none is lost, unless it was away on purpose.
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
    uint32_t closed_by; /* one more than the event after which the server closed it; 0: none */
    uint64_t since;     /* ns: when it was due to connect, or began to leave */
    struct sequence got[SOURCE_STREAMS];
    bool joined_late[SOURCE_STREAMS]; /* came back: the stream begins with what comes next */
    uint64_t asked[ASKED_MAX];        /* when the unanswered requests were due: a ring */
    uint32_t asked_first, asked_count;
    struct buffer answer; /* to the handshake, while it has come in part */
    struct ws_rx rx;
    uint8_t head[HEARD_MOST]; /* the beginning of a message, while it has come in part */
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
    uint64_t now; /* ns: when the bytes in hand were received */
    uint64_t measured_from;
    uint32_t connecting; /* clients between AWAY and READY */
    uint64_t unanswered; /* requests */
    uint32_t *due;       /* clients that are to connect, a queue: ring of `clients` */
    uint32_t due_first, due_count;
    uint32_t *leaving; /* clients in LEAVING */
    uint32_t leaving_count;
    uint8_t *buffer; /* CLIENT_BUFFER bytes, for what is read */
};

enum { CLIENT_BUFFER = 1 << 18 };

/* To connect at `since` (ns), which may have passed. */
void client_due(struct swarm *swarm, struct client *client, uint64_t since);

/* AWAY: connects. */
void client_connect(struct swarm *swarm, struct client *client);

/* Its socket is ready: `events` of epoll. */
void client_event(struct swarm *swarm, struct client *client, uint32_t events);

/* READY: to leave as soon as all that was published for it has come. */
void client_leave(struct swarm *swarm, struct client *client);

/* LEAVING: whether it has, and every answer; then it closes. */
bool client_left(struct swarm *swarm, struct client *client);

/* READY: sends a request that was due at that time; false where too many are unanswered. */
bool client_ask(struct swarm *swarm, struct client *client, uint64_t due);

/* Ends a connection that takes too long. */
void client_give_up(struct swarm *swarm, struct client *client, const char *why);

#endif

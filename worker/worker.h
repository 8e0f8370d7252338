/*
 * A worker process: one libevent loop that serves the connections of one slot.
 *
 * Each turn of the loop waits for events, handles those that are ready, reads the rings, sends the
 * gathered frames (one system call for each connection), and tells Redis about users that came or
 * went. Input from Redis or a ring is committed only when everything that it asked for is done, so
 * that after a death the successor does the rest.
 *
 * Every module gets struct worker; each part of it is changed only by the module that its comment
 * names.
 */
#ifndef WSPUSHD_WORKER_WORKER_H
#define WSPUSHD_WORKER_WORKER_H

#include "common/budget.h"
#include "common/config.h"
#include "shm/addresses.h"
#include "shm/conn.h"
#include "shm/ring.h"
#include "shm/segment.h"
#include "shm/slot.h"
#include "shm/stats.h"
#include "shm/topics.h"
#include "shm/users.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    WORKER_NOT_STARTED = 2,   /* exit status: too little memory or too few descriptors to start */
    HEAD_MAX = 8192,          /* bytes of a request head; a longer one gets 431 */
    SCRATCH_SIZE = 256 * 1024 /* bytes: the most that one read of a client's socket takes */
};

/* Resources that the master creates for the slot and passes to the worker through fork(2). */
struct worker_setup {
    const struct config *config;
    struct segment *segment;
    uint32_t id;             /* of the slot */
    struct event_base *base; /* owned by the slot, as its descriptors are; has no event yet */
    const int *listen_fds;   /* one for each of config->listen_at */
    size_t listen_count;
    int admin_fd;   /* -1: none */
    int passed_end; /* listening sockets with lower numbers came from systemd */
    int master_fd;  /* pidfd of the master: readable when it is dead; -1: not watched */
};

/* Bytes that arrived from Redis while earlier ones were not routed yet. */
struct latency {
    uint64_t later_us;   /* monotonic time of arrival; 0: none */
    uint64_t later_from; /* position of the first of them in the stream */
};

struct worker {
    const struct worker_setup *setup;
    const struct config *config;
    const struct segment *segment;
    struct event_base *base;
    struct conn *table;
    uint32_t capacity;
    uint32_t id;
    uint32_t workers;     /* number that share the work, fixed while this process lives */
    struct plan plan;     /* move.c: as of this turn */
    uint16_t incarnation; /* of this process, as stored in records: conn_incarnation() */
    struct slot *slot;
    struct stats *stats;

    uint64_t now_us; /* monotonic, of this turn */
    uint64_t now_ms;
    uint32_t now_s;
    uint64_t awake_ms;  /* monotonic; this process has run without a pause since (pause.h) */
    bool draining;      /* drain.c */
    bool leaving;       /* drain.c: a successor takes over, no connection is closed */
    bool stopping;      /* drain.c: leave the loop */
    bool orphaned;      /* the master is dead: drain and leave */
    bool careful;       /* poison.c: handle the predecessor's uncommitted pushes one at a time */
    struct guilt guilt; /* poison.c: the suspect that the last two deaths share */
    struct event *master_event;
    struct event *clients_event; /* the slot's epoll set */
    uint32_t news;               /* worker.c: rings_news() as this turn read it */
    uint32_t next_source;        /* worker.c: the source of pushes that the next turn reads first */
    bool unread;                 /* worker.c: this turn had no time for all sources */

    struct users users;            /* home.c */
    struct topics topics;          /* join.c, topic.c */
    struct addresses addresses;    /* limits.c: connections of each client address */
    struct budget budget;          /* limits.c: the number of clients allowed */
    struct ring in[WORKERS_MAX];   /* rings.c: from each worker to this one */
    struct ring out[WORKERS_MAX];  /* rings.c: from this one to each */
    struct outbox *outbox;         /* outbox.c: frames to send in this turn */
    struct holds *holds;           /* hold.c: private memory of connections */
    struct link *link;             /* link.c, link_streams.c: subscriptions, pushes */
    struct latency latency;        /* latency.c: arrival times of Redis's bytes */
    struct subscriptions *subs;    /* subscribe.c */
    struct topic_work *topic_work; /* topic.c */
    struct join *join;             /* join.c */
    struct command *command;       /* command.c: requests to Redis */
    struct answers *answers;       /* answers.c: answers owed to clients, in order */
    struct accepting *accepting;   /* accept.c */
    struct lobby *lobby;           /* lobby.c: connections whose home has no room for them yet */
    struct questions *questions;   /* auth_session.c: sessions requested from Redis */
    struct sweep *sweep;           /* sweep.c */
    struct rates *rates;           /* rates.c */
    struct move *move;             /* move.c */
    struct admin *admin;           /* admin.c */
    uint8_t *scratch;              /* SCRATCH_SIZE bytes, valid within one call */
};

/* Runs the worker until the master stops it. Returns the process's exit status. */
int worker_run(const struct worker_setup *setup);

/* Returns the home of a user: the worker that holds the user's index entry and subscription. */
uint32_t worker_home(const struct worker *worker, const char *user, size_t len);

/* Returns the home of a topic: the worker that holds its subscription. */
uint32_t worker_topic_home(const struct worker *worker, const char *topic, size_t len);

/* Returns the home of a channel ("user:" or "topic:" and a name) if `workers` workers share the
 * work. */
uint32_t worker_channel_home(const struct worker *worker, const char *kind, const char *name,
                             size_t len, uint32_t workers);

/* Returns the number of all slots, in use or not: for data that outlives the use of a slot. */
uint32_t worker_slots(const struct worker *worker);

/* Returns one more than the highest slot that any process has run since the start. Do not read
 * later slots: all their bytes are zero, and reading would allocate pages for them. */
uint32_t worker_slots_run(const struct worker *worker);

/* Returns the node's home: the worker that subscribes to the channels of the whole node. */
uint32_t worker_node_home(const struct worker *worker);

/* Updates now_us, now_ms and now_s. Call it in callbacks that run outside a turn. */
void worker_note_time(struct worker *worker);

/* Returns how long a peer has been silent that was last heard at `since` (monotonic, ms or whole
 * seconds). Time before this process began, or in which it was paused, does not count: its bytes
 * may be there, still unread. */
static inline uint64_t worker_waited_ms(const struct worker *worker, uint64_t since)
{
    const uint64_t from = since > worker->awake_ms ? since : worker->awake_ms;
    return worker->now_ms > from ? worker->now_ms - from : 0;
}
static inline uint32_t worker_waited_s(const struct worker *worker, uint32_t since)
{
    const uint32_t awake = (uint32_t)(worker->awake_ms / 1000);
    const uint32_t from = since > awake ? since : awake;
    return worker->now_s > from ? worker->now_s - from : 0;
}

/* Adds to the slot's counts of connections and of connections with a user; both may be negative. */
void worker_count(struct worker *worker, int connections, int ready_users);

/* Raises worker_high() to cover a descriptor that this worker owns; walks of the table end
 * there. */
void worker_owns(struct worker *worker, uint32_t fd);

/* Returns one more than the highest descriptor that this worker has owned. */
static inline uint32_t worker_high(const struct worker *worker)
{
    const uint32_t high = atomic_load_explicit(&worker->slot->high, memory_order_relaxed);
    return high < worker->capacity ? high : worker->capacity;
}

/* Notes the source whose pushes are being sent and are not committed: 1 + source, or 0 for none. */
void worker_in_hand(struct worker *worker, uint32_t in_hand);

/* Returns the number of connections of the whole node. */
uint32_t worker_total(const struct worker *worker);

/* True once the master has commanded a drain, even if this worker has not acted on it yet. */
bool worker_draining(const struct worker *worker);

/* True if the clients of worker `home` can be served: its Redis link and the node's are up. */
bool worker_ready(const struct worker *worker, uint32_t home);

#endif

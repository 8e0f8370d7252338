/*
 * A worker process: one libevent loop that serves the connections of one slot.
 *
 * A turn of the loop: wait, handle what is ready, read the rings, send what has gathered (one
 * system call for each connection), tell Redis of new and gone users. What came from Redis or a
 * ring is committed only when what it asked for is done, so that a successor does the rest.
 *
 * struct worker is passed to every module; each part of it is changed by the module named there.
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
    WORKER_NOT_STARTED = 2,   /* exit status: no memory or descriptors to begin with */
    HEAD_MAX = 8192,          /* bytes of a request head: above, 431 */
    SCRATCH_SIZE = 256 * 1024 /* what one read of a client's socket takes at most */
};

/* What the master has made for the slot, and hands down through the fork. */
struct worker_setup {
    const struct config *config;
    struct segment *segment;
    uint32_t id; /* of the slot */
    struct event_base
        *base; /* the slot's own, with no event in it yet: its descriptors belong to the slot too */
    const int *listen_fds; /* one for each of config->listen_at */
    size_t listen_count;
    int admin_fd;   /* -1: none */
    int passed_end; /* listening sockets below it were passed by systemd, which keeps them open */
    int master_fd;  /* pidfd of the master: readable when it is dead; -1: not watched */
};

/* Bytes that came from Redis while others were not routed yet. */
struct latency {
    uint64_t later_us;   /* when; 0: there are none */
    uint64_t later_from; /* their position in the stream */
};

struct worker {
    const struct worker_setup *setup;
    const struct config *config;
    const struct segment *segment;
    struct event_base *base;
    struct conn *table;
    uint32_t capacity;
    uint32_t id;
    uint32_t workers;     /* that share the work as long as this process lives */
    struct plan plan;     /* move.c: as of this turn */
    uint16_t incarnation; /* of this process, as records keep it: conn_incarnation() */
    struct slot *slot;
    struct stats *stats;

    uint64_t now_us; /* monotonic, of this turn */
    uint64_t now_ms;
    uint32_t now_s;
    uint64_t awake_ms;  /* monotonic: since when this process has run without a pause (pause.h) */
    bool draining;      /* drain.c */
    bool leaving;       /* drain.c: a successor is to take over, nothing is closed */
    bool stopping;      /* drain.c: leave the loop */
    bool orphaned;      /* the master is dead: drain and leave */
    bool careful;       /* poison.c: one push at a time, of those that were in hand */
    struct guilt guilt; /* poison.c: what the last two deaths have in common */
    struct event *master_event;
    struct event *clients_event; /* the slot's epoll set */
    uint32_t news;               /* worker.c: rings_news that this turn has seen */
    uint32_t next_source;        /* worker.c: of pushes, where the next turn begins */
    bool unread;                 /* worker.c: this turn had no time for all sources */

    struct users users;            /* home.c */
    struct topics topics;          /* join.c, topic.c */
    struct addresses addresses;    /* limits.c: connections of each client address */
    struct budget budget;          /* limits.c: how many clients there may be */
    struct ring in[WORKERS_MAX];   /* rings.c: from each worker to this one */
    struct ring out[WORKERS_MAX];  /* rings.c: from this one to each */
    struct outbox *outbox;         /* outbox.c: what this turn sends */
    struct holds *holds;           /* hold.c: private memory of connections */
    struct link *link;             /* link.c, link_streams.c: subscriptions, pushes */
    struct latency latency;        /* latency.c: when Redis's bytes came */
    struct subscriptions *subs;    /* subscribe.c */
    struct topic_work *topic_work; /* topic.c */
    struct join *join;             /* join.c */
    struct command *command;       /* command.c: requests to Redis */
    struct answers *answers;       /* answers.c: what clients are owed, in its order */
    struct accepting *accepting;   /* accept.c */
    struct lobby *lobby;           /* lobby.c: connections whose home has no room just now */
    struct questions *questions;   /* auth_session.c: sessions that Redis was asked for */
    struct sweep *sweep;           /* sweep.c */
    struct rates *rates;           /* rates.c */
    struct move *move;             /* move.c */
    struct admin *admin;           /* admin.c */
    uint8_t *scratch;              /* SCRATCH_SIZE: bytes from a client's socket, within one call */
};

/* Runs the worker until the master stops it. Returns the process's exit status. */
int worker_run(const struct worker_setup *setup);

/* The home of a user: the worker that has its index entry and its subscription. */
uint32_t worker_home(const struct worker *worker, const char *user, size_t len);

/* The home of a topic: the worker that has its subscription. */
uint32_t worker_topic_home(const struct worker *worker, const char *topic, size_t len);

/* The home of a channel, "user:" or "topic:" and a name, where `workers` share the work. */
uint32_t worker_channel_home(const struct worker *worker, const char *kind, const char *name,
                             size_t len, uint32_t workers);

/* Slots that there are, in use or not: for what outlives the use of a slot. */
uint32_t worker_slots(const struct worker *worker);

/* One more than the highest slot that any process has run since the start. From there on everything
 * is zero, and not to be read: that would give it pages. */
uint32_t worker_slots_run(const struct worker *worker);

/* The node's home: the worker that subscribes the channels of the whole node. */
uint32_t worker_node_home(const struct worker *worker);

/* Notes what time it is: in callbacks that the loop itself does not enter. */
void worker_note_time(struct worker *worker);

/* How long a peer has been waited for that was last heard at `since` (monotonic, ms or whole
 * seconds). Time before this process began, or in which it did not run, does not count: nobody was
 * heard then, and there may be bytes that nobody has read yet. */
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

/* This worker's connections, counted in its slot. */
void worker_count(struct worker *worker, int connections, int ready_users);

/* Notes that this worker owns, or has owned, the descriptor: walks of the table end there. */
void worker_owns(struct worker *worker, uint32_t fd);

/* One more than the highest descriptor that this worker has owned. */
static inline uint32_t worker_high(const struct worker *worker)
{
    const uint32_t high = atomic_load_explicit(&worker->slot->high, memory_order_relaxed);
    return high < worker->capacity ? high : worker->capacity;
}

/* Notes whose pushes are being sent and not committed: 1 + source, 0: nobody's. */
void worker_in_hand(struct worker *worker, uint32_t in_hand);

/* Connections of the whole node. */
uint32_t worker_total(const struct worker *worker);

/* Whether service ends: the command may be there before this worker's turn comes to it. */
bool worker_draining(const struct worker *worker);

/* Whether the clients of worker `home` can be served: its Redis link and the node's are up. */
bool worker_ready(const struct worker *worker, uint32_t home);

#endif

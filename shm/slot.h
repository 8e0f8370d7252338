/*
 * A worker slot: all that belongs to worker N whoever runs it. Processes come and go; the slot,
 * its epoll set, its eventfd, its Redis link and its rings stay.
 *
 *   +--------------------------------------------------+
 *   | the master's words: pid, incarnation, commands   |  written by the master
 *   +--------------------------------------------------+
 *   | the latch: asleep or not                         |  written by the worker
 *   +--------------------------------------------------+
 *   | the worker's words: heartbeat, counts, index     |  written by the worker
 *   +--------------------------------------------------+
 *   | the Redis link: socket, bytes in, bytes out      |  written by the worker
 *   +--------------------------------------------------+
 *   | topics: the table's control                      |  written by the worker
 *   +--------------------------------------------------+
 *   | why a link to Redis is not up        (trouble.h) |  written by the worker
 *   +--------------------------------------------------+
 *   | other descriptors to close after a death         |  written by the worker
 *   +--------------------------------------------------+
 *   | the send under way                               |  written by the worker
 *   +--------------------------------------------------+
 *   | users who are gone, and still subscribed         |  written by the worker
 *   +--------------------------------------------------+
 *   | last words, and what is set aside      (words.h) |  written by the worker
 *   +--------------------------------------------------+
 *   | graves: what the last two died of      (words.h) |  written by the master
 *   +--------------------------------------------------+
 *   | the move: how far, what is owed to the clients   |  written by the worker
 *   +--------------------------------------------------+
 */
#ifndef WSPUSHD_SHM_SLOT_H
#define WSPUSHD_SHM_SLOT_H

#include "shm/plan.h"
#include "shm/stream.h"
#include "shm/topics.h"
#include "shm/trouble.h"
#include "shm/users.h"
#include "shm/words.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What the master wants of a worker. */
enum slot_command {
    SLOT_RUN,
    SLOT_LEAVE, /* make room for a successor: nothing is closed */
    SLOT_DRAIN, /* say BYE to every client and close it */
    SLOT_STOP,  /* end */
};

/* The channels of the whole node, as the node's home has them. */
enum node_state {
    NODE_DOWN,     /* not subscribed, or not confirmed */
    NODE_READY,    /* subscribed and confirmed */
    NODE_DOUBTFUL, /* subscribed, but perhaps about to be given up: nobody may rely on it */
};

/* The state of a worker's Redis link, for other workers to read. */
#define LINK_STATES(X)                                                         \
    X(DOWN, "down")               /* no connection; the next try is timed */   \
    X(CONNECTING, "connecting")   /* look-up, connect(2) or login under way */ \
    X(SUBSCRIBING, "subscribing") /* subscriptions are being made again */     \
    X(UP, "up")                   /* everything subscribed and confirmed */
enum link_state {
#define LINK_STATE_ENUM(name, text) LINK_##name,
    LINK_STATES(LINK_STATE_ENUM)
#undef LINK_STATE_ENUM
};
const char *link_state_name(enum link_state state);

static const uint64_t BATCH_NEVER = UINT64_MAX;

/*
 * A worker's Redis link. The bytes of its streams lie in the segment's link buffers.
 *
 * A unix socket does not count its bytes, so nobody can tell after a death whether a system call
 * that was under way had moved any: `receiving` and `sending` say that one was, and only then the
 * link is made anew, with a GAP.
 */
struct slot_link {
    _Atomic uint32_t state; /* enum link_state */
    _Atomic int32_t fd;     /* the socket; 0: none */
    struct stream in, out;
    uint64_t skip_to;           /* position behind an oversized reply that is being thrown away */
    uint64_t batch_sent;        /* subscription batches sent: each ends in a fence */
    uint64_t batch_confirmed;   /* the last whose fence is confirmed */
    uint64_t batch_again;       /* a fence before this one confirms nothing: Redis had refused a
                                   command, and all are sent again; BATCH_NEVER: will be sent again */
    _Atomic uint64_t gap_since; /* ms (monotonic) since when pushes may be missing; 0: none are */
    uint64_t address;           /* hash of the URL that it is connected to */
    uint64_t sent_base;         /* what the kernel's count of sent bytes began with: behind the */
    uint64_t received_base;     /* login, which is no part of the streams; of those received */
    _Atomic uint32_t receiving; /* 1 while in recv(2) */
    _Atomic uint32_t sending;   /* 1 while in send(2) */
    _Atomic uint32_t behind; /* 1 while commands wait that the out stream has no room for: they die
                                with the worker */
    _Atomic uint64_t failed_at;   /* ms (monotonic) of the last failure */
    _Atomic uint32_t failures;    /* how often it went down */
    _Atomic uint32_t healed;      /* of them, those after which it got UP again (worker/gap.h) */
    uint32_t home_told;           /* failures of the node's home's link that the clients know of */
    _Atomic uint64_t received_us; /* us (monotonic) when the bytes that are to be routed next came:
                                     a successor finds there how long they have waited */
};

/* A worker's connections to Redis: X(name, its name in /api/stats) */
#define REDIS_LINKS(X) \
    X(PUSHES, "redis") \
    X(COMMANDS, "commands")
enum redis_link {
#define REDIS_LINK_ENUM(name, text) REDIS_##name,
    REDIS_LINKS(REDIS_LINK_ENUM)
#undef REDIS_LINK_ENUM
        REDIS_LINK_COUNT
};

/* Users whose last connection is gone and whose UNSUBSCRIBE is not in the link's stream yet: a
 * worker gathers those of a turn, and its successor asks again for what died with it. Words: the
 * name first, then the count. */
enum { SLOT_GONE_MAX = 64 };
struct slot_gone {
    _Atomic uint32_t count;
    struct {
        uint8_t len;
        char user[USER_MAX];
    } at[SLOT_GONE_MAX];
};

/* The send to a client that is under way. */
struct slot_send {
    _Atomic uint64_t ref; /* conn_ref_pack of the client, stored last; 0: none is */
    uint64_t mark;        /* conn_mark of the last push among the frames; 0: none is a push */
    uint32_t from;        /* bytes that the kernel had taken before */
    uint32_t whole;       /* bytes of all the frames; 0: of more than this system call takes */
    uint32_t early;       /* 1: what the frames answer is not wholly dealt with */
    uint32_t reserved;
};

/* What a noted descriptor is used for, and how many a worker may have noted for each use: visitors
 * may be as many as they like, and never take a link's place.
 * X(NAME, places) */
#define SLOT_AUX_USES(X)                                         \
    X(LINK, 16)    /* requests to Redis, look-ups of its name */ \
    X(VISITOR, 80) /* connections of the admin interface (visitors.h) */
enum slot_aux_use {
#define SLOT_AUX_USE_ENUM(name, places) SLOT_AUX_##name,
    SLOT_AUX_USES(SLOT_AUX_USE_ENUM)
#undef SLOT_AUX_USE_ENUM
        SLOT_AUX_USE_COUNT
};
enum {
#define SLOT_AUX_PLACES(name, places) +places
    SLOT_AUX_MAX = 0 SLOT_AUX_USES(SLOT_AUX_PLACES)
#undef SLOT_AUX_PLACES
};

/* A descriptor that is not a connection of the table. The inode tells it from another that has got
 * the same number since, so that an entry may outlive its descriptor. */
struct slot_aux {
    _Atomic int32_t fd;     /* 0: the entry is free. Stored last */
    _Atomic uint32_t use;   /* enum slot_aux_use */
    _Atomic uint64_t inode; /* st_ino of fstat(2) */
};

/* A change of the number of workers, as this slot's worker takes part in it (plan.h). What it says
 * of gaps goes with the connections that it gives, and is read in TAKE by all. */
struct slot_move {
    _Atomic uint64_t stage; /* stage_pack */
    _Atomic uint32_t whole; /* one more than the link's failures as of SETTLED; 0: it was down */
    _Atomic uint32_t topics_gap;   /* 1: members of topics were still to be told of one */
    _Atomic uint64_t gap_since;    /* as in slot_link */
    _Atomic uint64_t all_failures; /* of the links of all slots, as far as its members were told */
};

struct slot {
    /* Written by the master. */
    _Alignas(64) _Atomic int32_t pid; /* 0: nobody runs it */
    _Atomic uint32_t incarnation;     /* of the process that runs it: 1, 2, ... */
    _Atomic uint32_t command;         /* enum slot_command */
    _Atomic uint32_t restarts;        /* deaths so far */
    _Atomic uint32_t failing; /* deaths in a row, if its workers keep dying; 0: they do not */
    int32_t epoll_fd;         /* the slot's set: every client socket of this worker */
    int32_t event_fd;         /* eventfd(2) that wakes the worker */

    /* The latch. Written by the worker; read by whoever wants to wake it. */
    _Alignas(64) _Atomic uint32_t sleeping; /* 1: about to block, or blocked */

    /* Written by the worker. */
    _Alignas(64) _Atomic uint64_t heartbeat; /* ms (monotonic) of the last turn of its loop */
    _Atomic uint32_t connections;            /* records it owns, whatever their state */
    _Atomic uint32_t
        ready_users; /* of them SUBSCRIBING or OPEN with a user: what makes the node a recipient */
    _Atomic uint32_t high;       /* one more than the highest descriptor it ever owned */
    _Atomic uint32_t present;    /* 1: it has users, as of the end of its last turn */
    _Atomic uint32_t news;       /* grows when a word of this slot changes that others wait for */
    _Atomic uint32_t node_state; /* only the node's home: enum node_state */
    _Atomic uint32_t in_hand; /* where the pushes come from that are being sent and not committed: 1
                                 + source of their conn_mark; 0: none are */
    _Atomic uint32_t drained; /* SLOT_DRAIN is done: every client is closed */
    _Atomic int32_t parcel;  /* memfd with what a worker that left has for its successor; 0: none */
    _Atomic uint64_t probed; /* ms (monotonic) at which the last probe came by */
    _Atomic uint64_t handing;    /* connection being handed over: its conn_ref_pack; 0: none */
    _Atomic uint64_t kicks_done; /* kicks that its connections know of: kicks.h */
    struct users_control users;

    _Alignas(64) struct slot_link link;

    _Alignas(64) struct topics_control topics;

    _Alignas(64) struct trouble trouble[REDIS_LINK_COUNT]; /* why a link to Redis is not up */
    _Atomic uint32_t commands_up; /* 1: the link for commands is up, or a successor is making it */

    _Alignas(64) struct slot_aux aux[SLOT_AUX_MAX];

    _Alignas(64) struct slot_send send;
    _Atomic uint64_t in_hand_end; /* while in_hand is not 0: end of the last push that may have been
                                     sent, as a position in what comes from there */

    _Alignas(64) struct slot_gone gone;

    _Alignas(64) struct slot_words words;
    _Atomic uint64_t handshakes; /* second (monotonic) << 32 | handshakes that began in it */
    struct poison poison;
    struct fault fault;
    struct slot_move move;

    /* Written by the master. */
    _Alignas(64) struct grave grave[2]; /* the last death of the workers' own making, and the one
                                           before */
};
_Static_assert(offsetof(struct slot, heartbeat) == 128, "each writer has its own lines");
_Static_assert(offsetof(struct slot, link) == 256, "as drawn");

/*
 * The latch (the order of PostgreSQL's latch.h): who has work publishes it and then looks whether
 * the consumer sleeps; the consumer says that it sleeps and then looks for work. Both orders need
 * a full barrier between the two, and with it at least one of them sees the other.
 *
 * latch_rest: call before looking for work one last time and blocking. latch_rise: call when awake.
 */
static inline void latch_rest(struct slot *slot)
{
    atomic_store_explicit(&slot->sleeping, 1, memory_order_seq_cst);
    atomic_thread_fence(memory_order_seq_cst); /* pairs with the fence in latch_wake */
}
static inline void latch_rise(struct slot *slot)
{
    atomic_store_explicit(&slot->sleeping, 0, memory_order_relaxed);
}

/* Wakes the slot's worker if it sleeps: writes its eventfd. Call after publishing. Returns whether
 * it was written. */
bool latch_wake(const struct slot *slot);

/* Empties the eventfd: call when it is readable. */
void latch_drain(const struct slot *slot);

/* Notes a descriptor (never 0) to be closed after a death. Returns 0, or -1 if all places of that
 * use are taken. */
int slot_aux_add(struct slot *slot, enum slot_aux_use use, int fd, uint64_t inode);

/* Returns how many descriptors are noted for a use. */
uint32_t slot_aux_count(const struct slot *slot, enum slot_aux_use use);

/* Forgets it. */
void slot_aux_remove(struct slot *slot, int fd);

/* Whether it is noted. */
bool slot_aux_has(const struct slot *slot, int fd, uint64_t inode);

/* How far the slot's worker has come in move `number`. Acquire: pairs with the release in
 * slot_set_stage. */
static inline enum plan_stage slot_stage(const struct slot *slot, uint32_t number)
{
    return stage_unpack(atomic_load_explicit(&slot->move.stage, memory_order_acquire), number);
}
static inline void slot_set_stage(struct slot *slot, uint32_t number, enum plan_stage stage)
{
    atomic_store_explicit(&slot->move.stage, stage_pack(number, stage), memory_order_release);
}

/* Notes a user who is gone. Returns false where there is no room. */
bool slot_gone_add(struct slot *slot, const char *user, size_t len);

/* Forgets them all: what they were noted for is done. */
static inline void slot_gone_clear(struct slot *slot)
{
    atomic_store_explicit(&slot->gone.count, 0, memory_order_release);
}

/* Whether the descriptor is that of the slot's link, or of the parcel for its successor. */
static inline bool slot_holds(const struct slot *slot, int fd)
{
    return atomic_load_explicit(&slot->link.fd, memory_order_acquire) == fd ||
           atomic_load_explicit(&slot->parcel, memory_order_acquire) == fd;
}

/* Whether a slot is one that the code above can have left, at any instruction. `capacity`: of the
 * connection table, and so one more than the highest descriptor. */
bool slot_valid(const struct slot *slot, uint32_t capacity);

#endif

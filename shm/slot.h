/*
 * A worker slot: everything that belongs to worker N, whichever process currently runs it.
 * Processes come and go; the slot, its epoll set, its eventfd, its Redis link and its rings stay.
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
 *   | the send in progress                             |  written by the worker
 *   +--------------------------------------------------+
 *   | users who have left and are still subscribed     |  written by the worker
 *   +--------------------------------------------------+
 *   | last words, and poison                 (words.h) |  written by the worker
 *   +--------------------------------------------------+
 *   | the move: progress, gaps not yet told to clients |  written by the worker
 *   +--------------------------------------------------+
 *   | graves: causes of the last two deaths  (words.h) |  written by the master
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

/* The master's commands to a worker. */
enum slot_command {
    SLOT_RUN,
    SLOT_LEAVE, /* make room for a successor: close nothing */
    SLOT_DRAIN, /* send BYE to every client and close it */
    SLOT_STOP,  /* end */
};

/* The state of the whole node's channels, at the node's home. */
enum node_state {
    NODE_DOWN,     /* not subscribed, or not confirmed */
    NODE_READY,    /* subscribed and confirmed */
    NODE_DOUBTFUL, /* subscribed, but the subscription may soon be given up: do not rely on it */
};

/* The state of a worker's Redis link, for other workers to read: X(name, its name in /api/stats) */
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
 * A worker's Redis link. The bytes of its streams are in the segment's link buffers.
 *
 * A unix socket does not count its bytes. If a worker dies within recv(2) or send(2) on one, its
 * successor cannot know whether any bytes were moved. `receiving` and `sending` say that a call was
 * in progress; only then the successor makes the link again, with a GAP.
 */
struct slot_link {
    _Atomic uint32_t state; /* enum link_state */
    _Atomic int32_t fd;     /* the socket; 0: none */
    struct stream in, out;
    uint64_t skip_to;           /* position behind an oversized reply that is being thrown away */
    uint64_t batch_sent;        /* subscription batches sent: each ends in a fence */
    uint64_t batch_confirmed;   /* the last batch whose fence is confirmed */
    uint64_t batch_again;       /* fences before this one confirm nothing: Redis refused a command,
                                   and all batches are sent again; BATCH_NEVER: not sent yet */
    _Atomic uint64_t gap_since; /* ms (monotonic) since when pushes may be missing; 0: none are */
    uint64_t address;           /* hash of the URL that it is connected to */
    uint64_t sent_base;         /* the kernel's count of sent bytes after the login, which */
    uint64_t received_base;     /* is not part of the streams; of received bytes */
    _Atomic uint32_t receiving; /* 1 while in recv(2) */
    _Atomic uint32_t sending;   /* 1 while in send(2) */
    _Atomic uint32_t behind; /* 1 while commands wait in private memory for room in the out stream:
                                they die with the worker */
    _Atomic uint64_t failed_at;   /* ms (monotonic) of the last failure */
    _Atomic uint32_t failures;    /* how often the link went down */
    _Atomic uint32_t healed;      /* `failures` when the link was last UP (worker/gap.h) */
    uint32_t home_told;           /* failures of the node home's link that the clients know of */
    _Atomic uint64_t received_us; /* us (monotonic) when the bytes that are routed next arrived, so
                                     that a successor knows how long they have waited */
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

/* Users whose last connection is gone and whose UNSUBSCRIBE is not yet in the link's stream. A
 * worker collects those of a turn; its successor sends the commands that died with it. The name is
 * stored before the count. */
enum { SLOT_GONE_MAX = 64 };
struct slot_gone {
    _Atomic uint32_t count;
    struct {
        uint8_t len;
        char user[USER_MAX];
    } at[SLOT_GONE_MAX];
};

/* The send to a client that is in progress (worker/sending.h). */
struct slot_send {
    _Atomic uint64_t ref; /* conn_ref_pack of the client, stored last; 0: none in progress */
    uint64_t mark;        /* conn_mark of the last push among the frames; 0: none is a push */
    uint32_t from;        /* bytes that the kernel had taken before, modulo 2^32 */
    uint32_t whole;       /* bytes of all frames; 0: they do not fit into this system call */
    uint32_t early;       /* 1: the request that the frames answer is not completely handled */
    uint32_t reserved;
};

/* The uses of a noted descriptor, and how many a worker may note for each: however many visitors
 * there are, they never take a link's place. X(NAME, places) */
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

/* A descriptor that is not a connection of the table. The inode distinguishes it from a later
 * descriptor with the same number, so an entry may outlive its descriptor. */
struct slot_aux {
    _Atomic int32_t fd;     /* 0: the entry is free. Stored last */
    _Atomic uint32_t use;   /* enum slot_aux_use */
    _Atomic uint64_t inode; /* st_ino of fstat(2) */
};

/* This worker's part in a change of the number of workers (plan.h). The three words on gaps concern
 * the connections that it gives, and are read in TAKE by all workers. */
struct slot_move {
    _Atomic uint64_t stage;        /* stage_pack */
    _Atomic uint32_t whole;        /* the link's failures at SETTLED, plus 1; 0: it was down */
    _Atomic uint32_t topics_gap;   /* 1: members of topics had not been told of a gap */
    _Atomic uint64_t gap_since;    /* as in slot_link */
    _Atomic uint64_t all_failures; /* of the links of all slots, when this worker left */
};

struct slot {
    /* Written by the master. */
    _Alignas(64) _Atomic int32_t pid; /* 0: no process runs the slot */
    _Atomic uint32_t incarnation;     /* of the process that runs it: 1, 2, ... */
    _Atomic uint32_t command;         /* enum slot_command */
    _Atomic uint32_t restarts;        /* deaths so far */
    _Atomic uint32_t failing; /* deaths in a row, if its workers keep dying; 0: they do not */
    int32_t epoll_fd;         /* the slot's epoll set: every client socket of this worker */
    int32_t event_fd;         /* eventfd(2) that wakes the worker */

    /* The latch. Written by the worker; read by producers that may have to wake it. */
    _Alignas(64) _Atomic uint32_t sleeping; /* 1: about to block, or blocked */

    /* Written by the worker. */
    _Alignas(64) _Atomic uint64_t heartbeat; /* ms (monotonic) of the last turn of its loop */
    _Atomic uint32_t connections;            /* records it owns, in any state */
    _Atomic uint32_t ready_users; /* records in its user index: they make the node a recipient */
    _Atomic uint32_t high;        /* one more than the highest descriptor it ever owned */
    _Atomic uint32_t present;     /* 1: it had users at the end of its last turn */
    _Atomic uint32_t news;        /* grows when a word of this slot changes that others wait for */
    _Atomic uint32_t node_state;  /* only of the node's home: enum node_state */
    _Atomic uint32_t in_hand;    /* 1 + source (conn_mark) of the pushes that are being sent and not
                                    committed; 0: none */
    _Atomic uint32_t drained;    /* 1: SLOT_DRAIN is done, every client is closed */
    _Atomic int32_t parcel;      /* memfd that a worker which left has for its successor; 0: none */
    _Atomic uint64_t probed;     /* ms (monotonic) when the last probe reached this worker */
    _Atomic uint64_t handing;    /* conn_ref_pack of a connection being accepted or handed over; 0:
                                    none */
    _Atomic uint64_t kicks_done; /* kicks carried out on the connections in its index: kicks.h */
    struct users_control users;

    _Alignas(64) struct slot_link link;

    _Alignas(64) struct topics_control topics;

    _Alignas(64) struct trouble trouble[REDIS_LINK_COUNT]; /* why a link to Redis is not up */
    _Atomic uint32_t commands_up; /* 1: the link for commands is up, or a successor is making it */

    _Alignas(64) struct slot_aux aux[SLOT_AUX_MAX];

    _Alignas(64) struct slot_send send;
    _Atomic uint64_t in_hand_end; /* while in_hand is not 0: end of the last push that may have been
                                     sent, as a position in the bytes of that source */

    _Alignas(64) struct slot_gone gone;

    _Alignas(64) struct slot_words words;
    _Atomic uint64_t handshakes; /* second (monotonic) << 32 | handshakes begun in that second */
    struct poison poison;
    struct fault fault;
    struct slot_move move;

    /* Written by the master. */
    _Alignas(64) struct grave grave[2]; /* the last death of a worker's own making, and the one
                                           before */
};
_Static_assert(offsetof(struct slot, heartbeat) == 128, "each writer has its own lines");
_Static_assert(offsetof(struct slot, link) == 256, "as drawn");

/*
 * The latch (in the order of PostgreSQL's latch.h): a producer publishes its work and then checks
 * whether the consumer sleeps; the consumer says that it sleeps and then checks for work. Both need
 * a full barrier between the two steps, so that at least one of them sees the other.
 *
 * latch_rest: call before the last check for work and blocking. latch_rise: call when awake.
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

/* Wakes the slot's worker if it sleeps, by writing its eventfd. Call after publishing. Returns true
 * if it was written. */
bool latch_wake(const struct slot *slot);

/* Empties the eventfd: call when it is readable. */
void latch_drain(const struct slot *slot);

/* Notes a descriptor (never 0) that is to be closed after a death. Returns 0, or -1 if all places
 * of that use are taken. */
int slot_aux_add(struct slot *slot, enum slot_aux_use use, int fd, uint64_t inode);

/* Returns how many descriptors are noted for a use. */
uint32_t slot_aux_count(const struct slot *slot, enum slot_aux_use use);

/* Removes a descriptor's note. */
void slot_aux_remove(struct slot *slot, int fd);

/* True if the descriptor is noted with this inode. */
bool slot_aux_has(const struct slot *slot, int fd, uint64_t inode);

/* Returns how far the slot's worker has got in move `number`. Acquire: pairs with the release in
 * slot_set_stage. */
static inline enum plan_stage slot_stage(const struct slot *slot, uint32_t number)
{
    return stage_unpack(atomic_load_explicit(&slot->move.stage, memory_order_acquire), number);
}
static inline void slot_set_stage(struct slot *slot, uint32_t number, enum plan_stage stage)
{
    atomic_store_explicit(&slot->move.stage, stage_pack(number, stage), memory_order_release);
}

/* Notes a user without connections. Returns false if there is no room. */
bool slot_gone_add(struct slot *slot, const char *user, size_t len);

/* Removes all noted users: their UNSUBSCRIBEs are in the link's stream. */
static inline void slot_gone_clear(struct slot *slot)
{
    atomic_store_explicit(&slot->gone.count, 0, memory_order_release);
}

/* True if the descriptor is the socket of the slot's link, or the parcel for its successor. */
static inline bool slot_holds(const struct slot *slot, int fd)
{
    return atomic_load_explicit(&slot->link.fd, memory_order_acquire) == fd ||
           atomic_load_explicit(&slot->parcel, memory_order_acquire) == fd;
}

/* True if the slot is in a state that this code can leave at any instruction. `capacity`: of the
 * connection table, one more than the highest descriptor. */
bool slot_valid(const struct slot *slot, uint32_t capacity);

#endif

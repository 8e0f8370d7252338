/*
 * Topics and their members. Each worker has a table, for the topics of the connections that it owns
 * and for the topics whose home it is, and is its only writer.
 *
 *   heads       topics                           members: a connection in a topic
 *   +---+       +--------------------------+     +-------------------------+
 *   | 0 | -> 0  | name, home, state, masks |     | topic, fd, generation   |
 *   | 1 | ----> | first ---------------------->  | next, prev ---------------> others of the topic
 *   | 2 | -> 0  | next ----> same bucket   |     | of_conn ------------------> others of the
 *   +---+       +--------------------------+     +-------------------------+   connection
 *                                                     ^
 *                                                     conn->topics
 *
 * Topics and members are records in two arrays, numbered from 1; 0 means none. Released records are
 * chained and used again before those from `end` on, which were never used and hold zeros. A member
 * leaves without a walk over the others of its topic, however many there are; a connection has few
 * topics, so its own chain is walked. A topic is found by its name as a user is (users.h).
 *
 * The truth is in the records alone: a topic exists while its `len` is not 0, a membership while
 * its `topic` is not 0. Either is stored last when it begins and first when it ends. The chains,
 * the counts and the released records are derived: `changes` is odd while they are being changed,
 * and a successor that finds it odd rebuilds them.
 *
 * A topic goes through these states, at its home and at each other worker that has members.
 * worker/topic.h says which worker or server is asked for what:
 *
 *            wanted: asks                answered
 *     IDLE ----------------> ASKED ----------------> JOINED
 *      ^ |                                              |
 *      | +-- not wanted: the record is released         | not wanted: asks
 *      |                                                v
 *      +------------------- answered --------------- LEAVING
 */
#ifndef WSPUSHD_SHM_TOPICS_H
#define WSPUSHD_SHM_TOPICS_H

#include "shm/conn.h"

/* A table begins with this many buckets and never has fewer. */
enum { TOPIC_NAME_MAX = 128, TOPICS_BUCKETS_MIN = 16 };

enum topic_state { TOPIC_IDLE, TOPIC_ASKED, TOPIC_JOINED, TOPIC_LEAVING };

struct topic {
    /* Only at the topic's home: one bit for each worker. */
    uint64_t workers; /* has members, as it reported */
    uint64_t told;    /* of them: knows that the topic is subscribed */
    uint64_t left;    /* is still to be told that it counts as having left */
    uint64_t batch;   /* the subscription batch whose confirmation is awaited */

    uint32_t hash;
    uint32_t next;             /* next in its bucket, or next released record */
    uint32_t first;            /* of its members */
    uint32_t count;            /* members */
    uint32_t waiting;          /* members whose `request` is not 0 */
    uint32_t asked_s;          /* second (monotonic) at which another worker was asked */
    uint8_t state;             /* enum topic_state */
    uint8_t home;              /* the worker that subscribes it */
    uint8_t listed;            /* 1: worker/topic.c handles it at the end of the turn */
    _Atomic uint8_t len;       /* of the name, bytes; 0: the record is free */
    char name[TOPIC_NAME_MAX]; /* not terminated */
    uint32_t reserved;
};
_Static_assert(sizeof(struct topic) == 192, "three cache lines");

struct topic_member {
    _Atomic uint32_t topic; /* 0: the record is free */
    uint32_t fd, generation;
    uint32_t of_conn;    /* next membership of the connection, or next released record */
    uint32_t next, prev; /* other members of the topic */
    uint32_t request;    /* number of the SUB that is owed a SUBBED; 0: none */
    uint16_t sent;       /* incarnation in whose outbox the SUBBED is; 0: in none */
    uint16_t reserved;
};
_Static_assert(sizeof(struct topic_member) == 32, "two in a cache line");

/* In the worker's slot; written by that worker. */
struct topics_control {
    _Atomic uint32_t changes;         /* odd: a chain is being changed */
    uint32_t buckets;                 /* heads in use, the rest is undefined. 0: never used */
    _Atomic uint32_t topics, members; /* records in use */
    uint32_t topic_end, member_end;   /* one more than the highest number ever used */
    uint32_t topic_free, member_free; /* the first released record; 0: none */
    uint32_t request;                 /* number of the last SUB */
    uint32_t gap_seen; /* failures of others' links that members were told of (worker/gap.h) */
    uint32_t reserved[6];
};
_Static_assert(sizeof(struct topics_control) == 64, "a cache line");

/* A process's view of one table. */
struct topics {
    struct topics_control *control;
    uint32_t *heads;
    struct topic *topic;
    struct topic_member *member;
    struct conn *table;
    uint32_t capacity; /* records in each of the three arrays, number 0 included */
    uint32_t conns;    /* records of the connection table */
    uint64_t seed;
};

/* Returns the number of the topic with this name (1 to TOPIC_NAME_MAX bytes), or 0. */
uint32_t topics_find(const struct topics *topics, const char *name, size_t len);

/* Returns the same, after adding the topic if there is none: IDLE and without members. 0 if the
 * array is full. */
uint32_t topics_add(struct topics *topics, const char *name, size_t len, uint32_t home);

/* Releases a topic without members. */
void topics_remove(struct topics *topics, uint32_t topic);

/* Returns the connection's membership in the topic, or 0. */
uint32_t topics_membership(const struct topics *topics, uint32_t fd, uint32_t topic);

/* Adds a connection that is not a member yet. Returns the membership; 0 if the array is full. The
 * connection's memberships stay in the order in which they began. */
uint32_t topics_join(struct topics *topics, uint32_t topic, uint32_t fd);

/* Ends a membership. */
void topics_leave(struct topics *topics, uint32_t member);

/* Returns the record of a member's connection, or NULL if `owner` no longer has that connection. A
 * later connection on the same descriptor is not the member. */
struct conn *topics_conn(const struct topics *topics, uint32_t member, uint32_t owner);

/* Notes that the member is owed a SUBBED for the SUB with this number; 0: no longer. */
void topics_request(struct topics *topics, uint32_t member, uint32_t request);

/* Rebuilds all that is derived, whatever its state. Ends the memberships of connections that
 * `owner` does not have or that are closing. `high`: one more than its highest descriptor. */
void topics_rebuild(struct topics *topics, uint32_t owner, uint32_t high);

/* True if the last change was finished. A successor rebuilds the table if not. */
bool topics_intact(const struct topics *topics);

/* True if every chain ends and holds the right records, no record is lost, and the counts are
 * right. */
bool topics_valid(const struct topics *topics, uint32_t owner);

/* Acquire: these two pair with the releases in topics.c, so that the record's other fields are
 * seen. */
static inline size_t topic_len(const struct topic *topic)
{
    return atomic_load_explicit(&topic->len, memory_order_acquire);
}
static inline uint32_t topic_of(const struct topic_member *member)
{
    return atomic_load_explicit(&member->topic, memory_order_acquire);
}

#endif

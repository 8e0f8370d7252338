/*
 * Topics: who is a member of what. Each worker has a table, for the topics of the connections that
 * it owns and for the topics whose home it is, and is its only writer.
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
 * Topics and members are records in two arrays, numbered from 1; 0 is none. Released ones are
 * chained and used again before those above `end`, which were never used and hold zeros. A member
 * leaves without a walk over the others of its topic, however many there are; a connection has few
 * topics, so its own chain is walked. The name of a topic is found as a user is (users.h).
 *
 * What is true is in the records alone: a topic exists while its `len` is not 0, a membership while
 * its `topic` is not 0; either is stored last when it begins and first when it ends. The chains,
 * the counts and the released ones follow from that: `changes` is odd while they are being changed,
 * and a successor that finds it odd makes them anew.
 *
 * A topic goes through these states, at its home and at each other worker that has members; what is
 * asked for, and of whom, is in worker/topic.h:
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

/* A table begins with so many buckets, and never has fewer. */
enum { TOPIC_NAME_MAX = 128, TOPICS_BUCKETS_MIN = 16 };

enum topic_state { TOPIC_IDLE, TOPIC_ASKED, TOPIC_JOINED, TOPIC_LEAVING };

struct topic {
    /* At the topic's home: one bit for each worker. */
    uint64_t workers; /* has members, as far as it has told */
    uint64_t told;    /* of them, knows that the subscription stands */
    uint64_t left;    /* is to be told that it counts as having left */
    uint64_t batch;   /* the subscription batch that the answer is awaited of */

    uint32_t hash;
    uint32_t next;             /* same bucket, or next released one */
    uint32_t first;            /* of its members */
    uint32_t count;            /* of them all */
    uint32_t waiting;          /* of them, those whose `request` is not 0 */
    uint32_t asked_s;          /* second (monotonic) at which another worker was asked */
    uint8_t state;             /* enum topic_state */
    uint8_t home;              /* the worker that subscribes it */
    uint8_t listed;            /* 1: worker/topic.c looks at it at the end of the turn */
    _Atomic uint8_t len;       /* of the name; 0: the record is free */
    char name[TOPIC_NAME_MAX]; /* not terminated */
    uint32_t reserved;
};
_Static_assert(sizeof(struct topic) == 192, "three cache lines");

struct topic_member {
    _Atomic uint32_t topic; /* 0: the record is free */
    uint32_t fd, generation;
    uint32_t of_conn;    /* the connection's next; or next released one */
    uint32_t next, prev; /* others of the topic */
    uint32_t request;    /* of which SUBBED is due: a number for each SUB; 0: none */
    uint16_t sent;       /* SUBBED is in the outbox of this incarnation; 0: of none */
    uint16_t reserved;
};
_Static_assert(sizeof(struct topic_member) == 32, "two in a cache line");

/* In the worker's slot; written by that worker. */
struct topics_control {
    _Atomic uint32_t changes;         /* odd: a chain is being changed */
    uint32_t buckets;                 /* heads in use: the others hold anything. 0: never used */
    _Atomic uint32_t topics, members; /* how many there are */
    uint32_t topic_end, member_end;   /* one more than the highest number ever used */
    uint32_t topic_free, member_free; /* the first released one */
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

/* The number of the topic with this name (1 to TOPIC_NAME_MAX bytes), or 0. */
uint32_t topics_find(const struct topics *topics, const char *name, size_t len);

/* The same, made if there is none: IDLE and without members. 0 where the array is full. */
uint32_t topics_add(struct topics *topics, const char *name, size_t len, uint32_t home);

/* Releases a topic without members. */
void topics_remove(struct topics *topics, uint32_t topic);

/* The connection's membership in the topic, or 0. */
uint32_t topics_membership(const struct topics *topics, uint32_t fd, uint32_t topic);

/* Makes a connection that is no member yet a member. Returns the membership; 0 where the array is
 * full. The connection's memberships stay in the order in which they began. */
uint32_t topics_join(struct topics *topics, uint32_t topic, uint32_t fd);

/* Ends a membership. */
void topics_leave(struct topics *topics, uint32_t member);

/* Returns the record of a member's connection, or NULL if `owner` does not have that connection any
 * more: whoever has its descriptor since is no member. */
struct conn *topics_conn(const struct topics *topics, uint32_t member, uint32_t owner);

/* Notes that SUBBED with this number is due to the member; 0: that it is no more. */
void topics_request(struct topics *topics, uint32_t member, uint32_t request);

/* Makes all that is derived anew, whatever state it is in. Memberships of connections that `owner`
 * does not have, or that are closing, end. `high`: above all its connections. */
void topics_rebuild(struct topics *topics, uint32_t owner, uint32_t high);

/* Whether the last change was finished: what a successor asks. */
bool topics_intact(const struct topics *topics);

/* Whether every chain ends and holds what it must, no record is lost, and the counts are right. */
bool topics_valid(const struct topics *topics, uint32_t owner);

static inline size_t topic_len(const struct topic *topic)
{
    return atomic_load_explicit(&topic->len, memory_order_acquire);
}
static inline uint32_t topic_of(const struct topic_member *member)
{
    return atomic_load_explicit(&member->topic, memory_order_acquire);
}

#endif

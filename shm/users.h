/*
 * The user index: user -> connections. Each worker has one, for the users whose home it is, and is
 * its only writer; it is derived from the connection table and can be rebuilt from it.
 *
 * Linear hashing (Litwin, VLDB 1980): an array of bucket heads that grows by one bucket with each
 * connection, so that growing never stops the loop. A bucket is a chain through the records of one
 * connection for each user, who leads that user's other connections. These are a list of their own,
 * linked both ways: to end one of 50,000 takes no longer than to end one of two.
 *
 *    heads              leaders, linked by `next`
 *    +---+
 *    | 0 | -> 0         an empty bucket: descriptor 0 is never a connection
 *    | 1 | -> 17 -> 204 -> 0
 *    | 2 | -> 9 -> 0     |  ^
 *    +---+               v  |          siblings[204] = 300, siblings[300] = 204
 *                       300 <-> 31     next of 300 = 31,    siblings[31] = 300
 *
 *      ^ buckets = 3: hash & 3, and where that is no bucket yet, hash & 1
 *
 * `next` of a record says with the descriptor what the record is:
 *
 *      31      30                           0
 *    +-------+---------+---------------------+   LEADS: siblings[] has the first of its followers
 *    | LEADS | FOLLOWS | descriptor, or 0    |   FOLLOWS: it follows, and siblings[] has the one
 * before
 *    +-------+---------+---------------------+   neither: the user has no other connection
 *
 * The word in `siblings` of a user's only connection is never read or written, so that it costs no
 * memory.
 *
 * `changes` is odd while a chain is being changed. A successor that finds it odd cannot trust
 * the chains and rebuilds them; finding it even, it goes on with what is there.
 */
#ifndef WSPUSHD_SHM_USERS_H
#define WSPUSHD_SHM_USERS_H

#include "shm/conn.h"

/* An index begins with so many buckets, and never has fewer; the table has as many records. */
enum { USERS_BUCKETS_MIN = 16 };

/* Bits of `next` in a record, and the rest: a descriptor. */
#define USERS_LEADS   (UINT32_C(1) << 31)
#define USERS_FOLLOWS (UINT32_C(1) << 30)
#define USERS_FD      (USERS_FOLLOWS - 1)

/* In the worker's slot; written by that worker. */
struct users_control {
    _Atomic uint32_t changes; /* odd: a chain is being changed */
    uint32_t buckets;         /* heads in use: the others hold anything. 0: never used */
    uint32_t count;           /* connections in the index */
    uint32_t reserved;
};

/* A process's view of one index. */
struct users {
    struct users_control *control;
    uint32_t *heads;
    uint32_t *siblings; /* by descriptor */
    struct conn *table;
    uint32_t capacity; /* records, and so also the most buckets */
    uint64_t seed;
};

/* The hash that records keep. The seed is secret, so that nobody can choose names that collide. */
uint32_t users_hash(uint64_t seed, const char *user, size_t len);

/* Puts a connection in that is in no index; its `user` and `hash` are set. Sets CONN_INDEXED. */
void users_add(struct users *users, uint32_t fd);

/* Takes it out, if CONN_INDEXED says that it is in, and clears that. */
void users_remove(struct users *users, uint32_t fd);

/* The first connection of a user, or 0; and the next of the same user after `fd`, or 0. The
 * newest is the first, unless the index was rebuilt since. A connection may be removed once its
 * next is known. */
uint32_t users_first(const struct users *users, const char *user, size_t len);
static inline uint32_t users_next(const struct users *users, uint32_t fd)
{
    const uint32_t next = users->table[fd].next;

    if (next & USERS_LEADS)
        return users->siblings[fd];
    return next & USERS_FOLLOWS ? next & USERS_FD : 0;
}

/* True if a connection in the index is the first of its user's, or the only one. */
static inline bool users_leads(const struct users *users, uint32_t fd)
{
    return (users->table[fd].next & USERS_FOLLOWS) == 0;
}
static inline bool users_alone(const struct users *users, uint32_t fd)
{
    return (users->table[fd].next & (USERS_LEADS | USERS_FOLLOWS)) == 0;
}

/* Builds the index again, whatever state it is in. Of the records below `high` that `owner` owns,
 * those with a user get in that are SUBSCRIBING or OPEN, or CLOSING and were in it, and
 * CONN_INDEXED comes to say so of each; all others get out. */
void users_rebuild(struct users *users, uint32_t owner, uint32_t high);

/* Whether the last change was finished: what a successor asks. */
bool users_intact(const struct users *users);

/* True if every chain ends, each record hangs in the bucket of its hash and is `owner`'s, each user
 * has one leader, followers are linked both ways, and the count is right. */
bool users_valid(const struct users *users, uint32_t owner);

#endif

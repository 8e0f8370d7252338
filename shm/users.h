/*
 * The user index: user -> connections. Each worker has one, for the users whose home it is, and is
 * its only writer. It is derived from the connection table and can be rebuilt from it.
 *
 * Linear hashing (Litwin, VLDB 1980): an array of bucket heads grows by one bucket with each
 * connection, so growing never stops the loop. A bucket is a chain through the records of one
 * connection for each user, the leader of that user's connections. The others, its followers, form
 * a doubly linked list: ending one of 50,000 takes no longer than ending one of two.
 *
 *    heads              leaders, linked by `next`
 *    +---+
 *    | 0 | -> 0         an empty bucket: descriptor 0 is never a connection
 *    | 1 | -> 17 -> 204 -> 0
 *    | 2 | -> 9 -> 0     |  ^
 *    +---+               v  |          siblings[204] = 300, siblings[300] = 204
 *                       300 <-> 31     next of 300 = 31,    siblings[31] = 300
 *
 *      ^ buckets = 3: hash & 3, or hash & 1 if that bucket does not exist yet
 *
 * `next` of a record has a descriptor, and two bits that say which part the record has:
 *
 *      31      30                           0
 *    +-------+---------+---------------------+   LEADS: siblings[] has its first follower
 *    | LEADS | FOLLOWS | descriptor, or 0    |   FOLLOWS: siblings[] has the connection before it
 *    +-------+---------+---------------------+   neither: the user has no other connection
 *
 * The word in `siblings` of a user's only connection is never read or written, so that it costs no
 * memory.
 *
 * `changes` is odd while a chain is being changed. A successor that finds it odd cannot trust the
 * chains and rebuilds them; if it is even, the successor uses them as they are.
 */
#ifndef WSPUSHD_SHM_USERS_H
#define WSPUSHD_SHM_USERS_H

#include "shm/conn.h"

/* An index begins with this many buckets and never has fewer; the table has at least as many
 * records. */
enum { USERS_BUCKETS_MIN = 16 };

/* The parts of `next` in a record: two bits and a descriptor. */
#define USERS_LEADS   (UINT32_C(1) << 31)
#define USERS_FOLLOWS (UINT32_C(1) << 30)
#define USERS_FD      (USERS_FOLLOWS - 1)

/* In the worker's slot; written by that worker. */
struct users_control {
    _Atomic uint32_t changes; /* odd: a chain is being changed */
    uint32_t buckets;         /* heads in use, the rest of the array is undefined. 0: never used */
    uint32_t count;           /* connections in the index */
    uint32_t reserved;
};

/* A process's view of one index. */
struct users {
    struct users_control *control;
    uint32_t *heads;
    uint32_t *siblings; /* by descriptor */
    struct conn *table;
    uint32_t capacity; /* records of the table; also the most buckets */
    uint64_t seed;     /* hash_seed of the segment's header */
};

/* Returns the hash of a name, as records keep it. `seed` is secret, so that an attacker cannot
 * choose names that collide. */
uint32_t users_hash(uint64_t seed, const char *user, size_t len);

/* Adds a connection that is in no index; its `user` and `hash` are set. Sets CONN_INDEXED. */
void users_add(struct users *users, uint32_t fd);

/* Removes a connection and clears CONN_INDEXED; does nothing if that is not set. */
void users_remove(struct users *users, uint32_t fd);

/* Returns the first connection of a user, or the next one of the same user after `fd`; 0 if there
 * is none. The newest comes first, unless the index was rebuilt since. The caller may remove a
 * connection once it knows the next. */
uint32_t users_first(const struct users *users, const char *user, size_t len);
static inline uint32_t users_next(const struct users *users, uint32_t fd)
{
    const uint32_t next = users->table[fd].next;

    if (next & USERS_LEADS)
        return users->siblings[fd];
    return next & USERS_FOLLOWS ? next & USERS_FD : 0;
}

/* users_leads: true if a connection in the index is the first of its user's. users_alone: true if
 * it is the only one. */
static inline bool users_leads(const struct users *users, uint32_t fd)
{
    return (users->table[fd].next & USERS_FOLLOWS) == 0;
}
static inline bool users_alone(const struct users *users, uint32_t fd)
{
    return (users->table[fd].next & (USERS_LEADS | USERS_FOLLOWS)) == 0;
}

/* Builds the index again, whatever its state. Of the records below `high` that `owner` owns, it
 * gets those with a user that are SUBSCRIBING or OPEN, or CLOSING and were in it. Sets CONN_INDEXED
 * in these and clears it in all others. */
void users_rebuild(struct users *users, uint32_t owner, uint32_t high);

/* True if the last change was finished. A successor rebuilds the index if not. */
bool users_intact(const struct users *users);

/* True if every chain ends, each record is in the bucket of its hash and belongs to `owner`, each
 * user has one leader, followers are linked both ways, and the count is right. */
bool users_valid(const struct users *users, uint32_t owner);

#endif

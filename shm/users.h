/*
 * The user index: user -> connections. Each worker has one, for the users whose home it is, and is
 * its only writer; it is derived from the connection table and can be rebuilt from it.
 *
 * Linear hashing (Litwin, VLDB 1980): an array of bucket heads that grows by one bucket with each
 * connection, so that growing never stops the loop. A bucket is a chain through the records.
 *
 *    heads              records, linked by `next`
 *    +---+
 *    | 0 | -> 0         an empty bucket: descriptor 0 is never a connection
 *    | 1 | -> 17 -> 204 -> 0
 *    | 2 | -> 9 -> 0
 *    +---+
 *      ^ buckets = 3: hash & 3, and where that is no bucket yet, hash & 1
 *
 * `changes` is odd while a chain is being changed. A successor that finds it odd cannot trust
 * the chains and rebuilds them; finding it even, it goes on with what is there.
 */
#ifndef WSPUSHD_SHM_USERS_H
#define WSPUSHD_SHM_USERS_H

#include "shm/conn.h"

/* An index begins with so many buckets, and never has fewer; the table has as many records. */
enum { USERS_BUCKETS_MIN = 16 };

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

/* The first connection of a user, or 0; and the next of the same user after `fd`, or 0; in no
 * particular order. A connection may be removed once its next is known. */
uint32_t users_first(const struct users *users, const char *user, size_t len);
uint32_t users_next(const struct users *users, uint32_t fd);

/* Builds the index again, whatever state it is in. Of the records below `high` that `owner` owns,
 * those with a user get in that are SUBSCRIBING or OPEN, or CLOSING and were in it, and
 * CONN_INDEXED comes to say so of each; all others get out. */
void users_rebuild(struct users *users, uint32_t owner, uint32_t high);

/* Whether the last change was finished: what a successor asks. */
bool users_intact(const struct users *users);

/* Whether every chain ends, each record hangs in the bucket of its hash and is `owner`'s, and the
 * count is right. */
bool users_valid(const struct users *users, uint32_t owner);

#endif

/*
 * The last kicks of users, numbered in the order in which the node got them. A kick has so a place
 * in time: a login notes how many there were when its credentials were looked at, and each kick
 * with a higher number ends it, wherever the connection is by then: in a ring, in the lobby, or
 * waiting for Redis's answer. A login that was made after the kick has a number that is as high,
 * and stays.
 *
 *   count = 7       at[]    | 1 | 2 | 3 | 4 | 5 | 6 | 7 |   ...   |      kick n is at n % KICKS_MAX
 *                                     ^       ^
 *                     kicks_done of worker 0  worker 1: what each has done about the connections
 * that it has in its index
 *
 * Written by the node's home, which has the subscription of push:ctl. Read by all workers: in each
 * turn by those that have not done all, and at the end of a login. The home overwrites no kick that
 * a worker has not done. Whatever dies, the next worker goes on from there.
 */
#ifndef WSPUSHD_SHM_KICKS_H
#define WSPUSHD_SHM_KICKS_H

#include "shm/conn.h"

enum {
    KICKS_MAX = 4096,
    KICK_REASON_MAX = 128 /* with a NUL; a close frame takes 123 bytes of it: RFC 6455 §5.5 */
};

struct kick {
    _Atomic uint64_t number;      /* of the kick that is here; 0: none, or it is being written */
    uint64_t origin;              /* where the node's home read it: position in its link's stream */
    uint32_t second;              /* (monotonic) in which it came */
    uint32_t hash;                /* of the user */
    uint16_t code;                /* of the close frame */
    uint8_t user_len;             /* 1 to USER_MAX */
    char user[USER_MAX];          /* not terminated */
    char reason[KICK_REASON_MAX]; /* terminated */
};

struct kicks {
    _Atomic uint64_t count; /* kicks so far: the number of the last */
    struct kick at[KICKS_MAX];
};

/* Returns the number of the last kick. Acquire: pairs with the release in kicks_append, so that the
 * caller sees all kicks up to that number. */
static inline uint64_t kicks_count(const struct kicks *kicks)
{
    return atomic_load_explicit(&kicks->count, memory_order_acquire);
}

/* Returns kick `number`, which must not have been done by every worker. */
static inline const struct kick *kicks_at(const struct kicks *kicks, uint64_t number)
{
    return &kicks->at[number % KICKS_MAX];
}

/* Appends a kick; `number` is of no matter. One with the origin of the last, which a death has made
 * come again, is there already. The caller has seen that the place is free. */
void kicks_append(struct kicks *kicks, const struct kick *kick);

enum kicks_verdict {
    KICKS_SPARE,    /* no kick ends the login */
    KICKS_END,      /* one does */
    KICKS_FORGOTTEN /* it is too long ago: nobody knows */
};

/* Looks for a kick that ends a login of this user, made when there had been `made` kicks.
 * KICKS_END: the kick is copied to *kick. */
enum kicks_verdict kicks_judge(const struct kicks *kicks, uint64_t made, const struct conn *conn,
                               struct kick *kick);

/* True if every word is one that the code above can have left, at any instruction. */
bool kicks_valid(const struct kicks *kicks);

#endif

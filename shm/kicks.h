/*
 * The last kicks of users, numbered in the order in which the node received them, which gives each
 * a place in time. A login notes how many kicks there were when its credentials were checked. Each
 * kick of the user with a higher number ends it, wherever the connection is by then: in a ring, in
 * the lobby, or waiting for Redis's answer. A login made after the kick has noted that number, and
 * stays.
 *
 *   count = 7       at[]    | 1 | 2 | 3 | 4 | 5 | 6 | 7 |   ...   |      kick n is at n % KICKS_MAX
 *                                     ^       ^
 *                     kicks_done of worker 0  worker 1: kicks that it has carried out on the
 *                                             connections in its index
 *
 * Written by the node's home, which subscribes push:ctl. Read by all workers: in each turn by those
 * that have kicks left to carry out, and at the end of a login. The home overwrites no kick that a
 * worker has not carried out. The successor of any worker continues from there.
 */
#ifndef WSPUSHD_SHM_KICKS_H
#define WSPUSHD_SHM_KICKS_H

#include "shm/conn.h"

enum {
    KICKS_MAX = 4096,
    KICK_REASON_MAX = 128 /* with a NUL; a close frame takes 123 bytes of it: RFC 6455 §5.5 */
};

struct kick {
    _Atomic uint64_t number;      /* of the kick in this place; 0: none, or it is being written */
    uint64_t origin;              /* its position in the stream of the node home's link */
    uint32_t second;              /* (monotonic) of its arrival */
    uint32_t hash;                /* of the user */
    uint16_t code;                /* of the close frame: RFC 6455 §7.4 */
    uint8_t user_len;             /* 1 to USER_MAX */
    char user[USER_MAX];          /* not terminated */
    char reason[KICK_REASON_MAX]; /* terminated */
};

struct kicks {
    _Atomic uint64_t count; /* number of the last kick */
    struct kick at[KICKS_MAX];
};

/* Returns the number of the last kick. Acquire: pairs with the release in kicks_append, so that the
 * caller sees all kicks up to that number. */
static inline uint64_t kicks_count(const struct kicks *kicks)
{
    return atomic_load_explicit(&kicks->count, memory_order_acquire);
}

/* Returns kick `number`, which some worker must not have carried out yet. */
static inline const struct kick *kicks_at(const struct kicks *kicks, uint64_t number)
{
    return &kicks->at[number % KICKS_MAX];
}

/* Appends a kick; its `number` is ignored. Ignores a kick with the origin of the last one, which a
 * successor reads again. The caller has checked that all workers are done with the overwritten one.
 */
void kicks_append(struct kicks *kicks, const struct kick *kick);

enum kicks_verdict {
    KICKS_SPARE,    /* no kick ends the login */
    KICKS_END,      /* a kick ends it */
    KICKS_FORGOTTEN /* the login is too old: the kicks since are not all known */
};

/* Looks for a kick that ends a login of this user, made when `made` kicks had arrived. KICKS_END:
 * the kick is copied to *kick. */
enum kicks_verdict kicks_judge(const struct kicks *kicks, uint64_t made, const struct conn *conn,
                               struct kick *kick);

/* True if the kicks are in a state that this code can leave at any instruction. */
bool kicks_valid(const struct kicks *kicks);

#endif

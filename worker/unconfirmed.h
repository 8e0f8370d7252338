/*
 * The commands of the subscription link that Redis has not confirmed yet, so that those that it
 * refuses for now (BUSY) can be sent again.
 *
 *        0            older            len
 *        +--------------+---------------+
 *        | until batch  | later         |
 *        +--------------+---------------+
 *
 * They are dropped in two steps, so that nothing need be kept of each batch: what is older goes
 * when its batch is confirmed, and then what was later is older. Private memory: it does no I/O and
 * knows no link.
 */
#ifndef WSPUSHD_WORKER_UNCONFIRMED_H
#define WSPUSHD_WORKER_UNCONFIRMED_H

#include <stddef.h>
#include <stdint.h>

struct unconfirmed {
    char *bytes;
    size_t len, size, older;
    uint64_t batch; /* when it is confirmed, the first `older` bytes are */
};

/* Appends a command. Out of memory ends the process. */
void unconfirmed_add(struct unconfirmed *unconfirmed, const void *command, size_t len);

/* Redis has confirmed `batch`; commands up to now are confirmed by batch `last` at the latest. */
void unconfirmed_drop(struct unconfirmed *unconfirmed, uint64_t batch, uint64_t last);

/* All of it has been sent again, and is confirmed by batch `last`. */
void unconfirmed_sent(struct unconfirmed *unconfirmed, uint64_t last);

/* Forgets all, and gives the memory back. */
void unconfirmed_clear(struct unconfirmed *unconfirmed);

#endif

/*
 * The commands of the subscription link that Redis has not confirmed yet, kept so that those
 * refused for now (BUSY) can be sent again.
 *
 *        0            older            len
 *        +--------------+---------------+
 *        | until batch  | later         |
 *        +--------------+---------------+
 *
 * They are dropped in two steps, so that no data is kept for each batch: when `batch` is confirmed
 * the older part goes, and the later part becomes the older one. Private memory; this module does
 * no I/O and does not use the link.
 */
#ifndef WSPUSHD_WORKER_UNCONFIRMED_H
#define WSPUSHD_WORKER_UNCONFIRMED_H

#include <stddef.h>
#include <stdint.h>

struct unconfirmed {
    char *bytes;
    size_t len, size, older;
    uint64_t batch; /* once confirmed, so are the first `older` bytes */
};

/* Appends a command. Aborts the process if memory is short. */
void unconfirmed_add(struct unconfirmed *unconfirmed, const void *command, size_t len);

/* Drops the commands that Redis confirmed with `batch`; those up to now are confirmed with batch
 * `last` at the latest. */
void unconfirmed_drop(struct unconfirmed *unconfirmed, uint64_t batch, uint64_t last);

/* Notes that everything was sent again and will be confirmed with batch `last`. */
void unconfirmed_sent(struct unconfirmed *unconfirmed, uint64_t last);

/* Forgets all commands and frees the memory. */
void unconfirmed_clear(struct unconfirmed *unconfirmed);

#endif

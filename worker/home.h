/*
 * A connection comes home: from the worker that accepted it to the one that holds its user, where
 * it is entered in the user index, subscribed, and greeted.
 */
#ifndef WSPUSHD_WORKER_HOME_H
#define WSPUSHD_WORKER_HOME_H

#include "worker/worker.h"

#include <stddef.h>

/* What the ring carries with a connection that moves: the 101 that its home sends if it takes
 * it, and what the client has sent behind its head. */
struct adoption {
    uint32_t fd, generation;
    uint32_t response_len, rest_len;
    uint64_t kicks;  /* as in struct login */
    uint8_t bytes[]; /* the response, then the rest */
};

/* What its home needs of a login: the 101, what the client has sent behind its head, and when it
 * was made. Borrows the bytes. */
struct home_entry {
    uint64_t kicks; /* as in struct login */
    const void *response, *rest;
    size_t response_len, rest_len;
};

/* Bytes that the ring needs for it. */
uint32_t home_entry_size(const struct home_entry *entry);

/* Gives an accepted connection to its home, which may be this worker. Returns false where the ring
 * is full: nothing has changed then, and this worker is woken when there is room. */
bool home_give(struct worker *worker, struct conn *conn, uint32_t home,
               const struct home_entry *entry);

/* A connection arrives. May come twice after a death; the second time changes nothing that is done.
 */
void home_adopt(struct worker *worker, const struct adoption *adoption);

/* Counts a connection that this worker owns from now on, and that nobody counted while it moved. */
void home_count(struct worker *worker, struct conn *conn);

/* The subscription is confirmed: sends HELLO. */
void home_greet(struct worker *worker, struct conn *conn);

/* HELLO has left: makes the connection OPEN, unless it was closed behind its HELLO in the same
 * turn. Called by the outbox. */
void home_greeted(struct worker *worker, struct conn *conn);

/* Ends the connection's memberships in topics, takes it out of the index, and unsubscribes after
 * the user's last. */
void home_leave(struct worker *worker, struct conn *conn);

/* After a death: deals with the connection that was being handed over; and what its new owner does
 * about it. */
void home_resume_handing(struct worker *worker);
void home_orphan(struct worker *worker, const struct conn_ref *ref);

#endif

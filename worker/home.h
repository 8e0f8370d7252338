/*
 * Moves a connection home: from the worker that accepted it to its user's home, which enters it in
 * the user index, subscribes, and greets it.
 */
#ifndef WSPUSHD_WORKER_HOME_H
#define WSPUSHD_WORKER_HOME_H

#include "worker/worker.h"

#include <stddef.h>

/* The ring message of a connection that moves: the 101 that its home sends when it accepts the
 * connection, and the bytes that the client has sent after its request head. */
struct adoption {
    uint32_t fd, generation;
    uint32_t response_len, rest_len;
    uint64_t kicks;  /* as in struct login */
    uint8_t bytes[]; /* the 101, then the client's bytes */
};

/* The parts of a login that the home needs: the 101, the client's bytes after its request head, and
 * the time of the login. Borrows the bytes. */
struct home_entry {
    uint64_t kicks; /* as in struct login */
    const void *response, *rest;
    size_t response_len, rest_len;
};

/* Returns the bytes that the entry takes in the ring. */
uint32_t home_entry_size(const struct home_entry *entry);

/* Hands an accepted connection to its home, which may be this worker. Returns false if the ring is
 * full: then nothing has changed, and this worker is woken when there is room. */
bool home_give(struct worker *worker, struct conn *conn, uint32_t home,
               const struct home_entry *entry);

/* Takes in a connection that arrives. May be called twice after a death; the second call repeats
 * nothing that is done. */
void home_adopt(struct worker *worker, const struct adoption *adoption);

/* Counts a connection that this worker now owns and that no worker counted while it moved. */
void home_count(struct worker *worker, struct conn *conn);

/* Sends HELLO, because the subscription is confirmed. */
void home_greet(struct worker *worker, struct conn *conn);

/* Makes the connection OPEN after its HELLO was sent, unless it was closed after HELLO in the same
 * turn. Called by the outbox. */
void home_greeted(struct worker *worker, struct conn *conn);

/* Ends the connection's topic memberships, removes it from the index, and unsubscribes if it was
 * the user's last. */
void home_leave(struct worker *worker, struct conn *conn);

/* After a death: the successor deals with the connection that was being handed over, and its new
 * owner handles the successor's message about it. */
void home_resume_handing(struct worker *worker);
void home_orphan(struct worker *worker, const struct conn_ref *ref);

#endif

/*
 * The client's side of the opening handshake (RFC 6455 §4.1).
 */
#ifndef WSPUSHD_TOOLS_WSPUSH_OPENING_H
#define WSPUSHD_TOOLS_WSPUSH_OPENING_H

#include "tools/wspush_conn.h"

/* Draws a new key and appends the request to conn->out. */
void opening_request(struct conn *conn);

/*
 * Reads the answer in conn->in. Returns the bytes it takes once it is the 101 that was asked for, 0
 * when more is needed, -1 when it is another answer: then conn->end is filled. `eof`: nothing more
 * will come.
 */
ssize_t opening_answer(struct conn *conn, bool eof);

#endif

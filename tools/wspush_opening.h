/*
 * The client's side of the opening handshake (RFC 6455 §4.1).
 */
#ifndef WSPUSHD_TOOLS_WSPUSH_OPENING_H
#define WSPUSHD_TOOLS_WSPUSH_OPENING_H

#include "tools/wspush_conn.h"

/* Generates a new key and appends the request to conn->out. */
void opening_request(struct conn *conn);

/*
 * Parses the answer in conn->in. Returns its length if it is the expected 101, 0 if more bytes are
 * needed, or -1 for any other answer, after filling conn->end. `eof`: the server sends nothing
 * more.
 */
ssize_t opening_answer(struct conn *conn, bool eof);

#endif

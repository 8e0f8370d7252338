/*
 * What clients send: a whole message, by the connection's mode and its opcode.
 */
#ifndef WSPUSHD_WORKER_REQUESTS_H
#define WSPUSHD_WORKER_REQUESTS_H

#include "proto/message.h"
#include "proto/ws.h"
#include "worker/worker.h"

#include <stddef.h>

/* A message has come. May end the connection. */
void request_received(struct worker *worker, struct conn *conn, enum ws_opcode kind,
                      const uint8_t *bytes, size_t len);

/* An ERROR, as text. */
struct request_error {
    struct message message; /* leads to `json` */
    char json[1600];
};

/* Writes {"code":...,"op":...,"message":...} for a request with opcode `op`. `why` is UTF-8 and is
 * cut if it is long; NULL: the code's own words. */
void request_error(struct request_error *error, enum error_code code, uint32_t op, const char *why);

/* Sends it when the requests before are answered. May end the connection. */
void request_refuse(struct worker *worker, struct conn *conn, enum error_code code, uint32_t op,
                    const char *why);

/* True if requests with this opcode are served: it is the system's, or push.conf has a rule. */
bool request_known(const struct worker *worker, uint32_t op);

#endif

/*
 * Handles clients' requests: a complete message, by the connection's mode and its opcode.
 */
#ifndef WSPUSHD_WORKER_REQUESTS_H
#define WSPUSHD_WORKER_REQUESTS_H

#include "proto/message.h"
#include "proto/ws.h"
#include "worker/worker.h"

#include <stddef.h>

/* Handles a complete message. May end the connection. */
void request_received(struct worker *worker, struct conn *conn, enum ws_opcode kind,
                      const uint8_t *bytes, size_t len);

/* The text of an ERROR message. */
struct request_error {
    struct message message; /* its payload points to `json` */
    char json[1600];
};

/* Writes {"code":...,"op":...,"message":...} for a request with opcode `op`. `why` is UTF-8 and cut
 * if it is too long; NULL stands for the code's standard text. */
void request_error(struct request_error *error, enum error_code code, uint32_t op, const char *why);

/* Sends an ERROR once the connection's earlier requests are answered. May end the connection. */
void request_refuse(struct worker *worker, struct conn *conn, enum error_code code, uint32_t op,
                    const char *why);

/* True if requests with this opcode are served: it is a system opcode, or push.conf has a rule for
 * it. */
bool request_known(const struct worker *worker, uint32_t op);

#endif

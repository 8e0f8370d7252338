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

/* Sends ERROR {"code":...,"op":...,"message":...} for a request with opcode `op`. */
void request_refuse(struct worker *worker, struct conn *conn, enum error_code code, uint32_t op);

#endif

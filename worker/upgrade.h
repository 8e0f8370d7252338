/*
 * From the first byte of a request head to a WebSocket connection or a refusal.
 */
#ifndef WSPUSHD_WORKER_UPGRADE_H
#define WSPUSHD_WORKER_UPGRADE_H

#include "worker/worker.h"

/* There are bytes from a connection in HANDSHAKE, or there may be: it was just accepted. */
void upgrade_read(struct worker *worker, struct conn *conn);

#endif

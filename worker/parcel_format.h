/*
 * The bytes of a parcel (parcel.h). Another version of the server may read them, so these structs
 * are part of the layout (shm/layout.h).
 *
 *   +------+------------------------------+------------------------------+ ...
 *   | head | entry | in | frames | topics | entry | in | frames | topics |
 *   +------+------------------------------+------------------------------+ ...
 *
 *   head    struct parcel_head: the process whose memory it was
 *   entry   struct parcel_entry: which connection, the state of its receiver, sizes
 *   in      the received part of a message or of a request head
 *   frames  struct parcel_frame and the bytes, for each frame of the backlog
 *   topics  struct parcel_topic and the name, for each membership that goes along
 */
#ifndef WSPUSHD_WORKER_PARCEL_FORMAT_H
#define WSPUSHD_WORKER_PARCEL_FORMAT_H

#include "proto/ws.h"
#include "shm/conn.h"

#include <stdbool.h>
#include <stdint.h>

struct parcel_head {
    uint32_t incarnation; /* as records keep it */
};

struct parcel_entry {
    struct conn_ref ref;
    uint32_t in_len; /* bytes */
    uint32_t frames; /* their number */
    uint32_t topics; /* their number */
    bool held;       /* there is private memory */
    struct ws_rx rx;
};

struct parcel_frame {
    uint32_t size, sent; /* bytes; sent: taken by the kernel */
    uint32_t push;       /* as in struct waiting */
    uint64_t expires_ms, key;
};

struct parcel_topic {
    uint32_t request; /* number of the SUB that is to be answered; 0: none */
    uint32_t len;     /* bytes of the name */
};

#endif

/*
 * What kind of descriptor a number is, as far as the kernel tells: the audit closes only what must
 * have been a worker's (worker/audit.h). Everything else stays open, whoever opened it: the master,
 * libevent, the resolver, OpenSSL.
 */
#ifndef WSPUSHD_WORKER_DESCRIPTOR_KIND_H
#define WSPUSHD_WORKER_DESCRIPTOR_KIND_H

#include <stddef.h>

/* X(NAME, "name in the log") */
#define DESCRIPTOR_KINDS(X)                                                                   \
    X(OTHER, "other")       /* may be anybody's */                                            \
    X(LISTENER, "listener") /* a listening socket: the master's */                            \
    X(ACCEPTED, "accepted") /* a socket that accept4(2) made from one of our listeners */     \
    X(FRESH, "fresh")       /* a stream socket with no name: neither bound nor connected */   \
    X(REDIS, "redis")       /* a stream socket with the same peer as a worker's Redis link */ \
    X(PARCEL, "parcel")     /* what a leaving worker wrote for its successor (parcel.h) */    \
    X(LOOKUP, "lookup")     /* a pidfd whose process has ended (redis_resolve.h) */
enum descriptor_kind {
#define DESCRIPTOR_KIND_ENUM(name, text) DESCRIPTOR_##name,
    DESCRIPTOR_KINDS(DESCRIPTOR_KIND_ENUM)
#undef DESCRIPTOR_KIND_ENUM
};

/* Descriptors whose names a socket is compared with. Numbers below 1 are skipped. */
struct descriptor_peers {
    const int *listeners; /* borrowed */
    size_t listener_count;
    int admin;        /* one listener more */
    const int *links; /* borrowed: sockets that are connected to Redis */
    size_t link_count;
};

/* Returns what an open descriptor is. Costs up to six system calls, and two for each listener and
 * each link. */
enum descriptor_kind descriptor_kind(int fd, const struct descriptor_peers *peers);

/* Returns the name of a kind. */
const char *descriptor_kind_name(enum descriptor_kind kind);

/* Writes what /proc/self/fd says of the descriptor, "socket:[4711]", cut to `size`. Returns out. */
const char *descriptor_target(int fd, char *out, size_t size);

#endif

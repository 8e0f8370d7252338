/*
 * Classifies a descriptor, as far as the kernel can tell: the audit closes only descriptors that
 * must have been a worker's (audit.h). All others stay open: they may be the master's, libevent's,
 * the resolver's, OpenSSL's.
 */
#ifndef WSPUSHD_WORKER_DESCRIPTOR_KIND_H
#define WSPUSHD_WORKER_DESCRIPTOR_KIND_H

#include <stddef.h>

/* X(NAME, "name in the log") */
#define DESCRIPTOR_KINDS(X)                                                                   \
    X(OTHER, "other")       /* may belong to any code */                                      \
    X(LISTENER, "listener") /* a listening socket: the master's */                            \
    X(ACCEPTED, "accepted") /* a socket that accept4(2) made from one of our listeners */     \
    X(FRESH, "fresh")       /* a stream socket with no name: neither bound nor connected */   \
    X(REDIS, "redis")       /* a stream socket with the same peer as a worker's Redis link */ \
    X(PARCEL, "parcel")     /* a leaving worker's file for its successor (parcel.h) */        \
    X(LOOKUP, "lookup")     /* a pidfd whose process has ended (redis_resolve.h) */
enum descriptor_kind {
#define DESCRIPTOR_KIND_ENUM(name, text) DESCRIPTOR_##name,
    DESCRIPTOR_KINDS(DESCRIPTOR_KIND_ENUM)
#undef DESCRIPTOR_KIND_ENUM
};

/* Descriptors with whose addresses a socket's address is compared. Numbers below 1 are skipped. */
struct descriptor_peers {
    const int *listeners; /* borrowed */
    size_t listener_count;
    int admin;        /* the admin listener */
    const int *links; /* borrowed: sockets connected to Redis */
    size_t link_count;
};

/* Returns the kind of an open descriptor. Costs up to six system calls, and two for each listener
 * and each link. */
enum descriptor_kind descriptor_kind(int fd, const struct descriptor_peers *peers);

/* Returns the name of a kind. */
const char *descriptor_kind_name(enum descriptor_kind kind);

/* Writes the descriptor's link in /proc/self/fd, such as "socket:[4711]", cut to `size`. Returns
 * `out`. */
const char *descriptor_target(int fd, char *out, size_t size);

#endif

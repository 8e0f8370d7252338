/*
 * A byte stream to the server that never blocks: TCP, a unix socket, or TLS over TCP.
 *
 *   net_open ──▶ CONNECTING ──▶ (TLS) ──▶ READY ──▶ net_close
 *                    │            │         │
 *                    └────────────┴─────────┴──▶ FAILED: net_error tells why
 */
#ifndef WSPUSHD_TOOLS_WSPUSH_NET_H
#define WSPUSHD_TOOLS_WSPUSH_NET_H

#include "tools/wspush_url.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct addrinfo;
struct ssl_st;
struct ssl_ctx_st;

enum net_state { NET_CLOSED, NET_CONNECTING, NET_TLS, NET_READY, NET_FAILED };

struct net {
    enum net_state state;
    int fd;
    const struct url *url;           /* borrowed until net_close */
    struct addrinfo *list, *address; /* what the name means, and which of it is being tried */
    struct ssl_ctx_st *tls_context;
    struct ssl_st *tls;
    bool tls_wants_write; /* TLS goes on when the socket can be written */
    bool untrusted;       /* FAILED because of the certificate: trying again is no use */
    bool insecure;
    char error[256];
};

/* Begins to connect; resolving the name blocks. `insecure`: take any certificate. */
void net_open(struct net *net, const struct url *url, bool insecure);

/* Goes on while CONNECTING or TLS, after poll(2) reported the descriptor. */
void net_continue(struct net *net);

/* What poll(2) is to wait for; `output` tells whether the caller has something to write. */
short net_poll_events(const struct net *net, bool output);

/* Whether net_read would return bytes that poll(2) no longer sees. */
bool net_has_pending(const struct net *net);

/* As read(2) and write(2) of a non-blocking socket, while READY: -1 with EAGAIN when they would
 * have to wait; with another errno the state is FAILED. */
ssize_t net_read(struct net *net, void *buf, size_t len);
ssize_t net_write(struct net *net, const void *buf, size_t len);

void net_close(struct net *net);

#endif

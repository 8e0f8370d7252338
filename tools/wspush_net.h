/*
 * A non-blocking byte stream to the server: TCP, a unix socket, or TLS over TCP.
 *
 *   net_open ──▶ CONNECTING ──▶ (TLS) ──▶ READY ──▶ net_close
 *                    │            │         │
 *                    └────────────┴─────────┴──▶ FAILED: net_error() says why
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
    struct addrinfo *list, *address; /* the addresses of the name, and the one being tried */
    struct ssl_ctx_st *tls_context;
    struct ssl_st *tls;
    bool tls_wants_write; /* TLS continues when the socket is writable */
    bool untrusted;       /* FAILED because of the certificate: a retry would fail, too */
    bool insecure;
    char error[256];
};

/* Starts to connect; resolving the name blocks. `insecure`: accept any certificate. */
void net_open(struct net *net, const struct url *url, bool insecure);

/* Continues while CONNECTING or in TLS, after poll(2) reported the descriptor. */
void net_continue(struct net *net);

/* Returns the events that poll(2) must wait for. `output`: the caller has data to write. */
short net_poll_events(const struct net *net, bool output);

/* True if net_read() would return bytes that poll(2) no longer sees. */
bool net_has_pending(const struct net *net);

/* As read(2) and write(2) of a non-blocking socket, while READY: -1 with EAGAIN if they would
 * block; after any other error the state is FAILED. */
ssize_t net_read(struct net *net, void *buf, size_t len);
ssize_t net_write(struct net *net, const void *buf, size_t len);

void net_close(struct net *net);

#endif

/*
 * One HTTP request to the admin interface: connects, sends the request, reads the whole answer,
 * closes. It blocks, up to its time limit.
 */
#ifndef WSPUSHD_TOOLS_WSPUSHCTL_HTTP_H
#define WSPUSHD_TOOLS_WSPUSHCTL_HTTP_H

#include "tools/wspush_buffer.h"

#include <stdbool.h>
#include <stdint.h>

struct server {
    bool is_unix;
    char host[256]; /* or the path of the socket; IPv6 without brackets */
    char port[8];
    const char *token; /* for Authorization; NULL or empty: none. Borrowed */
};

/* Parses "host:port", "[::1]:port" or "unix:/path". Returns NULL, or a description of the error. */
const char *server_parse(struct server *server, const char *text);

struct question {
    const char *method; /* "GET" */
    const char *path;   /* percent-encoded */
    const char *body;   /* NULL: none */
    size_t len;
    uint32_t limit_ms;
};

struct answer {
    int status; /* 0: no answer, `error` says why */
    bool gone;  /* nothing listens at the address */
    bool cut;   /* the server closed the connection before the answer was complete */
    char error[160];
    struct buffer body; /* freed by the caller */
};

/* Fills an all-zero answer. Returns true if the answer is complete. */
bool http_ask(const struct server *server, const struct question *question, struct answer *answer);

#endif

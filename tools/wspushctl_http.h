/*
 * One HTTP request to the admin interface: connect, ask, read the whole answer, close. It blocks,
 * at most for its time limit.
 */
#ifndef WSPUSHD_TOOLS_WSPUSHCTL_HTTP_H
#define WSPUSHD_TOOLS_WSPUSHCTL_HTTP_H

#include "tools/wspush_buffer.h"

#include <stdbool.h>
#include <stdint.h>

struct server {
    bool is_unix;
    char host[256]; /* or the socket's path; IPv6 without brackets */
    char port[8];
    const char *token; /* for Authorization; NULL or empty: none. Borrowed */
};

/* Reads "host:port", "[::1]:port" or "unix:/path". Returns NULL, or what is wrong. */
const char *server_parse(struct server *server, const char *text);

struct question {
    const char *method; /* "GET" */
    const char *path;   /* encoded */
    const char *body;   /* NULL: none */
    size_t len;
    uint32_t limit_ms;
};

struct answer {
    int status; /* 0: there is none, and `error` says why */
    bool gone;  /* nobody listens there at all */
    bool cut;   /* somebody does, and hung up before the answer was whole */
    char error[160];
    struct buffer body; /* freed by the caller */
};

/* Fills an all-zero answer; returns whether there is a whole one. */
bool http_ask(const struct server *server, const struct question *question, struct answer *answer);

#endif

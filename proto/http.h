/*
 * The head of an HTTP/1.1 request (RFC 9112 §2 to §5), and of a response (for clients). Names and
 * values point into the caller's buffer. Supports only what an upgrade needs: no bodies, no chunked
 * coding, no obsolete line folding.
 */
#ifndef WSPUSHD_PROTO_HTTP_H
#define WSPUSHD_PROTO_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { HTTP_HEADERS_MAX = 64 };

/* A part of the caller's buffer. */
struct slice {
    const char *at;
    size_t len;
};

struct http_header {
    struct slice name, value; /* the value without surrounding white space */
};

struct http_request {
    struct slice method, target, path, query; /* query without '?'; empty if there is none */
    struct slice authority; /* of a target in absolute form, which overrides Host; else empty */
    int minor;              /* HTTP/1.minor */
    size_t header_count;
    struct http_header header[HTTP_HEADERS_MAX];
};

/* What can be wrong with a head: X(NAME, error, status of the response, code, text). */
#define HTTP_ERRORS(X)                                                             \
    X(BAD_SYNTAX, -1, 400, "bad_request", "not an HTTP/1.1 request")               \
    X(BAD_VERSION, -2, 505, "bad_version", "only HTTP/1.1 is supported")           \
    X(TOO_MANY_HEADERS, -3, 431, "too_many_headers", "more than 64 header fields") \
    X(TOO_LARGE, -4, 431, "head_too_large", "the request head is too large")

enum http_error {
#define HTTP_ERROR_ENUM(name, value, status, code, text) HTTP_##name = (value),
    HTTP_ERRORS(HTTP_ERROR_ENUM)
#undef HTTP_ERROR_ENUM
};

/*
 * Parses the head in buf[0..len), which may be at most `max` bytes long including its empty line.
 * Returns the length of the head, 0 if more bytes are needed, or an enum http_error. Fails at the
 * first invalid byte (a control character, a space before a colon, a bare CR, obsolete folding). A
 * bare LF ends a line, as RFC 9112 §2.2 allows. Version 1.0 or 2.0 is HTTP_BAD_VERSION.
 */
ssize_t http_parse_request(struct http_request *request, const char *buf, size_t len, size_t max);

/* Returns the first value of header `name` (case-insensitive), or NULL. *count (may be NULL) is set
 * to the number of occurrences. */
const struct slice *http_header_find(const struct http_request *request, const char *name,
                                     size_t *count);

/* Returns the host that the request is for, with its port: from the target, or from Host if the
 * target has none (RFC 9112 §3.2.2). Empty if there is neither. */
struct slice http_host(const struct http_request *request);

/* Iterates over a header that may be repeated: returns the next value of `name` at or after index
 * *from (initially 0) and moves *from past it. Returns NULL if there are no more. */
const struct slice *http_header_next(const struct http_request *request, const char *name,
                                     size_t *from);

/* True if a comma-separated value contains `token` (case-insensitive, RFC 9110 §5.6.1). */
bool http_list_has(struct slice value, const char *token);

/* Takes the next element from the comma-separated list `rest`. Returns false at its end. */
bool http_list_next(struct slice *rest, struct slice *element);

/* Finds cookie `name` in a Cookie header (RFC 6265 §5.4); *value has no surrounding quotes. Returns
 * false if the cookie is absent. If it occurs several times, the first value that is not empty
 * counts: browsers send one for each path and domain, and an application that logs out may leave an
 * empty one. */
bool http_cookie(struct slice cookies, const char *name, struct slice *value);

/* Finds `name` in a query; *value is still percent-encoded. Returns false if it is absent. */
bool http_query_find(struct slice query, const char *name, struct slice *value);

/* Decodes %XX and + into `out` (at most `max` bytes; it may be the text itself). Returns the
 * length, or -1 if the text is malformed or too long. */
ssize_t http_percent_decode(char *out, size_t max, struct slice text);

bool slice_equal(struct slice s, const char *text);        /* byte for byte */
bool slice_equal_nocase(struct slice s, const char *text); /* case of ASCII letters ignored */
struct slice slice_trimmed(struct slice s);                /* without surrounding spaces and tabs */

/* Parses a response's status line and headers as http_parse_request() does; *status is set to the
 * status code. */
ssize_t http_parse_response(struct http_request *response, int *status, const char *buf, size_t len,
                            size_t max);

#endif

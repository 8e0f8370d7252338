/*
 * The head of an HTTP/1.1 request (RFC 9112 §2 to §5), and of a response (for clients):
 * names and values point into the caller's buffer. Only what an upgrade needs: no body, no
 * chunks, no obsolete line folding.
 */
#ifndef WSPUSHD_PROTO_HTTP_H
#define WSPUSHD_PROTO_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { HTTP_HEADERS_MAX = 64 };

/* A piece of the caller's buffer. */
struct slice {
    const char *at;
    size_t len;
};

struct http_header {
    struct slice name, value; /* value without surrounding white space */
};

struct http_request {
    struct slice method, target, path, query; /* query without '?'; empty where none */
    struct slice authority; /* of a target in absolute form; then Host does not count. Else empty */
    int minor;              /* HTTP/1.minor */
    size_t header_count;
    struct http_header header[HTTP_HEADERS_MAX];
};

/* What can be wrong with a head, each with the status that answers it. */
#define HTTP_ERRORS(X)                                                             \
    X(BAD_SYNTAX, -1, 400, "bad_request", "not an HTTP/1.1 request")               \
    X(BAD_VERSION, -2, 505, "bad_version", "only HTTP/1.1 is spoken here")         \
    X(TOO_MANY_HEADERS, -3, 431, "too_many_headers", "more than 64 header fields") \
    X(TOO_LARGE, -4, 431, "head_too_large", "the request head is too large")

enum http_error {
#define HTTP_ERROR_ENUM(name, value, status, code, text) HTTP_##name = (value),
    HTTP_ERRORS(HTTP_ERROR_ENUM)
#undef HTTP_ERROR_ENUM
};

/*
 * Parses the head in buf[0..len), which may be at most `max` bytes long with its empty line.
 * Returns the head's length, 0 when more is needed, or an enum http_error. Fails at the first
 * byte that cannot be right (control characters, space before a colon, a bare CR, obsolete
 * folding); a bare LF ends a line as RFC 9112 §2.2 allows. An HTTP/1.0 or 2.0 version is
 * BAD_VERSION.
 */
ssize_t http_parse_request(struct http_request *request, const char *buf, size_t len, size_t max);

/* The value of header `name` (case-insensitive), or NULL; *count (may be NULL) tells how often
 * it is there. The first is returned. */
const struct slice *http_header_find(const struct http_request *request, const char *name,
                                     size_t *count);

/* The host that the request is for, with its port: the target's, and Host only if the target has
 * none (RFC 9112 §3.2.2); empty if there is neither. */
struct slice http_host(const struct http_request *request);

/* For fields that may be repeated: the next value of header `name` at or after index *from (0 to
 * begin), which is moved behind it; NULL where there is no further. */
const struct slice *http_header_next(const struct http_request *request, const char *name,
                                     size_t *from);

/* Whether a comma-separated value holds `token`, case-insensitively (RFC 9110 §5.6.1). */
bool http_list_has(struct slice value, const char *token);

/* Takes the next element of a comma-separated list off `rest`; false at its end. */
bool http_list_next(struct slice *rest, struct slice *element);

/* The value of cookie `name` in a Cookie header (RFC 6265 §5.4), without surrounding quotes; false
 * if there is none. Of several the first that is not empty counts: browsers send one for each path
 * and domain, and an application that logs out may leave an empty one there. */
bool http_cookie(struct slice cookies, const char *name, struct slice *value);

/* The value of `name` in a query, still percent-encoded; false where none. */
bool http_query_find(struct slice query, const char *name, struct slice *value);

/* Decodes %XX and + into `out` (at most `max` bytes; it may be the text itself). Returns the
 * length, or -1 where it is malformed or too long. */
ssize_t http_percent_decode(char *out, size_t max, struct slice text);

bool slice_equal(struct slice s, const char *text);        /* byte for byte */
bool slice_equal_nocase(struct slice s, const char *text); /* ASCII letters alike */
struct slice slice_trimmed(struct slice s);                /* without spaces and tabs around it */

/* A response's status line and headers: same conventions; *status gets the code. */
ssize_t http_parse_response(struct http_request *response, int *status, const char *buf, size_t len,
                            size_t max);

#endif

/*
 * Redis's protocol, RESP2, as far as a subscription link needs it (redis.io, "Redis serialization
 * protocol specification"): replies are read where they lie, commands are appended to a buffer.
 * hiredis reads the command link; this is for the link that carries every push, where a copy or an
 * allocation for each would show.
 *
 *   *3\r\n  $7\r\nmessage\r\n  $12\r\npush:user:42\r\n  $25\r\n{"op":110,"data":"hello"}\r\n
 */
#ifndef WSPUSHD_PROTO_RESP_H
#define WSPUSHD_PROTO_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum resp_type {
    RESP_SIMPLE,  /* +OK */
    RESP_ERROR,   /* -ERR ... */
    RESP_INTEGER, /* :1 */
    RESP_BULK,    /* $5 hello; a null bulk has at NULL */
    RESP_ARRAY,   /* only of the kinds above, at most RESP_ELEMENTS_MAX */
};

enum { RESP_ELEMENTS_MAX = 8 };

struct resp_value {
    enum resp_type type;
    const char *at; /* borrowed: the text of a simple, error or bulk */
    size_t len;
    int64_t integer;
};

struct resp_reply {
    enum resp_type type;
    struct resp_value value; /* where it is no array */
    size_t count;            /* elements of an array */
    struct resp_value element[RESP_ELEMENTS_MAX];
};

enum { RESP_MALFORMED = -1, RESP_TOO_DEEP = -2 };

/*
 * Reads one reply from buf[0..len). Returns its length, 0 when more is needed, RESP_MALFORMED, or
 * RESP_TOO_DEEP (nested arrays or more elements than fit). Where 0 is returned, *need (may be NULL)
 * is set to a lower bound of the whole reply's length, as far as it can be told yet: so that a
 * caller sees early that a reply can never fit into its buffer.
 */
ssize_t resp_parse(struct resp_reply *reply, const char *buf, size_t len, size_t *need);

/* Whether a value is a string (simple or bulk) that says exactly `text`. */
bool resp_is(const struct resp_value *value, const char *text);

/* Bytes that resp_command writes for these arguments. */
size_t resp_command_size(size_t argc, const size_t *lens);

/* Appends a command as an array of bulk strings to `out`; returns the bytes written. */
size_t resp_command(char *out, size_t argc, const char *const *args, const size_t *lens);

/* The same in pieces, for commands whose arguments are not in an array: the head, then each
 * argument. Each returns the bytes written. */
size_t resp_array_head(char *out, size_t count);
size_t resp_bulk(char *out, const void *bytes, size_t len);

/* A bulk that is `prefix` followed by `rest`. RESP_BULK_OVERHEAD bounds what is added to the bytes
 * themselves, for resp_array_head too. */
size_t resp_bulk_joined(char *out, const void *prefix, size_t prefix_len, const void *rest,
                        size_t rest_len);
enum { RESP_BULK_OVERHEAD = 32 };

#endif

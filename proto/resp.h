/*
 * Redis's protocol, RESP2, as far as a subscription link needs it (redis.io, "Redis serialization
 * protocol specification"): replies are parsed in place, commands are appended to a buffer. Request
 * links use hiredis; this parser is for the link that carries every push, on which a copy or an
 * allocation per push would be noticeable.
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
    RESP_BULK,    /* $5 hello; `at` is NULL in a null bulk */
    RESP_ARRAY,   /* of the types above, at most RESP_ELEMENTS_MAX */
};

enum { RESP_ELEMENTS_MAX = 8 };

struct resp_value {
    enum resp_type type;
    const char *at; /* borrowed: the text of a simple string, error or bulk */
    size_t len;
    int64_t integer;
};

struct resp_reply {
    enum resp_type type;
    struct resp_value value; /* if it is not an array */
    size_t count;            /* elements of an array */
    struct resp_value element[RESP_ELEMENTS_MAX];
};

enum { RESP_MALFORMED = -1, RESP_TOO_DEEP = -2 };

/*
 * Parses one reply from buf[0..len). Returns its length, 0 if more bytes are needed,
 * RESP_MALFORMED, or RESP_TOO_DEEP (nested arrays, or more elements than fit). If 0 is returned,
 * *need (may be NULL) is set to the lower bound of the reply's length known so far, so that a
 * caller notices early that a reply can never fit into its buffer.
 */
ssize_t resp_parse(struct resp_reply *reply, const char *buf, size_t len, size_t *need);

/* True if a value is a string (simple or bulk) equal to `text`. */
bool resp_is(const struct resp_value *value, const char *text);

/* Returns the number of bytes that resp_command() writes for these arguments. */
size_t resp_command_size(size_t argc, const size_t *lens);

/* Writes a command, as an array of bulk strings, to `out`. Returns the number of bytes written. */
size_t resp_command(char *out, size_t argc, const char *const *args, const size_t *lens);

/* The same in pieces, for commands whose arguments are not in an array: the head, then each
 * argument. Both return the number of bytes written. */
size_t resp_array_head(char *out, size_t count);
size_t resp_bulk(char *out, const void *bytes, size_t len);

/* Writes a bulk that consists of `prefix` followed by `rest`. RESP_BULK_OVERHEAD is the largest
 * number of bytes added to the contents, by resp_array_head() too. */
size_t resp_bulk_joined(char *out, const void *prefix, size_t prefix_len, const void *rest,
                        size_t rest_len);
enum { RESP_BULK_OVERHEAD = 32 };

#endif

/*
 * The opening handshake (RFC 6455 §4): decides whether a request is an acceptable upgrade, and
 * writes the answer. Authentication is done elsewhere.
 */
#ifndef WSPUSHD_PROTO_HANDSHAKE_H
#define WSPUSHD_PROTO_HANDSHAKE_H

#include "proto/http.h"

#include <stdint.h>

/* The protocol that a connection uses after the upgrade. */
enum proto_mode {
    MODE_BINARY, /* subprotocol push.bin.v1, and the default if none is offered */
    MODE_JSON,   /* subprotocol push.json.v1 */
    MODE_ECHO,   /* the echo path: no opcodes */
};

/* The reasons to refuse: X(NAME, status, code for the JSON body, text). */
#define HANDSHAKE_ERRORS(X)                                                                     \
    X(METHOD, 405, "method_not_allowed", "the method must be GET")                              \
    X(NOT_UPGRADE, 426, "upgrade_required", "this is a WebSocket endpoint")                     \
    X(BAD_UPGRADE, 400, "bad_upgrade",                                                          \
      "Upgrade: websocket and Connection: Upgrade are both required")                           \
    X(BAD_HOST, 400, "bad_host", "exactly one Host header is required")                         \
    X(VERSION, 426, "unsupported_version", "Sec-WebSocket-Version must be 13")                  \
    X(BAD_KEY, 400, "bad_key", "exactly one Sec-WebSocket-Key is required: 16 bytes in base64") \
    X(BODY, 400, "unexpected_body", "an upgrade request must not have a body")                  \
    X(SUBPROTOCOL, 400, "unsupported_subprotocol", "offer push.bin.v1, push.json.v1 or none")

enum handshake_error {
    HANDSHAKE_OK = 0,
#define HANDSHAKE_ENUM(name, status, code, text) HANDSHAKE_##name,
    HANDSHAKE_ERRORS(HANDSHAKE_ENUM)
#undef HANDSHAKE_ENUM
};

struct handshake {
    struct slice key;      /* Sec-WebSocket-Key */
    struct slice protocol; /* the chosen subprotocol; empty if none was offered */
    enum proto_mode mode;  /* MODE_BINARY or MODE_JSON */
};

/* Checks an upgrade request and fills `out`, which borrows from the request. */
enum handshake_error handshake_check(const struct http_request *request, struct handshake *out);

enum { HANDSHAKE_ACCEPT_LEN = 28, HANDSHAKE_RESPONSE_MAX = 512, HTTP_RESPONSE_MAX = 1024 };

/* Computes Sec-WebSocket-Accept for a key (RFC 6455 §4.2.2): 28 characters, no terminator. */
void handshake_accept(char out[HANDSHAKE_ACCEPT_LEN], struct slice key);

/* Writes the 101 response and returns its length. */
size_t handshake_response(char out[HANDSHAKE_RESPONSE_MAX], const struct handshake *handshake);

/*
 * Writes a refusal, a complete HTTP response that closes the connection, with the JSON body
 * {"error":"<code>","message":"<text>"}. Status 426 adds Upgrade and Sec-WebSocket-Version: 13, 405
 * adds Allow: GET, 401 adds WWW-Authenticate: Bearer, 503 adds Retry-After: <retry_after>
 * (seconds). Returns the length.
 */
size_t http_refusal(char out[HTTP_RESPONSE_MAX], int status, const char *code, const char *text,
                    unsigned retry_after);

/* The status, code and text of an error of either table. */
struct refusal {
    int status;
    const char *code, *text;
};
struct refusal handshake_refusal(enum handshake_error error);
struct refusal http_error_refusal(enum http_error error);

#endif

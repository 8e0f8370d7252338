/*
 * The responses to requests that are not accepted: what each error of the tables in http.h and
 * handshake.h tells the client, and the HTTP response that carries it. A refusal always closes the
 * connection, so it needs neither keep-alive nor a way to skip its body.
 */
#include "proto/handshake.h"

#include <assert.h>
#include <stdio.h>

/* X(status, reason phrase, header fields that the status requires: RFC 9110 §15). Every other
 * status is sent without a reason phrase, which RFC 9112 §4 allows. */
#define STATUSES(X)                                                                   \
    X(400, "Bad Request", "")                                                         \
    X(401, "Unauthorized", "WWW-Authenticate: Bearer\r\n")                            \
    X(403, "Forbidden", "")                                                           \
    X(404, "Not Found", "")                                                           \
    X(405, "Method Not Allowed", "Allow: GET\r\n")                                    \
    X(408, "Request Timeout", "")                                                     \
    X(409, "Conflict", "")                                                            \
    X(426, "Upgrade Required", "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n") \
    X(429, "Too Many Requests", "")                                                   \
    X(431, "Request Header Fields Too Large", "")                                     \
    X(500, "Internal Server Error", "")                                               \
    X(503, "Service Unavailable", "")                                                 \
    X(505, "HTTP Version Not Supported", "")

struct status {
    int number;
    const char *reason, *fields;
};

static const struct status *find_status_row(int number)
{
    static const struct status table[] = {
#define STATUS_ROW(value, reason, fields) {value, reason, fields},
        STATUSES(STATUS_ROW)
#undef STATUS_ROW
    };
    static const struct status unknown = {0, "", ""};
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (table[i].number == number)
            return &table[i];
    }
    return &unknown;
}

size_t http_refusal(char out[HTTP_RESPONSE_MAX], int status, const char *code, const char *text,
                    unsigned retry_after)
{
    /* Code and text are constants of this program and contain nothing that JSON would escape. */
    static const char body[] = "{\"error\":\"%s\",\"message\":\"%s\"}";
    const int body_len = snprintf(NULL, 0, body, code, text);
    const struct status *const known = find_status_row(status);
    char retry[sizeof("Retry-After: 4294967295\r\n")] = "";
    if (status == 503)
        snprintf(retry, sizeof(retry), "Retry-After: %u\r\n", retry_after);

    /* A sender of Upgrade must name it in Connection, too (RFC 9110 §7.8). */
    int len = snprintf(out, HTTP_RESPONSE_MAX,
                       "HTTP/1.1 %d %s\r\n"
                       "%s%s"
                       "Connection: %s\r\n"
                       "Content-Type: application/json\r\n"
                       "Content-Length: %d\r\n\r\n",
                       status, known->reason, known->fields, retry,
                       status == 426 ? "Upgrade, close" : "close", body_len);
    assert(len > 0 && body_len > 0 && len + body_len < HTTP_RESPONSE_MAX);
    len += snprintf(out + len, (size_t)(HTTP_RESPONSE_MAX - len), body, code, text);
    return (size_t)len;
}

struct refusal handshake_refusal(enum handshake_error error)
{
    static const struct refusal table[] = {[HANDSHAKE_OK] = {101, "ok", "accepted"},
#define REFUSAL_ROW(name, status, code, text) [HANDSHAKE_##name] = {status, code, text},
                                           HANDSHAKE_ERRORS(REFUSAL_ROW)
#undef REFUSAL_ROW
    };
    return table[error];
}

struct refusal http_error_refusal(enum http_error error)
{
    static const struct refusal table[] = {
#define REFUSAL_ROW(name, value, status, code, text) [-(value)] = {status, code, text},
        HTTP_ERRORS(REFUSAL_ROW)
#undef REFUSAL_ROW
    };
    return table[-error];
}

/*
 * The opening handshake. The answer is checked as RFC 6455 §4.1 requires: 101, Upgrade, Connection,
 * the accept key, no extension that was not offered, and exactly the subprotocol that was offered,
 * because every frame of another one would be misread. Redirects are not followed: the user named
 * the server to test.
 */
#include "tools/wspush_opening.h"

#include <ctype.h>
#include <string.h>
#include <sys/random.h>

#include "proto/base64.h"
#include "proto/handshake.h"
#include "proto/http.h"
#include "proto/json.h"
#include "tools/wspush_text.h"

enum { HEAD_MOST = 16384, BODY_MOST = 4096, KEY_BYTES = 16 };

static const char *offered_subprotocol(const struct options *options)
{
    if (options->echo)
        return NULL;
    return options->json ? "push.json.v1" : "push.bin.v1";
}

static bool names_host_header(const char *header)
{
    return strncasecmp(header, "host:", 5) == 0;
}

static void append_cookie_header(struct buffer *out, const struct text_list *cookies)
{
    for (size_t i = 0; i < cookies->count; i++) {
        buffer_text(out, i == 0 ? "Cookie: " : "; ");
        buffer_text(out, cookies->item[i]);
    }
    if (cookies->count > 0)
        buffer_text(out, "\r\n");
}

void opening_request(struct conn *conn)
{
    const struct options *options = conn->options;
    struct buffer *out = &conn->out;
    uint8_t nonce[KEY_BYTES] = {0};
    bool own_host = false;

    /* RFC 6455 §4.1: the nonce is random; a weak one would only weaken this client's own check. */
    if (getrandom(nonce, sizeof(nonce), 0) != sizeof(nonce))
        memset(nonce, 'w', sizeof(nonce));
    base64_encode(conn->key, nonce, sizeof(nonce));
    for (size_t i = 0; i < options->headers.count; i++)
        own_host = own_host || names_host_header(options->headers.item[i]);

    buffer_format(out, "GET %s HTTP/1.1\r\n", (const char *)options->url.target.at);
    if (!own_host)
        buffer_format(out, "Host: %s\r\n", (const char *)options->url.authority.at);
    buffer_format(out,
                  "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %.24s\r\n",
                  conn->key);
    if (offered_subprotocol(options) != NULL)
        buffer_format(out, "Sec-WebSocket-Protocol: %s\r\n", offered_subprotocol(options));
    if (options->token != NULL)
        buffer_format(out, "Authorization: Bearer %s\r\n", options->token);
    append_cookie_header(out, &options->cookies);
    for (size_t i = 0; i < options->headers.count; i++)
        buffer_format(out, "%s\r\n", options->headers.item[i]);
    buffer_text(out, "\r\n");
}

static ssize_t fail_opening(struct conn *conn, enum end_kind kind, const char *why)
{
    conn->end.kind = kind;
    buffer_text(&conn->end.text, why);
    return -1;
}

/* Returns the value of a header as a small number, or `missing` if it is absent or not a number. */
static size_t read_header_number(const struct http_request *answer, const char *name,
                                 size_t missing)
{
    const struct slice *value = http_header_find(answer, name, NULL);
    if (value == NULL || value->len == 0 || value->len > 6)
        return missing;
    size_t number = 0;
    for (size_t i = 0; i < value->len; i++) {
        if (!isdigit((unsigned char)value->at[i]))
            return missing;
        number = number * 10 + (size_t)(value->at[i] - '0');
    }
    return number;
}

/* Handles an answer other than 101: waits for its body, and takes the message from the JSON in it.
 */
static ssize_t read_refusal_answer(struct conn *conn, const struct http_request *answer, int status,
                                   size_t head, bool eof)
{
    const size_t announced = read_header_number(answer, "Content-Length", BODY_MOST);
    const size_t wanted = announced < BODY_MOST ? announced : BODY_MOST;
    const size_t there = conn->in.len - head;
    if (there < wanted && !eof)
        return 0;
    const char *body = (const char *)conn->in.at + head;
    const struct json_value message = json_member(body, there < wanted ? there : wanted, "message");
    text_json(&conn->end.text, &message);
    conn->end.status = status;
    conn->end.retry_after_s = (unsigned)read_header_number(answer, "Retry-After", 0);
    return fail_opening(conn, END_REFUSED, "");
}

static const char *check_upgrade_headers(const struct conn *conn, const struct http_request *answer)
{
    const struct slice *upgrade = http_header_find(answer, "Upgrade", NULL);
    const struct slice *connection = http_header_find(answer, "Connection", NULL);
    const struct slice *accept = http_header_find(answer, "Sec-WebSocket-Accept", NULL);
    char expected[HANDSHAKE_ACCEPT_LEN];

    handshake_accept(expected, (struct slice){conn->key, sizeof(conn->key)});
    if (upgrade == NULL || !slice_equal_nocase(*upgrade, "websocket"))
        return "the answer has no Upgrade: websocket";
    if (connection == NULL || !http_list_has(*connection, "upgrade"))
        return "the answer has no Connection: Upgrade";
    if (accept == NULL || accept->len != sizeof(expected) ||
        memcmp(accept->at, expected, sizeof(expected)) != 0)
        return "Sec-WebSocket-Accept does not match the key";
    if (http_header_find(answer, "Sec-WebSocket-Extensions", NULL) != NULL)
        return "the server chose an extension that was not offered";
    return NULL;
}

static const char *check_chosen_subprotocol(const struct conn *conn,
                                            const struct http_request *answer)
{
    const struct slice *chosen = http_header_find(answer, "Sec-WebSocket-Protocol", NULL);
    const char *offered = offered_subprotocol(conn->options);
    if (offered == NULL)
        return chosen == NULL ? NULL : "the server chose a subprotocol although none was offered";
    if (chosen == NULL)
        return "the server does not support the opcode protocol at this path; use --echo for an "
               "echo endpoint";
    return slice_equal(*chosen, offered) ? NULL : "the server chose another subprotocol";
}

ssize_t opening_answer(struct conn *conn, bool eof)
{
    struct http_request answer;
    int status = 0;
    const ssize_t head =
        http_parse_response(&answer, &status, (const char *)conn->in.at, conn->in.len, HEAD_MOST);
    if (head < 0)
        return fail_opening(conn, END_NOT_WEBSOCKET, "the answer is not HTTP/1.1");
    if (head == 0)
        return eof ? fail_opening(conn, END_UNREACHABLE,
                                  "the server closed the connection without an answer")
                   : 0;
    if (status != 101)
        return read_refusal_answer(conn, &answer, status, (size_t)head, eof);
    const char *wrong = check_upgrade_headers(conn, &answer);
    if (wrong == NULL)
        wrong = check_chosen_subprotocol(conn, &answer);
    return wrong == NULL ? head : fail_opening(conn, END_NOT_WEBSOCKET, wrong);
}

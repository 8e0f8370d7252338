/*
 * A small HTTP/1.1 client (RFC 9112) for one kind of server: a request of known length with
 * "Connection: close", an answer with Content-Length or up to the end of the connection. It does
 * not support redirections, persistent connections, TLS or chunked answers.
 */
#include "tools/wspushctl_http.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "proto/http.h"

enum { HEAD_MOST = 16 * 1024, BODY_MOST = 64 * 1024 * 1024, READ_SIZE = 64 * 1024 };

/* ---- Addresses ---- */

static const char *parse_unix_address(struct server *server, const char *path)
{
    if (strlen(path) == 0 || strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
        return "the path of a unix socket must be 1 to 107 bytes long";
    server->is_unix = true;
    strcpy(server->host, path);
    return NULL;
}

const char *server_parse(struct server *server, const char *text)
{
    const char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;

    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix_address(server, text + 5);
    if (len == 0 || !colon[1] || strlen(colon + 1) >= sizeof(server->port))
        return "invalid address: expected host:port or unix:/path";
    if (*text == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    if (len == 0 || len >= sizeof(server->host))
        return "invalid address: expected host:port or unix:/path";
    memcpy(server->host, text, len);
    server->host[len] = '\0';
    strcpy(server->port, colon + 1);
    return NULL;
}

/* ---- One request ---- */

struct call {
    struct answer *answer;
    uint64_t deadline_ms;
    int fd;
};

/* Records why there is no answer. Returns false. */
static bool fail_http_call(struct call *call, const char *why)
{
    call->answer->status = 0;
    snprintf(call->answer->error, sizeof(call->answer->error), "%s", why);
    return false;
}

/* Waits until the socket is ready for `events`. Returns false at the time limit. */
static bool wait_for_socket(struct call *call, short events)
{
    struct pollfd ready = {.fd = call->fd, .events = events};
    for (;;) {
        const uint64_t now = clock_mono_ms();
        const int left = call->deadline_ms > now ? (int)(call->deadline_ms - now) : 0;
        const int count = poll(&ready, 1, left);
        if (count > 0)
            return true;
        if (count == 0)
            return fail_http_call(call, "no answer in time");
        if (errno != EINTR)
            return fail_http_call(call, strerror(errno));
    }
}

static bool connect_to_address(struct call *call, int family, const struct sockaddr *addr,
                               socklen_t len)
{
    int error = 0;
    socklen_t size = sizeof(error);
    call->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (call->fd == -1)
        return fail_http_call(call, strerror(errno));
    if (connect(call->fd, addr, len) == -1)
        error = errno;
    if (error == EINPROGRESS) {
        if (!wait_for_socket(call, POLLOUT))
            return false;
        getsockopt(call->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    }
    call->answer->gone = error == ECONNREFUSED || error == ENOENT;
    return error == 0 || fail_http_call(call, strerror(error));
}

static bool connect_unix_socket(struct call *call, const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    strcpy(addr.sun_path, path); /* server_parse() has checked the length */
    return connect_to_address(call, AF_UNIX, (const struct sockaddr *)&addr, sizeof(addr));
}

static bool connect_tcp_host(struct call *call, const struct server *server)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *list = NULL;
    const int result = getaddrinfo(server->host, server->port, &hints, &list);
    bool connected = false;
    if (result != 0)
        return fail_http_call(call, result == EAI_SYSTEM ? strerror(errno) : gai_strerror(result));
    for (const struct addrinfo *at = list; at && !connected; at = at->ai_next) {
        connected = connect_to_address(call, at->ai_family, at->ai_addr, at->ai_addrlen);
        if (!connected && call->fd != -1) {
            close(call->fd);
            call->fd = -1;
        }
    }
    freeaddrinfo(list);
    return connected;
}

static bool send_all_bytes(struct call *call, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    while (len > 0) {
        const ssize_t sent = send(call->fd, at, len, MSG_NOSIGNAL);
        if (sent > 0) {
            at += sent;
            len -= (size_t)sent;
        } else if (errno != EAGAIN && errno != EINTR) {
            return fail_http_call(call, strerror(errno));
        } else if (!wait_for_socket(call, POLLOUT)) {
            return false;
        }
    }
    return true;
}

static bool send_http_request(struct call *call, const char *token, const struct question *question)
{
    struct buffer out = {0};
    buffer_format(&out, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n",
                  question->method, question->path);
    if (token && *token)
        buffer_format(&out, "Authorization: Bearer %s\r\n", token);
    if (strcmp(question->method, "GET") != 0)
        buffer_format(&out, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                      question->len);
    buffer_text(&out, "\r\n");
    buffer_append(&out, question->body, question->len);
    const bool sent = send_all_bytes(call, out.at, out.len);
    buffer_free(&out);
    return sent;
}

/* ---- The answer ---- */

/* Returns the length of the body that the head announces; SIZE_MAX: up to the end of the
 * connection. */
static size_t read_body_length(const struct http_request *head)
{
    const struct slice *value = http_header_find(head, "Content-Length", NULL);
    char digits[16];
    if (!value || value->len == 0 || value->len >= sizeof(digits))
        return SIZE_MAX;
    memcpy(digits, value->at, value->len);
    digits[value->len] = '\0';
    return (size_t)strtoull(digits, NULL, 10);
}

/* Records that the connection ended too early. Returns false. */
static bool fail_cut_answer(struct call *call, const char *why)
{
    call->answer->cut = true;
    return fail_http_call(call, why);
}

/* True if nothing more is to be read: the answer in `in` is complete and its body has been taken,
 * or it can never become complete. */
static bool take_whole_answer(struct call *call, struct buffer *in, bool eof)
{
    struct http_request head;
    int status = 0;
    const ssize_t len =
        http_parse_response(&head, &status, (const char *)in->at, in->len, HEAD_MOST);
    if (len < 0)
        return !fail_http_call(call, "the answer is not HTTP/1.1");
    if (len == 0)
        return eof && !fail_cut_answer(call, "the server closed the connection without an answer");
    const size_t wanted = read_body_length(&head), there = in->len - (size_t)len;
    if (there < wanted && !eof)
        return false;
    if (wanted != SIZE_MAX && there < wanted)
        return !fail_cut_answer(call,
                                "the server closed the connection in the middle of its answer");
    call->answer->status = status;
    buffer_append(&call->answer->body, in->at + len, wanted == SIZE_MAX ? there : wanted);
    return true;
}

static bool read_http_answer(struct call *call)
{
    struct buffer in = {0};
    bool done = false;
    while (!done) {
        const ssize_t got = recv(call->fd, buffer_space(&in, READ_SIZE), READ_SIZE, 0);
        if (got >= 0) {
            buffer_grew(&in, (size_t)got);
            done = take_whole_answer(call, &in, got == 0);
            if (!done && in.len > HEAD_MOST + BODY_MOST)
                done = !fail_http_call(call, "the answer is too long");
        } else if (errno != EAGAIN && errno != EINTR) {
            done = !fail_cut_answer(call, strerror(errno));
        } else if (!wait_for_socket(call, POLLIN)) {
            done = true;
        }
    }
    buffer_free(&in);
    return call->answer->status > 0;
}

bool http_ask(const struct server *server, const struct question *question, struct answer *answer)
{
    struct call call = {
        .answer = answer, .deadline_ms = clock_mono_ms() + question->limit_ms, .fd = -1};
    const bool done = (server->is_unix ? connect_unix_socket(&call, server->host)
                                       : connect_tcp_host(&call, server)) &&
                      send_http_request(&call, server->token, question) && read_http_answer(&call);
    if (call.fd != -1)
        close(call.fd);
    return done;
}

/*
 * See upgrade.h. A head that comes in one piece is read where it lies; only one that comes in
 * several is kept. The 101 is not sent here but by the user's home worker, which has the last
 * word on whether the connection may stay. The echo path knows no users: its connections stay
 * with the worker that accepted them.
 */
#include "worker/upgrade.h"

#include "common/log.h"
#include "proto/handshake.h"
#include "worker/auth.h"
#include "worker/client.h"
#include "worker/console.h"
#include "worker/hold.h"
#include "worker/home.h"
#include "worker/outbox.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum {
    BEHIND_HEAD = 4096, /* bytes of frames that may be read along with the head */
    RETRY_AFTER = 1     /* seconds, in a 503 */
};

/* Answers with bytes that are the last, and waits for the client to close. */
static void answer(struct worker *worker, struct conn *conn, const void *response, size_t len)
{
    struct hold *hold = hold_find(worker, conn);
    if (hold)
        hold_clear_in(hold);
    outbox_reserve(worker, len);
    conn_set_state(conn, CONN_CLOSING);
    conn->seen = worker->now_s;
    outbox_add(worker, conn, outbox_bytes(worker, response, len));
}

static void refuse(struct worker *worker, struct conn *conn, struct refusal refusal,
                   _Atomic uint64_t *counter)
{
    char response[HTTP_RESPONSE_MAX];
    const size_t len =
        http_refusal(response, refusal.status, refusal.code, refusal.text, RETRY_AFTER);
    stats_add(counter, 1);
    log_debug("refused", "fd=%d status=%d code=%s", (int)(conn - worker->table), refusal.status,
              refusal.code);
    answer(worker, conn, response, len);
}

/* Fills in what the record keeps of an accepted request. */
static void record_login(struct worker *worker, struct conn *conn, const struct login *login,
                         const struct handshake *handshake)
{
    memcpy(conn->user, login->user, login->user_len);
    conn->user_len = login->user_len;
    conn->hash = users_hash(worker->segment->header->hash_seed, conn->user, conn->user_len);
    conn->expires = login->expires;
    if (handshake->mode == MODE_JSON)
        conn_set(conn, CONN_JSON);
}

/* What is behind the head are the client's first frames. */
struct rest {
    uint8_t *at;
    size_t len;
};

static void open_echo(struct worker *worker, struct conn *conn, const struct handshake *handshake,
                      struct rest rest)
{
    char response[HANDSHAKE_RESPONSE_MAX];
    const size_t len = handshake_response(response, handshake);
    outbox_reserve(worker, 0);
    if (client_watch(worker, conn) == -1) {
        client_end(worker, conn, CLOSED_RESET);
        return;
    }
    conn_set(conn, CONN_ECHO);
    conn_set_state(conn, CONN_OPEN);
    stats_add(&worker->stats->opened, 1);
    outbox_add(worker, conn, outbox_bytes(worker, response, len));
    if (rest.len > 0)
        client_feed(worker, conn, rest.at, rest.len);
}

static const struct refusal refused_path = {404, "not_found", "nothing is served here"};
static const struct refusal refused_full = {503, "full", "the connection limit is reached"};
static const struct refusal refused_not_ready = {503, "not_ready",
                                                 "the server is not ready; try again"};
static const struct refusal refused_origin = {403, "forbidden_origin",
                                              "this origin may not connect"};

static void open_user(struct worker *worker, struct conn *conn, const struct http_request *request,
                      const struct handshake *handshake, struct rest rest)
{
    struct stats *stats = worker->stats;
    struct login login = {0};
    const char *reason;
    if (auth_check(worker, conn, request, &login, &reason) != AUTH_OK) {
        refuse(worker, conn, (struct refusal){401, "unauthorized", reason}, &stats->refused_login);
        return;
    }
    const uint32_t home = worker_home(worker, login.user, login.user_len);
    if (!worker_ready(worker, home)) {
        refuse(worker, conn, refused_not_ready, &stats->refused_not_ready);
        return;
    }
    char response[HANDSHAKE_RESPONSE_MAX];
    const size_t len = handshake_response(response, handshake);
    record_login(worker, conn, &login, handshake);
    if (!home_give(worker, conn, home, response, len, rest.at, rest.len))
        refuse(worker, conn, refused_not_ready, &stats->refused_not_ready);
}

/* A whole head has come. */
static void decide(struct worker *worker, struct conn *conn, const struct http_request *request,
                   struct rest rest)
{
    const struct config *config = worker->config;
    struct stats *stats = worker->stats;
    struct handshake handshake;
    size_t len;
    const uint8_t *page = console_response(config, request, &len);
    if (page) {
        answer(worker, conn, page, len);
        return;
    }
    const bool echo = config->echo_path[0] && slice_equal(request->path, config->echo_path);
    if (!echo && !slice_equal(request->path, config->path)) {
        refuse(worker, conn, refused_path, &stats->refused_request);
        return;
    }
    const enum handshake_error error = handshake_check(request, &handshake);
    if (error && !(echo && error == HANDSHAKE_SUBPROTOCOL))
        refuse(worker, conn, handshake_refusal(error), &stats->refused_request);
    else if (!auth_origin_allowed(config, request))
        refuse(worker, conn, refused_origin, &stats->refused_origin);
    else if (conn_has(conn, CONN_REFUSED))
        refuse(worker, conn, refused_full, &stats->refused_full);
    else if (worker->draining)
        refuse(worker, conn, refused_not_ready, &stats->refused_not_ready);
    else if (echo)
        open_echo(worker, conn, &handshake, rest);
    else
        open_user(worker, conn, request, &handshake, rest);
}

/* Reads behind the `have` bytes in scratch. Returns the bytes read, 0 for none, -1 for the end. */
static ssize_t read_head(struct worker *worker, struct conn *conn, size_t have)
{
    const ssize_t n = recv((int)(conn - worker->table), worker->scratch + have,
                           HEAD_MAX + BEHIND_HEAD - have, MSG_DONTWAIT);
    if (n > 0)
        return n;
    if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return 0;
    client_end(worker, conn, CLOSED_RESET);
    return -1;
}

void upgrade_read(struct worker *worker, struct conn *conn)
{
    struct hold *hold = hold_find(worker, conn);
    const size_t have = hold ? hold->in_len : 0;
    if (have > 0)
        memcpy(worker->scratch, hold->in, have);
    hold_mark(worker, conn);
    const ssize_t n = read_head(worker, conn, have);
    if (n < 0)
        return;
    const size_t len = have + (size_t)n;
    struct http_request request;
    const ssize_t head =
        n == 0 ? 0 : http_parse_request(&request, (const char *)worker->scratch, len, HEAD_MAX);
    if (head == 0) {
        if (n > 0)
            hold_append(hold_get(worker, conn), worker->scratch + have, (size_t)n);
        hold_settle(worker, conn);
        return;
    }
    if (hold)
        hold_clear_in(hold);
    hold_settle(worker, conn);
    if (head < 0)
        refuse(worker, conn, http_error_refusal((enum http_error)head),
               &worker->stats->refused_request);
    else
        decide(worker, conn, &request, (struct rest){worker->scratch + head, len - (size_t)head});
}

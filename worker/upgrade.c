/*
 * See upgrade.h. A request head that arrives in one piece is parsed in scratch; it is only copied
 * to the hold if it arrives in several pieces or its login takes time. The 101 is sent by the
 * user's home worker, which finally decides whether the connection may stay. The echo path has no
 * users: its connections stay with the worker that accepted them.
 *
 *     PROXY header ──▶ request head ──▶ client's address ───▶ rules, limits ──▶ login ──▶ home
 *     (by listener)                     (X-Forwarded-For)                         │ ▲
 *                                                                     asks Redis  │ │
 * upgrade_resume ▼ │ CONN_ASKED
 *
 * A connection whose home has no room in its ring waits in CONN_ASKED, too, in the lobby.
 */
#include "worker/upgrade.h"

#include "common/killpoint.h"
#include "common/log.h"
#include "proto/forwarded.h"
#include "proto/handshake.h"
#include "proto/proxy.h"
#include "worker/address.h"
#include "worker/client.h"
#include "worker/console.h"
#include "worker/hold.h"
#include "worker/home.h"
#include "worker/kicks.h"
#include "worker/limits.h"
#include "worker/lobby.h"
#include "worker/move.h"
#include "worker/outbox.h"
#include "worker/refuse.h"
#include "worker/trace.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum {
    BEHIND_HEAD = 4096 /* bytes after the head that may be read with it */
};
_Static_assert((int)PROXY_MAX <= (int)BEHIND_HEAD, "a PROXY header and a head fit into one read");

/* A complete request head in scratch, followed by the client's first frames. */
struct opening {
    uint8_t *at;
    size_t head_len, len;
    struct http_request request;
    struct handshake handshake;
    bool only_checks; /* console.h: console_checks_login */
};

static const struct refusal refused_path = {404, "not_found", "nothing is served at this path"};
static const struct refusal refused_full = {503, "full", "the connection limit is reached"};
static const struct refusal refused_address = {503, "address_full",
                                               "too many connections from this address"};
static const struct refusal refused_rate = {503, "busy", "too many handshakes at once; try again"};
static const struct refusal refused_not_ready = {503, "not_ready",
                                                 "the server is not ready; try again"};
static const struct refusal refused_origin = {403, "forbidden_origin",
                                              "this origin may not connect"};
static const struct refusal refused_proxy = {400, "bad_proxy_header",
                                             "a PROXY header must come first"};

/* ---- The echo path ---- */

static void open_echo_connection(struct worker *worker, struct conn *conn,
                                 const struct opening *opening)
{
    char response[HANDSHAKE_RESPONSE_MAX];
    const size_t len = handshake_response(response, &opening->handshake);
    outbox_reserve(worker, 0);
    if (client_watch(worker, conn) == -1) {
        client_end(worker, conn, CLOSED_RESET);
        return;
    }
    conn_set(conn, CONN_ECHO);
    conn_set_state(conn, CONN_OPEN);
    stats_add(&worker->stats->opened, 1);
    trace_opened(worker, conn, "echo");
    outbox_add(worker, conn, outbox_bytes(worker, response, len));
    if (opening->len > opening->head_len)
        client_feed(worker, conn, opening->at + opening->head_len,
                    opening->len - opening->head_len);
}

/* ---- Users ---- */

/* Copies the login of an accepted request into the record. */
static void record_user_login(struct worker *worker, struct conn *conn, const struct login *login,
                              const struct handshake *handshake)
{
    memcpy(conn->user, login->user, login->user_len);
    conn->user_len = login->user_len;
    conn->hash = users_hash(worker->segment->header->hash_seed, conn->user, conn->user_len);
    conn->expires = login->expires;
    if (handshake->mode == MODE_JSON)
        conn_set(conn, CONN_JSON);
}

/* Keeps the head in the hold until an answer arrives; bytes that the client sends meanwhile wait in
 * the kernel. */
static void park_with_head(struct worker *worker, struct conn *conn, const struct opening *opening)
{
    hold_mark(worker, conn);
    hold_append(hold_get(worker, conn), opening->at, opening->len);
    client_unwatch(worker, conn);
    conn_set(conn, CONN_ASKED);
}

/* Accepts the login of a page that only checks it. */
static void confirm_login_check(struct worker *worker, struct conn *conn)
{
    static const char response[] = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
    refuse_with(worker, conn, response, sizeof(response) - 1);
}

static void send_to_user_home(struct worker *worker, struct conn *conn, const struct login *login,
                              const struct opening *opening)
{
    char response[HANDSHAKE_RESPONSE_MAX];
    const uint32_t home = worker_home(worker, login->user, login->user_len);
    const struct home_entry entry = {
        .kicks = login->kicks,
        .response = response,
        .response_len = handshake_response(response, &opening->handshake),
        .rest = opening->at + opening->head_len,
        .rest_len = opening->len - opening->head_len,
    };
    if (!worker_ready(worker, home)) {
        refuse(worker, conn, refused_not_ready, &worker->stats->refused_not_ready);
        return;
    }
    if (opening->only_checks) {
        confirm_login_check(worker, conn);
        return;
    }
    record_user_login(worker, conn, login, &opening->handshake);
    KILLPOINT(LOGIN_RECORDED);
    if (move_admits(worker) && home_give(worker, conn, home, &entry))
        return;
    park_with_head(worker, conn, opening);
    lobby_wait(worker, conn, login, home, home_entry_size(&entry));
}

static void refuse_user_login(struct worker *worker, struct conn *conn, const char *why)
{
    static struct log_limit limit;
    char address[ADDRESS_TEXT_MAX];
    if (log_allow(&limit, 10, NULL))
        log_info("login_refused", "address=%s why=%s", address_text(conn, address),
                 log_quote(why, strlen(why)));
    refuse(worker, conn, (struct refusal){401, "unauthorized", why}, &worker->stats->refused_login);
}

static void follow_auth_verdict(struct worker *worker, struct conn *conn, enum auth_verdict verdict,
                                const struct auth *auth, const struct opening *opening)
{
    switch (verdict) {
    case AUTH_OK:
        send_to_user_home(worker, conn, &auth->login, opening);
        break;
    case AUTH_PENDING:
        park_with_head(worker, conn, opening);
        break;
    case AUTH_UNAVAILABLE:
        refuse(worker, conn, (struct refusal){503, "login_unavailable", auth->why},
               &worker->stats->refused_unavailable);
        break;
    case AUTH_REFUSED:
        refuse_user_login(worker, conn, auth->why);
        break;
    }
}

static void begin_user_login(struct worker *worker, struct conn *conn,
                             const struct opening *opening)
{
    struct auth auth = {.login.kicks = kicks_now(worker)};
    const enum auth_verdict verdict = auth_try(worker, conn, &opening->request, &auth);
    follow_auth_verdict(worker, conn, verdict, &auth, opening);
}

/* The head in the hold is unchanged and was valid when it was parsed first. */
void upgrade_resume(struct worker *worker, struct conn *conn, struct auth *auth, bool found)
{
    const struct conn_ref ref = conn_ref(worker->table, conn);
    struct hold *hold = hold_find(worker, conn);
    struct opening opening = {.at = worker->scratch, .len = hold->in_len};
    memcpy(worker->scratch, hold->in, hold->in_len);
    hold_clear_in(hold);
    hold_settle(worker, conn);
    hold_mark(worker, conn);
    conn_clear(conn, CONN_ASKED);
    opening.head_len = (size_t)http_parse_request(&opening.request, (const char *)opening.at,
                                                  opening.len, HEAD_MAX);
    handshake_check(&opening.request, &opening.handshake);
    opening.only_checks = console_checks_login(worker->config, &opening.request);
    follow_auth_verdict(worker, conn,
                        found ? AUTH_OK : auth_try(worker, conn, &opening.request, auth), auth,
                        &opening);
    if (conn_deref(worker->table, worker->capacity, ref, worker->id) == conn &&
        !conn_has(conn, CONN_ASKED) && client_watch(worker, conn) == -1)
        client_end(worker, conn, CLOSED_RESET);
}

/* ---- Rules and limits ---- */

static bool config_trusts_peer(const void *config, const uint8_t address[16])
{
    return config_trusts_address(config, address);
}

/* Answers 403, and logs how to let the page in: browsers tell its author only that the connection
 * failed. */
static void refuse_page_origin(struct worker *worker, struct conn *conn,
                               const struct http_request *request)
{
    static struct log_limit limit;
    const struct slice *origin = http_header_find(request, "Origin", NULL);
    const struct slice host = http_host(request);
    if (log_allow(&limit, 1, NULL))
        log_warn("origin_refused",
                 "origin=%s host=%s why=\"neither the host's own origin nor in origins of "
                 "push.conf\"",
                 log_quote(origin->at, origin->len), log_quote(host.at, host.len));
    refuse(worker, conn, refused_origin, &worker->stats->refused_origin);
}

/* Sets the client's address that a trusted proxy names. */
static void apply_forwarded_client(struct worker *worker, struct conn *conn,
                                   const struct http_request *request)
{
    uint8_t client[16];
    if (!conn_has(conn, CONN_TRUSTED) ||
        !forwarded_client(request, config_trusts_peer, worker->config, client))
        return;
    address_named(worker, conn, client, 0);
    conn_set(conn, CONN_TRUSTED); /* the request still comes from the proxy */
}

/* Decides about a complete request head: refuses it or begins the login. */
static void decide_on_request(struct worker *worker, struct conn *conn, struct opening *opening)
{
    const struct config *config = worker->config;
    struct stats *stats = worker->stats;
    const struct http_request *request = &opening->request;
    const bool echo = config->echo_path[0] && slice_equal(request->path, config->echo_path);
    size_t len;
    apply_forwarded_client(worker, conn, request);
    if (limits_exceeded(worker, conn)) {
        refuse_at_once(worker, conn, refused_address, &stats->refused_address);
        return;
    }
    const uint8_t *page = console_response(worker, request, &len);
    if (page) {
        refuse_with(worker, conn, page, len);
        return;
    }
    if (!echo && !slice_equal(request->path, config->path)) {
        refuse(worker, conn, refused_path, &stats->refused_request);
        return;
    }
    const enum handshake_error error = handshake_check(request, &opening->handshake);
    opening->only_checks = !echo && console_checks_login(config, request);
    if (error && !opening->only_checks && !(echo && error == HANDSHAKE_SUBPROTOCOL))
        refuse(worker, conn, handshake_refusal(error), &stats->refused_request);
    else if (!auth_origin_allowed(config, request))
        refuse_page_origin(worker, conn, request);
    else if (conn_has(conn, CONN_REFUSED))
        refuse(worker, conn, refused_full, &stats->refused_full);
    else if (worker_draining(worker))
        refuse(worker, conn, refused_not_ready, &stats->refused_not_ready);
    else if (!limits_handshake(worker))
        refuse(worker, conn, refused_rate, &stats->refused_rate);
    else if (echo)
        open_echo_connection(worker, conn, opening);
    else
        begin_user_login(worker, conn, opening);
}

/* ---- Bytes ---- */

/* Reads more bytes after the `have` bytes in scratch. Returns their number, 0 for none, or -1 if
 * the connection has ended. */
static ssize_t read_head_bytes(struct worker *worker, struct conn *conn, size_t have)
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

/* Replaces the kept bytes of an incomplete head. */
static void keep_incomplete_head(struct worker *worker, struct conn *conn, const uint8_t *bytes,
                                 size_t len)
{
    struct hold *hold = hold_find(worker, conn);
    if (hold)
        hold_clear_in(hold);
    if (len > 0)
        hold_append(hold_get(worker, conn), bytes, len);
    hold_settle(worker, conn);
}

/* Parses the PROXY header if one is required. Returns its length, 0 if none is required, or -1 if
 * it is incomplete or the connection was refused. */
static ssize_t take_proxy_header(struct worker *worker, struct conn *conn, const uint8_t *bytes,
                                 size_t len)
{
    struct proxy_header header;
    if (!conn_has(conn, CONN_PROXY))
        return 0;
    const ssize_t used = proxy_parse(&header, bytes, len);
    if (used == 0) {
        keep_incomplete_head(worker, conn, bytes, len);
        return -1;
    }
    conn_clear(conn, CONN_PROXY);
    if (used < 0) {
        refuse(worker, conn, refused_proxy, &worker->stats->refused_request);
        return -1;
    }
    if (header.has_client)
        address_named(worker, conn, header.address, header.port);
    return used;
}

static void take_request_head(struct worker *worker, struct conn *conn, uint8_t *bytes, size_t len)
{
    struct opening opening = {.at = bytes, .len = len};
    const ssize_t head = http_parse_request(&opening.request, (const char *)bytes, len, HEAD_MAX);
    keep_incomplete_head(worker, conn, bytes, head == 0 ? len : 0);
    opening.head_len = (size_t)head;
    if (head != 0)
        hold_mark(worker, conn); /* until the answer has left, or the home has the connection */
    if (head > 0)
        decide_on_request(worker, conn, &opening);
    else if (head < 0)
        refuse(worker, conn, http_error_refusal((enum http_error)head),
               &worker->stats->refused_request);
}

/* Reads once, and handles the header or head if it is complete. */
static void read_opening_bytes(struct worker *worker, struct conn *conn)
{
    const struct hold *hold = hold_find(worker, conn);
    const size_t have = hold ? hold->in_len : 0;
    if (have > 0)
        memcpy(worker->scratch, hold->in, have);
    hold_mark(worker, conn);
    const ssize_t n = read_head_bytes(worker, conn, have);
    if (n < 0)
        return;
    if (n == 0) {
        hold_settle(worker, conn);
        return;
    }
    KILLPOINT(HEAD_READ);
    const size_t len = have + (size_t)n;
    const ssize_t proxy = take_proxy_header(worker, conn, worker->scratch, len);
    if (proxy >= 0)
        take_request_head(worker, conn, worker->scratch + proxy, len - (size_t)proxy);
}

/* Clients that have not sent a complete head are counted, too, as soon as their address is known:
 * at the accept, or from the PROXY header. */
void upgrade_read(struct worker *worker, struct conn *conn)
{
    const struct conn_ref ref = conn_ref(worker->table, conn);
    read_opening_bytes(worker, conn);
    if (conn_deref(worker->table, worker->capacity, ref, worker->id) == conn &&
        word_state(conn_word(conn)) == CONN_HANDSHAKE && !conn_has(conn, CONN_ASKED) &&
        limits_exceeded(worker, conn))
        refuse_at_once(worker, conn, refused_address, &worker->stats->refused_address);
}

void upgrade_accepted(struct worker *worker, struct conn *conn)
{
    if (limits_overfull(worker, (uint32_t)(conn - worker->table))) {
        refuse_at_once(worker, conn, refused_full, &worker->stats->refused_full);
        return;
    }
    if (limits_full(worker))
        conn_set(conn, CONN_REFUSED);
    upgrade_read(worker, conn);
}

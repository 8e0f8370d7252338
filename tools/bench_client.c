/*
 * A client: see the header for its states. It sends only what a client must send (the handshake,
 * pongs, the answers that its dialect requires), and checks input with the same code as the
 * server.
 *
 * All handshakes use the same key, the example of RFC 6455 §1.3, whose answer is known: a random
 * one (§4.1) would protect against caches that are not there, and cost a hash each. A client sends
 * only short messages; if the socket does not take one whole, the server has stopped reading, and
 * the connection counts as failed.
 */
#include "tools/bench_client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/http.h"
#include "proto/json.h"
#include "proto/message.h"
#include "tools/bench_account.h"
#include "tools/bench_clock.h"

enum {
    RETRY_NS = 50 * BENCH_MS,
    ANSWER_MOST = 16384,
    NAME_MOST = 256,
};

static const char handshake_key[] = "dGhlIHNhbXBsZSBub25jZQ==";
static const char handshake_accept_value[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

void client_due(struct swarm *swarm, struct client *client, uint64_t since)
{
    client->since = since;
    swarm->due[(swarm->due_first + swarm->due_count) % swarm->clients] =
        (uint32_t)(client - swarm->client);
    swarm->due_count++;
}

static void forget_connection_state(struct swarm *swarm, struct client *client)
{
    if (client->fd != -1)
        close(client->fd);
    client->fd = -1;
    buffer_free(&client->answer);
    client->rx = (struct ws_rx){0};
    client->head_len = 0;
    swarm->unanswered -= client->asked_count;
    client->asked_count = 0;
}

/* Ends the connection for the given reason. The client's next state depends on its current one. */
static void end_client_connection(struct swarm *swarm, struct client *client, const char *why)
{
    const enum client_state state = client->state;
    const uint64_t now = bench_now();

    forget_connection_state(swarm, client);
    client->state = CLIENT_AWAY;
    if (state == CLIENT_CLOSING) {
        board_add(&swarm->board->left, 1);
        client_due(swarm, client, now);
    } else if (state == CLIENT_READY || state == CLIENT_LEAVING) {
        board_add(&swarm->board->ready, UINT64_MAX); /* minus one */
        account_closed(swarm, client);
        client_due(swarm, client, now);
    } else {
        swarm->connecting--;
        board_add(&swarm->board->refused, 1);
        snprintf(swarm->board->error, sizeof(swarm->board->error), "%s", why);
        client_due(swarm, client, now + RETRY_NS);
    }
}

void client_give_up(struct swarm *swarm, struct client *client, const char *why)
{
    end_client_connection(swarm, client, why);
}

static bool send_client_bytes(struct swarm *swarm, struct client *client, const void *bytes,
                              size_t len)
{
    const ssize_t sent = send(client->fd, bytes, len, MSG_NOSIGNAL);
    if (sent == (ssize_t)len)
        return true;
    end_client_connection(swarm, client,
                          sent == -1 ? strerror(errno) : "the server does not read its socket");
    return false;
}

/* Sends a masked frame. The payload is at most HEARD_MOST bytes plus a request's. */
static bool send_masked_frame(struct swarm *swarm, struct client *client, enum ws_opcode opcode,
                              const void *payload, size_t len)
{
    static uint8_t out[WS_HEADER_MAX + OPCODE_SIZE + SIZE_MAX_PAYLOAD];
    static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};

    const size_t head = ws_header_masked(out, opcode, len, key);
    if (len > 0)
        memcpy(out + head, payload, len);
    ws_mask(out + head, len, key);
    return send_client_bytes(swarm, client, out, head + len);
}

static bool send_text_frame(struct swarm *swarm, struct client *client, const char *text)
{
    return text == NULL || send_masked_frame(swarm, client, swarm->bench->options->speaks->opcode,
                                             text, strlen(text));
}

static bool send_client_message(struct swarm *swarm, struct client *client, uint32_t op,
                                const void *payload, size_t len)
{
    static uint8_t message[OPCODE_SIZE + SIZE_MAX_PAYLOAD];

    opcode_put(message, op);
    memcpy(message + OPCODE_SIZE, payload, len);
    return send_masked_frame(swarm, client, WS_BINARY, message, OPCODE_SIZE + len);
}

/* Sets the events that epoll watches for. The client's number is the event's data. */
static bool watch_client_socket(const struct swarm *swarm, const struct client *client, int how,
                                uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u32 = (uint32_t)(client - swarm->client)};
    return epoll_ctl(swarm->epoll_fd, how, client->fd, &event) == 0;
}

/* Returns the node of a client: neighbouring clients are on different nodes. */
static size_t find_client_node(const struct swarm *swarm, const struct client *client)
{
    return client->user % swarm->bench->options->urls;
}

void client_connect(struct swarm *swarm, struct client *client)
{
    client->state = CLIENT_CONNECTING;
    swarm->connecting++;
    client->fd = target_connect(&swarm->target[find_client_node(swarm, client)], client->user);
    if (client->fd == -1 || !watch_client_socket(swarm, client, EPOLL_CTL_ADD, EPOLLOUT))
        end_client_connection(swarm, client, strerror(errno));
}

/* Writes the header that authenticates the user, or nothing. */
static void write_login_header(char out[TOKEN_MAX + 32], const struct options *options,
                               uint32_t user)
{
    char token[TOKEN_MAX];
    out[0] = '\0';
    if (options->token_key.len == 0)
        return;
    token_write(token, &options->token_key, user);
    snprintf(out, TOKEN_MAX + 32, "Authorization: Bearer %s\r\n", token);
}

/* Sends the handshake for the user of this client. */
static void send_upgrade_request(struct swarm *swarm, struct client *client)
{
    const struct options *options = swarm->bench->options;
    const struct dialect *dialect = options->speaks;
    const struct url *url = &options->url[find_client_node(swarm, client)];
    const char *target = dialect->path != NULL ? dialect->path : (const char *)url->target.at;
    char request[2048], login[TOKEN_MAX + 32];

    write_login_header(login, options, client->user);
    const int len = snprintf(request, sizeof(request),
                             "GET %s%cuser=%u HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
                             "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                             "Sec-WebSocket-Key: %s\r\n%s%s%s%s\r\n",
                             target, strchr(target, '?') != NULL ? '&' : '?', client->user,
                             (const char *)url->authority.at, handshake_key, login,
                             dialect->subprotocol != NULL ? "Sec-WebSocket-Protocol: " : "",
                             dialect->subprotocol != NULL ? dialect->subprotocol : "",
                             dialect->subprotocol != NULL ? "\r\n" : "");
    if (len < 0 || (size_t)len >= sizeof(request))
        end_client_connection(swarm, client, "the URL is too long");
    else if (send_client_bytes(swarm, client, request, (size_t)len))
        client->state = CLIENT_UPGRADING;
}

static void handle_connected_socket(struct swarm *swarm, struct client *client)
{
    int error = 0;

    getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){sizeof(error)});
    if (error != 0)
        end_client_connection(swarm, client, strerror(error));
    else if (!watch_client_socket(swarm, client, EPOLL_CTL_MOD, EPOLLIN))
        end_client_connection(swarm, client, strerror(errno));
    else
        send_upgrade_request(swarm, client);
}

static void mark_client_ready(struct swarm *swarm, struct client *client)
{
    client->state = CLIENT_READY;
    swarm->connecting--;
    account_ready(swarm, client);
    if (!bench_comes_and_goes(swarm->bench, client->user))
        return;
    /* It has missed the pushes to all in the meantime. */
    for (unsigned kind = SOURCE_TOPIC; kind < SOURCE_STREAMS; kind++)
        client->joined_late[kind] = true;
    atomic_store_explicit(&swarm->bench->away[client->user], 0, memory_order_seq_cst);
}

/* Handles the server's greeting: the client is ready, or joins its topic first. */
static void handle_greeting(struct swarm *swarm, struct client *client)
{
    const struct bench *bench = swarm->bench;
    char name[NAME_MOST], message[NAME_MOST + 32];

    if (bench->mode->topics == 0) {
        mark_client_ready(swarm, client);
        return;
    }
    medium_name(name, sizeof(name), bench->options->topic_name, client->user % bench->topics);
    const int len = snprintf(message, sizeof(message), "{\"topics\":[\"%s\"]}", name);
    client->state = CLIENT_JOINING;
    send_client_message(swarm, client, OP_SUB, message, (size_t)len);
}

/* True if a retry would get the same answer: a 4xx (RFC 9110 §15.5) other than those that ask the
 * client to wait. */
static bool is_final_status(int status)
{
    return status / 100 == 4 && status != 408 && status != 409 && status != 425 && status != 429;
}

/* Returns the server's explanation: member "message" of a body that arrived together with the head,
 * or "". */
static const char *find_error_message(const char *body, size_t len)
{
    static char text[96];
    struct json_value name, value;
    struct json_walk walk = json_walk_object(body, len);
    text[0] = '\0';
    while (json_next(&walk, &name, &value))
        if (json_string_is(&name, "message") && value.type == JSON_TYPE_STRING)
            snprintf(text, sizeof(text), ": %.*s", (int)value.len - 2, value.at + 1);
    return text;
}

/* Returns NULL for a valid 101, or a description of the error. */
static const char *check_upgrade_answer(const struct http_request *answer, int status,
                                        const char *body, size_t len)
{
    static char refused[160];

    if (status != 101) {
        snprintf(refused, sizeof(refused), "the server answered with status %d%s", status,
                 find_error_message(body, len));
        return refused;
    }
    const struct slice *accept = http_header_find(answer, "Sec-WebSocket-Accept", NULL);
    if (accept == NULL || !slice_equal(*accept, handshake_accept_value))
        return "Sec-WebSocket-Accept is missing or wrong";
    if (http_header_find(answer, "Sec-WebSocket-Extensions", NULL) != NULL)
        return "the server chose an extension that was not offered";
    return NULL;
}

/* Handles the answer to the handshake. Returns its length, or 0 if it is incomplete or the
 * connection has ended. */
static size_t read_upgrade_answer(struct swarm *swarm, struct client *client, const uint8_t *buf,
                                  size_t len)
{
    struct http_request answer;
    int status = 0;
    const ssize_t used = http_parse_response(&answer, &status, (const char *)buf, len, ANSWER_MOST);
    if (used == 0) {
        buffer_append(&client->answer, buf, len);
        return 0;
    }
    const char *wrong = used < 0 ? "the answer is not HTTP/1.1"
                                 : check_upgrade_answer(&answer, status, (const char *)buf + used,
                                                        len - (size_t)used);
    if (wrong != NULL) {
        end_client_connection(swarm, client, wrong);
        if (used > 0 && is_final_status(status))
            atomic_store_explicit(&swarm->board->denied, (uint32_t)status, memory_order_release);
        return 0;
    }
    client->state = CLIENT_GREETING;
    if (swarm->bench->options->speaks->ready_at_once)
        handle_greeting(swarm, client);
    return (size_t)used;
}

/* Handles a complete message, of which `message` has the first HEARD_MOST bytes. */
static void handle_whole_message(struct swarm *swarm, struct client *client, const uint8_t *message,
                                 size_t len)
{
    const struct dialect *dialect = swarm->bench->options->speaks;
    const struct heard heard = dialect->hear(message, len);

    switch (heard.kind) {
    case HEARD_GREETING:
        send_text_frame(swarm, client, dialect->greeting);
        break;
    case HEARD_PING:
        send_text_frame(swarm, client, dialect->pong);
        break;
    case HEARD_READY:
        if (client->state == CLIENT_GREETING)
            handle_greeting(swarm, client);
        break;
    case HEARD_JOINED:
        if (client->state == CLIENT_JOINING)
            mark_client_ready(swarm, client);
        break;
    case HEARD_PUSH:
        account_payload(swarm, client, heard.text, heard.len);
        break;
    case HEARD_ACCEPTED:
        account_answer(swarm, client, true);
        break;
    case HEARD_REJECTED:
        if (client->state == CLIENT_JOINING)
            end_client_connection(swarm, client, "the server refused the topic");
        else
            account_answer(swarm, client, false);
        break;
    case HEARD_GAP:
        board_add(&swarm->board->gaps, 1);
        break;
    case HEARD_NOTHING:
        break;
    }
}

/* Handles a part of a message: a whole one immediately, otherwise its beginning is collected. */
static void take_data_event(struct swarm *swarm, struct client *client,
                            const struct ws_event *event)
{
    if (event->first && event->last) {
        handle_whole_message(swarm, client, event->data,
                             event->len < HEARD_MOST ? event->len : HEARD_MOST);
        return;
    }
    if (event->first)
        client->head_len = 0;
    const size_t room = sizeof(client->head) - client->head_len;
    const size_t more = event->len < room ? event->len : room;
    if (more > 0)
        memcpy(client->head + client->head_len, event->data, more);
    client->head_len += (uint32_t)more;
    if (event->last)
        handle_whole_message(swarm, client, client->head, client->head_len);
}

static void take_control_event(struct swarm *swarm, struct client *client,
                               const struct ws_event *event)
{
    if (event->opcode == WS_PING)
        send_masked_frame(swarm, client, WS_PONG, event->data, event->len);
    else if (event->opcode == WS_CLOSE)
        end_client_connection(swarm, client, "the server closed the connection with a close frame");
}

static void read_client_frames(struct swarm *swarm, struct client *client, uint8_t *buf, size_t len)
{
    static const struct ws_limits limits = {.max_message = UINT32_MAX, .masked = false};

    while (len > 0 && client->fd != -1) { /* each frame may be the connection's last */
        struct ws_event event;
        const ssize_t used = ws_rx_next(&client->rx, &limits, buf, len, &event);
        if (used < 0) {
            end_client_connection(swarm, client, "the server sent an invalid WebSocket frame");
            return;
        }
        if (event.kind == WS_EVENT_DATA)
            take_data_event(swarm, client, &event);
        else if (event.kind == WS_EVENT_CONTROL)
            take_control_event(swarm, client, &event);
        buf += used;
        len -= (size_t)used;
    }
}

/* Copies the incomplete answer so far to the start of the buffer. Returns its length. */
static size_t restore_partial_answer(const struct swarm *swarm, const struct client *client)
{
    if (client->answer.len > 0)
        memcpy(swarm->buffer, client->answer.at, client->answer.len);
    return client->answer.len;
}

static void read_client_socket(struct swarm *swarm, struct client *client)
{
    uint8_t *buf = swarm->buffer;
    size_t len = restore_partial_answer(swarm, client);
    const ssize_t got = recv(client->fd, buf + len, CLIENT_BUFFER - len, 0);

    if (got == -1 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        end_client_connection(swarm, client,
                              got == 0 ? "the server closed the connection" : strerror(errno));
        return;
    }
    swarm->now = bench_now();
    len += (size_t)got;
    if (client->state == CLIENT_UPGRADING) {
        buffer_clear(&client->answer);
        const size_t used = read_upgrade_answer(swarm, client, buf, len);
        if (used == 0)
            return;
        buffer_free(&client->answer);
        buf += used;
        len -= used;
    }
    read_client_frames(swarm, client, buf, len);
}

void client_event(struct swarm *swarm, struct client *client, uint32_t events)
{
    if (client->fd == -1)
        return;
    if (client->state == CLIENT_CONNECTING) {
        if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0)
            handle_connected_socket(swarm, client);
        return;
    }
    read_client_socket(swarm, client);
}

void client_leave(struct swarm *swarm, struct client *client)
{
    client->state = CLIENT_LEAVING;
    client->since = bench_now();
    /* Before `sent` is read (the order: bench_board.h). */
    atomic_store_explicit(&swarm->bench->away[client->user], 1, memory_order_seq_cst);
    swarm->leaving[swarm->leaving_count++] = (uint32_t)(client - swarm->client);
}

bool client_left(struct swarm *swarm, struct client *client)
{
    const uint8_t normal[2] = {WS_CLOSE_NORMAL >> 8, WS_CLOSE_NORMAL & 0xff};
    const uint32_t sent =
        atomic_load_explicit(&swarm->bench->sent[SOURCE_USER][client->user], memory_order_seq_cst);

    const bool has_all = client->got[SOURCE_USER].distinct == sent && client->asked_count == 0;
    if (!has_all && swarm->now - client->since < swarm->bench->options->drain * BENCH_MS)
        return false;
    if (send_masked_frame(swarm, client, WS_CLOSE, normal, sizeof(normal))) {
        client->state = CLIENT_CLOSING;
        board_add(&swarm->board->ready, UINT64_MAX); /* minus one */
        client->since = bench_now();
    }
    return true;
}

bool client_ask(struct swarm *swarm, struct client *client, uint64_t due)
{
    const struct options *options = swarm->bench->options;
    static char payload[SIZE_MAX_PAYLOAD];

    if (client->asked_count == ASKED_MAX)
        return false;
    const uint64_t number = atomic_load_explicit(&swarm->board->requests, memory_order_relaxed);
    payload_write(payload, options->size,
                  &(struct payload){SOURCE_REQUEST, client->user, (uint32_t)number, due});
    client->asked[(client->asked_first + client->asked_count) % ASKED_MAX] = due;
    client->asked_count++;
    swarm->unanswered++;
    board_add(&swarm->board->requests, 1);
    send_client_message(swarm, client, (uint32_t)options->request_op, payload, options->size);
    return true;
}

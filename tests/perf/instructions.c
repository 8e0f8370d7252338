/*
 * The paths of a push, of a handshake and of a request through proto/ and shm/, on input that is
 * the same in every run, so that callgrind can count their instructions (scripts/perfcheck). Each
 * row of the table is one path: prepare() makes its input, pass() runs it once.
 *
 *     valgrind --tool=callgrind --toggle-collect=measured build/instructions push_raw
 *
 * Without valgrind it only shows that every path works: a path that fails aborts.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/envelope.h"
#include "proto/handshake.h"
#include "proto/resp.h"
#include "proto/ws.h"
#include "shm/ring.h"
#include "shm/users.h"

enum {
    PASSES = 1000,
    CONNECTIONS = 10000,
    WORKER = 0,
    HEAD_SIZE = 4096, /* the largest request head */
    RING_SIZE = 1 << 20
};

/* Ends the run: counted work must have succeeded. */
static void must(bool done)
{
    if (!done)
        abort();
}

/* ---- Input ---- */

static struct users users;
static char input[PASSES][1024];
static size_t input_len[PASSES];
static uint8_t out[2048];
static uint8_t scratch[2048];

/* Connections of users "1" to "9999", set up as in a worker. */
static void prepare_users(void)
{
    static struct users_control control;
    users = (struct users){.control = &control,
                           .heads = calloc(CONNECTIONS, sizeof(uint32_t)),
                           .siblings = calloc(CONNECTIONS, sizeof(uint32_t)),
                           .table = aligned_alloc(64, CONNECTIONS * sizeof(struct conn)),
                           .capacity = CONNECTIONS,
                           .seed = 0x9e3779b97f4a7c15};
    must(users.heads && users.siblings && users.table);
    memset(users.table, 0, CONNECTIONS * sizeof(struct conn));
    for (uint32_t fd = 1; fd < CONNECTIONS; fd++) {
        struct conn *conn = &users.table[fd];
        char name[16];
        conn_claim(users.table, fd, WORKER, 1);
        conn->user_len = (uint8_t)snprintf(name, sizeof(name), "%u", fd);
        memcpy(conn->user, name, conn->user_len);
        conn->hash = users_hash(users.seed, conn->user, conn->user_len);
        conn_set_state(conn, CONN_OPEN);
        users_add(&users, fd);
    }
}

static unsigned user_of_pass(int pass)
{
    return 1 + (unsigned)pass * 7919u % (CONNECTIONS - 1);
}

/* The message that Redis sends for PUBLISH push:user:N payload. */
static void prepare_pushes(const void *payload, size_t len)
{
    prepare_users();
    for (int i = 0; i < PASSES; i++) {
        char channel[32];
        snprintf(channel, sizeof(channel), "push:user:%u", user_of_pass(i));
        const size_t lens[] = {7, strlen(channel), len};
        const char *const args[] = {"message", channel, payload};
        input_len[i] = resp_command(input[i], 3, args, lens);
    }
}

static void prepare_raw(void)
{
    uint8_t payload[OPCODE_SIZE + 60];
    opcode_put(payload, 110);
    memset(payload + OPCODE_SIZE, 'x', 60);
    prepare_pushes(payload, sizeof(payload));
}

static void prepare_envelope(void)
{
    static const char envelope[] = "{\"op\":110,\"data\":{\"from\":\"7\",\"text\":\"hello\","
                                   "\"at\":1700000000000},\"id\":\"m1\",\"ttl\":60}";
    prepare_pushes(envelope, sizeof(envelope) - 1);
}

static void prepare_handshake(void)
{
    static const char request[] = "GET /ws?v=2 HTTP/1.1\r\n"
                                  "Host: app.example.org\r\n"
                                  "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/115.0\r\n"
                                  "Accept: */*\r\n"
                                  "Accept-Language: en-US,en;q=0.5\r\n"
                                  "Accept-Encoding: gzip, deflate, br\r\n"
                                  "Sec-WebSocket-Version: 13\r\n"
                                  "Origin: https://app.example.org\r\n"
                                  "Sec-WebSocket-Protocol: push.bin.v1\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                  "Connection: keep-alive, Upgrade\r\n"
                                  "Cookie: theme=dark; sid=0123456789abcdef\r\n"
                                  "Pragma: no-cache\r\n"
                                  "Cache-Control: no-cache\r\n"
                                  "Upgrade: websocket\r\n"
                                  "\r\n";
    for (int i = 0; i < PASSES; i++) {
        input_len[i] = sizeof(request) - 1;
        memcpy(input[i], request, input_len[i]);
    }
}

/* A client's masked frame: a binary message, or a text in JSON mode. */
static void prepare_frames(enum ws_opcode opcode, const void *message, size_t len)
{
    static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};
    for (int i = 0; i < PASSES; i++) {
        uint8_t *at = (uint8_t *)input[i];
        const size_t head = ws_header_masked(at, opcode, len, key);
        memcpy(at + head, message, len);
        ws_mask(at + head, len, key);
        input_len[i] = head + len;
    }
}

static void prepare_request(void)
{
    static const char message[] = "\0\0\0\x6e{\"to\":\"7\",\"text\":\"shall we be friends?\"}";
    prepare_frames(WS_BINARY, message, sizeof(message) - 1);
}

static void prepare_request_json(void)
{
    static const char message[] = "{\"op\":110,\"data\":{\"to\":\"7\",\"text\":\"friends?\"}}";
    prepare_frames(WS_TEXT, message, sizeof(message) - 1);
}

static struct ring producer, consumer;

static void prepare_ring(void)
{
    static struct ring_control control;
    /* Never wraps within the passes, so it need not be mapped twice. */
    uint8_t *data = calloc(1, RING_SIZE);
    must(data != NULL);
    ring_attach(&producer, &control, data, RING_SIZE);
    ring_attach(&consumer, &control, data, RING_SIZE);
}

/* ---- The ways ---- */

/* Turns Redis's bytes into a frame for the user's connection. Returns the frame's size. */
static size_t push(int i, bool json)
{
    struct resp_reply reply;
    struct push decoded;
    must(resp_parse(&reply, input[i], input_len[i], NULL) == (ssize_t)input_len[i]);
    const struct resp_value *channel = &reply.element[1], *payload = &reply.element[2];
    must(push_decode(&decoded, (const uint8_t *)payload->at, payload->len, scratch) == PUSH_OK);
    const uint32_t fd = users_first(&users, channel->at + 10, channel->len - 10);
    must(fd == user_of_pass(i) && users_next(&users, fd) == 0);
    if (json) {
        const size_t len = message_to_json((char *)out + 10, &decoded.message);
        return ws_header(out, WS_TEXT, len) + len;
    }
    const size_t len = OPCODE_SIZE + decoded.message.len;
    const size_t head = ws_header(out, WS_BINARY, len);
    opcode_put(out + head, decoded.message.op);
    memcpy(out + head + OPCODE_SIZE, decoded.message.payload, decoded.message.len);
    return head + len;
}

static void push_binary(int i)
{
    must(push(i, false) > OPCODE_SIZE);
}

static void push_json(int i)
{
    must(push(i, true) > OPCODE_SIZE);
}

static void handshake(int i)
{
    struct http_request request;
    struct handshake shake;
    must(http_parse_request(&request, input[i], input_len[i], HEAD_SIZE) == (ssize_t)input_len[i]);
    must(handshake_check(&request, &shake) == HANDSHAKE_OK);
    must(handshake_response((char *)out, &shake) > 0);
}

static void request(int i)
{
    static const struct ws_limits limits = {.max_message = 65536, .masked = true};
    struct ws_rx rx = {0};
    struct ws_event event;
    struct message message;
    must(ws_rx_next(&rx, &limits, (uint8_t *)input[i], input_len[i], &event) ==
         (ssize_t)input_len[i]);
    must(event.kind == WS_EVENT_DATA && event.first && event.last);
    if (event.opcode == WS_BINARY)
        must(message_from_binary(&message, event.data, event.len));
    else
        must(message_from_json(&message, (const char *)event.data, event.len, scratch) == 0);
    must(message.op == 110);
}

static void ring_entry(int i)
{
    uint8_t *bytes = ring_reserve(&producer, 1, (uint64_t)i, 64);
    must(bytes != NULL);
    memset(bytes, i & 0xff, 64);
    must(ring_publish(&producer));
    must(ring_take(&consumer, NULL) != NULL);
    ring_commit(&consumer);
}

/* Removes a connection from the index and adds it again. */
static void index_change(int i)
{
    const uint32_t fd = user_of_pass(i);
    users_remove(&users, fd);
    users_add(&users, fd);
}

static const struct way {
    const char *name;
    void (*prepare)(void);
    void (*pass)(int);
} ways[] = {
    {"push_raw", prepare_raw, push_binary},
    {"push_envelope", prepare_envelope, push_binary},
    {"push_envelope_json", prepare_envelope, push_json},
    {"handshake", prepare_handshake, handshake},
    {"request", prepare_request, request},
    {"request_json", prepare_request_json, request},
    {"ring_entry", prepare_ring, ring_entry},
    {"index_change", prepare_users, index_change},
};

/* The function that callgrind counts: scripts/perfcheck names it on its command line. */
static __attribute__((noinline)) void measured(const struct way *way)
{
    for (int i = 0; i < PASSES; i++)
        way->pass(i);
}

int main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        if (argc < 2) {
            printf("%s\n", ways[i].name);
        } else if (strcmp(argv[1], ways[i].name) == 0) {
            ways[i].prepare();
            measured(&ways[i]);
            printf("%d\n", PASSES);
            return 0;
        }
    }
    return argc < 2 ? 0 : 1;
}

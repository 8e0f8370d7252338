/*
 * The floor: the least that a push server can do. It upgrades a request that looks like a WebSocket
 * handshake, reads Redis's pushes, and for each finds the user's descriptor in an array and calls
 * send(2) on the bytes as Redis sent them, with the frame's header written before them. wspushd's
 * cost of a push is compared with it; it is not meant for use.
 *
 * It has nothing else that a server needs: no login, no limits, no heartbeat, no backlog (data that
 * does not fit into a socket is dropped). It ignores everything that a client sends after its
 * handshake, and exits on any unexpected reply from Redis.
 *
 *     floor PORT REDIS_PORT
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { USERS = 1 << 20, FDS = 1 << 20, INPUT = 1 << 20, EVENTS = 256 };

static int fd_of[USERS];      /* 0: the user is away */
static uint32_t user_of[FDS]; /* + 1; 0: not upgraded */
static uint8_t input[INPUT];  /* bytes from Redis that are not processed yet */
static size_t input_len;
static uint32_t users; /* one more than the highest so far */
static int epoll_fd, listen_fd, redis_fd;

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(int fd)
{
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.fd = fd});
}

/* ---- Clients ---- */

static void end(int fd)
{
    if (user_of[fd] != 0 && fd_of[user_of[fd] - 1] == fd)
        fd_of[user_of[fd] - 1] = 0;
    user_of[fd] = 0;
    close(fd);
}

/* RFC 6455 §4.2.2: writes the answer to a key into `out`. */
static void accept_key(char *out, const char *key)
{
    char text[64 + 1];
    uint8_t digest[SHA_DIGEST_LENGTH];
    const int len = snprintf(text, sizeof(text), "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);

    SHA1((const uint8_t *)text, (size_t)len, digest);
    EVP_EncodeBlock((uint8_t *)out, digest, sizeof(digest));
}

/* A head that arrived in one piece; otherwise the client is disconnected. */
static void upgrade(int fd, const char *head)
{
    const char *const user = strstr(head, "user=");
    const char *const name = strcasestr(head, "\nSec-WebSocket-Key:");
    char key[32], response[256];

    if (user == NULL || name == NULL || strstr(head, "\r\n\r\n") == NULL) {
        end(fd);
        return;
    }
    const uint32_t number = (uint32_t)strtoul(user + 5, NULL, 10) % USERS;
    accept_key(key, name + 19 + strspn(name + 19, " "));
    const int len = snprintf(response, sizeof(response),
                             "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                             "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                             key);
    user_of[fd] = number + 1;
    fd_of[number] = fd;
    users = number < users ? users : number + 1;
    send(fd, response, (size_t)len, MSG_NOSIGNAL);
}

/* Handles input of an upgraded client: only its end matters. */
static void client_readable(int fd)
{
    char bytes[8192];
    const ssize_t n = recv(fd, bytes, sizeof(bytes) - 1, 0);

    if (n == 0 || (n == -1 && errno != EAGAIN)) {
        end(fd);
    } else if (n > 0 && user_of[fd] == 0) {
        bytes[n] = '\0';
        upgrade(fd, bytes);
    }
}

static void welcome(void)
{
    int fd;

    while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK)) != -1)
        watch(fd);
}

/* ---- Pushes ---- */

/* Writes the header of a text frame before the payload, over what came before it from Redis (at
 * least "$<length>\r\n", and 10 bytes are enough). Returns where the frame begins. */
static uint8_t *frame(uint8_t *payload, size_t len)
{
    const size_t more = len < 126 ? 0 : len < 65536 ? 2 : 8;
    uint8_t *const at = payload - 2 - more;

    at[0] = 0x81;
    at[1] = more == 0 ? (uint8_t)len : more == 2 ? 126 : 127;
    for (size_t i = 0; i < more; i++)
        at[2 + i] = (uint8_t)(len >> 8 * (more - 1 - i));
    return at;
}

static void push(const char *channel, size_t channel_len, uint8_t *payload, size_t len)
{
    static const char prefix[] = "push:user:";
    const bool one =
        channel_len > sizeof(prefix) - 1 && memcmp(channel, prefix, sizeof(prefix) - 1) == 0;
    const uint32_t user =
        one ? (uint32_t)strtoul(channel + sizeof(prefix) - 1, NULL, 10) % USERS : 0;
    const uint8_t *const at = frame(payload, len);
    const size_t size = (size_t)(payload - at) + len;

    for (uint32_t i = one ? user : 0; i < (one ? user + 1 : users); i++)
        if (fd_of[i] != 0)
            send(fd_of[i], at, size, MSG_NOSIGNAL);
}

/* A number and its line end. NULL if they have not arrived. */
static uint8_t *number(uint8_t *at, const uint8_t *end, size_t *value)
{
    for (*value = 0; at < end && *at != '\r'; at++)
        *value = *value * 10 + (size_t)(*at - '0');
    return at + 1 < end ? at + 2 : NULL;
}

/* One reply: an array of strings and numbers, of which the last two are channel and payload.
 * Returns the bytes after it, or NULL if it is incomplete. */
static uint8_t *reply(uint8_t *at, const uint8_t *end)
{
    uint8_t *part[2] = {NULL, NULL};
    size_t count, len[2] = {0, 0};

    for (at = number(at + 1, end, &count); at != NULL && count > 0; count--) {
        if (at == end)
            return NULL;
        const bool string = *at == '$';
        part[0] = part[1], len[0] = len[1];
        part[1] = number(at + 1, end, &len[1]);
        at = part[1];
        if (at != NULL && string && (size_t)(end - at) < len[1] + 2)
            return NULL;
        if (at != NULL && string)
            at += len[1] + 2;
        else
            part[1] = NULL; /* a confirmation */
    }
    if (at != NULL && part[0] != NULL && part[1] != NULL)
        push((const char *)part[0], len[0], part[1], len[1]);
    return at;
}

static void redis_readable(void)
{
    const ssize_t n = recv(redis_fd, input + input_len, INPUT - input_len, 0);
    uint8_t *at = input, *next;

    if (n <= 0)
        die("Redis");
    const uint8_t *const end = at + input_len + n;
    while (at < end && *at == '*' && (next = reply(at, end)) != NULL)
        at = next;
    if (at < end && *at != '*')
        die("not RESP");
    input_len = (size_t)(end - at);
    memmove(input, at, input_len);
}

static int open_socket(const char *port, bool server)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)atoi(port)),
                                        .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const int fd = socket(AF_INET, SOCK_STREAM | (server ? SOCK_NONBLOCK : 0), 0);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1},
               sizeof(int)); /* accepted sockets inherit it */
    if (server ? bind(fd, (const void *)&address, sizeof(address)) || listen(fd, 4096)
               : connect(fd, (const void *)&address, sizeof(address)))
        die(port);
    return fd;
}

int main(int argc, char **argv)
{
    static const char subscribe[] = "PSUBSCRIBE push:user:*\r\nSUBSCRIBE push:all\r\n";
    struct epoll_event events[EVENTS];

    if (argc != 3)
        return 1;
    epoll_fd = epoll_create1(0);
    listen_fd = open_socket(argv[1], true);
    redis_fd = open_socket(argv[2], false);
    if (send(redis_fd, subscribe, sizeof(subscribe) - 1, 0) == -1)
        die("send");
    redis_readable(); /* the subscriptions are active after the reply */
    watch(listen_fd);
    watch(redis_fd);
    puts("READY");
    fflush(stdout);
    for (;;) {
        const int count = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == redis_fd)
                redis_readable();
            else if (events[i].data.fd == listen_fd)
                welcome();
            else
                client_readable(events[i].data.fd);
        }
    }
}

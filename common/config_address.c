/*
 * The addresses of push.conf: listeners, Redis, trusted networks. Numeric addresses need no
 * look-up. A host name to listen on is looked up once, when the file is read, and IPv4 is preferred
 * if it has both kinds of addresses, because "localhost" must mean the same on every machine.
 * Redis's host is looked up when a link is opened.
 *
 * Networks are stored as IPv6 prefixes (RFC 4291 §2.5.5.2 maps IPv4 into IPv6), so that clients on
 * a dual-stack socket need no special case.
 */
#include "common/config_internal.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

enum { REDIS_PORT = 6379, REDIS_DB_MAX = 65535 };

static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Splits "host:port" or "[host]:port" in place; *port is NULL without a port. False if the
 * brackets do not match, or if a host without brackets contains a colon. */
static bool split_host_port(char *text, char **host, char **port)
{
    *host = text;
    *port = NULL;
    if (*text == '[') {
        char *const end = strchr(text, ']');

        if (!end || (end[1] != '\0' && end[1] != ':'))
            return false;
        *host = text + 1;
        *port = end[1] == ':' ? end + 2 : NULL;
        *end = '\0';
        return **host != '\0';
    }

    char *const colon = strchr(text, ':');
    if (colon && strchr(colon + 1, ':'))
        return false;
    if (colon) {
        *colon = '\0';
        *port = colon + 1;
    }
    return **host != '\0';
}

static bool parse_port_number(const char *text, uint16_t *out)
{
    uint32_t port;

    if (!config_parse_u32(text, strlen(text), &port) || port > 65535)
        return false;
    *out = (uint16_t)port;
    return true;
}

/* Addresses to listen on. */

static bool parse_listen_unix(const char *path, struct listen_address *out, char *why)
{
    struct sockaddr_un *const addr = (struct sockaddr_un *)&out->addr;
    const size_t len = strlen(path);

    if (*path != '/')
        return config_refuse(why, "unix:%s: the path of a unix socket begins with /",
                             config_quoted(path));
    if (len >= sizeof addr->sun_path)
        return config_refuse(why, "unix:%s is longer than the %zu bytes of a unix socket's path",
                             config_quoted(path), sizeof addr->sun_path - 1);
    addr->sun_family = AF_UNIX;
    memcpy(addr->sun_path, path, len + 1);
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    out->is_unix = true;
    out->loopback = true;
    return true;
}

static bool is_loopback_address(const struct sockaddr *addr)
{
    if (addr->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)addr;

        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }

    const struct in6_addr *in6 = &((const struct sockaddr_in6 *)addr)->sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(in6))
        return in6->s6_addr[12] == 127;
    return IN6_IS_ADDR_LOOPBACK(in6);
}

/* Returns the preferred address of those that a look-up found: the first IPv4 one, if any. */
static const struct addrinfo *preferred_address(const struct addrinfo *found)
{
    for (const struct addrinfo *each = found; each; each = each->ai_next)
        if (each->ai_family == AF_INET)
            return each;
    return found;
}

static bool parse_listen_inet(const char *host, const char *port, struct listen_address *out,
                              char *why)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_PASSIVE | AI_NUMERICSERV | AI_NUMERICHOST,
    };
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(host, port, &hints, &found);

    if (rc == EAI_NONAME) {
        hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
        rc = getaddrinfo(host, port, &hints, &found);
    }
    if (rc != 0)
        return config_refuse(why, "host %s: %s", config_quoted(host), gai_strerror(rc));

    const struct addrinfo *const taken = preferred_address(found);
    memcpy(&out->addr, taken->ai_addr, taken->ai_addrlen);
    out->len = taken->ai_addrlen;
    out->loopback = is_loopback_address(taken->ai_addr);
    freeaddrinfo(found);
    return true;
}

/* Copies the text without a " proxy" at its end. True if " proxy" was there. *cut: true if the copy
 * was truncated. */
static bool strip_proxy_word(const char *text, char *copy, size_t size, bool *cut)
{
    static const char word[] = " proxy";
    size_t len = strlen(text);
    const bool proxy = len >= sizeof word - 1 && strcmp(text + len - (sizeof word - 1), word) == 0;

    if (proxy)
        len -= sizeof word - 1;
    while (proxy && len > 0 && text[len - 1] == ' ')
        len--;
    *cut = len >= size;
    snprintf(copy, size, "%.*s", (int)len, text);
    return proxy;
}

bool config_parse_listen(const char *text, struct listen_address *out, char *why)
{
    char copy[300];
    char *host, *port;
    uint16_t number;
    bool cut;

    *out = (struct listen_address){.text = text};
    out->proxy = strip_proxy_word(text, copy, sizeof copy, &cut);
    if (starts_with(copy, "unix:"))
        return parse_listen_unix(copy + strlen("unix:"), out, why);

    if (cut || !split_host_port(copy, &host, &port) || !port)
        return config_refuse(why, "%s is not an address: write host:port, [::]:port or unix:/path",
                             config_quoted(text));
    if (!parse_port_number(port, &number))
        return config_refuse(why, "%s: the port is not a number from 0 to 65535",
                             config_quoted(text));
    return parse_listen_inet(host, port, out, why);
}

/* Redis. */

static int hex_digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes %XX in place (RFC 3986 §2.1). False if it is malformed or encodes a NUL. */
static bool percent_decode(char *text)
{
    char *out = text;

    for (; *text; text++) {
        if (*text != '%') {
            *out++ = *text;
            continue;
        }
        const int high = hex_digit_value(text[1]);
        const int low = high < 0 ? -1 : hex_digit_value(text[2]);
        if (low < 0 || (high | low) == 0)
            return false;
        *out++ = (char)(high << 4 | low);
        text += 2;
    }
    *out = '\0';
    return true;
}

/* Stores an owned, decoded copy of the text in *out, or NULL if it is empty. False if invalid. */
static bool copy_decoded_text(const char *text, char **out)
{
    *out = NULL;
    if (!text || *text == '\0')
        return true;
    *out = strdup(text);
    return *out && percent_decode(*out);
}

/* Parses "user:password@" at the beginning of *rest, which ends at `end`, and advances *rest. */
static bool parse_redis_user(char **rest, const char *end, struct redis_address *out)
{
    char *const at = memrchr(*rest, '@', (size_t)(end - *rest));

    if (!at)
        return true;
    *at = '\0';

    char *const user = *rest;
    char *const colon = strchr(user, ':');
    *rest = at + 1;
    if (colon)
        *colon = '\0';
    return copy_decoded_text(user, &out->user) &&
           copy_decoded_text(colon ? colon + 1 : NULL, &out->password);
}

static bool parse_redis_db(const char *text, struct redis_address *out)
{
    uint32_t db;

    if (!config_parse_u32(text, strlen(text), &db) || db > REDIS_DB_MAX)
        return false;
    out->db = db;
    return true;
}

/* Parses "[user:password@]host[:port][/db]". */
static bool parse_redis_tcp(char *rest, struct redis_address *out)
{
    char *const slash = rest + strcspn(rest, "/");
    const char *const db = *slash ? slash + 1 : "";
    char *host, *port;

    if (!parse_redis_user(&rest, slash, out))
        return false;
    *slash = '\0';
    if (!split_host_port(rest, &host, &port))
        return false;
    out->port = REDIS_PORT;
    if (port && (!parse_port_number(port, &out->port) || out->port == 0))
        return false;
    if (*db && !parse_redis_db(db, out))
        return false;
    return copy_decoded_text(host, &out->host);
}

/* Parses "[user:password@]/path[?db=N]". */
static bool parse_redis_unix(char *rest, struct redis_address *out)
{
    char *const query = rest + strcspn(rest, "?");

    if (*query && (!starts_with(query, "?db=") || !parse_redis_db(query + strlen("?db="), out)))
        return false;
    *query = '\0';
    out->is_unix = true;
    if (!parse_redis_user(&rest, rest + strcspn(rest, "/"), out))
        return false;
    return *rest == '/' && copy_decoded_text(rest, &out->host);
}

void config_redis_free(struct redis_address *redis)
{
    free(redis->host);
    free(redis->user);
    free(redis->password);
    *redis = (struct redis_address){0};
}

const char *config_redis_text(const struct redis_address *redis, char *out, size_t size)
{
    const bool bare_v6 = !redis->is_unix && strchr(redis->host, ':');
    const char *const user = redis->user ? redis->user : "";
    const char *const at = *user ? "@" : "";

    if (redis->is_unix)
        snprintf(out, size, "unix://%s%s%s?db=%u", user, at, redis->host, redis->db);
    else
        snprintf(out, size, "redis://%s%s%s%s%s:%u/%u", user, at, bare_v6 ? "[" : "", redis->host,
                 bare_v6 ? "]" : "", redis->port, redis->db);
    return out;
}

bool config_parse_redis(const char *text, struct redis_address *out, char *why)
{
    const bool tcp = starts_with(text, "redis://");
    bool parsed = false;

    *out = (struct redis_address){0};
    if (starts_with(text, "rediss://"))
        return config_refuse(why, "TLS to Redis is not supported: use redis:// or unix://");
    if (tcp || starts_with(text, "unix://")) {
        char *const copy = strdup(text + strlen(tcp ? "redis://" : "unix://"));

        parsed = copy && (tcp ? parse_redis_tcp(copy, out) : parse_redis_unix(copy, out));
        free(copy);
    }
    if (parsed)
        return true;
    config_redis_free(out);
    /* Does not quote the value: it may contain a password, and users paste messages into tickets.
     */
    return config_refuse(why,
                         "is not a URL of the form redis://[user:password@]host[:port][/db] or "
                         "unix:///path[?db=N]");
}

/* Networks. */

/* Parses an address into 16 bytes. Returns the bits to add to its prefix length: 96 for IPv4, 0 for
 * IPv6; or -1. */
static int parse_network_address(const char *text, uint8_t address[16])
{
    memcpy(address, v4_mapped, sizeof v4_mapped);
    if (inet_pton(AF_INET, text, address + 12) == 1)
        return 96;
    return inet_pton(AF_INET6, text, address) == 1 ? 0 : -1;
}

/* True if all bits of the address after the first `bits` are zero. */
static bool is_prefix_masked(const uint8_t address[16], unsigned bits)
{
    for (unsigned i = bits; i < 128; i++)
        if (address[i / 8] & (0x80U >> (i % 8)))
            return false;
    return true;
}

bool config_parse_network(const char *text, struct network *out, char *why)
{
    char copy[INET6_ADDRSTRLEN + 4];
    uint32_t bits = 128;
    int added = -1;

    *out = (struct network){0};
    if (snprintf(copy, sizeof copy, "%s", text) < (int)sizeof copy) {
        char *const slash = strchr(copy, '/');

        if (slash)
            *slash = '\0';
        added = parse_network_address(copy, out->address);
        if (slash && added >= 0) {
            if (!config_parse_u32(slash + 1, strlen(slash + 1), &bits) ||
                bits > 128 - (uint32_t)added)
                added = -1;
            bits += (uint32_t)(added > 0 ? added : 0);
        }
    }
    if (added < 0)
        return config_refuse(why, "%s is not a network: write 10.0.0.0/8, ::1/128 or one address",
                             config_quoted(text));
    if (!is_prefix_masked(out->address, bits))
        return config_refuse(why, "%s has bits set beyond its prefix length", config_quoted(text));
    out->bits = bits;
    return true;
}

static bool is_in_network(const struct network *network, const uint8_t address[16])
{
    const unsigned whole = network->bits / 8, rest = network->bits % 8;

    if (memcmp(network->address, address, whole) != 0)
        return false;
    return rest == 0 || ((network->address[whole] ^ address[whole]) >> (8 - rest)) == 0;
}

bool config_trusts_address(const struct config *config, const uint8_t address[16])
{
    for (size_t i = 0; i < config->trusted_proxies.count; i++)
        if (is_in_network(&config->trusted[i], address))
            return true;
    return false;
}

bool config_trusts(const struct config *config, const struct sockaddr *addr)
{
    uint8_t address[16];

    switch (addr->sa_family) {
    case AF_UNIX:
        return true;
    case AF_INET:
        memcpy(address, v4_mapped, sizeof v4_mapped);
        memcpy(address + 12, &((const struct sockaddr_in *)addr)->sin_addr, 4);
        break;
    case AF_INET6:
        memcpy(address, &((const struct sockaddr_in6 *)addr)->sin6_addr, sizeof address);
        break;
    default:
        return false;
    }
    return config_trusts_address(config, address);
}

const char *config_address_text(const struct sockaddr *addr, socklen_t len, char *out, size_t size)
{
    char host[INET6_ADDRSTRLEN + 17], port[8];

    if (addr->sa_family == AF_UNIX) {
        const size_t path_at = offsetof(struct sockaddr_un, sun_path);
        const int path = len > path_at ? (int)(len - path_at) : 0; /* 0: an unnamed socket */

        snprintf(out, size, "unix:%.*s", path, ((const struct sockaddr_un *)addr)->sun_path);
        return out;
    }
    if (getnameinfo(addr, len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        snprintf(out, size, "unknown");
    else
        snprintf(out, size, addr->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    return out;
}

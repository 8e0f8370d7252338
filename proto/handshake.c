/*
 * The server's side of the opening handshake (RFC 6455 §4.2): decides whether a request is an
 * acceptable upgrade, and writes the 101 response. refusal.c writes refusals.
 *
 * The request is checked against a table of rules, in order; the first rule that it violates names
 * the error. A header that must occur once is refused if it occurs twice, because it is unknown
 * which of the two a proxy has used. Upgrade, Connection and Sec-WebSocket-Protocol are lists and
 * may be spread over several fields (RFC 9110 §5.3).
 *
 * Paths, origins, users and extensions are not checked here.
 */
#include "proto/handshake.h"

#include <openssl/sha.h>
#include <string.h>

#include "proto/base64.h"

enum {
    KEY_SIZE = 16,
    KEY_TEXT = BASE64_ENCODED(KEY_SIZE),
    KEY_LAST = 21, /* the last character before "==": 4 of its 6 bits are unused */
    ACCEPT_MAX = BASE64_DECODED(KEY_TEXT)
};

/* Returns the value of a header that occurs exactly once, or NULL. */
static const struct slice *find_only_header(const struct http_request *request, const char *name)
{
    size_t count;
    const struct slice *const value = http_header_find(request, name, &count);
    return count == 1 ? value : NULL;
}

/* True if the list that all fields of this name form contains the token. */
static bool fields_have_token(const struct http_request *request, const char *name,
                              const char *token)
{
    size_t from = 0;
    const struct slice *value;
    while ((value = http_header_next(request, name, &from)) != NULL) {
        if (http_list_has(*value, token))
            return true;
    }
    return false;
}

static bool method_is_get(const struct http_request *request, struct handshake *out)
{
    (void)out;
    return slice_equal(request->method, "GET");
}

static bool upgrade_is_requested(const struct http_request *request, struct handshake *out)
{
    (void)out;
    return http_header_find(request, "Upgrade", NULL) != NULL;
}

static bool upgrade_is_websocket(const struct http_request *request, struct handshake *out)
{
    (void)out;
    return fields_have_token(request, "Upgrade", "websocket") &&
           fields_have_token(request, "Connection", "upgrade");
}

static bool host_is_given(const struct http_request *request, struct handshake *out)
{
    (void)out;
    const struct slice *const host = find_only_header(request, "Host");
    return host != NULL && host->len > 0;
}

static bool version_is_13(const struct http_request *request, struct handshake *out)
{
    (void)out;
    const struct slice *const version = find_only_header(request, "Sec-WebSocket-Version");
    return version != NULL && slice_equal(*version, "13");
}

/* True if the text is 16 bytes in base64. The unused bits of the last character may be set, as in
 * RFC 6455's own example (§4.1, "AQIDBAUGBwgJCgsMDQ4PEC=="): the key is hashed as text and never
 * decoded. So the last character is checked separately, and replaced for the decoder. */
static bool is_handshake_key(struct slice key)
{
    char text[KEY_TEXT], last[] = {'?', 'A', '=', '='};
    uint8_t bytes[ACCEPT_MAX];
    if (key.len != KEY_TEXT)
        return false;
    memcpy(text, key.at, KEY_TEXT);
    last[0] = text[KEY_LAST];
    text[KEY_LAST] = 'A';
    return base64_decode(bytes, text, KEY_TEXT) == KEY_SIZE &&
           base64_decode(bytes, last, sizeof(last)) == 1;
}

static bool key_is_valid(const struct http_request *request, struct handshake *out)
{
    const struct slice *const key = find_only_header(request, "Sec-WebSocket-Key");
    if (key == NULL || !is_handshake_key(*key))
        return false;
    out->key = *key;
    return true;
}

/* A body would be read as frames. Some HTTP libraries send "Content-Length: 0" unasked, which is
 * accepted. */
static bool request_has_no_body(const struct http_request *request, struct handshake *out)
{
    (void)out;
    size_t from = 0;
    const struct slice *length;
    while ((length = http_header_next(request, "Content-Length", &from)) != NULL) {
        if (!slice_equal(*length, "0"))
            return false;
    }
    return http_header_find(request, "Transfer-Encoding", NULL) == NULL;
}

static bool find_subprotocol_mode(struct slice protocol, enum proto_mode *mode)
{
    static const struct {
        const char *name;
        enum proto_mode mode;
    } subprotocols[] = {{"push.bin.v1", MODE_BINARY}, {"push.json.v1", MODE_JSON}};

    for (size_t i = 0; i < sizeof(subprotocols) / sizeof(subprotocols[0]); i++) {
        if (slice_equal(protocol, subprotocols[i].name)) {
            *mode = subprotocols[i].mode;
            return true;
        }
    }
    return false;
}

/* Takes the first subprotocol of the client's list that the server supports: the client lists them
 * in its order of preference (RFC 6455 §4.1). */
static bool subprotocol_is_supported(const struct http_request *request, struct handshake *out)
{
    bool offered = false;
    size_t from = 0;
    const struct slice *value;
    while ((value = http_header_next(request, "Sec-WebSocket-Protocol", &from)) != NULL) {
        struct slice rest = *value, offer;
        while (http_list_next(&rest, &offer)) {
            offered = true;
            if (find_subprotocol_mode(offer, &out->mode)) {
                out->protocol = offer;
                return true;
            }
        }
    }
    return !offered;
}

enum handshake_error handshake_check(const struct http_request *request, struct handshake *out)
{
    static const struct {
        bool (*holds)(const struct http_request *request, struct handshake *out);
        enum handshake_error error;
    } rules[] = {
        {method_is_get, HANDSHAKE_METHOD},
        {upgrade_is_requested, HANDSHAKE_NOT_UPGRADE},
        {upgrade_is_websocket, HANDSHAKE_BAD_UPGRADE},
        {host_is_given, HANDSHAKE_BAD_HOST},
        {version_is_13, HANDSHAKE_VERSION},
        {key_is_valid, HANDSHAKE_BAD_KEY},
        {request_has_no_body, HANDSHAKE_BODY},
        {subprotocol_is_supported,
         HANDSHAKE_SUBPROTOCOL}, /* last: an echo endpoint may ignore this error */
    };
    *out = (struct handshake){.key = {"", 0}, .protocol = {"", 0}, .mode = MODE_BINARY};
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (!rules[i].holds(request, out))
            return rules[i].error;
    }
    return HANDSHAKE_OK;
}

/* OpenSSL 3 deprecates the low-level functions in favour of EVP, which would fetch an
 * implementation and allocate a context for each handshake. SHA-1 protects no secret here. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
void handshake_accept(char out[HANDSHAKE_ACCEPT_LEN], struct slice key)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 §1.3 */
    unsigned char digest[SHA_DIGEST_LENGTH];
    SHA_CTX sha;
    SHA1_Init(&sha);
    SHA1_Update(&sha, key.at, key.len);
    SHA1_Update(&sha, guid, sizeof(guid) - 1);
    SHA1_Final(digest, &sha);
    _Static_assert(BASE64_ENCODED(sizeof(digest)) == HANDSHAKE_ACCEPT_LEN, "no terminator");
    base64_encode(out, digest, sizeof(digest));
}
#pragma GCC diagnostic pop

static char *append_response_text(char *at, const char *text, size_t len)
{
    memcpy(at, text, len);
    return at + len;
}

size_t handshake_response(char out[HANDSHAKE_RESPONSE_MAX], const struct handshake *handshake)
{
    static const char head[] = "HTTP/1.1 101 Switching Protocols\r\n"
                               "Upgrade: websocket\r\n"
                               "Connection: Upgrade\r\n"
                               "Sec-WebSocket-Accept: ";
    static const char protocol[] = "\r\nSec-WebSocket-Protocol: ";
    static const char end[] = "\r\n\r\n";

    char *at = append_response_text(out, head, sizeof(head) - 1);
    handshake_accept(at, handshake->key);
    at += HANDSHAKE_ACCEPT_LEN;
    if (handshake->protocol.len > 0) {
        at = append_response_text(at, protocol, sizeof(protocol) - 1);
        at = append_response_text(at, handshake->protocol.at, handshake->protocol.len);
    }
    at = append_response_text(at, end, sizeof(end) - 1);
    return (size_t)(at - out);
}

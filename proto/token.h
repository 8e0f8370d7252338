/*
 * JSON Web Tokens in compact form (RFC 7519, RFC 7515 §7.1): taken apart, and their claims held
 * against a time, an audience and an issuer. The signature is checked elsewhere, between the two:
 *
 *     token_read, is the signature over `signed_part` right?, token_check, token->sub
 */
#ifndef WSPUSHD_PROTO_TOKEN_H
#define WSPUSHD_PROTO_TOKEN_H

#include "proto/http.h"
#include "proto/json.h"

#include <stdint.h>

enum { TOKEN_MAX = 8192 }; /* characters: a request head cannot hold more */

/* X(NAME, text) */
#define TOKEN_ERRORS(X)                                                \
    X(MALFORMED, "it is not a signed JSON Web Token")                  \
    X(ALGORITHM, "it is not signed by the algorithm that is accepted") \
    X(CRITICAL, "its header asks for an extension (crit)")             \
    X(SIGNATURE, "its signature is wrong")                             \
    X(BAD_CLAIM, "a claim has the wrong type")                         \
    X(EXPIRED, "it has expired")                                       \
    X(NOT_YET, "it is not valid yet")                                  \
    X(AUDIENCE, "it is for another audience")                          \
    X(ISSUER, "it is from another issuer")                             \
    X(NO_SUBJECT, "it names no user (sub)")

enum token_error {
    TOKEN_OK = 0,
#define TOKEN_ERROR_ENUM(name, text) TOKEN_##name,
    TOKEN_ERRORS(TOKEN_ERROR_ENUM)
#undef TOKEN_ERROR_ENUM
};
const char *token_error_text(enum token_error error);

/* A token's parts. Everything is borrowed from the text or from the buffer of token_read. */
struct token {
    struct slice signed_part; /* header and payload as they stand, with the dot between them */
    const uint8_t *signature;
    size_t signature_len;

    /* Claims; those that are not there have JSON_TYPE_NONE. */
    struct json_value sub, iss, aud, exp, nbf;
};

/* What the claims are to be held against. */
struct token_rules {
    uint64_t now;    /* Unix second */
    uint32_t leeway; /* seconds by which exp may be over, and nbf not yet come (RFC 7519 §4.1.4) */
    const char *audience; /* that aud must hold; "": not checked */
    const char *issuer;   /* that iss must be; "": not checked */
};

/* Takes a token apart. Its header must name `algorithm`. `buffer` has at least `len` bytes and
 * keeps what is decoded. */
enum token_error token_read(struct token *token, const char *text, size_t len,
                            const char *algorithm, uint8_t *buffer);

/* Checks the claims of a token whose signature is right. *expires gets the second at which it ends,
 * with
 * the leeway, cut to 32 bits; 0 if it never does. */
enum token_error token_check(const struct token *token, const struct token_rules *rules,
                             uint32_t *expires);

#endif

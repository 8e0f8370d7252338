/*
 * JSON Web Tokens in compact form (RFC 7519, RFC 7515 §7.1): splits them, and checks their claims
 * against a time, an audience and an issuer. The signature is verified elsewhere, between the two
 * steps:
 *
 *     token_read(), verify the signature over `signed_part`, token_check(), token->sub
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

/* The parts of a token. They borrow from the text or from the buffer of token_read(). */
struct token {
    struct slice signed_part; /* header and payload as received, with the dot between them */
    const uint8_t *signature;
    size_t signature_len;

    /* Claims; an absent one has JSON_TYPE_NONE. */
    struct json_value sub, iss, aud, exp, nbf;
};

/* The rules for the claims. */
struct token_rules {
    uint64_t now; /* Unix time in seconds */
    uint32_t
        leeway; /* seconds by which exp may have passed, or nbf may lie ahead (RFC 7519 §4.1.4) */
    const char *audience; /* required in aud; "": not checked */
    const char *issuer;   /* required value of iss; "": not checked */
};

/* Splits and decodes a token. Its header must name `algorithm`. `buffer` (at least `len` bytes)
 * receives the decoded parts. */
enum token_error token_read(struct token *token, const char *text, size_t len,
                            const char *algorithm, uint8_t *buffer);

/* Checks the claims of a token whose signature has been verified. *expires is set to the second at
 * which the token expires, including the leeway, limited to 32 bits; 0 if it never expires. */
enum token_error token_check(const struct token *token, const struct token_rules *rules,
                             uint32_t *expires);

#endif

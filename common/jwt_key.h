/*
 * The key that JSON Web Tokens are checked with, and the check of a signature (RFC 7515 §5.2). It
 * is read and parsed once, by the master before it forks: parsing a PEM takes twenty times as long
 * as an RSA signature's check.
 *
 * A key knows its one algorithm. Nothing that a token says of itself is asked, so there is no way
 * to make a server take the public key of RS256 for the secret of HS256, or no signature for one.
 */
#ifndef WSPUSHD_COMMON_JWT_KEY_H
#define WSPUSHD_COMMON_JWT_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(name, form of the key, digest, least size of the key in bits: RFC 7518 §3.2 to §3.4) */
#define JWT_ALGORITHMS(X)           \
    X(HS256, SECRET, sha256, 256)   \
    X(HS384, SECRET, sha384, 384)   \
    X(HS512, SECRET, sha512, 512)   \
    X(RS256, RSA_KEY, sha256, 2048) \
    X(ES256, P256_KEY, sha256, 256)

enum { JWT_KEY_WHY_MAX = 256 };

struct jwt_key;

/* Reads the key of an algorithm from a file: the secret itself, or a public key in PEM. Returns it
 * owned, or NULL after writing what is wrong to `why` (JWT_KEY_WHY_MAX bytes). */
struct jwt_key *jwt_key_load(const char *path, const char *algorithm, char *why);
void jwt_key_free(struct jwt_key *key); /* takes; NULL is let pass */

/* The name of its algorithm: "HS256". */
const char *jwt_key_algorithm(const struct jwt_key *key);

/* True if it is a shared secret, with which tokens can be made, and not a public key. */
bool jwt_key_is_secret(const struct jwt_key *key);

/* Whether `signature` is this key's over the bytes. */
bool jwt_key_verify(const struct jwt_key *key, const void *bytes, size_t len,
                    const uint8_t *signature, size_t signature_len);

#endif

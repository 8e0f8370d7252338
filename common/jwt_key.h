/*
 * The key that verifies JSON Web Tokens (RFC 7515 §5.2). The master reads and parses it once,
 * before it forks: parsing a PEM file takes twenty times as long as verifying an RSA signature.
 *
 * A key is bound to one algorithm, and the token's own "alg" is ignored. So an attacker cannot make
 * the server use the public key of RS256 as the secret of HS256, or accept an unsigned token.
 */
#ifndef WSPUSHD_COMMON_JWT_KEY_H
#define WSPUSHD_COMMON_JWT_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(name, form of the key, digest, minimum size of the key in bits: RFC 7518 §3.2 to §3.4) */
#define JWT_ALGORITHMS(X)           \
    X(HS256, SECRET, sha256, 256)   \
    X(HS384, SECRET, sha384, 384)   \
    X(HS512, SECRET, sha512, 512)   \
    X(RS256, RSA_KEY, sha256, 2048) \
    X(ES256, P256_KEY, sha256, 256)

enum { JWT_KEY_WHY_MAX = 256 };

struct jwt_key;

/* Reads the key for an algorithm from a file: the shared secret, or a public key in PEM. Returns an
 * owned key, or NULL after writing the reason to `why` (JWT_KEY_WHY_MAX bytes). */
struct jwt_key *jwt_key_load(const char *path, const char *algorithm, char *why);
void jwt_key_free(struct jwt_key *key); /* takes; NULL is allowed */

/* Returns the name of the key's algorithm: "HS256". Borrowed. */
const char *jwt_key_algorithm(const struct jwt_key *key);

/* True if the key is a shared secret, which can also sign tokens, and not a public key. */
bool jwt_key_is_secret(const struct jwt_key *key);

/* True if `signature` is a valid signature of the bytes by this key. */
bool jwt_key_verify(const struct jwt_key *key, const void *bytes, size_t len,
                    const uint8_t *signature, size_t signature_len);

#endif

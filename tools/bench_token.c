/*
 * See bench_token.h. A token is created for each handshake: that takes 1 us, and no token has to be
 * stored.
 */
#include "tools/bench_token.h"

#include <errno.h>
#include <openssl/hmac.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "proto/base64.h"

enum { CLAIMS_MAX = 64, SIGNATURE_SIZE = 32 };

const char *token_key_read(struct token_key *key, const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return strerror(errno);
    key->len = fread(key->secret, 1, sizeof(key->secret), file);
    const bool whole = feof(file) && !ferror(file);
    fclose(file);
    if (key->len > 0 && key->secret[key->len - 1] == '\n')
        key->len--;
    return !whole ? "the secret is too long" : key->len == 0 ? "the file is empty" : NULL;
}

/* Appends in the URL alphabet (RFC 4648 §5), without padding. Returns the end. */
static char *append_base64url(char *at, const void *bytes, size_t len)
{
    char *end = at + base64_encode(at, bytes, len);
    while (end[-1] == '=')
        end--;
    for (char *c = at; c < end; c++)
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    return end;
}

void token_write(char out[TOKEN_MAX], const struct token_key *key, uint32_t user)
{
    static const char header[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
    char claims[CLAIMS_MAX];
    uint8_t signature[SIGNATURE_SIZE];
    const int len = snprintf(claims, sizeof(claims), "{\"sub\":\"%u\"}", user);

    char *at = append_base64url(out, header, sizeof(header) - 1);
    *at++ = '.';
    at = append_base64url(at, claims, (size_t)len);
    HMAC(EVP_sha256(), key->secret, (int)key->len, (const uint8_t *)out, (size_t)(at - out),
         signature, NULL);
    *at++ = '.';
    *append_base64url(at, signature, sizeof(signature)) = '\0';
}

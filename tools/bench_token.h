/*
 * Tokens for clients that log in: JSON Web Tokens (RFC 7519) with HS256, one for each user, signed
 * with the server's secret. They name the user and do not expire.
 */
#ifndef WSPUSHD_TOOLS_BENCH_TOKEN_H
#define WSPUSHD_TOOLS_BENCH_TOKEN_H

#include <stddef.h>
#include <stdint.h>

enum { TOKEN_MAX = 256, TOKEN_SECRET_MAX = 1024 };

struct token_key {
    uint8_t secret[TOKEN_SECRET_MAX];
    size_t len; /* 0: clients do not log in */
};

/* Reads the secret; the newline at the end of the file is not part of it. Returns NULL, or a
 * description of the error. */
const char *token_key_read(struct token_key *key, const char *path);

/* Writes the user's token, NUL-terminated. */
void token_write(char out[TOKEN_MAX], const struct token_key *key, uint32_t user);

#endif

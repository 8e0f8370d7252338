/*
 * Keys of JSON Web Tokens: the files that are accepted as keys, and that a signature is valid
 * exactly if libjwt, the oracle, made it with the same key.
 */
#include "common/jwt_key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jwt.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "proto/token.h"

static char path[] = "/tmp/wspushd-test-jwt-key-XXXXXX";
static const char secret[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static int make_file(void **state)
{
    const int fd = mkstemp(path);
    (void)state;
    return fd == -1 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void write_file(const void *bytes, size_t len)
{
    FILE *const file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static void assert_refused(const void *bytes, size_t len, const char *algorithm, const char *wanted)
{
    char why[JWT_KEY_WHY_MAX];
    write_file(bytes, len);
    assert_null(jwt_key_load(path, algorithm, why));
    if (!strstr(why, wanted))
        fail_msg("\"%s\" does not say \"%s\"", why, wanted);
}

static struct jwt_key *load(const void *bytes, size_t len, const char *algorithm)
{
    char why[JWT_KEY_WHY_MAX] = "";
    write_file(bytes, len);
    struct jwt_key *key = jwt_key_load(path, algorithm, why);
    if (!key)
        fail_msg("%s: %s", algorithm, why);
    assert_string_equal(jwt_key_algorithm(key), algorithm);
    return key;
}

/* A key pair in PEM. */
struct pair {
    char private_pem[8192], public_pem[8192];
};

static void read_bio(BIO *bio, char *out, size_t size)
{
    const int len = BIO_read(bio, out, (int)size - 1);
    assert_true(len > 0);
    out[len] = '\0';
    BIO_free(bio);
}

static void make_pair(struct pair *pair, EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    assert_non_null(key);
    assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    read_bio(bio, pair->private_pem, sizeof(pair->private_pem));
    bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
    read_bio(bio, pair->public_pem, sizeof(pair->public_pem));
    EVP_PKEY_free(key);
}

/* A token made by libjwt, owned. */
static char *sign(jwt_alg_t algorithm, const char *key)
{
    jwt_t *jwt = NULL;
    assert_int_equal(jwt_new(&jwt), 0);
    assert_int_equal(jwt_add_grant(jwt, "sub", "42"), 0);
    assert_int_equal(jwt_add_grant_int(jwt, "exp", 2000000000), 0);
    assert_int_equal(jwt_set_alg(jwt, algorithm, (const unsigned char *)key, (int)strlen(key)), 0);
    char *text = jwt_encode_str(jwt);
    jwt_free(jwt);
    assert_non_null(text);
    return text;
}

/* True if the key accepts the token; then every bit of the signed text must matter, too. */
static bool verifies(const struct jwt_key *key, const char *text)
{
    uint8_t buffer[TOKEN_MAX];
    struct token token;
    const enum token_error error =
        token_read(&token, text, strlen(text), jwt_key_algorithm(key), buffer);
    return error == TOKEN_OK && jwt_key_verify(key, token.signed_part.at, token.signed_part.len,
                                               token.signature, token.signature_len);
}

static void every_change_counts(const struct jwt_key *key, const char *text)
{
    uint8_t buffer[TOKEN_MAX], signature[1024];
    struct token token;
    assert_int_equal(token_read(&token, text, strlen(text), jwt_key_algorithm(key), buffer),
                     TOKEN_OK);
    const size_t len = token.signature_len, signed_len = token.signed_part.len;
    memcpy(signature, token.signature, len);
    for (size_t i = 0; i < len; i++) {
        signature[i] ^= 1;
        assert_false(jwt_key_verify(key, text, signed_len, signature, len));
        signature[i] ^= 1;
    }
    assert_true(jwt_key_verify(key, text, signed_len, signature, len));
    assert_false(jwt_key_verify(key, text, signed_len - 1, signature, len));
    assert_false(jwt_key_verify(key, text + 1, signed_len - 1, signature, len));
    for (size_t shorter = 0; shorter < len; shorter++)
        assert_false(jwt_key_verify(key, text, signed_len, signature, shorter));
    assert_false(jwt_key_verify(key, text, signed_len, signature, len + 1));
}

static void secrets_against_libjwt(void **state)
{
    static const struct {
        const char *name;
        jwt_alg_t algorithm;
    } cases[] = {{"HS256", JWT_ALG_HS256}, {"HS384", JWT_ALG_HS384}, {"HS512", JWT_ALG_HS512}};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct jwt_key *key = load(secret, strlen(secret), cases[i].name);
        for (size_t j = 0; j < 3; j++) {
            char *const text = sign(cases[j].algorithm, secret);
            assert_int_equal(verifies(key, text), i == j);
            if (i == j)
                every_change_counts(key, text);
            free(text);
        }
        char *const other = sign(cases[i].algorithm, "another secret");
        assert_false(verifies(key, other));
        free(other);
        jwt_key_free(key);
    }
}

static void key_pairs_against_libjwt(void **state)
{
    static struct pair rsa, ec, other;
    (void)state;
    make_pair(&rsa, EVP_RSA_gen(2048));
    make_pair(&ec, EVP_EC_gen("P-256"));
    make_pair(&other, EVP_EC_gen("P-256"));
    struct jwt_key *rs256 = load(rsa.public_pem, strlen(rsa.public_pem), "RS256");
    struct jwt_key *es256 = load(ec.public_pem, strlen(ec.public_pem), "ES256");
    char *const by_rsa = sign(JWT_ALG_RS256, rsa.private_pem);
    char *const by_ec = sign(JWT_ALG_ES256, ec.private_pem);
    char *const by_other = sign(JWT_ALG_ES256, other.private_pem);
    char *const by_public = sign(JWT_ALG_HS256, rsa.public_pem); /* the classic forgery */
    assert_true(verifies(rs256, by_rsa));
    assert_true(verifies(es256, by_ec));
    every_change_counts(rs256, by_rsa);
    every_change_counts(es256, by_ec);
    assert_false(verifies(es256, by_other));
    assert_false(verifies(es256, by_rsa));
    assert_false(verifies(rs256, by_ec));
    assert_false(verifies(rs256, by_public));
    jwt_key_free(rs256);
    jwt_key_free(es256);
    free(by_rsa);
    free(by_ec);
    free(by_other);
    free(by_public);
}

static void zero_is_no_ecdsa_signature(void **state)
{
    static struct pair ec;
    static const uint8_t zero[64];
    (void)state;
    make_pair(&ec, EVP_EC_gen("P-256")); /* CVE-2022-21449 was this */
    struct jwt_key *key = load(ec.public_pem, strlen(ec.public_pem), "ES256");
    assert_false(jwt_key_verify(key, "x", 1, zero, sizeof(zero)));
    jwt_key_free(key);
}

static void a_line_end_is_no_part_of_a_text(void **state)
{
    char bytes[65];
    (void)state;
    char *const text = sign(JWT_ALG_HS256, secret);
    static const char *const ends[] = {"\n", "\r\n", ""};
    for (size_t i = 0; i < 3; i++) {
        char file[128];
        const int len = snprintf(file, sizeof(file), "%s%s", secret, ends[i]);
        struct jwt_key *key = load(file, (size_t)len, "HS256");
        assert_true(verifies(key, text));
        jwt_key_free(key);
    }
    free(text);

    /* For random bytes it is as good as any other. */
    memset(bytes, 0x80, sizeof(bytes));
    bytes[63] = '\n';
    bytes[64] = '\0';
    char *const random = sign(JWT_ALG_HS256, bytes);
    struct jwt_key *key = load(bytes, 64, "HS256");
    assert_true(verifies(key, random));
    jwt_key_free(key);
    free(random);
}

static void files_that_are_no_keys(void **state)
{
    static struct pair rsa, small, p384, ec;
    char why[JWT_KEY_WHY_MAX];
    (void)state;
    make_pair(&rsa, EVP_RSA_gen(2048));
    make_pair(&small, EVP_RSA_gen(1024));
    make_pair(&p384, EVP_EC_gen("P-384"));
    make_pair(&ec, EVP_EC_gen("P-256"));
    assert_refused("", 0, "HS256", "the secret has 0 bytes; HS256 requires at least 32");
    assert_refused(secret, 31, "HS256", "the secret has 31 bytes");
    assert_refused(secret, 63, "HS512", "HS512 requires at least 64");
    assert_refused(rsa.public_pem, strlen(rsa.public_pem), "HS256", "requires a shared secret");
    assert_refused(secret, 64, "RS256", "no public key in PEM");
    assert_refused(rsa.private_pem, strlen(rsa.private_pem), "RS256", "no public key in PEM");
    static char two[2 * sizeof(rsa.public_pem)];
    snprintf(two, sizeof(two), "%s%s", rsa.public_pem, rsa.public_pem);
    assert_refused(two, strlen(two), "RS256", "contains 2 keys");
    snprintf(two, sizeof(two), "%s%s", rsa.public_pem, rsa.private_pem);
    assert_refused(two, strlen(two), "RS256", "contains 2 keys");
    assert_refused(rsa.private_pem, strlen(rsa.private_pem), "RS256", "a private key");
    assert_refused(rsa.public_pem, strlen(rsa.public_pem) / 2, "RS256", "no public key in PEM");
    assert_refused(rsa.public_pem, strlen(rsa.public_pem), "ES256", "a key on the curve P-256");
    assert_refused(p384.public_pem, strlen(p384.public_pem), "ES256", "a key on the curve P-256");
    assert_refused(ec.public_pem, strlen(ec.public_pem), "RS256", "an RSA key");
    assert_refused(small.public_pem, strlen(small.public_pem), "RS256", "the key has 1024 bits");
    assert_refused(secret, 64, "none", "unknown algorithm");
    assert_null(jwt_key_load("/nonexistent/key", "HS256", why));
    assert_string_equal(why, "No such file or directory");
    assert_null(jwt_key_load("/tmp", "HS256", why));

    char *const large = calloc(1, 70000);
    assert_refused(large, 70000, "HS256", "File too large");
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets_against_libjwt),
        cmocka_unit_test(key_pairs_against_libjwt),
        cmocka_unit_test(zero_is_no_ecdsa_signature),
        cmocka_unit_test(a_line_end_is_no_part_of_a_text),
        cmocka_unit_test(files_that_are_no_keys),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}

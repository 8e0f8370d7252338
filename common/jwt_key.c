/*
 * See jwt_key.h. OpenSSL's libcrypto does the arithmetic. libjwt is not used: it takes the
 * algorithm from the token, and parses the PEM again for every token (measured: 610 us for RS256,
 * of which verifying takes 30, and 1,160 us for ES256). The tests compare this file with libjwt.
 *
 * Refuses keys shorter than RFC 7518 allows, a public key if the algorithm needs a secret, and
 * private keys: this server signs nothing and must not be able to.
 */
#include "common/jwt_key.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 64 * 1024, P256_NUMBER = 32, P256_DER_MAX = 80 };

enum form { SECRET, RSA_KEY, P256_KEY };

struct algorithm {
    const char *name;
    const EVP_MD *(*digest)(void);
    enum form form;
    int least_bits;
};

static const struct algorithm algorithms[] = {
#define ALGORITHM_ROW(name, form, digest, bits) {#name, EVP_##digest, form, bits},
    JWT_ALGORITHMS(ALGORITHM_ROW)
#undef ALGORITHM_ROW
};

struct jwt_key {
    const struct algorithm *algorithm;
    uint8_t *secret;
    size_t secret_len;
    EVP_PKEY *public_key;
};

/* Writes the reason to `why`. Always returns NULL. */
static struct jwt_key *refuse_jwt_key(char *why, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static struct jwt_key *refuse_jwt_key(char *why, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, JWT_KEY_WHY_MAX, fmt, args);
    va_end(args);
    return NULL;
}

/* ---- Loading ---- */

/* Returns the whole file, owned and NUL-terminated, or NULL with errno. */
static char *read_key_file(const char *path, size_t *len)
{
    FILE *const file = fopen(path, "re");
    char *text = file ? malloc(FILE_MAX + 1) : NULL;
    if (text) {
        *len = fread(text, 1, FILE_MAX + 1, file);
        if (ferror(file) || *len > FILE_MAX) {
            if (!ferror(file))
                errno = EFBIG;
            free(text);
            text = NULL;
        } else {
            text[*len] = '\0';
        }
    }
    if (file)
        fclose(file);
    return text;
}

/* Returns the length of the secret: editors end a file with a line feed, which does not belong to a
 * secret of printable text, but may be the last of random bytes. */
static size_t length_without_line_end(const char *text, size_t len)
{
    size_t end = len;
    if (end > 0 && text[end - 1] == '\n')
        end--;
    if (end > 0 && end < len && text[end - 1] == '\r')
        end--;
    for (size_t i = 0; i < end; i++)
        if ((unsigned char)text[i] < ' ' || (unsigned char)text[i] > '~')
            return len;
    return end;
}

static struct jwt_key *create_jwt_key(const struct algorithm *algorithm, char *why)
{
    struct jwt_key *key = calloc(1, sizeof(*key));
    if (!key)
        return refuse_jwt_key(why, "out of memory");
    key->algorithm = algorithm;
    return key;
}

static struct jwt_key *load_secret_key(const struct algorithm *algorithm, const char *text,
                                       size_t len, char *why)
{
    const size_t used = length_without_line_end(text, len),
                 least = (size_t)algorithm->least_bits / 8;
    if (strstr(text, "-----BEGIN "))
        return refuse_jwt_key(why, "contains a key in PEM; %s requires a shared secret",
                              algorithm->name);
    if (used < least)
        return refuse_jwt_key(why, "the secret has %zu bytes; %s requires at least %zu (RFC 7518)",
                              used, algorithm->name, least);
    struct jwt_key *key = create_jwt_key(algorithm, why);
    uint8_t *secret = key ? malloc(used + 1) : NULL;
    if (!secret) {
        free(key);
        return refuse_jwt_key(why, "out of memory");
    }
    memcpy(secret, text, used);
    key->secret = secret;
    key->secret_len = used;
    return key;
}

static bool is_p256_key(const EVP_PKEY *key)
{
    char curve[32] = "";
    return EVP_PKEY_is_a(key, "EC") &&
           EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, curve, sizeof(curve),
                                          NULL) == 1 &&
           strcmp(curve, "prime256v1") == 0;
}

static bool key_has_form(const EVP_PKEY *key, enum form form)
{
    return form == RSA_KEY ? EVP_PKEY_is_a(key, "RSA") : is_p256_key(key);
}

/* Keeps OpenSSL from asking on the terminal for the pass phrase of a private key, which is refused
 * anyway. */
static int refuse_pass_phrase(char *buffer, int size, int writing, void *context)
{
    (void)buffer, (void)size, (void)writing, (void)context;
    return -1;
}

/* Counts the PEM blocks of keys of any form ("-----BEGIN PUBLIC KEY-----"). */
static int count_pem_keys(const char *text)
{
    static const char end[] = "KEY-----";
    int count = 0;
    while ((text = strstr(text, "-----BEGIN ")) != NULL) {
        const size_t len = strcspn(text, "\r\n");
        count += len >= sizeof(end) - 1 &&
                 memcmp(text + len - (sizeof(end) - 1), end, sizeof(end) - 1) == 0;
        text += len;
    }
    return count;
}

static struct jwt_key *refuse_pem_text(const char *text, char *why)
{
    if (strstr(text, "PRIVATE KEY-----"))
        return refuse_jwt_key(
            why, "contains no public key in PEM but a private key, which this server must not "
                 "have: write its public key with openssl pkey -in FILE -pubout");
    return refuse_jwt_key(why, "contains no public key in PEM (-----BEGIN PUBLIC KEY-----)");
}

static struct jwt_key *load_public_key(const struct algorithm *algorithm, const char *text,
                                       size_t len, char *why)
{
    BIO *const bio = BIO_new_mem_buf(text, (int)len);
    EVP_PKEY *const pem = bio ? PEM_read_bio_PUBKEY(bio, NULL, refuse_pass_phrase, NULL) : NULL;
    struct jwt_key *key = NULL;
    BIO_free(bio);
    ERR_clear_error();
    if (!pem)
        return refuse_pem_text(text, why);
    if (count_pem_keys(text) > 1) {
        EVP_PKEY_free(pem);
        return refuse_jwt_key(
            why, "contains %d keys in PEM, but only one can be used: remove the others",
            count_pem_keys(text));
    }
    if (!key_has_form(pem, algorithm->form))
        refuse_jwt_key(why, "%s requires %s", algorithm->name,
                       algorithm->form == RSA_KEY ? "an RSA key" : "a key on the curve P-256");
    else if (EVP_PKEY_get_bits(pem) < algorithm->least_bits)
        refuse_jwt_key(why, "the key has %d bits; %s requires at least %d (RFC 7518)",
                       EVP_PKEY_get_bits(pem), algorithm->name, algorithm->least_bits);
    else
        key = create_jwt_key(algorithm, why);
    if (key)
        key->public_key = pem;
    else
        EVP_PKEY_free(pem);
    return key;
}

static const struct algorithm *find_algorithm(const char *name)
{
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++)
        if (strcmp(algorithms[i].name, name) == 0)
            return &algorithms[i];
    return NULL;
}

struct jwt_key *jwt_key_load(const char *path, const char *name, char *why)
{
    const struct algorithm *algorithm = find_algorithm(name);
    size_t len = 0;
    if (!algorithm)
        return refuse_jwt_key(why, "unknown algorithm");
    char *text = read_key_file(path, &len);
    if (!text)
        return refuse_jwt_key(why, "%s", strerror(errno));
    struct jwt_key *key = algorithm->form == SECRET ? load_secret_key(algorithm, text, len, why)
                                                    : load_public_key(algorithm, text, len, why);
    OPENSSL_cleanse(text, len);
    free(text);
    return key;
}

void jwt_key_free(struct jwt_key *key)
{
    if (!key)
        return;
    if (key->secret)
        OPENSSL_cleanse(key->secret, key->secret_len);
    free(key->secret);
    EVP_PKEY_free(key->public_key);
    free(key);
}

const char *jwt_key_algorithm(const struct jwt_key *key)
{
    return key->algorithm->name;
}

bool jwt_key_is_secret(const struct jwt_key *key)
{
    return key->secret != NULL;
}

/* ---- Checking ---- */

/* Compares in constant time, so that timing does not reveal how much of a forged signature was
 * right. */
static bool verify_hmac(const struct jwt_key *key, const void *bytes, size_t len,
                        const uint8_t *signature, size_t signature_len)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    return HMAC(key->algorithm->digest(), key->secret, (int)key->secret_len, bytes, len, mac,
                &mac_len) &&
           mac_len == signature_len && CRYPTO_memcmp(mac, signature, mac_len) == 0;
}

static bool verify_digest(const struct jwt_key *key, const void *bytes, size_t len,
                          const uint8_t *signature, size_t signature_len)
{
    EVP_MD_CTX *const context = EVP_MD_CTX_new();
    const bool right =
        context &&
        EVP_DigestVerifyInit(context, NULL, key->algorithm->digest(), NULL, key->public_key) == 1 &&
        EVP_DigestVerify(context, signature, signature_len, bytes, len) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return right;
}

/* Converts an ECDSA signature from the concatenated numbers of a token (RFC 7518 §3.4) to the DER
 * that OpenSSL expects. Returns the length of the DER, or 0. */
static size_t ecdsa_to_der(uint8_t der[P256_DER_MAX], const uint8_t pair[2 * P256_NUMBER])
{
    ECDSA_SIG *const signature = ECDSA_SIG_new();
    BIGNUM *const r = BN_bin2bn(pair, P256_NUMBER, NULL);
    BIGNUM *const s = BN_bin2bn(pair + P256_NUMBER, P256_NUMBER, NULL);
    if (!signature || !r || !s || ECDSA_SIG_set0(signature, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(signature);
        return 0;
    }
    const int len = i2d_ECDSA_SIG(signature, &(uint8_t *){der});
    ECDSA_SIG_free(signature);
    return len > 0 ? (size_t)len : 0;
}

static bool verify_ecdsa(const struct jwt_key *key, const void *bytes, size_t len,
                         const uint8_t *signature, size_t signature_len)
{
    uint8_t der[P256_DER_MAX];
    if (signature_len != 2 * P256_NUMBER)
        return false;
    const size_t der_len = ecdsa_to_der(der, signature);
    return der_len > 0 && verify_digest(key, bytes, len, der, der_len);
}

bool jwt_key_verify(const struct jwt_key *key, const void *bytes, size_t len,
                    const uint8_t *signature, size_t signature_len)
{
    switch (key->algorithm->form) {
    case SECRET:
        return verify_hmac(key, bytes, len, signature, signature_len);
    case RSA_KEY:
        return verify_digest(key, bytes, len, signature, signature_len);
    case P256_KEY:
        return verify_ecdsa(key, bytes, len, signature, signature_len);
    }
    return false;
}

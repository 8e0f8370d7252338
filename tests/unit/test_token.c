/*
 * JSON Web Tokens taken apart, and their claims: every claim in every wrong type, headers that
 * require unsupported features, and texts that are not tokens, cut at every byte.
 */
#include "tests/unit/guard.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include "proto/token.h"

enum { NOW = 1700000000 };

static size_t put_base64url(char *out, const char *text, size_t len)
{
    size_t size =
        (size_t)EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)text, (int)len);
    while (size > 0 && out[size - 1] == '=')
        size--;
    for (size_t i = 0; i < size; i++)
        out[i] = out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i];
    return size;
}

/* header.payload.signature, owned. */
static char *make_token(const char *header, const char *payload, const char *signature)
{
    char *const text = malloc(2 * (strlen(header) + strlen(payload) + strlen(signature)) + 32);
    size_t len = put_base64url(text, header, strlen(header));
    text[len++] = '.';
    len += put_base64url(text + len, payload, strlen(payload));
    text[len++] = '.';
    len += put_base64url(text + len, signature, strlen(signature));
    text[len] = '\0';
    return text;
}

/* Reads the text from before an unreadable page, into a buffer that ends at another. */
static enum token_error read_text(struct token *token, const char *text)
{
    static struct guard in, out;
    static bool opened;
    if (opened) {
        guard_close(&in);
        guard_close(&out);
    }
    const size_t len = strlen(text);
    in = guard_open(len);
    out = guard_open(len);
    opened = true;
    return token_read(token, (char *)guard_put(&in, text, len), len, "HS256",
                      guard_room(&out, len));
}

static enum token_error read_token(struct token *token, const char *header, const char *payload)
{
    char *const text = make_token(header, payload, "signature");
    const enum token_error error = read_text(token, text);
    free(text);
    return error;
}

#define HS256 "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"

static void parts_of_a_token(void **state)
{
    struct token token;
    char *const text = make_token(HS256, "{\"sub\":\"42\",\"exp\":1}", "sig");
    (void)state;
    assert_int_equal(read_text(&token, text), TOKEN_OK);
    const size_t signed_len = (size_t)(strrchr(text, '.') - text);
    assert_int_equal(token.signed_part.len, signed_len);
    assert_memory_equal(token.signed_part.at, text, signed_len);
    assert_int_equal(token.signature_len, 3);
    assert_memory_equal(token.signature, "sig", 3);
    assert_true(json_string_is(&token.sub, "42"));
    assert_int_equal(token.exp.type, JSON_TYPE_NUMBER);
    assert_int_equal(token.aud.type, JSON_TYPE_NONE);
    free(text);
}

/* RFC 7515, appendix A.1. */
static void rfc_7515_example(void **state)
{
    static const char text[] = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
                               ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
                               "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
                               ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    struct token token;
    uint32_t expires;
    (void)state;
    assert_int_equal(read_text(&token, text), TOKEN_OK);
    assert_true(json_string_is(&token.iss, "joe"));
    assert_int_equal(token.signature_len, 32);
    const struct token_rules before = {1300819379, 0, "", ""}, after = {1300819380, 0, "", ""};
    assert_int_equal(token_check(&token, &before, &expires), TOKEN_NO_SUBJECT);
    assert_int_equal(expires, 1300819380);
    assert_int_equal(token_check(&token, &after, &expires), TOKEN_EXPIRED);
}

static void headers_that_are_refused(void **state)
{
    static const struct {
        const char *header;
        enum token_error error;
    } cases[] = {
        {HS256, TOKEN_OK},
        {"{\"alg\":\"HS256\"}", TOKEN_OK},
        {"{\"typ\":\"at+jwt\",\"alg\":\"HS\\u0032\\u0035\\u0036\",\"kid\":\"1\"}", TOKEN_OK},
        {"{\"alg\":\"none\"}", TOKEN_ALGORITHM},
        {"{\"alg\":\"None\"}", TOKEN_ALGORITHM},
        {"{\"alg\":\"hs256\"}", TOKEN_ALGORITHM},
        {"{\"alg\":\"HS2560\"}", TOKEN_ALGORITHM},
        {"{\"alg\":\"RS256\"}", TOKEN_ALGORITHM},
        {"{\"alg\":\"\"}", TOKEN_ALGORITHM},
        {"{\"alg\":null}", TOKEN_ALGORITHM},
        {"{\"alg\":[\"HS256\"]}", TOKEN_ALGORITHM},
        {"{\"ALG\":\"HS256\"}", TOKEN_ALGORITHM},
        {"{}", TOKEN_ALGORITHM},
        {"{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", TOKEN_CRITICAL},
        {"{\"alg\":\"HS256\",\"crit\":[]}", TOKEN_CRITICAL},
        {"{\"alg\":\"none\",\"alg\":\"HS256\"}", TOKEN_MALFORMED},
        {"{\"alg\":\"HS256\",\"\\u0061lg\":\"HS256\"}", TOKEN_MALFORMED},
        {"[]", TOKEN_MALFORMED},
        {"", TOKEN_MALFORMED},
        {"{\"alg\":\"HS256\"", TOKEN_MALFORMED},
        {"{\"alg\":\"HS256\"} x", TOKEN_MALFORMED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct token token;
        const enum token_error error = read_token(&token, cases[i].header, "{\"sub\":\"u\"}");
        if (error != cases[i].error)
            fail_msg("%s: %s", cases[i].header, token_error_text(error));
    }
}

/* A payload, and what token_check says of it. */
struct claim_case {
    const char *payload;
    enum token_error error;
    uint32_t expires; /* if there is no error */
};

static void expect_claims(const struct claim_case *cases, size_t count,
                          const struct token_rules *rules)
{
    for (size_t i = 0; i < count; i++) {
        struct token token;
        uint32_t expires = 0;
        assert_int_equal(read_token(&token, HS256, cases[i].payload), TOKEN_OK);
        const enum token_error error = token_check(&token, rules, &expires);
        if (error != cases[i].error || (error == TOKEN_OK && expires != cases[i].expires))
            fail_msg("%s: %s, %u", cases[i].payload, token_error_text(error), expires);
    }
}

static void claims(void **state)
{
    static const struct claim_case cases[] = {
        {"{\"sub\":\"42\"}", TOKEN_OK, 0},
        {"{\"sub\":\"42\",\"exp\":1700000001}", TOKEN_OK, NOW + 1},
        {"{\"sub\":\"42\",\"exp\":1700000001.75}", TOKEN_OK, NOW + 1},
        {"{\"sub\":\"42\",\"exp\":1.8e9}", TOKEN_OK, 1800000000},
        {"{\"sub\":\"42\",\"exp\":99999999999}", TOKEN_OK, UINT32_MAX},
        {"{\"sub\":\"42\",\"exp\":1e999}", TOKEN_OK, UINT32_MAX},
        {"{\"sub\":\"42\",\"exp\":1700000000}", TOKEN_EXPIRED, 0},
        {"{\"sub\":\"42\",\"exp\":1700000000.9}", TOKEN_EXPIRED, 0},
        {"{\"sub\":\"42\",\"exp\":0}", TOKEN_EXPIRED, 0},
        {"{\"sub\":\"42\",\"exp\":-1}", TOKEN_EXPIRED, 0},
        {"{\"sub\":\"42\",\"exp\":-1e999}", TOKEN_EXPIRED, 0},
        {"{\"sub\":\"42\",\"exp\":\"1800000000\"}", TOKEN_BAD_CLAIM, 0},
        {"{\"sub\":\"42\",\"exp\":null}", TOKEN_BAD_CLAIM, 0},
        {"{\"sub\":\"42\",\"exp\":true}", TOKEN_BAD_CLAIM, 0},
        {"{\"sub\":\"42\",\"exp\":[1800000000]}", TOKEN_BAD_CLAIM, 0},
        {"{\"sub\":\"42\",\"exp\":"
         "1800000000000000000000000000000000000000000000000000000000000000}",
         TOKEN_BAD_CLAIM, 0},
        {"{\"sub\":\"42\",\"nbf\":1700000000}", TOKEN_OK, 0},
        {"{\"sub\":\"42\",\"nbf\":1700000001}", TOKEN_NOT_YET, 0},
        {"{\"sub\":\"42\",\"nbf\":1e999}", TOKEN_NOT_YET, 0},
        {"{\"sub\":\"42\",\"nbf\":\"0\"}", TOKEN_BAD_CLAIM, 0},
        {"{\"sub\":42}", TOKEN_NO_SUBJECT, 0},
        {"{\"sub\":null}", TOKEN_NO_SUBJECT, 0},
        {"{\"sub\":[\"42\"]}", TOKEN_NO_SUBJECT, 0},
        {"{}", TOKEN_NO_SUBJECT, 0},
    };
    const struct token_rules rules = {NOW, 0, "", ""};
    (void)state;
    expect_claims(cases, sizeof(cases) / sizeof(cases[0]), &rules);
}

static void leeway(void **state)
{
    static const struct claim_case cases[] = {
        {"{\"sub\":\"u\",\"exp\":1699999941}", TOKEN_OK, NOW + 1},
        {"{\"sub\":\"u\",\"exp\":1699999940}", TOKEN_EXPIRED, 0},
        {"{\"sub\":\"u\",\"exp\":1e999}", TOKEN_OK, UINT32_MAX},
        {"{\"sub\":\"u\",\"nbf\":1700000060}", TOKEN_OK, 0},
        {"{\"sub\":\"u\",\"nbf\":1700000061}", TOKEN_NOT_YET, 0},
    };
    const struct token_rules rules = {NOW, 60, "", ""};
    (void)state;
    expect_claims(cases, sizeof(cases) / sizeof(cases[0]), &rules);
}

/* A name as written by a login service that cut it in the middle of a character. */
static void half_pairs_beside_the_user(void **state)
{
    static const char *const payloads[] = {
        "{\"name\":\"x\\ud83d\",\"sub\":\"42\"}",
        "{\"sub\":\"42\",\"a\":[{\"\\udc00\":\"\\ud800\\ud800\"}]}",
        "{\"sub\":\"4\\u0032\",\"x\":\"\\\\ud83d\\ud83d\\\"\"}",
    };
    const struct token_rules rules = {NOW, 0, "", ""};
    struct token token;
    uint32_t expires;
    char user[64];
    (void)state;
    for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
        assert_int_equal(read_token(&token, HS256, payloads[i]), TOKEN_OK);
        assert_int_equal(token_check(&token, &rules, &expires), TOKEN_OK);
        assert_int_equal(json_unescape(user, &token.sub), 2);
        assert_memory_equal(user, "42", 2);
    }
    assert_int_equal(read_token(&token, HS256, "{\"sub\":\"4\\ud83d\"}"), TOKEN_OK);
    assert_int_equal(json_unescape(user, &token.sub), 2);
    assert_memory_equal(user, "4\0", 2); /* which is not a valid user name */
}

static void audience_and_issuer(void **state)
{
    static const struct {
        const char *payload;
        enum token_error error;
    } cases[] = {
        {"{\"sub\":\"u\",\"aud\":\"push\",\"iss\":\"me\"}", TOKEN_OK},
        {"{\"sub\":\"u\",\"aud\":[\"web\",\"push\"],\"iss\":\"me\"}", TOKEN_OK},
        {"{\"sub\":\"u\",\"aud\":[1,\"push\"],\"iss\":\"me\"}", TOKEN_OK},
        {"{\"sub\":\"u\",\"iss\":\"me\"}", TOKEN_AUDIENCE},
        {"{\"sub\":\"u\",\"aud\":\"push2\",\"iss\":\"me\"}", TOKEN_AUDIENCE},
        {"{\"sub\":\"u\",\"aud\":[],\"iss\":\"me\"}", TOKEN_AUDIENCE},
        {"{\"sub\":\"u\",\"aud\":[[\"push\"]],\"iss\":\"me\"}", TOKEN_AUDIENCE},
        {"{\"sub\":\"u\",\"aud\":{\"push\":1},\"iss\":\"me\"}", TOKEN_AUDIENCE},
        {"{\"sub\":\"u\",\"aud\":null,\"iss\":\"me\"}", TOKEN_AUDIENCE},
        {"{\"sub\":\"u\",\"aud\":\"push\"}", TOKEN_ISSUER},
        {"{\"sub\":\"u\",\"aud\":\"push\",\"iss\":\"Me\"}", TOKEN_ISSUER},
        {"{\"sub\":\"u\",\"aud\":\"push\",\"iss\":[\"me\"]}", TOKEN_ISSUER},
    };
    const struct token_rules rules = {NOW, 0, "push", "me"};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct token token;
        uint32_t expires;
        assert_int_equal(read_token(&token, HS256, cases[i].payload), TOKEN_OK);
        const enum token_error error = token_check(&token, &rules, &expires);
        if (error != cases[i].error)
            fail_msg("%s: %s", cases[i].payload, token_error_text(error));
    }
}

static void a_claim_twice_is_malformed(void **state)
{
    static const char *const payloads[] = {
        "{\"sub\":\"1\",\"sub\":\"2\"}",
        "{\"sub\":\"1\",\"\\u0073ub\":\"1\"}",
        "{\"sub\":\"1\",\"exp\":1,\"exp\":2}",
        "{\"sub\":null,\"sub\":\"1\"}",
        "[]",
        "42",
        "",
        "{\"sub\":\"\xff\"}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
        struct token token;
        if (read_token(&token, HS256, payloads[i]) != TOKEN_MALFORMED)
            fail_msg("%s was read", payloads[i]);
    }
}

static void texts_that_are_no_tokens(void **state)
{
    static const char *const texts[] = {
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "eyJhbGciOiJIUzI1NiJ9",
        "eyJhbGciOiJIUzI1NiJ9.",
        "eyJhbGciOiJIUzI1NiJ9.e30",
        "eyJhbGciOiJIUzI1NiJ9.e30.a.b",
        "eyJhbGciOiJIUzI1NiJ9.e30.a",
        "eyJhbGciOiJIUzI1NiJ9.e30=.",
        "eyJhbGciOiJIUzI1NiJ9.e3 0.",
        " eyJhbGciOiJIUzI1NiJ9.e30.",
        "eyJhbGciOiJIUzI1NiJ9.e30.c2ln\n",
        "eyJhbGciOiJIUzI1NiJ9.e30.c2l+",
        "{}.{}.{}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct token token;
        if (read_text(&token, texts[i]) != TOKEN_MALFORMED)
            fail_msg("\"%s\" was read", texts[i]);
    }
    struct token token; /* a missing signature is an empty one, which no key makes */
    assert_int_equal(read_text(&token, "eyJhbGciOiJIUzI1NiJ9.e30."), TOKEN_OK);
    assert_int_equal(token.signature_len, 0);
}

static void check_prefix(void *context, uint8_t *prefix, size_t len)
{
    uint8_t buffer[1024];
    struct token token;
    (void)context;
    (void)token_read(&token, (char *)prefix, len, "HS256", buffer);
}

static void tokens_cut_at_every_byte(void **state)
{
    char *const text = make_token(HS256, "{\"sub\":\"42\",\"aud\":[\"a\"],\"exp\":1}", "sign");
    (void)state;
    guard_prefixes(check_prefix, NULL, text, strlen(text));
    free(text);
}

static void depth_ends_somewhere(void **state)
{
    enum { DEPTH = 100000 };
    char *const deep = malloc(DEPTH + 16);
    struct token token;
    (void)state;
    memcpy(deep, "{\"sub\":", 7);
    memset(deep + 7, '[', DEPTH);
    deep[7 + DEPTH] = '\0';
    assert_int_equal(read_token(&token, HS256, deep), TOKEN_MALFORMED);
    assert_int_equal(read_token(&token, deep, "{}"), TOKEN_MALFORMED);
    assert_int_equal(read_token(&token, deep + 7, "{}"), TOKEN_MALFORMED);
    free(deep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_of_a_token),
        cmocka_unit_test(rfc_7515_example),
        cmocka_unit_test(headers_that_are_refused),
        cmocka_unit_test(claims),
        cmocka_unit_test(leeway),
        cmocka_unit_test(half_pairs_beside_the_user),
        cmocka_unit_test(audience_and_issuer),
        cmocka_unit_test(a_claim_twice_is_malformed),
        cmocka_unit_test(texts_that_are_no_tokens),
        cmocka_unit_test(tokens_cut_at_every_byte),
        cmocka_unit_test(depth_ends_somewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

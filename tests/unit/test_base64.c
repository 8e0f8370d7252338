/* Base64 against RFC 4648's vectors, OpenSSL's encoder, and every way to write it wrongly. */
#include "tests/unit/guard.h"

#include <stdbool.h>

#include <openssl/evp.h>

#include "proto/base64.h"

static void rfc_4648_vectors(void **state)
{
    static const char *const vectors[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        const char *const plain = vectors[i][0], *const text = vectors[i][1];
        char encoded[8], decoded[8];
        assert_int_equal(base64_encode(encoded, plain, strlen(plain)), strlen(text));
        assert_memory_equal(encoded, text, strlen(text));
        assert_int_equal(base64_decode(decoded, text, strlen(text)), strlen(plain));
        assert_memory_equal(decoded, plain, strlen(plain));
    }
}

/* Input, output and the text in place, all against the guard page; OpenSSL as the oracle. */
static void random_bytes_come_back(void **state)
{
    (void)state;
    uint64_t random = 4648;
    struct guard in = guard_open(300), out = guard_open(BASE64_ENCODED(300));
    for (size_t len = 0; len <= 300; len++) {
        uint8_t bytes[300], expected[BASE64_ENCODED(300) + 1];
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)guard_random(&random);
        EVP_EncodeBlock(expected, bytes, (int)len);

        const size_t size = BASE64_ENCODED(len);
        char *const text = (char *)guard_room(&out, size);
        assert_int_equal(base64_encode(text, guard_put(&in, bytes, len), len), size);
        assert_memory_equal(text, expected, size);

        uint8_t *const decoded = guard_room(&in, len);
        memset(decoded, 0, len);
        assert_int_equal(base64_decode(decoded, text, size), len);
        assert_memory_equal(decoded, bytes, len);
        assert_int_equal(base64_decode(text, text, size), len);
        assert_memory_equal(text, bytes, len);
    }
    guard_close(&in);
    guard_close(&out);
}

static int value_of(int character)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *const at = character == 0 ? NULL : strchr(alphabet, character);
    return at == NULL ? -1 : (int)(at - alphabet);
}

/* Every byte at every place of a group: only the alphabet, and padding only where it belongs. */
static void every_character_in_every_place(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        uint8_t out[6];
        const bool known = value_of(c) >= 0;
        for (size_t place = 0; place < 8; place++) {
            char text[] = "QUJDREVG";
            text[place] = (char)c;
            /* Padding in the last place is wrong too: it leaves stray bits of the V. */
            assert_int_equal(base64_decode(out, text, 8), known ? 6 : -1);
        }
        char two[] = "Q?==", three[] = "QU?=";
        two[1] = three[2] = (char)c;
        assert_int_equal(base64_decode(out, two, 4), known && value_of(c) % 16 == 0 ? 1 : -1);
        const ssize_t expected = known && value_of(c) % 4 == 0 ? 2 : -1;
        assert_int_equal(base64_decode(out, three, 4), expected);
    }
}

static void bad_texts_are_refused(void **state)
{
    static const char *const bad[] = {
        "Q",    "QQ",       "QQ=",      "QUI",      "QUJDR",    "====",      "Q===",
        "=QQ=", "QQ==QUJD", "QUI=QUJD", "QUJD====", "QUJD\n",   "QUJD\nQUJ", " QUJ",
        "QUJ ", "QQ=A",     "QQ= ",     "Q-_D",     "QUJDQR==", "QUJDQUJ=",  "QQ==\n\n\n\n",
    };
    (void)state;
    struct guard guard = guard_open(16);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t out[16];
        const size_t len = strlen(bad[i]);
        if (base64_decode(out, (char *)guard_put(&guard, bad[i], len), len) != -1)
            fail_msg("\"%s\" was decoded", bad[i]);
    }
    guard_close(&guard);
}

/* The URL's alphabet: RFC 4648 §5 without padding, and none of the other's characters. */
static void the_alphabet_of_urls(void **state)
{
    static const struct {
        const char *text, *bytes;
        ssize_t len;
    } cases[] = {
        {"", "", 0},
        {"Zg", "f", 1},
        {"Zm8", "fo", 2},
        {"Zm9v", "foo", 3},
        {"-_-_", "\xfb\xff\xbf", 3},
        {"_w", "\xff", 1},
        {"A", NULL, -1},
        {"Zm9vZ", NULL, -1},
        {"Zg==", NULL, -1},
        {"Zh", NULL, -1},
        {"Zm9", NULL, -1},
        {"+/+/", NULL, -1},
        {"Zm 9", NULL, -1},
        {"Zm9v\n", NULL, -1},
        {"Zm9v.", NULL, -1},
    };
    (void)state;
    struct guard in = guard_open(16);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const size_t len = strlen(cases[i].text);
        char *const text = (char *)guard_put(&in, cases[i].text, len);
        uint8_t out[16];
        if (base64url_decode(out, text, len) != cases[i].len)
            fail_msg("\"%s\"", cases[i].text);
        assert_int_equal(base64url_decode(text, text, len), cases[i].len);
        if (cases[i].len > 0) {
            assert_memory_equal(out, cases[i].bytes, (size_t)cases[i].len);
            assert_memory_equal(text, cases[i].bytes, (size_t)cases[i].len);
        }
    }
    guard_close(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_4648_vectors),
        cmocka_unit_test(random_bytes_come_back),
        cmocka_unit_test(every_character_in_every_place),
        cmocka_unit_test(bad_texts_are_refused),
        cmocka_unit_test(the_alphabet_of_urls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The user in a session stored in Redis, well formed and not. */
#include "tests/unit/guard.h"

#include <stdlib.h>

#include "proto/session.h"

enum { NAME_MAX_LEN = 63 };

static void assert_user(const char *text, const char *user)
{
    struct guard in = guard_open(strlen(text)), out = guard_open(NAME_MAX_LEN);
    char *const name = (char *)guard_room(&out, NAME_MAX_LEN);
    const ssize_t len =
        session_user(name, NAME_MAX_LEN, (char *)guard_put(&in, text, strlen(text)), strlen(text));
    if (len != (user ? (ssize_t)strlen(user) : -1) || (user && memcmp(name, user, strlen(user))))
        fail_msg("%s: %zd bytes, %.*s", text, len, len > 0 ? (int)len : 0, name);
    guard_close(&in);
    guard_close(&out);
}

static void plain_text_is_the_user(void **state)
{
    (void)state;
    assert_user("42", "42");
    assert_user("我们", "我们");
    assert_user(" 42", " 42");
    assert_user("\"42\"", "\"42\"");
    assert_user("[1]", "[1]");
    assert_user("", "");
}

static void json_names_the_user(void **state)
{
    (void)state;
    assert_user("{\"user\":\"42\"}", "42");
    assert_user(" \n{\"role\":{\"user\":\"no\"},\"user\":\"\\u6211\",\"x\":[1,2]}", "我");
    assert_user("{\"name\":\"cut\\ud83d\",\"user\":\"42\"}", "42");
    assert_user("{\"user\":42}", "42");
    assert_user("{\"user\":18446744073709551615}", "18446744073709551615");
    assert_user("{\"user\":\"a\\nb\"}", "a\nb"); /* the caller's to refuse */
}

/* The user's name must be complete: the substitute for a half surrogate is in no user's name. */
static void half_a_pair_in_the_name(void **state)
{
    char text[] = "{\"user\":\"4\\ud800\"}", name[NAME_MAX_LEN];
    (void)state;
    assert_int_equal(session_user(name, sizeof(name), text, strlen(text)), 2);
    assert_memory_equal(name, "4\0", 2);
}

static void sessions_without_a_user(void **state)
{
    static const char *const texts[] = {
        "{}",
        "{",
        "{\"user\":}",
        "{\"user\":null}",
        "{\"user\":true}",
        "{\"user\":-1}",
        "{\"user\":1.5}",
        "{\"user\":1e3}",
        "{\"user\":{\"id\":1}}",
        "{\"user\":[\"42\"]}",
        "{\"User\":\"42\"}",
        "{\"user\":\"42\"",
        "{\"user\":\"42\"} x",
        "{\"user\":\"1\",\"user\":\"2\"}",
        "{\"user\":\"\xff\"}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_user(texts[i], NULL);
}

static void names_that_are_too_long(void **state)
{
    char text[1200];
    (void)state;
    memset(text, 'a', sizeof(text));
    text[63] = '\0';
    assert_user(text, text);
    text[63] = 'a';
    text[64] = '\0';
    assert_user(text, NULL);
    memset(text, 'a', sizeof(text));
    memcpy(text, "{\"user\":\"", 9);
    memcpy(text + 1000, "\"}", 3);
    assert_user(text, NULL);
}

static void depth_ends_somewhere(void **state)
{
    enum { DEPTH = 100000 };
    char *const deep = malloc(DEPTH + 16);
    (void)state;
    memcpy(deep, "{\"user\":", 8);
    memset(deep + 8, '[', DEPTH);
    deep[8 + DEPTH] = '\0';
    assert_user(deep, NULL);
    assert_user(deep + 8, NULL);
    free(deep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_text_is_the_user),  cmocka_unit_test(json_names_the_user),
        cmocka_unit_test(half_a_pair_in_the_name), cmocka_unit_test(sessions_without_a_user),
        cmocka_unit_test(names_that_are_too_long), cmocka_unit_test(depth_ends_somewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

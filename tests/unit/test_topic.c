/*
 * Names of topics, and the patterns that allow them: by table, and against a slow matcher that
 * tries everything.
 */
#include "proto/topic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/guard.h"

static bool is_name(const char *text)
{
    return topic_name_valid(text, strlen(text));
}

static void names(void **state)
{
    (void)state;
    char longest[TOPIC_MAX + 1];

    memset(longest, 'x', sizeof(longest));
    assert_true(is_name("a"));
    assert_true(is_name("room:7"));
    assert_true(is_name("我们都好"));
    assert_true(is_name("with space * {user} \"\\"));
    assert_true(is_name("\xc2\xa0")); /* no-break space: the first behind C1 */
    assert_true(topic_name_valid(longest, TOPIC_MAX));
    assert_false(topic_name_valid(longest, TOPIC_MAX + 1));
    assert_false(is_name(""));
    assert_false(topic_name_valid("a\0b", 3));
    assert_false(is_name("a\n"));
    assert_false(is_name("\x7f"));
    assert_false(is_name("\xc2\x85")); /* next line, of C1 */
    assert_false(is_name("\xc2\x9f"));
    assert_false(is_name("\xff"));
    assert_false(is_name("\xc3"));
    assert_false(is_name("\xed\xa0\x80")); /* a surrogate */
}

static bool allows(const char *pattern, const char *name, const char *user)
{
    return topic_matches(pattern, name, strlen(name), user, strlen(user));
}

static void patterns(void **state)
{
    static const struct {
        const char *pattern, *user, *yes, *no;
    } cases[] = {
        {"room:7", "u", "room:7", "room:77"},
        {"room:7", "u", "room:7", "room:"},
        {"room:*", "u", "room:", "room"},
        {"room:*", "u", "room:7:8", "xroom:7"},
        {"*", "u", "anything", ""},
        {"*:news", "u", "de:news", "de:news:"},
        {"*:news", "u", ":news:news", "news"},
        {"a*b*c", "u", "abc", "acb"},
        {"a*b*c", "u", "a-b-c-b-c", "a-b-c-b"},
        {"a**c", "u", "ac", "a"},
        {"ab*ba", "u", "abba", "aba"},
        {"user:{user}:*", "42", "user:42:in", "user:421:in"},
        {"user:{user}:*", "42", "user:42:", "user:4:2:"},
        {"user:{user}", "42", "user:42", "user:42x"},
        {"{user}", "42", "42", "4242"},
        {"{user}{user}", "42", "4242", "42"},
        {"*{user}*", "42", "x42y", "x4y2"},
        {"*-{user}-*", "42", "a-4-42-b", "a-4-2-b"},
        {"{user}:*", "*", "*:a", "b:a"},
        {"{user}:*", "{user}", "{user}:a", "u:a"},
        {"user:{user}:*", "7", "user:7:8:in", "user:8:7:in"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (!allows(cases[i].pattern, cases[i].yes, cases[i].user))
            fail_msg("%s refuses %s", cases[i].pattern, cases[i].yes);
        if (cases[i].no[0] && allows(cases[i].pattern, cases[i].no, cases[i].user))
            fail_msg("%s allows %s", cases[i].pattern, cases[i].no);
    }
}

/* Tries every length for every star. */
static bool slowly(const char *pattern, const char *name, size_t len, const char *user)
{
    const size_t user_len = strlen(user);

    if (*pattern == '\0')
        return len == 0;
    if (*pattern == '*')
        return slowly(pattern + 1, name, len, user) ||
               (len > 0 && slowly(pattern, name + 1, len - 1, user));
    if (*pattern == '{')
        return len >= user_len && memcmp(name, user, user_len) == 0 &&
               slowly(pattern + 6, name + user_len, len - user_len, user);
    return len > 0 && *name == *pattern && slowly(pattern + 1, name + 1, len - 1, user);
}

static void it_agrees_with_trying_everything(void **state)
{
    static const char *const pieces[] = {"a", "b", "*", "{user}", "ab"};
    static const char *const users[] = {"a", "ab", "ba", "*"};
    uint64_t random = 88172645463325252u;
    uint32_t matches = 0;
    struct guard guard = guard_open(8);

    (void)state;
    for (uint32_t i = 0; i < 300000; i++) {
        char pattern[64] = "", name[8];
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint64_t bits = random >> 20;
        for (uint64_t n = bits % 6; n > 0; n--, bits /= 5)
            strcat(pattern, pieces[bits % 5]);
        const size_t len = bits % 8;
        for (size_t k = 0; k < len; k++)
            name[k] = "ab"[bits >> (8 + k) & 1];
        const char *const user = users[bits >> 3 & 3];
        const char *const guarded = (const char *)guard_put(&guard, name, len);
        const bool match = topic_matches(pattern, guarded, len, user, strlen(user));
        if (match != slowly(pattern, name, len, user))
            fail_msg("%s, %.*s, user %s", pattern, (int)len, name, user);
        matches += match;
    }
    assert_in_range(matches, 10000, 290000);
    guard_close(&guard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(patterns),
        cmocka_unit_test(it_agrees_with_trying_everything),
    };
    return cmocka_run_group_tests_name("topic", tests, NULL, NULL);
}

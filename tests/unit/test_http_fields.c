/* Parsing inside an HTTP head: fields by name, lists, cookies, queries, percent-encoding. */
#include "tests/unit/guard.h"

#include "proto/http.h"

static void assert_slice(struct slice slice, const char *text)
{
    assert_int_equal(slice.len, strlen(text));
    assert_memory_equal(slice.at, text, slice.len);
}

static struct slice slice_of(const char *text)
{
    return (struct slice){text, strlen(text)};
}

static void headers_are_found(void **state)
{
    static const char head[] = "GET / HTTP/1.1\r\nVia: a\r\nHost: h\r\nVIA: b\r\nVi: x\r\n\r\n";
    (void)state;
    struct http_request request;
    assert_int_equal(http_parse_request(&request, head, sizeof(head) - 1, sizeof(head)),
                     sizeof(head) - 1);
    size_t count = 99;
    assert_slice(*http_header_find(&request, "via", &count), "a");
    assert_int_equal(count, 2);
    assert_slice(*http_header_find(&request, "hOsT", &count), "h");
    assert_int_equal(count, 1);
    assert_slice(*http_header_find(&request, "host", NULL), "h");
    assert_null(http_header_find(&request, "Hos", &count));
    assert_int_equal(count, 0);

    size_t from = 0;
    assert_slice(*http_header_next(&request, "Via", &from), "a");
    assert_slice(*http_header_next(&request, "Via", &from), "b");
    assert_null(http_header_next(&request, "Via", &from));
}

static void slices_compare(void **state)
{
    (void)state;
    assert_true(slice_equal(slice_of("abc"), "abc"));
    assert_false(slice_equal(slice_of("abc"), "ABC"));
    assert_false(slice_equal(slice_of("abc"), "ab"));
    assert_false(slice_equal(slice_of("ab"), "abc"));
    assert_true(slice_equal((struct slice){NULL, 0}, ""));
    assert_true(slice_equal_nocase(slice_of("aBz-09"), "AbZ-09"));
    /* Letters only: '[' and '{', '@' and '`' are 0x20 apart too. */
    assert_false(slice_equal_nocase(slice_of("["), "{"));
    assert_false(slice_equal_nocase(slice_of("@"), "`"));
    assert_false(slice_equal_nocase(slice_of("\xc3\xa9"), "\xc3\x89"));
    assert_slice(slice_trimmed(slice_of(" \ta b\t ")), "a b");
    assert_slice(slice_trimmed(slice_of(" \t ")), "");
}

static void lists(void **state)
{
    (void)state;
    struct slice rest = slice_of(" a ,, b;q=\"x,\\\",y\" ,\t,c d,"), element;
    assert_true(http_list_next(&rest, &element));
    assert_slice(element, "a");
    assert_true(http_list_next(&rest, &element));
    assert_slice(element, "b;q=\"x,\\\",y\"");
    assert_true(http_list_next(&rest, &element));
    assert_slice(element, "c d");
    assert_false(http_list_next(&rest, &element));
    assert_false(http_list_next(&rest, &element));

    rest = slice_of("open \"quote, no end\\");
    assert_true(http_list_next(&rest, &element));
    assert_slice(element, "open \"quote, no end\\");
    assert_false(http_list_next(&rest, &element));

    assert_true(http_list_has(slice_of("keep-alive, Upgrade"), "upgrade"));
    assert_true(http_list_has(slice_of("UPGRADE"), "upgrade"));
    assert_false(http_list_has(slice_of("upgraded, up, grade"), "upgrade"));
    assert_false(http_list_has(slice_of(""), "upgrade"));
    assert_false(http_list_has(slice_of(" , ,"), ""));
}

static void cookies(void **state)
{
    static const struct {
        const char *cookies, *name, *value; /* NULL: none */
    } cases[] = {
        {"sid=1", "sid", "1"},
        {"a=1; sid=2; b=3", "sid", "2"},
        {"a=1;sid=2", "sid", "2"},
        {"sid=1; sid=2", "sid", "1"},
        {"sid=; sid=2; sid=3", "sid", "2"},
        {"sid=\"\"; sid= ; sid=2", "sid", "2"},
        {"sid=; sid=", "sid", ""},
        {"sid=1; sid=", "sid", "1"},
        {"sid=", "sid", ""},
        {"sid=\"quoted\"", "sid", "quoted"},
        {"sid=\"", "sid", "\""},
        {"sid=\"\"", "sid", ""},
        {"sid=a=b==", "sid", "a=b=="},
        {" sid = x ; b", "sid", "x"},
        {"xsid=1; sidx=2; SID=3", "sid", NULL},
        {"sid", "sid", NULL},
        {"sid; sid=4", "sid", "4"},
        {"", "sid", NULL},
        {";;; ;", "sid", NULL},
        {"a=sid=1", "sid", NULL},
    };
    (void)state;
    struct guard guard = guard_open(64);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const size_t len = strlen(cases[i].cookies);
        const struct slice text = {(char *)guard_put(&guard, cases[i].cookies, len), len};
        struct slice value;
        const bool found = http_cookie(text, cases[i].name, &value);
        if (found != (cases[i].value != NULL))
            fail_msg("%s", cases[i].cookies);
        if (found)
            assert_slice(value, cases[i].value);
    }
    guard_close(&guard);
}

static void queries(void **state)
{
    static const struct {
        const char *query, *name, *value; /* NULL: none */
    } cases[] = {
        {"user=42", "user", "42"},
        {"a=1&user=%34%32&b", "user", "%34%32"},
        {"user", "user", ""},
        {"user=", "user", ""},
        {"user=a=b", "user", "a=b"},
        {"user=1&user=2", "user", "1"},
        {"xuser=1&userx=2", "user", NULL},
        {"", "user", NULL},
        {"&&user=7&", "user", "7"},
        {"a=user=1", "user", NULL},
    };
    (void)state;
    struct guard guard = guard_open(64);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const size_t len = strlen(cases[i].query);
        const struct slice text = {(char *)guard_put(&guard, cases[i].query, len), len};
        struct slice value;
        const bool found = http_query_find(text, cases[i].name, &value);
        if (found != (cases[i].value != NULL))
            fail_msg("%s", cases[i].query);
        if (found)
            assert_slice(value, cases[i].value);
    }
    guard_close(&guard);
}

static void percent_encoding(void **state)
{
    static const struct {
        const char *text, *decoded; /* NULL: malformed */
    } cases[] = {
        {"", ""},
        {"plain", "plain"},
        {"a+b", "a b"},
        {"%41%7a%7A", "Azz"},
        {"%e6%88%91", "\xe6\x88\x91"},
        {"%2B%25", "+%"},
        {"%", NULL},
        {"%4", NULL},
        {"a%4", NULL},
        {"%4g", NULL},
        {"%g4", NULL},
        {"% 4", NULL},
        {"%%41", NULL},
        {"%+1", NULL},
        {"ok%41%", NULL},
    };
    (void)state;
    struct guard in = guard_open(64), out = guard_open(64);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const size_t len = strlen(cases[i].text);
        char *const at = (char *)guard_put(&in, cases[i].text, len);
        const struct slice text = {at, len};
        if (cases[i].decoded == NULL) {
            assert_int_equal(http_percent_decode((char *)guard_room(&out, len), len, text), -1);
            continue;
        }
        const size_t size = strlen(cases[i].decoded);
        char *const room = (char *)guard_room(&out, size);
        assert_int_equal(http_percent_decode(room, size, text), size);
        assert_memory_equal(room, cases[i].decoded, size);
        if (size > 0)
            assert_int_equal(http_percent_decode(room, size - 1, text), -1);
        assert_int_equal(http_percent_decode(at, len, text), size);
        assert_memory_equal(at, cases[i].decoded, size);
    }
    char nul[3];
    assert_int_equal(http_percent_decode(nul, 3, slice_of("a%00b")), 3);
    assert_memory_equal(nul, "a\0b", 3);
    guard_close(&in);
    guard_close(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_found),
        cmocka_unit_test(slices_compare),
        cmocka_unit_test(lists),
        cmocka_unit_test(cookies),
        cmocka_unit_test(queries),
        cmocka_unit_test(percent_encoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

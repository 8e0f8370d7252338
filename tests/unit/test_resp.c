/*
 * RESP2: replies of every type and every way to break them, each cut at every byte, and commands
 * that the parser reads back.
 */
#include "proto/resp.h"

#include <stdio.h>

#include "tests/unit/guard.h"

enum { ROOM = 16384, HUGE_BULK = 512 * 1024 * 1024 };

static struct guard input;

static int open_page(void **state)
{
    (void)state;
    input = guard_open(ROOM);
    return 0;
}

static int close_page(void **state)
{
    (void)state;
    guard_close(&input);
    return 0;
}

/* A string literal with its length, since some hold NUL bytes. */
#define BYTES(literal) (literal), sizeof(literal) - 1

static ssize_t parse(struct resp_reply *reply, const void *bytes, size_t len)
{
    memset(reply, 0xa5, sizeof *reply);
    return resp_parse(reply, (const char *)guard_put(&input, bytes, len), len, NULL);
}

static void assert_text(const struct resp_value *value, enum resp_type type, const char *text,
                        size_t len)
{
    assert_int_equal(value->type, type);
    assert_int_equal(value->len, len);
    assert_non_null(value->at);
    assert_memory_equal(value->at, text, len);
}

static void reads_single_values(void **state)
{
    (void)state;
    static const struct {
        const char *reply;
        size_t size;
        enum resp_type type;
        const char *text;
        size_t len;
    } cases[] = {
        {BYTES("+OK\r\n"), RESP_SIMPLE, BYTES("OK")},
        {BYTES("+\r\n"), RESP_SIMPLE, BYTES("")},
        {BYTES("+a\0b\r\n"), RESP_SIMPLE, BYTES("a\0b")},
        {BYTES("-ERR no\r\n"), RESP_ERROR, BYTES("ERR no")},
        {BYTES("$5\r\nhello\r\n"), RESP_BULK, BYTES("hello")},
        {BYTES("$0\r\n\r\n"), RESP_BULK, BYTES("")},
        {BYTES("$4\r\n\r\n\r\n\r\n"), RESP_BULK, BYTES("\r\n\r\n")},
        {BYTES("$3\r\na\0b\r\n"), RESP_BULK, BYTES("a\0b")},
        {BYTES("$12\r\n*1\r\n$1\r\na\r\n+\r\n"), RESP_BULK, BYTES("*1\r\n$1\r\na\r\n+")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct resp_reply reply;
        assert_int_equal(parse(&reply, cases[i].reply, cases[i].size), cases[i].size);
        assert_int_equal(reply.type, cases[i].type);
        assert_int_equal(reply.count, 0);
        assert_text(&reply.value, cases[i].type, cases[i].text, cases[i].len);
    }
}

static void reads_integers(void **state)
{
    (void)state;
    static const struct {
        const char *reply;
        int64_t integer;
    } cases[] = {
        {":0\r\n", 0},
        {":1\r\n", 1},
        {":-1\r\n", -1},
        {":+7\r\n", 7},
        {":1234567890\r\n", 1234567890},
        {":9223372036854775807\r\n", INT64_MAX},
        {":-9223372036854775808\r\n", INT64_MIN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct resp_reply reply;
        const size_t len = strlen(cases[i].reply);
        assert_int_equal(parse(&reply, cases[i].reply, len), len);
        assert_int_equal(reply.type, RESP_INTEGER);
        assert_int_equal(reply.value.type, RESP_INTEGER);
        assert_true(reply.value.integer == cases[i].integer);
    }
}

static void reads_nulls(void **state)
{
    (void)state;
    struct resp_reply reply;
    assert_int_equal(parse(&reply, BYTES("$-1\r\n")), 5);
    assert_int_equal(reply.type, RESP_BULK);
    assert_null(reply.value.at);
    assert_int_equal(reply.value.len, 0);
    assert_int_equal(parse(&reply, BYTES("*-1\r\n")), 5);
    assert_int_equal(reply.type, RESP_ARRAY);
    assert_int_equal(reply.count, 0);
    assert_null(reply.value.at);
    /* An empty array is different. */
    assert_int_equal(parse(&reply, BYTES("*0\r\n")), 4);
    assert_int_equal(reply.type, RESP_ARRAY);
    assert_int_equal(reply.count, 0);
    assert_non_null(reply.value.at);
}

static void reads_arrays(void **state)
{
    (void)state;
    struct resp_reply reply;
    static const char message[] =
        "*3\r\n$7\r\nmessage\r\n$12\r\npush:user:42\r\n$25\r\n{\"op\":110,\"data\":\"hello\"}\r\n";
    assert_int_equal(parse(&reply, BYTES(message)), sizeof message - 1);
    assert_int_equal(reply.type, RESP_ARRAY);
    assert_int_equal(reply.count, 3);
    assert_text(&reply.element[0], RESP_BULK, BYTES("message"));
    assert_text(&reply.element[1], RESP_BULK, BYTES("push:user:42"));
    assert_text(&reply.element[2], RESP_BULK, BYTES("{\"op\":110,\"data\":\"hello\"}"));

    static const char mixed[] =
        "*8\r\n+OK\r\n-ERR\r\n:-5\r\n$-1\r\n$0\r\n\r\n:0\r\n+\r\n$1\r\nx\r\n";
    assert_int_equal(parse(&reply, BYTES(mixed)), sizeof mixed - 1);
    assert_int_equal(reply.count, RESP_ELEMENTS_MAX);
    assert_text(&reply.element[0], RESP_SIMPLE, BYTES("OK"));
    assert_text(&reply.element[1], RESP_ERROR, BYTES("ERR"));
    assert_int_equal(reply.element[2].type, RESP_INTEGER);
    assert_true(reply.element[2].integer == -5);
    assert_int_equal(reply.element[3].type, RESP_BULK);
    assert_null(reply.element[3].at);
    assert_text(&reply.element[4], RESP_BULK, BYTES(""));
    assert_text(&reply.element[7], RESP_BULK, BYTES("x"));
}

/* Only the first reply is consumed; the next begins at its end. */
static void leaves_the_next_reply(void **state)
{
    (void)state;
    static const char two[] = "*2\r\n:1\r\n$1\r\nx\r\n+OK\r\n";
    struct resp_reply reply;
    const ssize_t first = parse(&reply, BYTES(two));
    assert_int_equal(first, sizeof two - 1 - 5);
    assert_int_equal(parse(&reply, two + first, 5), 5);
    assert_true(resp_is(&reply.value, "OK"));
}

static void refuses_what_is_no_reply(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        int error;
    } cases[] = {
        {BYTES("x"), RESP_MALFORMED},
        {BYTES("\r\n"), RESP_MALFORMED},
        {BYTES("\0"), RESP_MALFORMED},
        {BYTES("PING\r\n"), RESP_MALFORMED},
        {BYTES("_\r\n"), RESP_MALFORMED}, /* RESP3 */
        {BYTES("%1\r\n"), RESP_MALFORMED},
        {BYTES(">3\r\n"), RESP_MALFORMED},
        {BYTES("+a\n"), RESP_MALFORMED},
        {BYTES("+a\nb\r\n"), RESP_MALFORMED},
        {BYTES("+a\rb"), RESP_MALFORMED},
        {BYTES("-\r\r"), RESP_MALFORMED},
        {BYTES(":\r\n"), RESP_MALFORMED},
        {BYTES(":-\r\n"), RESP_MALFORMED},
        {BYTES(":+-1\r\n"), RESP_MALFORMED},
        {BYTES(":a"), RESP_MALFORMED},
        {BYTES(":1a"), RESP_MALFORMED},
        {BYTES(": 1"), RESP_MALFORMED},
        {BYTES(":1 \r\n"), RESP_MALFORMED},
        {BYTES(":1\n"), RESP_MALFORMED},
        {BYTES(":1\rx"), RESP_MALFORMED},
        {BYTES(":01"), RESP_MALFORMED},
        {BYTES(":9223372036854775808"), RESP_MALFORMED},
        {BYTES(":-9223372036854775809"), RESP_MALFORMED},
        {BYTES(":18446744073709551616"), RESP_MALFORMED},
        {BYTES(":100000000000000000000000"), RESP_MALFORMED},
        {BYTES("$\r\n"), RESP_MALFORMED},
        {BYTES("$-\r\n"), RESP_MALFORMED},
        {BYTES("$-0\r\n"), RESP_MALFORMED},
        {BYTES("$-2"), RESP_MALFORMED},
        {BYTES("$-11"), RESP_MALFORMED},
        {BYTES("$+1"), RESP_MALFORMED},
        {BYTES("$01"), RESP_MALFORMED},
        {BYTES("$1x"), RESP_MALFORMED},
        {BYTES("$536870913"), RESP_MALFORMED},
        {BYTES("$4294967297"), RESP_MALFORMED},
        {BYTES("$18446744073709551617"), RESP_MALFORMED},
        {BYTES("$1\r\nab"), RESP_MALFORMED},
        {BYTES("$1\r\na\n"), RESP_MALFORMED},
        {BYTES("$1\r\na\rb"), RESP_MALFORMED},
        {BYTES("$0\r\na"), RESP_MALFORMED},
        {BYTES("*\r\n"), RESP_MALFORMED},
        {BYTES("*-2"), RESP_MALFORMED},
        {BYTES("*a"), RESP_MALFORMED},
        {BYTES("*18446744073709551616"), RESP_MALFORMED},
        {BYTES("*2\r\n+a\r\nx"), RESP_MALFORMED},
        {BYTES("*2\r\n$1\r\nab"), RESP_MALFORMED},
        {BYTES("*9\r\n"), RESP_TOO_DEEP},
        {BYTES("*1000000\r\n"), RESP_TOO_DEEP},
        {BYTES("*1\r\n*"), RESP_TOO_DEEP},
        {BYTES("*2\r\n+a\r\n*0\r\n"), RESP_TOO_DEEP},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct resp_reply reply;
        if (parse(&reply, cases[i].bytes, cases[i].len) != cases[i].error)
            fail_msg("case %zu: %s", i, cases[i].bytes);
        /* The byte before the last was not wrong yet, or was already. */
        const ssize_t before = parse(&reply, cases[i].bytes, cases[i].len - 1);
        assert_true(before == 0 || before == cases[i].error);
    }
}

/* --- as it arrives --- */

struct arrival {
    size_t whole; /* length of the whole reply */
    size_t need;  /* the greatest lower bound so far */
};

static void check_prefix(void *context, uint8_t *prefix, size_t len)
{
    struct arrival *arrival = context;
    struct resp_reply reply;
    size_t need = 0;
    const ssize_t used = resp_parse(&reply, (const char *)prefix, len, &need);
    assert_int_equal(resp_parse(&reply, (const char *)prefix, len, NULL), used);
    if (len == arrival->whole) {
        assert_int_equal(used, len);
        return;
    }
    assert_int_equal(used, 0);
    assert_true(need > len);
    assert_true(need <= arrival->whole);
    assert_true(need >= arrival->need); /* more bytes never lower the bound */
    arrival->need = need;
}

static const char *const replies[] = {
    "+OK\r\n",
    "+\r\n",
    "-ERR wrong\r\n",
    ":0\r\n",
    ":-1234567890\r\n",
    "$-1\r\n",
    "$0\r\n\r\n",
    "$12\r\nhello\r\nthere\r\n",
    "*-1\r\n",
    "*0\r\n",
    "*1\r\n+\r\n",
    "*3\r\n$7\r\nmessage\r\n$12\r\npush:user:42\r\n$25\r\n{\"op\":110,\"data\":\"hello\"}\r\n",
    "*3\r\n$9\r\nsubscribe\r\n$8\r\npush:all\r\n:1\r\n",
    "*4\r\n$8\r\npmessage\r\n+p\r\n$-1\r\n$0\r\n\r\n",
    "*8\r\n+OK\r\n-ERR\r\n:-5\r\n$-1\r\n$0\r\n\r\n:0\r\n+\r\n$1\r\nx\r\n",
};

static void wants_more_until_the_last_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        struct arrival arrival = {.whole = strlen(replies[i])};
        guard_prefixes(check_prefix, &arrival, replies[i], arrival.whole);
    }
}

/* A link that calls again only once it has the needed bytes finishes in a few calls. */
static void need_leads_to_the_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        const size_t whole = strlen(replies[i]);
        struct resp_reply reply;
        size_t have = 0, calls = 0;
        ssize_t used;
        while ((used = resp_parse(&reply, (char *)guard_put(&input, replies[i], have), have,
                                  &have)) == 0) {
            assert_true(have <= whole);
            assert_true(++calls <= whole);
        }
        assert_int_equal(used, whole);
    }
}

static size_t need_of(const char *bytes)
{
    struct resp_reply reply;
    size_t need = 0;
    assert_int_equal(resp_parse(&reply, bytes, strlen(bytes), &need), 0);
    return need;
}

static void need_tells_early_that_a_bulk_is_large(void **state)
{
    (void)state;
    assert_int_equal(need_of(""), 3);
    assert_int_equal(need_of("$1000\r\n"), 7 + 1000 + 2);
    assert_int_equal(need_of("$1000\r\nabc"), 7 + 1000 + 2);
    assert_int_equal(need_of("$536870912\r\n"), 12 + (size_t)HUGE_BULK + 2);
    assert_int_equal(need_of("*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1000000\r\n{"),
                     4 + 13 + 7 + 10 + 1000000 + 2);
    /* Elements yet to come count with their minimum: "+\r\n". */
    assert_int_equal(need_of("*3\r\n$1000\r\n"), 4 + 7 + 1000 + 2 + 2 * 3);
    assert_int_equal(need_of("*3\r\n"), 4 + 3 * 3);
}

/* For any input, a returned value is within the consumed bytes. */
static void damage_is_survived(void **state)
{
    (void)state;
    uint64_t random = 31337;
    size_t good = 0, bad = 0, more = 0;
    for (int round = 0; round < 100000; round++) {
        char bytes[128];
        const char *reply_text =
            replies[guard_random_below(&random, sizeof replies / sizeof replies[0])];
        size_t len = strlen(reply_text);
        memcpy(bytes, reply_text, len);
        for (size_t n = guard_random_below(&random, 3); n > 0; n--)
            bytes[guard_random_below(&random, len)] =
                "*$:+-0123456789\r\n\r\nx"[guard_random_below(&random, 20)];
        len -= guard_random_below(&random, 3) == 0 ? guard_random_below(&random, len) : 0;

        const char *at = (const char *)guard_put(&input, bytes, len);
        struct resp_reply reply;
        const ssize_t used = resp_parse(&reply, at, len, NULL);
        good += used > 0;
        bad += used < 0;
        more += used == 0;
        assert_true(used >= RESP_TOO_DEEP && used <= (ssize_t)len);
        for (size_t i = 0; used > 0 && i < reply.count; i++) {
            const struct resp_value *value = &reply.element[i];
            assert_true(value->at == NULL ||
                        (value->at >= at && value->at + value->len <= at + used));
        }
    }
    assert_true(good > 1000 && bad > 1000 && more > 1000);
}

static void compares_values(void **state)
{
    (void)state;
    struct resp_reply reply;
    parse(&reply, BYTES("$7\r\nmessage\r\n"));
    assert_true(resp_is(&reply.value, "message"));
    assert_false(resp_is(&reply.value, "messag"));
    assert_false(resp_is(&reply.value, "messages"));
    assert_false(resp_is(&reply.value, "Message"));
    parse(&reply, BYTES("+OK\r\n"));
    assert_true(resp_is(&reply.value, "OK"));
    parse(&reply, BYTES("-OK\r\n"));
    assert_false(resp_is(&reply.value, "OK"));
    parse(&reply, BYTES("$-1\r\n"));
    assert_false(resp_is(&reply.value, ""));
    parse(&reply, BYTES("$0\r\n\r\n"));
    assert_true(resp_is(&reply.value, ""));
    parse(&reply, BYTES(":1\r\n"));
    assert_false(resp_is(&reply.value, "1"));
}

/* --- commands --- */

static void writes_commands(void **state)
{
    (void)state;
    static const char expected[] = "*3\r\n$9\r\nSUBSCRIBE\r\n$12\r\npush:user:42\r\n$0\r\n\r\n";
    const char *const args[] = {"SUBSCRIBE", "push:user:42", NULL};
    const size_t lens[] = {9, 12, 0};
    const size_t size = resp_command_size(3, lens);
    assert_int_equal(size, sizeof expected - 1);
    char *out = (char *)guard_room(&input, size);
    assert_int_equal(resp_command(out, 3, args, lens), size);
    assert_memory_equal(out, expected, size);
}

static void writes_commands_in_pieces(void **state)
{
    (void)state;
    static const char expected[] = "*2\r\n$11\r\nUNSUBSCRIBE\r\n$12\r\npush:user:42\r\n";
    char *out = (char *)guard_room(&input, sizeof expected - 1), *at = out;
    at += resp_array_head(at, 2);
    at += resp_bulk(at, "UNSUBSCRIBE", 11);
    at += resp_bulk_joined(at, "push:user:", 10, "42", 2);
    assert_int_equal(at - out, sizeof expected - 1);
    assert_memory_equal(out, expected, sizeof expected - 1);

    char small[RESP_BULK_OVERHEAD];
    assert_int_equal(resp_array_head(small, 0), 4);
    assert_memory_equal(small, "*0\r\n", 4);
    assert_int_equal(resp_bulk(small, NULL, 0), 6);
    assert_memory_equal(small, "$0\r\n\r\n", 6);
    assert_int_equal(resp_array_head(small, SIZE_MAX), 1 + 20 + 2);
    assert_memory_equal(small, "*18446744073709551615\r\n", 23);
}

static void reads_back_what_it_wrote(void **state)
{
    (void)state;
    uint64_t random = 5;
    for (int round = 0; round < 2000; round++) {
        char bytes[RESP_ELEMENTS_MAX][300];
        const char *args[RESP_ELEMENTS_MAX];
        size_t lens[RESP_ELEMENTS_MAX];
        const size_t argc = guard_random_below(&random, RESP_ELEMENTS_MAX + 1);
        for (size_t i = 0; i < argc; i++) {
            args[i] = bytes[i];
            lens[i] = guard_random_below(&random, sizeof bytes[i]);
            for (size_t k = 0; k < lens[i]; k++)
                bytes[i][k] = (char)guard_random(&random);
        }
        const size_t size = resp_command_size(argc, lens);
        char *out = (char *)guard_room(&input, size);
        assert_int_equal(resp_command(out, argc, args, lens), size);

        struct resp_reply reply;
        assert_int_equal(resp_parse(&reply, out, size, NULL), size);
        assert_int_equal(reply.count, argc);
        for (size_t i = 0; i < argc; i++)
            assert_text(&reply.element[i], RESP_BULK, args[i], lens[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_single_values),
        cmocka_unit_test(reads_integers),
        cmocka_unit_test(reads_nulls),
        cmocka_unit_test(reads_arrays),
        cmocka_unit_test(leaves_the_next_reply),
        cmocka_unit_test(refuses_what_is_no_reply),
        cmocka_unit_test(wants_more_until_the_last_byte),
        cmocka_unit_test(need_leads_to_the_end),
        cmocka_unit_test(need_tells_early_that_a_bulk_is_large),
        cmocka_unit_test(damage_is_survived),
        cmocka_unit_test(compares_values),
        cmocka_unit_test(writes_commands),
        cmocka_unit_test(writes_commands_in_pieces),
        cmocka_unit_test(reads_back_what_it_wrote),
    };
    return cmocka_run_group_tests(tests, open_page, close_page);
}

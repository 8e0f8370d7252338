/*
 * Texts that are JSON and texts that are not, after RFC 8259 and the cases of JSONTestSuite: for
 * the tests of the scanner, alone and against jansson.
 */
#ifndef WSPUSHD_TESTS_JSON_CASES_H
#define WSPUSHD_TESTS_JSON_CASES_H

#include <stddef.h>

/* A string literal with its length, since some hold NUL bytes. */
struct text {
    const char *at;
    size_t len;
};
#define TEXT(literal)                  \
    {                                  \
        (literal), sizeof(literal) - 1 \
    }

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* clang-format off */
static const struct text accepted[] = {
    TEXT("{}"), TEXT("[]"), TEXT("\"\""), TEXT("0"), TEXT("-0"), TEXT("true"), TEXT("false"),
    TEXT("null"), TEXT(" \t\r\n[ \t\r\n] \t\r\n"), TEXT("[1]"), TEXT("[1,2]"), TEXT("[[]]"),
    TEXT("[{}]"), TEXT("{\"a\":{}}"), TEXT("{\"a\":[]}"), TEXT("{\"\":0}"),
    TEXT("{\"a\":1,\"a\":2}"), TEXT("{ \"a\" : 1 , \"b\" : [ 1 , 2 ] }"), TEXT("[null,true,false]"),
    TEXT("[[1,[2,{\"a\":[3,{}]}]],4]"), TEXT("{\"a\":{\"b\":[]},\"c\":[{}]}"),
    /* numbers, §6 */
    TEXT("1"), TEXT("-1"), TEXT("10"), TEXT("1234567890123456789012345678901234567890"),
    TEXT("0.0"), TEXT("-0.1"), TEXT("1.5"), TEXT("1e1"), TEXT("1E1"), TEXT("1e+1"), TEXT("1e-1"),
    TEXT("0e0"), TEXT("0E+00"), TEXT("1.25e100"), TEXT("1e400"), TEXT("-1.5E-3"), TEXT("[-0,0]"),
    /* strings, §7 */
    TEXT("\"a\""), TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), TEXT("\"\\u0000\""), TEXT("\"\\u001f\""),
    TEXT("\"\\uABCD\\uabcd\\u00e9\""), TEXT("\"\\ud83d\\ude00\""), TEXT("\"\\uDBFF\\uDFFF\""),
    TEXT("\"\\ud7ff\\ue000\\uffff\""), TEXT("\"\x7f\""), TEXT("\"/\""), TEXT("\"'\""),
    TEXT("\"[]{}:,\""), TEXT("\"12345678\""), TEXT("\"1234567\\n\""), TEXT("\"1234567890123456\""),
    TEXT("\"\xc3\xa9\""), TEXT("\"\xe6\x88\x91\xe4\xbb\xac\""), TEXT("\"\xf0\x9f\x98\x80\""),
    TEXT("\"\xf4\x8f\xbf\xbf\""), TEXT("\"\xee\x80\x80\xef\xbf\xbf\""), TEXT("\"\xe2\x80\xa8\""),
    TEXT("\"abc\xe6\x88\x91 abcdefgh \xe4\xbb\xac\\u00e9\""), TEXT("{\"\xc3\xa9\":\"\xc3\xa9\"}"),
    TEXT("{\"\\u0061\":1}"),
};

static const struct text refused[] = {
    TEXT(""), TEXT(" "), TEXT("\n"), TEXT("{"), TEXT("["), TEXT("}"), TEXT("]"), TEXT("\""),
    TEXT(","), TEXT(":"), TEXT("[}"), TEXT("{]"), TEXT("[1"), TEXT("[1,"), TEXT("[1,]"),
    TEXT("[,1]"), TEXT("[,]"), TEXT("[1,,2]"), TEXT("[1 2]"), TEXT("[1:2]"), TEXT("[\"a\":1]"),
    TEXT("{1:1}"), TEXT("{a:1}"), TEXT("{'a':1}"), TEXT("{\"a\"}"), TEXT("{\"a\":}"),
    TEXT("{\"a\":1,}"), TEXT("{,\"a\":1}"), TEXT("{\"a\" 1}"), TEXT("{\"a\":1 \"b\":2}"),
    TEXT("{\"a\":1,,\"b\":2}"), TEXT("{\"a\"::1}"), TEXT("{\"a\",1}"), TEXT("{\"a\":1]"),
    TEXT("[1}"), TEXT("[[1]"), TEXT("[1]]"), TEXT("{\"a\":{}"), TEXT("{}}"), TEXT("{} {}"),
    TEXT("1 2"), TEXT("\"a\" \"b\""), TEXT("[] ,"), TEXT("[]x"), TEXT("nulll"), TEXT("null null"),
    TEXT("[1]\0"), TEXT("\0"), TEXT("[\0]"), TEXT("// a\n1"), TEXT("/**/1"), TEXT("1#"),
    TEXT("{null:1}"), TEXT("{[]:1}"), TEXT("{\"a\":1,2}"), TEXT("{\"a\":1,\"b\"}"),
    /* words */
    TEXT("n"), TEXT("nul"), TEXT("tru"), TEXT("fals"), TEXT("True"), TEXT("NULL"), TEXT("nan"),
    TEXT("NaN"), TEXT("Infinity"), TEXT("-Infinity"), TEXT("undefined"), TEXT("[truE]"),
    /* numbers */
    TEXT("-"), TEXT("+1"), TEXT("01"), TEXT("-01"), TEXT("00"), TEXT("1."), TEXT(".1"), TEXT("-.1"),
    TEXT("1.e1"), TEXT("1e"), TEXT("1e+"), TEXT("1e-"), TEXT("1E"), TEXT("1.5e"), TEXT("0x1"),
    TEXT("1a"), TEXT("--1"), TEXT("1-1"), TEXT("1e1.5"), TEXT("1.2.3"), TEXT("[1.]"), TEXT("[-]"),
    TEXT("1_000"), TEXT("1,0"), TEXT("\xef\xbc\x91"),
    /* characters that are not JSON white space, and a byte order mark (§8.1) */
    TEXT("\f[]"), TEXT("[]\v"), TEXT("[\xc2\xa0]"), TEXT("\xef\xbb\xbf[]"),
    /* strings */
    TEXT("\"a"), TEXT("'a'"), TEXT("\"\n\""), TEXT("\"\t\""), TEXT("\"\0\""), TEXT("\"a\x1f\""),
    TEXT("\"12345678\x01\""), TEXT("\"\\\""), TEXT("\"\\"), TEXT("\"\\a\""), TEXT("\"\\'\""),
    TEXT("\"\\x41\""), TEXT("\"\\0\""), TEXT("\"\\U0041\""), TEXT("\"\\u\""), TEXT("\"\\u1\""),
    TEXT("\"\\u12\""), TEXT("\"\\u123\""), TEXT("\"\\u123g\""), TEXT("\"\\u 123\""),
    TEXT("\"\\u+123\""), TEXT("\"\\u00"), TEXT("\"\\u0000"), TEXT("\"\\\xc3\xa9\""),
    TEXT("{\"a\n\":1}"), TEXT("{\"\\q\":1}"), TEXT("{\"\xff\":1}"), TEXT("\"\\\x00\""),
    /* surrogates (§8.2) */
    TEXT("\"\\ud800\""), TEXT("\"\\udbff\""), TEXT("\"\\udc00\""), TEXT("\"\\udfff\""),
    TEXT("\"\\ud800\\ud800\""), TEXT("\"\\ud800\\u0041\""), TEXT("\"\\ud800\\n\""),
    TEXT("\"\\ud800a\""), TEXT("\"\\udc00\\ud800\""),
    TEXT("\"\\udc00\\udc00\""), TEXT("\"\\ud800\\udbff\""),
    TEXT("\"\\ud800\\udc0\""), TEXT("\"\\ud800\\udc0"), TEXT("\"\\ud800\\"),
    TEXT("\"\\ud800\\ue000\""),
    /* UTF-8 (RFC 3629) */
    TEXT("\"\x80\""), TEXT("\"\xc3\""), TEXT("\"\xc3(\""), TEXT("\"\xc0\x80\""),
    TEXT("\"\xe0\x80\x80\""), TEXT("\"\xed\xa0\x80\""), TEXT("\"\xf4\x90\x80\x80\""),
    TEXT("\"\xff\""), TEXT("\"\xe6\x88\""), TEXT("\"\xe6\x88\x91\xe4\xbb\""), TEXT("\xe6\x88\x91"),
    TEXT("\"\xe6\x88\x91\xe6\x88\x91\xe6\x88\x91\xe6\x88\x91\xe6\x88\x91\xe6\x88\""),
    TEXT("\"\xe6\x88"), TEXT("\"\xe6\x88\\u0091\""),
};
/* clang-format on */

#endif

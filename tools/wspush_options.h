/*
 * The command line. One table generates the fields of struct options, the parser and --help.
 *
 * FLAG  (field, "--name", help)
 * TEXT  (field, "--name", "VALUE", help)
 * LIST  (field, "--name", "VALUE", help)       may be given several times
 * TIME  (field, "--name", "VALUE", help)       "5s", "500ms", "2m"; milliseconds, 0: not given
 * NUMBER(field, "--name", "VALUE", help)       1 and up; 0: not given
 * SENDS (field, "--name", "VALUE VALUE", help) may be given several times
 */
#ifndef WSPUSHD_TOOLS_WSPUSH_OPTIONS_H
#define WSPUSHD_TOOLS_WSPUSH_OPTIONS_H

#include "tools/wspush_buffer.h"
#include "tools/wspush_url.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* clang-format off */
#define OPTIONS(FLAG, TEXT, LIST, TIME, NUMBER, SENDS)                                             \
    TEXT  (user, "--user", "NAME", "add user=NAME to the query (auth none)")                       \
    TEXT  (token, "--token", "JWT", "send Authorization: Bearer JWT")                              \
    LIST  (cookies, "--cookie", "'a=b'", "send a cookie")                                          \
    LIST  (headers, "--header", "'Name: value'", "send a header")                                  \
    FLAG  (json, "--json", "offer push.json.v1 instead of push.bin.v1")                            \
    FLAG  (echo, "--echo", "offer no subprotocol; send and print lines as plain messages")                  \
    SENDS (sends, "--send", "OP PAYLOAD", "send this when the server is ready")                    \
    TIME  (every, "--every", "TIME", "repeat each --send at this interval (1s, 500ms)")           \
    NUMBER(count, "--count", "N", "exit 0 after N messages, not counting HELLO")                    \
    TIME  (timeout, "--timeout", "TIME", "exit 3 if nothing arrives for TIME; with --count, after TIME") \
    FLAG  (quiet, "--quiet", "print only received messages and errors")                        \
    FLAG  (raw, "--raw", "print only received payloads, one per line")                        \
    FLAG  (no_reconnect, "--no-reconnect", "exit when the connection ends")                        \
    FLAG  (insecure, "--insecure", "wss: accept any certificate")                                  \
    FLAG  (version, "--version", "print the version and exit")                                     \
    FLAG  (help, "--help", "print this help and exit")
/* clang-format on */

struct text_list {
    size_t count;
    const char **item; /* borrowed from argv */
};

/* A message that is sent automatically. */
struct send {
    uint32_t op;
    struct buffer payload;
};

struct send_list {
    size_t count;
    struct send *item;
};

struct options {
#define OPTION_FLAG(field, ...)   bool field;
#define OPTION_TEXT(field, ...)   const char *field;
#define OPTION_LIST(field, ...)   struct text_list field;
#define OPTION_TIME(field, ...)   uint64_t field;
#define OPTION_NUMBER(field, ...) uint64_t field;
#define OPTION_SENDS(field, ...)  struct send_list field;
    OPTIONS(OPTION_FLAG, OPTION_TEXT, OPTION_LIST, OPTION_TIME, OPTION_NUMBER, OPTION_SENDS)
#undef OPTION_FLAG
#undef OPTION_TEXT
#undef OPTION_LIST
#undef OPTION_TIME
#undef OPTION_NUMBER
#undef OPTION_SENDS
    struct url url;
};

enum options_result {
    OPTIONS_RUN,   /* connect */
    OPTIONS_DONE,  /* --help or --version was answered */
    OPTIONS_WRONG, /* an error was printed on stderr */
};

/* Fills an all-zero struct from the command line, and checks everything. */
enum options_result options_parse(struct options *options, int argc, char **argv);
void options_free(struct options *options);

#endif

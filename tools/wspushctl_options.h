/*
 * The command line. One table generates the fields of struct ctl_options, the options of
 * getopt_long(3) and --help.
 *
 * TEXT(field, letter or 0, "name", "VALUE", help)
 * FLAG(field, letter or 0, "name", help)
 * NUMBER(field, letter or 0, "name", "VALUE", default, help)    1 and up
 */
#ifndef WSPUSHD_TOOLS_WSPUSHCTL_OPTIONS_H
#define WSPUSHD_TOOLS_WSPUSHCTL_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* clang-format off */
#define CTL_OPTIONS(TEXT, FLAG, NUMBER)                                                             \
    TEXT  (admin, 0, "admin", "ADDR", "address of the admin interface: host:port or unix:/path")               \
    TEXT  (conf, 'c', "conf", "FILE", "read the address and the token from this push.conf (`admin`, `admin_token`)") \
    TEXT  (token_file, 0, "token-file", "FILE", "read the admin token from this file (default: $WSPUSHD_ADMIN_TOKEN)") \
    FLAG  (json, 0, "json", "print the server's answer unchanged")                              \
    NUMBER(timeout, 0, "timeout", "SECONDS", 60, "how long reload, upgrade and drain may take (60)") \
    FLAG  (restart, 0, "restart", "drain: tell clients that the server will restart (1012)")          \
    NUMBER(every, 0, "every", "SECONDS", 1, "top: time between two updates (1)")                   \
    NUMBER(count, 0, "count", "N", 0, "top: exit after N updates")                                     \
    FLAG  (help, 'h', "help", "print this help")                                                         \
    FLAG  (version, 'V', "version", "print the version")
/* clang-format on */

struct ctl_options {
#define CTL_FIELD_TEXT(field, ...)   const char *field;
#define CTL_FIELD_FLAG(field, ...)   bool field;
#define CTL_FIELD_NUMBER(field, ...) uint32_t field;
    CTL_OPTIONS(CTL_FIELD_TEXT, CTL_FIELD_FLAG, CTL_FIELD_NUMBER)
#undef CTL_FIELD_TEXT
#undef CTL_FIELD_FLAG
#undef CTL_FIELD_NUMBER
};

/* Fills an all-zero struct. Options may be given before and after the command and its arguments,
 * which are moved behind them. Returns the index of the command, or -1 after printing an error. */
int ctl_options_parse(struct ctl_options *options, int argc, char **argv);

void ctl_options_describe(FILE *out);

#endif

/*
 * The output. Frames go to stdout, one line each:
 *
 *   21:07:16.123 ← 1 HELLO        87 B  ready: connection 1a2b, user 42, node a, heartbeat 25 s
 *   21:07:17.004 → 110             5 B  hello
 *
 * Messages about the connection go to stderr. Text from the server is printed only through
 * text_escape(), except with --raw into a pipe or file.
 */
#ifndef WSPUSHD_TOOLS_WSPUSH_PRINT_H
#define WSPUSHD_TOOLS_WSPUSH_PRINT_H

#include "tools/wspush_options.h"

#include <stdbool.h>
#include <stddef.h>

#include "proto/message.h"

enum direction { RECEIVED, SENT };

/* Chooses colours and omissions by the options, which it does not borrow. */
void print_open(const struct options *options);

/* Prints a message with an opcode. */
void print_message(enum direction direction, const struct message *message);

/* Prints any other frame: `kind` is "text", "binary", "ping", "pong". */
void print_plain(enum direction direction, const char *kind, const void *bytes, size_t len);

/* Print the state of the connection (omitted with --quiet and --raw) and errors. The arguments are
 * already escaped. */
void print_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void print_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Flushes stdout. Returns false once its reader has closed it. */
bool print_flush(void);

#endif

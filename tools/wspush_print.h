/*
 * What the user sees. Frames go to stdout, one line each:
 *
 *   21:07:16.123 ← 1 HELLO        87 B  ready: connection 1a2b, user 42, node a, heartbeat 25 s
 *   21:07:17.004 → 110             5 B  hello
 *
 * and what happens to the connection goes to stderr. Nothing that came from outside is printed but
 * through text_escape, except with --raw into a pipe or file.
 */
#ifndef WSPUSHD_TOOLS_WSPUSH_PRINT_H
#define WSPUSHD_TOOLS_WSPUSH_PRINT_H

#include "tools/wspush_options.h"

#include <stdbool.h>
#include <stddef.h>

#include "proto/message.h"

enum direction { RECEIVED, SENT };

/* Decides about colours and what is left out. Borrows nothing. */
void print_open(const struct options *options);

/* A message with an opcode. */
void print_message(enum direction direction, const struct message *message);

/* Any other frame: `kind` is "text", "binary", "ping", "pong". */
void print_plain(enum direction direction, const char *kind, const void *bytes, size_t len);

/* How the connection fares (left out with --quiet and --raw), and what went wrong. What is passed
 * in has been escaped. */
void print_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void print_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Writes what is still buffered for stdout; false once nobody reads there any more. */
bool print_flush(void);

#endif

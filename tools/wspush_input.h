/*
 * What is typed: lines from stdin, each one command.
 */
#ifndef WSPUSHD_TOOLS_WSPUSH_INPUT_H
#define WSPUSHD_TOOLS_WSPUSH_INPUT_H

#include "tools/wspush_buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* X(NAME, "/word", "arguments", help) */
#define COMMANDS(X)                                                        \
    X(PING, "/ping", "[TEXT]", "send a WebSocket ping")                    \
    X(CLOSE, "/close", "[CODE [REASON]]", "close the connection and exit") \
    X(QUIT, "/quit", "", "the same with code 1000")                        \
    X(HELP, "/help", "", "show this list")

enum command_kind {
    COMMAND_NOTHING, /* an empty line */
    COMMAND_MISTAKE, /* `mistake` says which */
    COMMAND_MESSAGE, /* `op` and `payload` */
#define COMMAND_ENUM(name, word, args, help) COMMAND_##name,
    COMMANDS(COMMAND_ENUM)
#undef COMMAND_ENUM
};

struct command {
    enum command_kind kind;
    uint32_t op;
    uint16_t code;         /* CLOSE */
    struct buffer payload; /* MESSAGE; the text of PING, the reason of CLOSE */
    const char *mistake;
};

/* Reads one line (without its newline, NUL-terminated). With `echo` a line that is no command is
 * the text to send; otherwise it is an opcode and a payload. "//x" is the text "/x" there. Fills an
 * all-zero command, whose payload the caller frees. */
void command_parse(struct command *command, const char *line, bool echo);

/* Prints the list of what can be typed. */
void commands_describe(FILE *out);

/* The opcode that the `len` bytes at `text` spell in decimal; false where none. Any number of 32
 * bits, to see what the server makes of it. */
bool opcode_parse(const char *text, size_t len, uint32_t *op);

/* Appends the payload that `text` stands for: "@file" a file's bytes, "hex:00ff" those bytes,
 * "text:..." and anything else the text itself. Returns NULL, or what is wrong. */
const char *payload_parse(struct buffer *out, const char *text);

/* Lines from stdin. A line that cannot be obeyed yet stays the next one, and then nothing further
 * needs to be read. */
struct input {
    struct buffer text;
    size_t line; /* bytes of the line that waits, with its newline; 0: none */
    bool eof;    /* nothing more will come; lines may still wait in `text` */
};

/* Reads once from stdin; where the end is reached, sets eof. */
void input_read(struct input *input);

/* The next whole line as a C string (at the end of input also an unfinished one), NULL where none.
 * It stays the next until input_next. */
const char *input_line(struct input *input);
void input_next(struct input *input);

#endif

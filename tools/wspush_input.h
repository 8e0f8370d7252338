/*
 * Typed lines: each line from stdin is one command.
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
    X(QUIT, "/quit", "", "close the connection with code 1000 and exit")   \
    X(HELP, "/help", "", "show this list")

enum command_kind {
    COMMAND_NOTHING, /* an empty line */
    COMMAND_MISTAKE, /* an error: `mistake` describes it */
    COMMAND_MESSAGE, /* `op` and `payload` */
#define COMMAND_ENUM(name, word, args, help) COMMAND_##name,
    COMMANDS(COMMAND_ENUM)
#undef COMMAND_ENUM
};

struct command {
    enum command_kind kind;
    uint32_t op;
    uint16_t code;         /* CLOSE */
    struct buffer payload; /* of MESSAGE; the text of PING, the reason of CLOSE */
    const char *mistake;
};

/* Parses one line (NUL-terminated, without its newline). With `echo`, a line that is not a command
 * is the text to send; otherwise it is an opcode and a payload. With `echo`, "//x" is the text
 * "/x". Fills an all-zero command; the caller frees its payload. */
void command_parse(struct command *command, const char *line, bool echo);

/* Prints the list of commands. */
void commands_describe(FILE *out);

/* Parses the `len` bytes at `text` as a decimal opcode. Returns false if they are not a number.
 * Accepts any 32-bit number, so that the server's answer to it can be tested. */
bool opcode_parse(const char *text, size_t len, uint32_t *op);

/* Appends the payload for `text`: "@file" is the content of a file, "hex:00ff" those bytes,
 * "text:..." or anything else the text itself. Returns NULL, or a description of the error. */
const char *payload_parse(struct buffer *out, const char *text);

/* Lines from stdin. A line that cannot be executed yet remains the next one, and nothing further is
 * read until then. */
struct input {
    struct buffer text;
    size_t line; /* length of the pending line with its newline; 0: none */
    bool eof;    /* end of input; `text` may still have lines */
};

/* Reads once from stdin; sets eof at its end. */
void input_read(struct input *input);

/* Returns the next complete line (at the end of input also an incomplete one) as a C string, or
 * NULL. It remains the next line until input_next(). */
const char *input_line(struct input *input);
void input_next(struct input *input);

#endif

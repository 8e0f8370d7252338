/*
 * Converts bytes from outside to text that is safe to print: the terminal never interprets any part
 * of it.
 */
#ifndef WSPUSHD_TOOLS_WSPUSH_TEXT_H
#define WSPUSHD_TOOLS_WSPUSH_TEXT_H

#include "tools/wspush_buffer.h"

#include "proto/json.h"
#include "proto/message.h"

enum { HEX_MOST = 256 };

/* Appends the bytes. UTF-8 stays as it is, except for control characters, characters that change
 * the direction of writing, and invisible separators, which become \n, \x1b, \u202e; bytes that are
 * not UTF-8 become \xff. A backslash in the text is not doubled, so that JSON remains readable. */
void text_escape(struct buffer *out, const void *bytes, size_t len);

/* Appends valid UTF-8 as text_escape() does, anything else as "hex 00ff...", cut at HEX_MOST bytes
 * with the number of remaining bytes. */
void text_payload(struct buffer *out, const void *bytes, size_t len);

/* Appends the content of a JSON string, or a number or object as it is, escaped; nothing for
 * JSON_TYPE_NONE. */
void text_json(struct buffer *out, const struct json_value *value);

/* Returns member `name` of the object in text[0..len): JSON_TYPE_NONE if it is absent or the text
 * is not an object. */
struct json_value json_member(const char *text, size_t len, const char *name);

/* Appends a system message in words ("ready: user 42, ..."). Returns false, and appends nothing, if
 * the opcode has no words or its payload is invalid. */
bool text_system_message(struct buffer *out, const struct message *message);

#endif

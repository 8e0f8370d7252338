/*
 * Bytes from outside as text that is safe to print: nothing in them reaches the terminal as a
 * command.
 */
#ifndef WSPUSHD_TOOLS_WSPUSH_TEXT_H
#define WSPUSHD_TOOLS_WSPUSH_TEXT_H

#include "tools/wspush_buffer.h"

#include "proto/json.h"
#include "proto/message.h"

enum { HEX_MOST = 256 };

/* Appends the bytes: UTF-8 as it stands but for control characters, those that turn the direction
 * of writing, and invisible separators, which are written \n, \x1b, \u202e; bytes that are no
 * UTF-8 as \xff. A backslash of the text's own stays single, so that JSON reads as JSON. */
void text_escape(struct buffer *out, const void *bytes, size_t len);

/* Appends valid UTF-8 as text_escape does, anything else as "hex 00ff...", cut at HEX_MOST bytes
 * with the rest counted. */
void text_payload(struct buffer *out, const void *bytes, size_t len);

/* Appends what a JSON string says, or the number or object as it stands, escaped; nothing for
 * JSON_TYPE_NONE. */
void text_json(struct buffer *out, const struct json_value *value);

/* The member `name` of the object in text[0..len): JSON_TYPE_NONE where there is none, or no
 * object. */
struct json_value json_member(const char *text, size_t len, const char *name);

/* A system message in words ("ready: user 42, ..."). False, and nothing appended, where there are
 * none for the opcode or its payload is not as it should be. */
bool text_system_message(struct buffer *out, const struct message *message);

#endif

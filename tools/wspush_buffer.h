/*
 * A growing array of bytes, for input and output that is pending. All zero is an empty buffer. The
 * program exits if memory runs out, because an interactive tool has nothing to save.
 */
#ifndef WSPUSHD_TOOLS_WSPUSH_BUFFER_H
#define WSPUSHD_TOOLS_WSPUSH_BUFFER_H

#include <stddef.h>
#include <stdint.h>

struct buffer {
    uint8_t *at;
    size_t len;
    size_t room; /* allocated bytes */
};

/* Makes room for `len` more bytes and returns its start; buffer_grew() then adds the number of
 * bytes written. */
void *buffer_space(struct buffer *buffer, size_t len);
void buffer_grew(struct buffer *buffer, size_t len);

void buffer_append(struct buffer *buffer, const void *bytes, size_t len);
void buffer_text(struct buffer *buffer, const char *text);
void buffer_format(struct buffer *buffer, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Removes the first `len` bytes. */
void buffer_drop(struct buffer *buffer, size_t len);

/* Returns the bytes as a C string: a NUL follows them that is not counted. */
const char *buffer_string(struct buffer *buffer);

void buffer_clear(struct buffer *buffer); /* keeps the memory */
void buffer_free(struct buffer *buffer);

#endif

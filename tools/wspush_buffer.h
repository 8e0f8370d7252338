/*
 * A growing run of bytes, for what waits to be read, sent or printed. All zero is an empty one.
 * Where memory runs out the program ends: a tool for one person has nothing to save.
 */
#ifndef WSPUSHD_TOOLS_WSPUSH_BUFFER_H
#define WSPUSHD_TOOLS_WSPUSH_BUFFER_H

#include <stddef.h>
#include <stdint.h>

struct buffer {
    uint8_t *at;
    size_t len;
    size_t room; /* bytes allocated */
};

/* Makes room for `len` further bytes and returns where they go; buffer_grew then counts those
 * that were written. */
void *buffer_space(struct buffer *buffer, size_t len);
void buffer_grew(struct buffer *buffer, size_t len);

void buffer_append(struct buffer *buffer, const void *bytes, size_t len);
void buffer_text(struct buffer *buffer, const char *text);
void buffer_format(struct buffer *buffer, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Removes the first `len` bytes. */
void buffer_drop(struct buffer *buffer, size_t len);

/* The bytes as a C string: a NUL is kept behind them and not counted. */
const char *buffer_string(struct buffer *buffer);

void buffer_clear(struct buffer *buffer); /* keeps the memory */
void buffer_free(struct buffer *buffer);

#endif

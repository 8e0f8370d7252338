/*
 * A growing array of bytes. Its size doubles, so that the cost of appending does not depend on its
 * length. It has no limit of its own; callers enforce limits.
 */
#include "tools/wspush_buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *buffer_space(struct buffer *buffer, size_t len)
{
    if (buffer->room - buffer->len < len) {
        size_t room = buffer->room * 2 < 256 ? 256 : buffer->room * 2;
        if (room < buffer->len + len)
            room = buffer->len + len;
        uint8_t *at = realloc(buffer->at, room);
        if (at == NULL) {
            perror("wspush");
            exit(EXIT_FAILURE);
        }
        buffer->at = at;
        buffer->room = room;
    }
    return buffer->at + buffer->len;
}

void buffer_grew(struct buffer *buffer, size_t len)
{
    buffer->len += len;
}

void buffer_append(struct buffer *buffer, const void *bytes, size_t len)
{
    if (len == 0) /* memcpy must not get NULL, not even for 0 bytes */
        return;
    memcpy(buffer_space(buffer, len), bytes, len);
    buffer_grew(buffer, len);
}

void buffer_text(struct buffer *buffer, const char *text)
{
    buffer_append(buffer, text, strlen(text));
}

void buffer_format(struct buffer *buffer, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (len < 0)
        return;
    char *out = buffer_space(buffer, (size_t)len + 1);
    va_start(args, fmt);
    vsnprintf(out, (size_t)len + 1, fmt, args);
    va_end(args);
    buffer_grew(buffer, (size_t)len);
}

void buffer_drop(struct buffer *buffer, size_t len)
{
    if (len == 0)
        return;
    buffer->len -= len;
    memmove(buffer->at, buffer->at + len, buffer->len);
}

const char *buffer_string(struct buffer *buffer)
{
    *(char *)buffer_space(buffer, 1) = '\0';
    return (const char *)buffer->at;
}

void buffer_clear(struct buffer *buffer)
{
    buffer->len = 0;
}

void buffer_free(struct buffer *buffer)
{
    free(buffer->at);
    *buffer = (struct buffer){0};
}

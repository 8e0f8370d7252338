/*
 * Incremental UTF-8 validation (RFC 3629): overlong forms, surrogates and code points above
 * U+10FFFF are rejected at the first byte that cannot continue.
 */
#ifndef WSPUSHD_PROTO_UTF8_H
#define WSPUSHD_PROTO_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UTF8_ACCEPT = 0, UTF8_REJECT = 1 };

/* Feeds `len` bytes to the automaton in state `state` (initially UTF8_ACCEPT) and returns its new
 * state: UTF8_ACCEPT at the end of a code point, UTF8_REJECT permanently after an invalid byte,
 * another value within a code point. Runs of ASCII are processed a block at a time. */
uint32_t utf8_feed(uint32_t state, const void *bytes, size_t len);

/* True if the bytes are complete, valid UTF-8. */
bool utf8_valid(const void *bytes, size_t len);

/* True if valid UTF-8 contains a control character of Unicode: C0, DEL or C1. */
bool utf8_has_control(const void *bytes, size_t len);

#endif

/* Base64 (RFC 4648): the standard alphabet (§4) for handshake keys and for binary payloads in JSON,
 * the URL alphabet (§5) for tokens. */
#ifndef WSPUSHD_PROTO_BASE64_H
#define WSPUSHD_PROTO_BASE64_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The number of characters that base64_encode() writes for `len` bytes, without a terminator. */
#define BASE64_ENCODED(len) (((len) + 2) / 3 * 4)
/* The largest number of bytes that base64_decode() writes for `len` characters. */
#define BASE64_DECODED(len) ((len) / 4 * 3)

/* Writes BASE64_ENCODED(len) characters to `out` and returns their number. */
size_t base64_encode(char *out, const void *bytes, size_t len);

/* Decodes `len` characters: with padding, without white space, unused bits zero. Returns the number
 * of bytes written to `out`, or -1 if the text is not base64. `out` may be the text itself. */
ssize_t base64_decode(void *out, const char *text, size_t len);

/* As base64_decode(), but for the URL alphabet without padding (RFC 7515 §2). */
ssize_t base64url_decode(void *out, const char *text, size_t len);

#endif

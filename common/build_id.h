/*
 * Which binary this is: the id that the linker (ld --build-id) has put into it, and by which
 * debuggers and `readelf -n` know it.
 */
#ifndef WSPUSHD_COMMON_BUILD_ID_H
#define WSPUSHD_COMMON_BUILD_ID_H

#include <stdint.h>

enum { BUILD_ID_SIZE = 20, BUILD_ID_TEXT = 2 * BUILD_ID_SIZE + 1 };

/* Copies the running program's id; all 0 where it has none, padded with 0 where it is shorter. */
void build_id(uint8_t out[BUILD_ID_SIZE]);

/* In hex, NUL-terminated. */
void build_id_text(const uint8_t id[BUILD_ID_SIZE], char out[BUILD_ID_TEXT]);

#endif

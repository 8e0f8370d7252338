/*
 * The build id of the running binary: the linker (ld --build-id) stores it in the file, and
 * debuggers and `readelf -n` identify the binary by it.
 */
#ifndef WSPUSHD_COMMON_BUILD_ID_H
#define WSPUSHD_COMMON_BUILD_ID_H

#include <stdint.h>

enum { BUILD_ID_SIZE = 20, BUILD_ID_TEXT = 2 * BUILD_ID_SIZE + 1 };

/* Copies the running program's id to `out`, padded with zeros; all zeros if it has none. */
void build_id(uint8_t out[BUILD_ID_SIZE]);

/* Writes the id in hex to `out`, NUL-terminated. */
void build_id_text(const uint8_t id[BUILD_ID_SIZE], char out[BUILD_ID_TEXT]);

#endif

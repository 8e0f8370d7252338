/*
 * A short text that one process writes and any may read: why something does not work.
 *
 *   +---------+----------------------------+
 *   | version | text, NUL-terminated       |   version is odd while the text is being written
 *   +---------+----------------------------+
 *
 * A writer that dies in between leaves an odd version; then there is no text until the next one is
 * written.
 */
#ifndef WSPUSHD_SHM_TROUBLE_H
#define WSPUSHD_SHM_TROUBLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TROUBLE_WORDS = 40, TROUBLE_TEXT_MAX = TROUBLE_WORDS * 8 /* bytes, with the NUL */ };

struct trouble {
    _Atomic uint32_t version;
    uint32_t reserved;
    _Atomic uint64_t text[TROUBLE_WORDS];
};

/* Writes a text, cut to TROUBLE_TEXT_MAX - 1 bytes; "" means that all is well. */
void trouble_set(struct trouble *trouble, const char *text);

/* Copies the text. Returns false, with "" in `text`, if there is none or it could not be read. */
bool trouble_get(const struct trouble *trouble, char text[TROUBLE_TEXT_MAX]);

#endif

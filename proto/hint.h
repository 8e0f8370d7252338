/*
 * Guesses what an unknown name, such as "paylod" or "opcode", was meant to be.
 */
#ifndef WSPUSHD_PROTO_HINT_H
#define WSPUSHD_PROTO_HINT_H

#include <stddef.h>

/* The list of known member names. */
struct names {
    const char *const *at;
    size_t count;
};

/* Returns the known name that `name` probably stands for: one that differs from it by a letter or
 * two, or whose synonym it is. Returns NULL if there is none. */
const char *hint_for(const char *name, size_t len, const struct names *known);

#endif

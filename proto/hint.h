/*
 * What may have been meant by a name that nobody knows: "paylod", "opcode".
 */
#ifndef WSPUSHD_PROTO_HINT_H
#define WSPUSHD_PROTO_HINT_H

#include <stddef.h>

/* A list of the names that an object may have. */
struct names {
    const char *const *at;
    size_t count;
};

/* Returns the one of the known names that `name` may have meant: one that differs from it by a
 * letter or two, or that others call so. NULL if there is none. */
const char *hint_for(const char *name, size_t len, const struct names *known);

#endif

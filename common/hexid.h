/*
 * Names made of numbers, as connections and tickets have them: "d84ab655-1a-0". Hexadecimal, lower
 * case, without leading zeros, so that each has one name.
 */
#ifndef WSPUSHD_COMMON_HEXID_H
#define WSPUSHD_COMMON_HEXID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether the text is such a name of exactly `count` numbers, which go to `numbers`. */
bool hexid_parse(const char *text, size_t len, uint32_t *numbers, size_t count);

#endif

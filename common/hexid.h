/*
 * Ids of connections and tickets: hexadecimal numbers joined by hyphens, "d84ab655-1a-0". They are
 * lower case and without leading zeros, so that equal ids are equal texts.
 */
#ifndef WSPUSHD_COMMON_HEXID_H
#define WSPUSHD_COMMON_HEXID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True if the text is an id of exactly `count` numbers, which are stored in `numbers`. */
bool hexid_parse(const char *text, size_t len, uint32_t *numbers, size_t count);

#endif

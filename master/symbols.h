/*
 * Finds the functions of addresses in a backtrace.
 */
#ifndef WSPUSHD_MASTER_SYMBOLS_H
#define WSPUSHD_MASTER_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

/*
 * Writes the name of an address to `out`: "link_route(wspushd+0x1c5aa)", the function if it is
 * known, the file, and the offset for `addr2line -e`. `address` is one of this process or of a
 * worker, whose libraries are mapped at the same addresses. Always NUL-terminates. Returns the
 * length.
 */
size_t symbols_name(uint64_t address, char *out, size_t size);

#endif

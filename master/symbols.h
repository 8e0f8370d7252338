/*
 * Names for addresses in a backtrace.
 */
#ifndef WSPUSHD_MASTER_SYMBOLS_H
#define WSPUSHD_MASTER_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

/*
 * "link_route(wspushd+0x1c5aa)": the function, where one is known, and its file with the offset
 * that `addr2line -e` takes. `address` is one of this process or of a worker, which has everything
 * mapped where the master has it. Always NUL-terminates; returns the bytes written.
 */
size_t symbols_name(uint64_t address, char *out, size_t size);

#endif

/*
 * The files of the server's pages, compiled in by scripts/embed, and the security policy of every
 * page.
 */
#ifndef WSPUSHD_WORKER_EMBEDDED_H
#define WSPUSHD_WORKER_EMBEDDED_H

#include <stddef.h>
#include <stdint.h>

struct embedded_file {
    const char *name, *type;
    const uint8_t *bytes;
    size_t len;
};

extern const struct embedded_file console_files[];
extern const size_t console_file_count;

extern const struct embedded_file dashboard_files[];
extern const size_t dashboard_file_count;

/* A page loads from its own server only, and connects to no other; a script injected through
 * displayed data would not run. */
#define PAGE_POLICY                                                                         \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src " \
    "'self'; "                                                                              \
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

#endif

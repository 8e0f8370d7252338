/*
 * The output of wspushctl: escaped text, readable numbers and times, aligned tables, colours.
 */
#ifndef WSPUSHD_TOOLS_WSPUSHCTL_TEXT_H
#define WSPUSHD_TOOLS_WSPUSHCTL_TEXT_H

#include <stddef.h>
#include <stdio.h>

#define BOLD   "\033[1m"
#define DIM    "\033[2m"
#define RED    "\033[31m"
#define GREEN  "\033[32m"
#define YELLOW "\033[33m"
#define PLAIN  "\033[0m"

/* Returns the escape code, or "" if the stream is not a terminal or NO_COLOR (no-color.org) is set.
 */
const char *paint(FILE *stream, const char *code);

/* Each of these returns one of eight static buffers: use the result in the same printf(). */
const char *safe_text(const char *text, size_t len); /* escaped, cut at 1,023 bytes */
const char *grouped(long long number);               /* 1,234,567 */
const char *duration(long long seconds);             /* 3 d 4 h; 5 min 3 s; 12 s */
const char *local_time(long long unix_s);            /* 2026-11-23 00:21:07 */

/*
 * A table whose columns are as wide as their widest cell. `shape` has an l (left) or r (right) for
 * the alignment of each column. The first row is the heading.
 *
 *     struct table table = table_begin("rl");
 *     table_row(&table, "worker\tlink");
 *     table_row(&table, "%d\t%s", 0, "up");
 *     table_print(&table);
 */
enum { TABLE_COLUMNS = 8 };
struct table {
    const char *shape;
    char **row;
    size_t rows;
};
struct table table_begin(const char *shape);
void table_row(struct table *table, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void table_print(struct table *table); /* also frees it */

#endif

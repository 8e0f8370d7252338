/* Results as a table and as JSON. */
#ifndef WSPUSHD_TOOLS_BENCH_REPORT_H
#define WSPUSHD_TOOLS_BENCH_REPORT_H

#include "tools/bench_run.h"

struct json_t;

/* Prints the head of the table, then for each result its row and the lines below it. */
void report_begin(const struct options *options);
void report_result(const struct result *result, const struct options *options);

/* Returns a result as JSON, and writes the file of --json: begin, each result, end. Returns false
 * with errno if it cannot be written. */
struct json_t *report_json(const struct result *result, const struct options *options);
bool report_write(const char *path, const struct json_t *results);

#endif

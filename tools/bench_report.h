/* Results, for people and for programs. */
#ifndef WSPUSHD_TOOLS_BENCH_REPORT_H
#define WSPUSHD_TOOLS_BENCH_REPORT_H

#include "tools/bench_run.h"

struct json_t;

/* The head of the table; then for each result its row, and below it what has no column. */
void report_begin(const struct options *options);
void report_result(const struct result *result, const struct options *options);

/* Everything as JSON, to the file of --json: begin, each result, end. False with errno where it
 * cannot be written. */
struct json_t *report_json(const struct result *result, const struct options *options);
bool report_write(const char *path, const struct json_t *results);

#endif

/*
 * Text for the terminal. The width of a cell is counted in characters; no table contains
 * double-width characters such as Chinese ones.
 */
#include "tools/wspushctl_text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/wspush_text.h"

enum { TEXTS = 8, TEXT_MAX = 1024 };

/* Returns the next of the static buffers. */
static char *next_text_buffer(void)
{
    static char text[TEXTS][TEXT_MAX];
    static size_t next;
    return text[next++ % TEXTS];
}

const char *paint(FILE *stream, const char *code)
{
    const char *no_color = getenv("NO_COLOR");
    return isatty(fileno(stream)) && (!no_color || !*no_color) ? code : "";
}

const char *safe_text(const char *text, size_t len)
{
    char *out = next_text_buffer();
    struct buffer safe = {0};
    text_escape(&safe, text, len);
    snprintf(out, TEXT_MAX, "%s", buffer_string(&safe));
    buffer_free(&safe);
    return out;
}

const char *grouped(long long number)
{
    char digits[32], *out = next_text_buffer(), *to = out;
    const int len = snprintf(digits, sizeof(digits), "%lld", number);
    for (int i = 0; i < len; i++) {
        *to++ = digits[i];
        if ((len - i) % 3 == 1 && i + 1 < len && digits[i] != '-')
            *to++ = ',';
    }
    *to = '\0';
    return out;
}

const char *duration(long long seconds)
{
    static const struct {
        long long seconds;
        const char *name;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    enum { LAST = sizeof(units) / sizeof(units[0]) - 1 };
    char *out = next_text_buffer();
    size_t unit = 0;
    while (unit < LAST && seconds < units[unit].seconds)
        unit++;
    const int len =
        snprintf(out, TEXT_MAX, "%lld %s", seconds / units[unit].seconds, units[unit].name);
    if (unit < LAST)
        snprintf(out + len, TEXT_MAX - (size_t)len, " %lld %s",
                 seconds % units[unit].seconds / units[unit + 1].seconds, units[unit + 1].name);
    return out;
}

const char *local_time(long long unix_s)
{
    const time_t time = (time_t)unix_s;
    struct tm tm;
    char *out = next_text_buffer();
    localtime_r(&time, &tm);
    strftime(out, TEXT_MAX, "%Y-%m-%d %H:%M:%S", &tm);
    return out;
}

/* ---- Tables ---- */

struct table table_begin(const char *shape)
{
    return (struct table){.shape = shape};
}

void table_row(struct table *table, const char *fmt, ...)
{
    va_list args;
    char **row = reallocarray(table->row, table->rows + 1, sizeof(*row));
    if (!row)
        abort();
    table->row = row;
    va_start(args, fmt);
    if (vasprintf(&row[table->rows++], fmt, args) == -1)
        abort();
    va_end(args);
}

/* Returns the length of the cell at `at`, which ends at a tab or at the end of the string. */
static size_t measure_cell_bytes(const char *at)
{
    return strcspn(at, "\t");
}
static size_t measure_cell_width(const char *at, size_t bytes)
{
    size_t width = 0;
    for (size_t i = 0; i < bytes; i++)
        width += ((unsigned char)at[i] & 0xc0) != 0x80;
    return width;
}

static void measure_table_columns(const struct table *table, size_t width[TABLE_COLUMNS])
{
    for (size_t i = 0; i < table->rows; i++) {
        const char *at = table->row[i];
        for (size_t column = 0; table->shape[column]; column++) {
            const size_t bytes = measure_cell_bytes(at), cell = measure_cell_width(at, bytes);
            if (cell > width[column])
                width[column] = cell;
            at += bytes + (at[bytes] == '\t');
        }
    }
}

static void print_table_row(const char *row, const char *shape, const size_t width[TABLE_COLUMNS])
{
    for (size_t column = 0; shape[column]; column++) {
        const size_t bytes = measure_cell_bytes(row);
        const int pad = (int)(width[column] - measure_cell_width(row, bytes));
        const bool last = shape[column + 1] == '\0';
        printf("  %*s%.*s%*s", shape[column] == 'r' ? pad : 0, "", (int)bytes, row,
               shape[column] == 'l' && !last ? pad : 0, "");
        row += bytes + (row[bytes] == '\t');
    }
}

void table_print(struct table *table)
{
    size_t width[TABLE_COLUMNS] = {0};
    measure_table_columns(table, width);
    for (size_t i = 0; i < table->rows; i++) {
        printf("%s", i == 0 ? paint(stdout, DIM) : "");
        print_table_row(table->row[i], table->shape, width);
        printf("%s\n", i == 0 ? paint(stdout, PLAIN) : "");
        free(table->row[i]);
    }
    free(table->row);
    *table = (struct table){0};
}

/*
 * Parses the command line by the table in wspushctl_options.h with getopt_long(3). Only the syntax
 * of numbers is checked here; the code that uses an option checks its meaning.
 */
#include "tools/wspushctl_options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdlib.h>

enum kind { KIND_TEXT, KIND_FLAG, KIND_NUMBER };

static const struct row {
    const char *name, *value, *help;
    enum kind kind;
    char letter;
    size_t field; /* offset in struct ctl_options */
} rows[] = {
#define AT(field) offsetof(struct ctl_options, field)
#define ROW_TEXT(field, letter, name, value, help) \
    {name, value, help, KIND_TEXT, letter, AT(field)},
#define ROW_FLAG(field, letter, name, help) {name, "", help, KIND_FLAG, letter, AT(field)},
#define ROW_NUMBER(field, letter, name, value, initial, help) \
    {name, value, help, KIND_NUMBER, letter, AT(field)},
    CTL_OPTIONS(ROW_TEXT, ROW_FLAG, ROW_NUMBER)
#undef ROW_TEXT
#undef ROW_FLAG
#undef ROW_NUMBER
#undef AT
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]), FIRST_LONG = 256 /* larger than any letter */ };

static void set_ctl_defaults(struct ctl_options *options)
{
#define DEFAULT_NONE(...)
#define DEFAULT_NUMBER(field, letter, name, value, initial, help) options->field = (initial);
    CTL_OPTIONS(DEFAULT_NONE, DEFAULT_NONE, DEFAULT_NUMBER)
#undef DEFAULT_NONE
#undef DEFAULT_NUMBER
}

static bool set_ctl_number(uint32_t *field, const char *text)
{
    char *end;
    errno = 0;
    const unsigned long value = strtoul(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || errno || value == 0 || value > 1000000)
        return false;
    *field = (uint32_t)value;
    return true;
}

static bool set_ctl_option(struct ctl_options *options, const struct row *row, const char *value)
{
    void *field = (char *)options + row->field;
    switch (row->kind) {
    case KIND_TEXT:
        *(const char **)field = value;
        return true;
    case KIND_FLAG:
        *(bool *)field = true;
        return true;
    case KIND_NUMBER:
        if (set_ctl_number(field, value))
            return true;
        fprintf(stderr, "wspushctl: --%s: expected a number from 1 to 1000000\n", row->name);
        return false;
    }
    return false;
}

/* Converts the table to the form of getopt_long(3). */
static void make_getopt_tables(struct option longs[ROWS + 1], char letters[2 * ROWS + 1])
{
    for (size_t i = 0; i < ROWS; i++) {
        const int argument = rows[i].kind == KIND_FLAG ? no_argument : required_argument;
        longs[i] = (struct option){rows[i].name, argument, NULL, FIRST_LONG + (int)i};
        if (!rows[i].letter)
            continue;
        *letters++ = rows[i].letter;
        if (argument == required_argument)
            *letters++ = ':';
    }
    longs[ROWS] = (struct option){0};
    *letters = '\0';
}

static const struct row *find_ctl_option(int got)
{
    for (size_t i = 0; i < ROWS; i++)
        if (got == FIRST_LONG + (int)i || (rows[i].letter && got == rows[i].letter))
            return &rows[i];
    return NULL;
}

int ctl_options_parse(struct ctl_options *options, int argc, char **argv)
{
    struct option longs[ROWS + 1];
    char letters[2 * ROWS + 1];
    int got;

    set_ctl_defaults(options);
    make_getopt_tables(longs, letters);
    while ((got = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        const struct row *row = find_ctl_option(got);
        if (!row || !set_ctl_option(options, row, optarg)) {
            fprintf(stderr, "Try 'wspushctl --help'.\n");
            return -1;
        }
    }
    return optind;
}

void ctl_options_describe(FILE *out)
{
    for (size_t i = 0; i < ROWS; i++) {
        char call[64];
        if (rows[i].letter)
            snprintf(call, sizeof(call), "-%c, --%s %s", rows[i].letter, rows[i].name,
                     rows[i].value);
        else
            snprintf(call, sizeof(call), "--%s %s", rows[i].name, rows[i].value);
        fprintf(out, "  %-20s  %s\n", call, rows[i].help);
    }
}

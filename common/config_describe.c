/*
 * Prints the table of push.conf's keys: `wspushd -k`. Each column is as wide as its widest entry,
 * so a new key needs no change here.
 */
#include "common/config_internal.h"

#include <stdio.h>
#include <string.h>

enum { COLUMNS = 4, TEXT_MAX = 160 };

struct row {
    char text[COLUMNS][TEXT_MAX];
    const char *help;
};

static const struct row headings = {{"KEY", "DEFAULT", "BOUNDS", "CHANGED BY"}, "MEANING"};

static void write_bounds_text(const struct config_key *key, char *out, size_t size)
{
    switch (key->kind) {
    case KEY_INT:
        snprintf(out, size, "%ld to %ld %s", key->least, key->most, key->unit);
        break;
    case KEY_BOOL:
        snprintf(out, size, "true or false");
        break;
    case KEY_STR:
        snprintf(out, size, "text");
        break;
    case KEY_ENUM:
        config_words_text(key->words, " | ", out, size);
        break;
    case KEY_LIST:
        snprintf(out, size, "list of texts");
        break;
    }
}

static struct row make_key_row(const struct config_section *section, const struct config_key *key)
{
    struct row row = {.help = key->help};
    const bool root = section == &config_sections[SECTION_ROOT];

    snprintf(row.text[0], TEXT_MAX, "%s%s%s%s", root ? "" : section->name,
             section->titled ? " N" : "", root ? "" : ".", key->name);
    config_default_text(key, row.text[1], TEXT_MAX);
    write_bounds_text(key, row.text[2], TEXT_MAX);
    snprintf(row.text[3], TEXT_MAX, "%s", key->change == RESTART ? "restart" : "reload");
    return row;
}

static void widen_columns(int width[COLUMNS], const struct row *row)
{
    for (int i = 0; i < COLUMNS; i++)
        if ((int)strlen(row->text[i]) > width[i])
            width[i] = (int)strlen(row->text[i]);
}

static void print_table_row(FILE *out, const int width[COLUMNS], const struct row *row)
{
    for (int i = 0; i < COLUMNS; i++)
        fprintf(out, "%-*s  ", width[i], row->text[i]);
    fprintf(out, "%s\n", row->help);
}

void config_describe(FILE *out)
{
    int width[COLUMNS] = {0};

    widen_columns(width, &headings);
    for (size_t i = 0; i < SECTION_COUNT; i++) {
        for (size_t j = 0; j < config_sections[i].count; j++) {
            const struct row row = make_key_row(&config_sections[i], &config_sections[i].key[j]);
            widen_columns(width, &row);
        }
    }
    print_table_row(out, width, &headings);
    for (size_t i = 0; i < SECTION_COUNT; i++) {
        for (size_t j = 0; j < config_sections[i].count; j++) {
            const struct row row = make_key_row(&config_sections[i], &config_sections[i].key[j]);
            print_table_row(out, width, &row);
        }
    }
}

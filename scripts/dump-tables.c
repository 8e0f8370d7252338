/*
 * Prints the tables of the code, one row on each line, fields separated by tabs.
 * scripts/check-tables builds and runs it, and compares push.conf and docs/ with the output.
 */
#include <stdio.h>

#include "common/config_internal.h"
#include "proto/message.h"
#include "proto/ws.h"
#include "shm/stats.h"
#include "worker/metrics_list.h"

static void print_key(const struct config_section *section, const struct config_key *key)
{
    char text[160], bounds[160] = "-";

    if (key->kind == KEY_INT)
        snprintf(bounds, sizeof bounds, "%ld to %ld %s", key->least, key->most, key->unit);
    else if (key->kind == KEY_ENUM)
        config_words_text(key->words, ", ", bounds, sizeof bounds);
    printf("key\t%s\t%s\t%s\t%s\t%s\t%s\n", section->name, key->name,
           config_default_text(key, text, sizeof text), bounds,
           key->change == RESTART ? "restart" : "reload", key->help);
}

/* The direction is followed by the handler: TO_SERVER(on_auth) */
#define PRINT_OPCODE(name, number, direction, text) \
    printf("opcode\t%d\t%s\t%s\n", number, #name, #direction);
#define PRINT_ERROR(name, code, text)            printf("error\t%s\n", code);
#define PRINT_CLOSE(name, code, text, reconnect) printf("close\t%d\n", code);
/* metric, type, labels; a counter with a list of label values has a row for each of them */
#define PRINT_COUNTER(field, family, labels, help) \
    printf("metric\t%s\tcounter\t%s\n", family, labels);
#define PRINT_GAUGE(name, help, value) printf("metric\t%s\tgauge\t\n", name);
#define PRINT_METRIC(printer, name, type, labels, help) \
    printf("metric\t%s\t%s\t%s\n", name, type, labels);

int main(void)
{
    for (size_t i = 0; i < SECTION_COUNT; i++)
        for (size_t j = 0; j < config_sections[i].count; j++)
            print_key(&config_sections[i], &config_sections[i].key[j]);
    SYSTEM_OPCODES(PRINT_OPCODE)
    ERROR_CODES(PRINT_ERROR)
    WS_CLOSE_CODES(PRINT_CLOSE)
    STATS(PRINT_COUNTER)
    SLOT_GAUGES(PRINT_GAUGE)
    NODE_METRICS(PRINT_METRIC)
    return 0;
}

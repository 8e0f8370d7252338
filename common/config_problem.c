/*
 * The errors of one load. Several passes over the file find them, so they are collected and printed
 * sorted by line, in the order in which a user fixes them; those of overrides come last. If memory
 * runs out, the text of an error may be lost, but the load still fails.
 */
#include "common/config_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROBLEMS_SHOWN = 100, PROBLEM_TEXT = 1024 };

void config_vproblem(struct config_load *load, struct config_origin origin, const char *name,
                     const char *fmt, va_list args)
{
    struct config_problem *grown =
        realloc(load->problem, (load->problem_count + 1) * sizeof *load->problem);
    char text[PROBLEM_TEXT];
    int len = name ? snprintf(text, sizeof text, "%s: ", name) : 0;

    load->broken = load->broken || !grown;
    if (!grown)
        return;
    vsnprintf(text + len, sizeof text - (size_t)len, fmt, args);
    load->problem = grown;
    load->problem[load->problem_count] =
        (struct config_problem){origin, load->problem_count, strdup(text)};
    load->problem_count++;
}

void config_problem(struct config_load *load, struct config_origin origin, const char *name,
                    const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    config_vproblem(load, origin, name, fmt, args);
    va_end(args);
}

static int compare_problems_by_place(const void *one, const void *other)
{
    const struct config_problem *a = one, *b = other;

    if (!a->origin.override != !b->origin.override)
        return a->origin.override ? 1 : -1;
    if (!a->origin.override && a->origin.line != b->origin.line)
        return a->origin.line < b->origin.line ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

static void print_one_problem(const struct config_load *load, const struct config_problem *problem,
                              FILE *errors)
{
    const char *text = problem->text ? problem->text : "out of memory";

    if (problem->origin.override)
        fprintf(errors, "-o %s: %s\n", problem->origin.override, text);
    else if (problem->origin.line > 0)
        fprintf(errors, "%s:%d: %s\n", load->path, problem->origin.line, text);
    else
        fprintf(errors, "%s: %s\n", load->path, text);
}

void config_problems_print(struct config_load *load, FILE *errors)
{
    const size_t count = load->problem_count;

    if (count > 1)
        qsort(load->problem, count, sizeof *load->problem, compare_problems_by_place);
    for (size_t i = 0; i < count && i < PROBLEMS_SHOWN; i++)
        print_one_problem(load, &load->problem[i], errors);
    if (count > PROBLEMS_SHOWN)
        fprintf(errors, "%s: and %zu more mistakes\n", load->path, count - PROBLEMS_SHOWN);
}

void config_problems_free(struct config_load *load)
{
    for (size_t i = 0; i < load->problem_count; i++)
        free(load->problem[i].text);
    free(load->problem);
}

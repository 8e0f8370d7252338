/*
 * See common/fault.h. Each row of the table is a way to die: by abort(3), by a bad pointer, by too
 * deep a recursion, by an endless loop, by exiting; or later, while the requested data is being
 * sent.
 */
#include "common/fault.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool flush_is_the_last;

/* Volatile, so that the compiler cannot predict how these end. */
static volatile uintptr_t wrong = 8;
static volatile bool forever = true;

static void segv(void)
{
    *(volatile int *)wrong = 1;
}

static int deeper(volatile const int *above) /* NOLINT(misc-no-recursion) */
{
    volatile int here[1024];
    here[0] = *above + 1;
    return forever ? deeper(here) + here[0] : 0;
}

static void overflow(void)
{
    const volatile int bottom = 0;
    deeper(&bottom);
}

static void spin(void)
{
    while (forever)
        ;
}

/* No bug: a place to wait for a kill from outside. */
static void stop(void)
{
    raise(SIGSTOP);
}

static void leave(void)
{
    _exit(7);
}

/* Like a return from main. */
static void end(void)
{
    exit(7);
}

static void doom_flush(void)
{
    flush_is_the_last = true;
}

static const struct {
    const char *word;
    void (*bug)(void);
} bugs[] = {
    {"fault:abort", abort}, {"fault:segv", segv},        {"fault:overflow", overflow},
    {"fault:spin", spin},   {"fault:exit", leave},       {"fault:stop", stop},
    {"fault:end", end},     {"fault:flush", doom_flush},
};

/* JSON's data is a string, with its quotation mark. */
void fault_meet(const uint8_t *payload, size_t len)
{
    if (len > 0 && payload[0] == '"') {
        payload++;
        len--;
    }
    for (size_t i = 0; i < sizeof(bugs) / sizeof(bugs[0]); i++) {
        const size_t word = strlen(bugs[i].word);
        if (len >= word && memcmp(payload, bugs[i].word, word) == 0)
            bugs[i].bug();
    }
}

void fault_meet_at(const char *place)
{
    const char *ordered = getenv("WSPUSHD_FAULT");
    const size_t len = strlen(place);
    if (ordered && strncmp(ordered, place, len) == 0 && ordered[len] == ' ')
        fault_meet((const uint8_t *)ordered + len + 1, strlen(ordered) - len - 1);
}

void fault_meet_flush(void)
{
    if (flush_is_the_last)
        abort();
}

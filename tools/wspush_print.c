/*
 * The output: one line per event, in UTF-8, coloured only on a terminal and only if NO_COLOR
 * (no-color.org) is not set. stdout is flushed when the loop is about to wait, so that a fast
 * stream of pushes costs few writes.
 */
#include "tools/wspush_print.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "tools/wspush_text.h"

#define DIM    "\033[2m"
#define RED    "\033[31m"
#define GREEN  "\033[32m"
#define YELLOW "\033[33m"
#define CYAN   "\033[36m"
#define PLAIN  "\033[0m"

static bool quiet, raw;
static bool stdout_is_terminal;
static bool colour[3]; /* by file descriptor */

void print_open(const struct options *options)
{
    const char *no_color = getenv("NO_COLOR");
    const bool wanted = no_color == NULL || *no_color == '\0';

    quiet = options->quiet;
    raw = options->raw;
    stdout_is_terminal = isatty(STDOUT_FILENO) == 1;
    colour[STDOUT_FILENO] = wanted && stdout_is_terminal;
    colour[STDERR_FILENO] = wanted && isatty(STDERR_FILENO) == 1;
}

static const char *choose_colour_code(int fd, const char *code)
{
    return colour[fd] ? code : "";
}

/* Formats local time to the millisecond. */
static const char *format_local_time(char out[16])
{
    const uint64_t now = clock_wall_ms();
    struct tm tm;
    localtime_r(&(time_t){(time_t)(now / 1000)}, &tm);
    snprintf(out, 16, "%02u:%02u:%02u.%03u", (unsigned)tm.tm_hour % 24, (unsigned)tm.tm_min % 60,
             (unsigned)tm.tm_sec % 61, (unsigned)(now % 1000));
    return out;
}

/* Prints for --raw: the exact bytes, but escaped text on a terminal. */
static void print_raw_bytes(const void *bytes, size_t len)
{
    if (stdout_is_terminal) {
        struct buffer safe = {0};
        text_escape(&safe, bytes, len);
        fwrite(buffer_string(&safe), 1, safe.len, stdout);
        buffer_free(&safe);
    } else if (len > 0) {
        fwrite(bytes, 1, len, stdout);
    }
    putchar('\n');
}

static void print_event_line(enum direction direction, const char *label, size_t size,
                             struct buffer *text)
{
    char now[16];
    printf("%s%s%s ", choose_colour_code(STDOUT_FILENO, DIM), format_local_time(now),
           choose_colour_code(STDOUT_FILENO, PLAIN));
    printf("%s%s%s ", choose_colour_code(STDOUT_FILENO, direction == SENT ? CYAN : GREEN),
           direction == SENT ? "→" : "←", choose_colour_code(STDOUT_FILENO, PLAIN));
    printf("%-10s %6zu B  ", label, size);
    fwrite(buffer_string(text), 1, text->len, stdout);
    putchar('\n');
}

static bool is_left_out(enum direction direction)
{
    return direction == SENT && (quiet || raw);
}

void print_message(enum direction direction, const struct message *message)
{
    if (is_left_out(direction))
        return;
    if (raw) {
        if (message->op != OP_HELLO)
            print_raw_bytes(message->payload, message->len);
        return;
    }
    const char *name = system_opcode_name(message->op);
    char label[32];
    snprintf(label, sizeof(label), "%u%s%s", message->op, name != NULL ? " " : "",
             name != NULL ? name : "");
    struct buffer text = {0};
    if (direction == SENT || !text_system_message(&text, message))
        text_payload(&text, message->payload, message->len);
    print_event_line(direction, label, message->len, &text);
    buffer_free(&text);
}

void print_plain(enum direction direction, const char *kind, const void *bytes, size_t len)
{
    const bool control = kind[0] == 'p'; /* ping, pong */
    if (is_left_out(direction) || (control && (quiet || raw)))
        return;
    if (raw) {
        print_raw_bytes(bytes, len);
        return;
    }
    struct buffer text = {0};
    text_payload(&text, bytes, len);
    print_event_line(direction, kind, len, &text);
    buffer_free(&text);
}

static void print_status_line(const char *code, const char *fmt, va_list args)
{
    char now[16];
    fflush(stdout); /* so that both streams appear in order on one terminal */
    fprintf(stderr, "%s%s%s %s-- ", choose_colour_code(STDERR_FILENO, DIM), format_local_time(now),
            choose_colour_code(STDERR_FILENO, PLAIN), choose_colour_code(STDERR_FILENO, code));
    vfprintf(stderr, fmt, args);
    fprintf(stderr, "%s\n", choose_colour_code(STDERR_FILENO, PLAIN));
}

void print_note(const char *fmt, ...)
{
    if (quiet || raw)
        return;
    va_list args;
    va_start(args, fmt);
    print_status_line(YELLOW, fmt, args);
    va_end(args);
}

void print_error(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    print_status_line(RED, fmt, args);
    va_end(args);
}

bool print_flush(void)
{
    return fflush(stdout) == 0 && !ferror(stdout);
}

/*
 * The log. A line is composed on the stack and written with one system call to a descriptor opened
 * with O_APPEND: the kernel keeps the lines of several processes apart, and a crash loses no
 * buffered lines.
 *
 * A log that cannot be written must not stop the server: such lines are lost (log_sink.c), and the
 * next line that can be written says how many. A line never contains a control character, whatever
 * the caller passes, so that an attacker can neither forge a second line nor control a terminal.
 *
 * If stderr is the journal, a line begins with its priority, which journald removes:
 * `journalctl -p warning` then shows warnings and errors (sd-daemon(3), systemd.exec(5)).
 */
#include "common/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log_sink.h"

enum {
    LINE_MAX_BYTES = 2048,
    QUOTE_INPUT = 256,
    QUOTE_OUTPUT = 4 * QUOTE_INPUT + 6, /* each byte as \xNN, "..." with its quotes, NUL */
    QUOTE_BUFFERS = 8,
};

static enum log_level log_level = LOG_LEVEL_INFO;
static bool log_is_journal;
static char log_source[32] = "master";

/* Lines lost by this process that a log_lost line has reported, and that log_tick has returned. */
static uint64_t lost_reported, lost_counted;

/* Names of the levels, and their priorities in journald: SD_ERR, SD_WARNING, SD_INFO, SD_DEBUG. */
static const char *const level_names[] = {"error", "warn", "info", "debug"};
static const char *const level_priorities[] = {"<3>", "<4>", "<6>", "<7>"};

/* True if stderr is connected to the journal: systemd names the socket in JOURNAL_STREAM, as
 * "device:inode" (systemd.exec(5)). It differs if stderr was redirected since. */
static bool stderr_is_journal(void)
{
    const char *const named = getenv("JOURNAL_STREAM");
    struct stat file;
    char actual[48];

    if (named == NULL || fstat(STDERR_FILENO, &file) == -1)
        return false;
    snprintf(actual, sizeof actual, "%llu:%llu", (unsigned long long)file.st_dev,
             (unsigned long long)file.st_ino);
    return strcmp(named, actual) == 0;
}

int log_open(const char *path, enum log_level level)
{
    log_level = level;
    if (log_sink_open(path) == -1)
        return -1;
    log_is_journal = (path == NULL || *path == '\0') && stderr_is_journal();
    return 0;
}

void log_set_source(const char *name)
{
    /* The parent process reports the lines that were lost before. */
    log_sink_forget(log_sink_lost());
    lost_reported = lost_counted = 0;
    snprintf(log_source, sizeof log_source, "%s", name);
}

/* Converts snprintf's result to the number of bytes written. */
static size_t bytes_written(int result, size_t room)
{
    if (result < 0)
        return 0;
    return (size_t)result < room ? (size_t)result : room - 1;
}

static size_t compose_line_head(char *line, size_t room, enum log_level level, const char *event)
{
    const uint64_t now = clock_wall_ms();
    const time_t seconds = (time_t)(now / 1000);
    struct tm utc;
    char date[32];

    gmtime_r(&seconds, &utc);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
    return bytes_written(snprintf(line, room, "%stime=%s.%03uZ level=%s from=%s event=%s",
                                  log_is_journal ? level_priorities[level] : "", date,
                                  (unsigned)(now % 1000), level_names[level], log_source, event),
                         room);
}

/* Returns the length without an incomplete UTF-8 sequence at the end of the text. */
static size_t cut_to_code_points(const char *text, size_t len)
{
    size_t start = len;

    while (start > 0 && len - start < 3 && ((uint8_t)text[start - 1] & 0xc0) == 0x80)
        start--;
    if (start == 0 || (uint8_t)text[start - 1] < 0xc0)
        return len;

    const uint8_t lead = (uint8_t)text[start - 1];
    const size_t wanted = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    return len - start + 1 < wanted ? start - 1 : len;
}

/* Composes a line, including its newline. Returns its length. */
static size_t compose_log_line(char line[LINE_MAX_BYTES], enum log_level level, const char *event,
                               const char *fmt, va_list args)
{
    const size_t room = LINE_MAX_BYTES - 1; /* one byte is for the newline */
    size_t len = compose_line_head(line, room, level, event);

    if (*fmt != '\0' && len < room - 1) {
        line[len++] = ' ';
        len += bytes_written(vsnprintf(line + len, room - len, fmt, args), room - len);
    }
    if (len == room - 1)
        len = cut_to_code_points(line, len);
    for (size_t i = 0; i < len; i++)
        if ((uint8_t)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    line[len++] = '\n';
    return len;
}

/* Writes a line at any level. Returns 0, or -1 if it is lost. */
__attribute__((format(printf, 3, 4))) static int
write_log_line(enum log_level level, const char *event, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    va_list args;

    va_start(args, fmt);
    const size_t len = compose_log_line(line, level, event, fmt, args);
    va_end(args);
    return log_sink_write(line, len);
}

/* Says how many lines were lost since the last such line, if there are any. */
static void report_lost_lines(void)
{
    const uint64_t lost = log_sink_lost();

    if (lost == lost_reported)
        return;
    if (write_log_line(LOG_LEVEL_WARN, "log_lost", "lines=%" PRIu64, lost - lost_reported) == 0)
        lost_reported = lost;
    else
        log_sink_forget(1); /* the report itself is not one of the lines */
}

void log_line(enum log_level level, const char *event, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    const int error = errno;
    va_list args;

    if (level > log_level)
        return;
    report_lost_lines();
    va_start(args, fmt);
    const size_t len = compose_log_line(line, level, event, fmt, args);
    va_end(args);
    log_sink_write(line, len);
    errno = error;
}

uint64_t log_tick(void)
{
    const int error = errno;
    const uint64_t before = lost_counted;

    report_lost_lines();
    lost_counted = log_sink_lost();
    errno = error;
    return lost_counted - before;
}

/* Decodes one code point (RFC 3629). Returns its length, or 0 if the bytes are not UTF-8. proto/
 * has a faster validator, but common/ must not include it. */
static size_t decode_code_point(const uint8_t *at, size_t left, uint32_t *out)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const size_t len = at[0] < 0x80   ? 1
                       : at[0] < 0xc0 ? 0
                       : at[0] < 0xe0 ? 2
                       : at[0] < 0xf0 ? 3
                       : at[0] < 0xf8 ? 4
                                      : 0;

    if (len == 0 || len > left)
        return 0;
    *out = len == 1 ? at[0] : at[0] & (0x7fU >> len);
    for (size_t i = 1; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        *out = *out << 6 | (at[i] & 0x3f);
    }
    if (*out < least[len] || *out > 0x10ffff || (*out >= 0xd800 && *out <= 0xdfff))
        return 0;
    return len;
}

/* True if the code point is safe to print: not a control character, not a line or paragraph
 * separator, and without effect on the direction of the text (UAX #9). */
static bool is_safe_to_print(uint32_t c)
{
    if (c < 0x20 || (c >= 0x7f && c < 0xa0))
        return false;
    return !(c >= 0x2028 && c <= 0x202e) && !(c >= 0x2066 && c <= 0x2069);
}

/* Appends a byte as an escape sequence. Returns the new end. */
static char *append_escape(char *out, uint8_t byte)
{
    static const char letters[] = "\"\"\\\\\nn\rr\tt"; /* pairs: the byte, its letter */
    static const char digits[] = "0123456789abcdef";

    *out++ = '\\';
    for (const char *pair = letters; *pair != '\0'; pair += 2) {
        if ((uint8_t)pair[0] == byte) {
            *out++ = pair[1];
            return out;
        }
    }
    *out++ = 'x';
    *out++ = digits[byte >> 4];
    *out++ = digits[byte & 15];
    return out;
}

/* Returns how many bytes to quote: at most QUOTE_INPUT, and only whole code points. */
static size_t quotable_length(const uint8_t *at, size_t len)
{
    if (len <= QUOTE_INPUT)
        return len;
    return cut_to_code_points((const char *)at, QUOTE_INPUT);
}

static char *quote_bytes(char *out, const uint8_t *at, size_t len, bool *bare)
{
    size_t i = 0;

    while (i < len) {
        uint32_t c = 0;
        const size_t size = decode_code_point(at + i, len - i, &c);

        if (size == 0 || !is_safe_to_print(c) || c == '"' || c == '\\') {
            for (size_t end = i + (size ? size : 1); i < end; i++)
                out = append_escape(out, at[i]);
            *bare = false;
            continue;
        }
        if (c == ' ' || c == '=')
            *bare = false;
        memcpy(out, at + i, size);
        out += size;
        i += size;
    }
    return out;
}

const char *log_quote(const void *bytes, size_t len)
{
    static char buffers[QUOTE_BUFFERS][QUOTE_OUTPUT];
    static unsigned next;
    char *const buffer = buffers[next++ % QUOTE_BUFFERS];
    const size_t shown = quotable_length(bytes, len);
    bool bare = len > 0 && shown == len;
    char *out = quote_bytes(buffer + 1, bytes, shown, &bare);

    if (bare) {
        *out = '\0';
        return buffer + 1;
    }
    buffer[0] = '"';
    if (shown < len) {
        memcpy(out, "...", 3);
        out += 3;
    }
    *out++ = '"';
    *out = '\0';
    return buffer;
}

bool log_allow(struct log_limit *limit, uint32_t burst, uint64_t *suppressed)
{
    const uint32_t now = clock_mono_s();

    if (limit->second != now) {
        limit->second = now;
        limit->lines = 0;
    }
    if (limit->lines >= burst) {
        limit->suppressed++;
        return false;
    }
    limit->lines++;
    if (suppressed)
        *suppressed = limit->suppressed;
    limit->suppressed = 0;
    return true;
}

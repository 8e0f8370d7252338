/*
 * A case of the configuration tests: the text of a file, and the result of config_load: messages or
 * a configuration.
 */
#ifndef WSPUSHD_TESTS_UNIT_CONFIG_CASE_H
#define WSPUSHD_TESTS_UNIT_CONFIG_CASE_H

#include "common/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/wspushd-test-config-XXXXXX";
static char messages[1 << 16];

/* Every file gets these lines, so that it is valid without any others. */
#define LOOPBACK "listen = {\"127.0.0.1:8080\"}\n"

static inline int make_file(void **state)
{
    const int fd = mkstemp(path);

    (void)state;
    return fd == -1 ? -1 : close(fd);
}

static inline int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static inline void write_file(const void *bytes, size_t len)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

/* Loads the file; `messages` gets its output, with "conf" for the file's path. */
static inline struct config *load_file(const struct config_override *override, size_t count)
{
    char *printed = NULL;
    size_t len = 0, used = 0;
    FILE *errors = open_memstream(&printed, &len);
    struct config *config = config_load(path, override, count, errors);

    assert_int_equal(fclose(errors), 0);
    for (const char *at = printed; *at && used < sizeof messages - 5;) {
        const bool is_path = strncmp(at, path, strlen(path)) == 0;

        used +=
            (size_t)snprintf(messages + used, 5, "%.*s", is_path ? 4 : 1, is_path ? "conf" : at);
        at += is_path ? strlen(path) : 1;
    }
    messages[used] = '\0';
    free(printed);
    return config;
}

static inline struct config *load(const char *text)
{
    write_file(text, strlen(text));
    return load_file(NULL, 0);
}

static inline struct config *good(const char *text)
{
    struct config *config = load(text);

    assert_string_equal(messages, "");
    assert_non_null(config);
    return config;
}

/* Checks that the text is refused with exactly these messages. */
static inline void bad(const char *text, const char *expected)
{
    assert_null(load(text));
    assert_string_equal(messages, expected);
}

/* The same for one line after LOOPBACK: `expected` is the message after "conf:2: ". */
static inline void bad_line(const char *line, const char *expected)
{
    char text[2048], wanted[2048];

    snprintf(text, sizeof text, LOOPBACK "%s\n", line);
    snprintf(wanted, sizeof wanted, "conf:2: %s\n", expected);
    bad(text, wanted);
}

static inline void good_line(const char *line)
{
    char text[2048];

    snprintf(text, sizeof text, LOOPBACK "%s\n", line);
    config_free(good(text));
}

#endif

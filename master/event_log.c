/*
 * See event_log.h. libevent writes its warnings to stderr, one line for each event that fails. That
 * is not the form of our log, and was 1.3 million lines in three seconds for an accept(2) without
 * descriptors.
 */
#include "master/event_log.h"

#include "common/log.h"

#include <event2/event.h>
#include <string.h>

enum { LINES_A_SECOND = 10 };

/* libevent's own severities do not matter: whatever it says unasked is a warning to us. */
static void on_message(int severity, const char *message)
{
    static struct log_limit limit;
    uint64_t suppressed = 0;
    (void)severity;
    if (log_allow(&limit, LINES_A_SECOND, &suppressed))
        log_warn("libevent", "message=%s suppressed=%llu", log_quote(message, strlen(message)),
                 (unsigned long long)suppressed);
}

void event_log_open(void)
{
    event_set_log_callback(on_message);
}

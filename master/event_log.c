/*
 * See event_log.h. By default libevent writes its warnings to stderr, one line for each failed
 * event. That is not logfmt, and made 1.3 million lines in three seconds when accept(2) ran out of
 * descriptors.
 */
#include "master/event_log.h"

#include "common/log.h"

#include <event2/event.h>
#include <string.h>

enum { LINES_A_SECOND = 10 };

/* Logs any message as a warning: libevent's own severities do not matter here. */
static void log_libevent_message(int severity, const char *message)
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
    event_set_log_callback(log_libevent_message);
}

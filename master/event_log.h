/*
 * Redirects libevent's messages from stderr to the log.
 */
#ifndef WSPUSHD_MASTER_EVENT_LOG_H
#define WSPUSHD_MASTER_EVENT_LOG_H

/* Logs libevent's messages as event `libevent`, at most ten lines a second in each process. Call
 * before the first event base is created; workers inherit the redirection. */
void event_log_open(void);

#endif

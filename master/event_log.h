/*
 * What libevent has to say goes through the log, not to stderr as it is.
 */
#ifndef WSPUSHD_MASTER_EVENT_LOG_H
#define WSPUSHD_MASTER_EVENT_LOG_H

/* Takes libevent's messages over: event `libevent`, ten lines a second of each process at most.
 * Before the first event base; workers inherit it. */
void event_log_open(void);

#endif

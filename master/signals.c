/*
 * See signals.h. To handle another signal, add a row to SIGNALS.
 */
#include "master/signals.h"

#include "common/log.h"
#include "master/change.h"
#include "master/stop.h"
#include "master/supervise.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void on_stop_signal(struct master *master)
{
    stop_begin(master, ENDING_STOP);
}

static void on_restart_signal(struct master *master)
{
    stop_begin(master, ENDING_RESTART);
}

static void on_child_signal(struct master *master)
{
    supervise_deaths(master);
}

static void on_reopen_signal(struct master *master)
{
    if (log_open(master->config->log, (enum log_level)master->config->log_level) == -1)
        log_error("log_reopen", "why=%s", log_quote(strerror(errno), strlen(strerror(errno))));
    else
        log_info("log_reopened", "");
}

static void on_upgrade_signal(struct master *master)
{
    change_ask(master, CHANGE_UPGRADE);
}

static void on_reload_signal(struct master *master)
{
    change_ask(master, CHANGE_RELOAD);
}

/* X(signal, handler) */
#define SIGNALS(X)                \
    X(SIGTERM, on_stop_signal)    \
    X(SIGINT, on_stop_signal)     \
    X(SIGQUIT, on_restart_signal) \
    X(SIGCHLD, on_child_signal)   \
    X(SIGUSR1, on_reopen_signal)  \
    X(SIGHUP, on_reload_signal)   \
    X(SIGUSR2, on_upgrade_signal)

static const struct {
    int number;
    const char *name;
    void (*handler)(struct master *master);
} signals[] = {
#define SIGNAL_ROW(number, handler) {number, #number, handler},
    SIGNALS(SIGNAL_ROW)
#undef SIGNAL_ROW
};

static void read_pending_signals(evutil_socket_t fd, short what, void *arg)
{
    struct master *master = arg;
    struct signalfd_siginfo info;
    (void)what;
    while (read(fd, &info, sizeof(info)) == sizeof(info))
        for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
            if (signals[i].number == (int)info.ssi_signo) {
                if (info.ssi_signo != SIGCHLD)
                    log_info("signal", "name=%s", signals[i].name);
                signals[i].handler(master);
            }
}

int signals_open(struct master *master)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        sigaddset(&set, signals[i].number);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) == -1)
        return -1;
    master->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    struct event *event = master->signal_fd == -1
                              ? NULL
                              : event_new(master->base, master->signal_fd, EV_READ | EV_PERSIST,
                                          read_pending_signals, master);
    return event && event_add(event, NULL) == 0 ? 0 : -1;
}

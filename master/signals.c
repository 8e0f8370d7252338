/*
 * See signals.h.
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

static void on_stop(struct master *master)
{
    stop_begin(master, ENDING_STOP);
}

static void on_restart(struct master *master)
{
    stop_begin(master, ENDING_RESTART);
}

static void on_child(struct master *master)
{
    supervise_deaths(master);
}

static void on_reopen(struct master *master)
{
    if (log_open(master->config->log, (enum log_level)master->config->log_level) == -1)
        log_error("log_reopen", "why=%s", log_quote(strerror(errno), strlen(strerror(errno))));
    else
        log_info("log_reopened", "");
}

static void on_upgrade(struct master *master)
{
    change_ask(master, CHANGE_UPGRADE);
}

static void on_reload(struct master *master)
{
    change_ask(master, CHANGE_RELOAD);
}

/* X(signal, handler) */
#define SIGNALS(X)         \
    X(SIGTERM, on_stop)    \
    X(SIGINT, on_stop)     \
    X(SIGQUIT, on_restart) \
    X(SIGCHLD, on_child)   \
    X(SIGUSR1, on_reopen)  \
    X(SIGHUP, on_reload)   \
    X(SIGUSR2, on_upgrade)

static const struct {
    int number;
    const char *name;
    void (*handler)(struct master *master);
} signals[] = {
#define SIGNAL_ROW(number, handler) {number, #number, handler},
    SIGNALS(SIGNAL_ROW)
#undef SIGNAL_ROW
};

static void on_signal(evutil_socket_t fd, short what, void *arg)
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
    struct event *event =
        master->signal_fd == -1
            ? NULL
            : event_new(master->base, master->signal_fd, EV_READ | EV_PERSIST, on_signal, master);
    return event && event_add(event, NULL) == 0 ? 0 : -1;
}

/*
 * wspush: an interactive WebSocket client. It connects to a wspushd (or, with --echo, to any
 * WebSocket server), prints received messages and sends typed ones. One thread, one poll(2):
 *
 *   wspush.c ─▶ wspush_session ─┬▶ wspush_conn ─┬▶ wspush_opening (the handshake)
 *      │        reactions       │  frames       └▶ wspush_net     (TCP, unix, TLS)
 *      ▼                        ├▶ wspush_input   typed lines
 *   wspush_options              ├▶ wspush_retry   when to reconnect
 *      └▶ wspush_url            └▶ wspush_print ─▶ wspush_text (safe to print)
 *
 * It is a tool to examine single connections; wspush-bench generates load.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "tools/wspush_options.h"
#include "tools/wspush_print.h"
#include "tools/wspush_session.h"

static volatile sig_atomic_t stops;

static void on_stop_signal(int signal_number)
{
    (void)signal_number;
    stops = stops + 1;
}

/* Catches INT, TERM and HUP, which are delivered only within ppoll(2), with the returned mask: so
 * none is lost between the test of `stops` and the wait. */
static sigset_t catch_stop_signals(void)
{
    static const int caught[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_stop_signal};
    sigset_t blocked, waiting;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&blocked);
    for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++) {
        sigaction(caught[i], &action, NULL);
        sigaddset(&blocked, caught[i]);
    }
    sigprocmask(SIG_BLOCK, &blocked, &waiting);
    return waiting;
}

/* Opens /dev/null in place of a closed stdin, stdout or stderr: otherwise the socket would get its
 * number. */
static void keep_standard_streams(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

static void run_session_loop(struct session *session)
{
    const sigset_t waiting = catch_stop_signals();
    struct pollfd fds[SESSION_FDS];
    int stops_seen = 0;

    session_open(session, session->options, clock_mono_ms());
    while (!session->finished) {
        if (!print_flush())
            return; /* closed by the reader, as by head(1) */
        const int ms = session_poll(session, fds, clock_mono_ms());
        const struct timespec limit = {ms / 1000, (long)(ms % 1000) * 1000000};
        if (ppoll(fds, SESSION_FDS, ms < 0 ? NULL : &limit, &waiting) == -1) {
            for (int i = 0; i < SESSION_FDS; i++)
                fds[i].revents = 0;
        }
        if (stops > 1) /* the second Ctrl-C does not wait for the server's close frame */
            return;
        if (stops > stops_seen)
            session_leave(session, EXIT_CLEAN, clock_mono_ms());
        stops_seen = stops;
        session_turn(session, fds, clock_mono_ms());
    }
}

int main(int argc, char **argv)
{
    struct options options = {0};
    struct session session = {.options = &options};

    keep_standard_streams();
    const enum options_result result = options_parse(&options, argc, argv);
    if (result == OPTIONS_RUN) {
        print_open(&options);
        run_session_loop(&session);
        print_flush();
        session_free(&session);
    }
    options_free(&options);
    return result == OPTIONS_WRONG ? EXIT_USAGE : (int)session.exit_code;
}

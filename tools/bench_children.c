/*
 * See bench_children.h. Each kind of process is a row of a table: how many there are, its main
 * function, and its error text.
 */
#include "tools/bench_children.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/bench_publisher.h"
#include "tools/bench_stall.h"
#include "tools/bench_swarm.h"

enum { TIMER_SLACK_NS = 1000 };

/* ---- Kinds ---- */

static uint32_t count_swarm_processes(const struct bench *bench)
{
    return bench->swarms;
}

static bool run_swarm_process(const struct children *children, uint32_t number)
{
    return swarm_run(children->bench, number, children->clients_to);
}

static const char *find_swarm_error(const struct bench *bench, uint32_t number)
{
    return bench->board->swarm[number].error;
}

static uint32_t count_publisher_processes(const struct bench *bench)
{
    return mode_pushes(bench->mode) ? 1 : 0;
}

static bool run_publisher_process(const struct children *children, uint32_t number)
{
    (void)number;
    return publisher_run(children->bench, children->publish_to);
}

static const char *find_publisher_error(const struct bench *bench, uint32_t number)
{
    (void)number;
    return bench->board->publisher.error;
}

static bool run_stall_process(const struct children *children, uint32_t number)
{
    return stall_run(children->bench, number);
}

static const char *find_stall_error(const struct bench *bench, uint32_t number)
{
    (void)bench, (void)number;
    return "";
}

static const struct kind {
    const char *name; /* NULL: the publisher's URL */
    uint32_t (*wanted)(const struct bench *bench);
    bool (*run)(const struct children *children, uint32_t number);
    const char *(*error)(const struct bench *bench, uint32_t number);
} kinds[] = {
    {"clients", count_swarm_processes, run_swarm_process, find_swarm_error},
    {NULL, count_publisher_processes, run_publisher_process, find_publisher_error},
    {"the watch of the machine", stall_processes, run_stall_process, find_stall_error},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

/* ---- Lifetime ---- */

/* Prepares a child: it ends with its parent, leaves Ctrl-C to the parent, and has precise timers.
 */
static void prepare_child_process(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_DFL);
    prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
}

static bool start_child_process(struct children *children, const struct kind *kind, uint32_t number)
{
    const pid_t parent = getpid(), pid = fork();

    if (pid == -1) {
        fprintf(stderr, "wspush-bench: fork: %s\n", strerror(errno));
        return false;
    }
    if (pid == 0) {
        prepare_child_process(parent);
        _exit(kind->run(children, number) ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    children->pid[children->count++] = pid;
    return true;
}

bool children_start(struct children *children)
{
    fflush(NULL);
    for (const struct kind *kind = kinds; kind < kinds + KINDS; kind++)
        for (uint32_t i = 0; i < kind->wanted(children->bench); i++)
            if (!start_child_process(children, kind, i))
                return false;
    return true;
}

/* Prints the error of a child; children are numbered in the order in which they were started. */
static void print_child_error(const struct children *children, uint32_t child)
{
    const struct bench *bench = children->bench;
    const struct kind *kind = kinds;

    for (; child >= kind->wanted(bench); kind++)
        child -= kind->wanted(bench);
    const char *error = kind->error(bench, child);
    fprintf(stderr, "wspush-bench: %s: %s\n", kind->name ? kind->name : bench->options->publish,
            error[0] != '\0' ? error : "it died");
}

/* Records that a child has ended. Returns false if it failed. */
static bool record_ended_child(struct children *children, pid_t pid, int status)
{
    for (uint32_t i = 0; i < children->count; i++) {
        if (children->pid[i] != pid)
            continue;
        children->pid[i] = 0;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_SUCCESS) {
            print_child_error(children, i);
            return false;
        }
    }
    return true;
}

bool children_well(struct children *children)
{
    int status;

    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        if (!record_ended_child(children, pid, status))
            return false;
    return true;
}

bool children_end(struct children *children)
{
    bool ok = true;

    for (uint32_t i = 0; i < children->count; i++) {
        int status;
        if (children->pid[i] == 0)
            continue;
        const pid_t pid = waitpid(children->pid[i], &status, 0);
        ok = pid == -1 || record_ended_child(children, pid, status) ? ok : false;
    }
    return ok;
}

void children_kill(struct children *children)
{
    for (uint32_t i = 0; i < children->count; i++) {
        if (children->pid[i] == 0)
            continue;
        kill(children->pid[i], SIGKILL);
        waitpid(children->pid[i], NULL, 0);
        children->pid[i] = 0;
    }
}

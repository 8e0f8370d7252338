/*
 * See obituary.h. One log line has the cause of death and the worker's last action, a second one
 * the backtrace. The words in the slot count only if this process wrote them: a worker that is
 * killed while it starts has left none, and the slot still has those of its predecessor.
 *
 * The cause of a death decides whether the message that the worker was handling is a suspect. A
 * crash, an abort, a hang that the watchdog ended, or an unexpected exit is the worker's own fault.
 * A signal from another process, usually SIGKILL, proves nothing.
 */
#include "master/obituary.h"

#include "common/log.h"
#include "master/symbols.h"
#include "shm/slot.h"
#include "worker/worker.h"

#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

enum {
    TEXT_MAX = 512,
    BACKTRACE_MAX = 1800 /* a line of the log is cut at 2,048 */
};

void obituary_open(void)
{
    void *frame[1];
    (void)!backtrace(frame, 1);
}

static const struct fault *fault_of_worker(const struct slot *slot)
{
    return fault_is_of(&slot->fault, atomic_load(&slot->incarnation)) ? &slot->fault : NULL;
}

static const char *quote_text(const char *text)
{
    return log_quote(text, strlen(text));
}

/* ---- The log ---- */

/* Writes how the worker ended, as key=value pairs. */
static void describe_worker_end(char out[TEXT_MAX], int status, const struct fault *fault)
{
    if (!WIFSIGNALED(status)) {
        snprintf(out, TEXT_MAX, "status=%d", WEXITSTATUS(status));
    } else if (!fault) {
        snprintf(out, TEXT_MAX, "signal=%d", WTERMSIG(status));
    } else {
        char at[200], cause[64];
        symbols_name(fault->instruction, at, sizeof(at));
        if (fault->sender)
            snprintf(cause, sizeof(cause), "sender=%d", fault->sender);
        else
            snprintf(cause, sizeof(cause), "address=0x%llx", (unsigned long long)fault->address);
        snprintf(out, TEXT_MAX, "signal=%d code=%d %s at=%s", WTERMSIG(status), fault->code, cause,
                 at);
    }
}

/* Writes the worker's last action, as key=value pairs. */
static void describe_worker_task(char out[TEXT_MAX], const struct slot_words *words)
{
    char build[BUILD_ID_TEXT], push[64] = "";
    const uint64_t position = words->position;
    const uint32_t source = words->source;
    build_id_text(words->build, build);
    if (position != 0 && source == 0)
        snprintf(push, sizeof(push), " source=redis position=%llu", (unsigned long long)position);
    else if (position != 0)
        snprintf(push, sizeof(push), " source=worker.%u position=%llu", source - 1,
                 (unsigned long long)position);
    snprintf(out, TEXT_MAX, "build=%s doing=%s fd=%u op=%u%s", build,
             quote_text(doing_name(words->doing)), words->fd, words->op, push);
}

static void log_worker_backtrace(uint32_t i, int32_t pid, const struct fault *fault)
{
    char text[BACKTRACE_MAX];
    size_t len = 0;
    const uint32_t frames = fault->frames;
    for (uint32_t k = 0; k < frames && k < FAULT_FRAMES; k++) {
        char name[200];
        const size_t size = symbols_name(fault->frame[k], name, sizeof(name));
        if (len + size + 2 > sizeof(text))
            break;
        len += (size_t)snprintf(text + len, sizeof(text) - len, k ? " %s" : "%s", name);
    }
    if (len > 0)
        log_warn("worker_backtrace", "worker=%u pid=%d frames=\"%s\"", i, pid, text);
}

static void log_worker_death(const struct master *master, uint32_t i, int status)
{
    const struct slot *slot = &master->segment.slot[i];
    const struct fault *fault = fault_of_worker(slot);
    const int32_t pid = master->charge[i].pid;
    char end[TEXT_MAX], hand[TEXT_MAX] = "doing=starting";
    describe_worker_end(end, status, fault);
    if (words_are_of(&slot->words, atomic_load(&slot->incarnation)))
        describe_worker_task(hand, &slot->words);
    log_warn("worker_died", "worker=%u pid=%d %s %s", i, pid, end, hand);
    if (fault)
        log_worker_backtrace(i, pid, fault);
}

/* ---- The record of the cause ---- */

static bool is_fatal_signal(int number)
{
#define FATAL_IS(fatal) number == (fatal) ||
    return FATAL_SIGNALS(FATAL_IS) false;
#undef FATAL_IS
}

static bool is_own_fault(const struct charge *charge, const struct fault *fault, int status)
{
    if (charge->hung)
        return true;
    if (WIFEXITED(status))
        return WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != WORKER_NOT_STARTED;
    return is_fatal_signal(WTERMSIG(status)) && (!fault || fault->sender == 0);
}

bool obituary(const struct master *master, uint32_t i, int status, uint64_t lived_ms)
{
    struct slot *slot = &master->segment.slot[i];
    log_worker_death(master, i, status);
    if (!is_own_fault(&master->charge[i], fault_of_worker(slot), status))
        return false;
    grave_dig(slot->grave, &slot->words, &slot->fault, atomic_load(&slot->incarnation),
              lived_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)lived_ms);
    return true;
}

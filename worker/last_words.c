/*
 * See last_words.h. The handler does only what signal-safety(7) permits: stores, two system calls,
 * and backtrace(3), which is safe from its second call on. It may fault itself, because of a broken
 * stack or pointer; all signals are blocked while it runs, so such a fault ends the process at
 * once. Hence the order: the most certain data is stored first, and each further part is complete
 * before it counts.
 *
 * Nothing is repaired or resumed: when the handler returns, the signal is pending again without a
 * handler, and is delivered before the program continues.
 */
#include "worker/last_words.h"

#include <execinfo.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum {
    STACK_SIZE = 64 * 1024, /* the unwinder takes some 10 KiB of it */
    OWN_FRAMES = 8          /* most frames of the handler itself */
};

static struct {
    struct fault *fault;
    uint32_t incarnation;
    uint64_t seed;
    const uint8_t *volatile message;
    volatile size_t message_len;
} mine;

/* Returns the address of the faulting instruction, or 0 on other processors: then the backtrace
 * begins with the handler. */
static uint64_t fault_instruction(const ucontext_t *context)
{
#if defined(__x86_64__)
    return (uint64_t)context->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return context->uc_mcontext.pc;
#else
    (void)context;
    return 0;
#endif
}

/* Records the signal. A signal that the process sent itself, as abort(3) does, has no sender. */
static void note_fault_signal(struct fault *fault, const siginfo_t *info, const ucontext_t *context)
{
    const bool sent = info->si_code <= 0;
    fault->signal = info->si_signo;
    fault->code = info->si_code;
    fault->sender = sent && info->si_pid != getpid() ? info->si_pid : 0;
    fault->address = sent ? 0 : (uint64_t)(uintptr_t)info->si_addr;
    fault->instruction = fault_instruction(context);
    atomic_store_explicit(&fault->message_len, 0, memory_order_relaxed);
    atomic_store_explicit(&fault->frames, 0, memory_order_relaxed);
    /* Release: pairs with the acquire in fault_is_of. */
    atomic_store_explicit(&fault->incarnation, mine.incarnation, memory_order_release);
}

static void note_fault_message(struct fault *fault, const uint8_t *message, size_t len)
{
    if (!message || len == 0)
        return;
    for (size_t i = 0; i < MESSAGE_BEGINS; i++)
        fault->begins[i] = i < len ? message[i] : 0;
    fault->message = message_hash(mine.seed, message, len);
    atomic_store_explicit(&fault->message_len, (uint32_t)len, memory_order_release);
}

/* Records the backtrace from the faulting instruction on; for its callers the call instruction, not
 * the one after it. */
static void note_fault_frames(struct fault *fault)
{
    void *frame[OWN_FRAMES + FAULT_FRAMES];
    const int count = backtrace(frame, OWN_FRAMES + FAULT_FRAMES);
    int first = 0;
    uint32_t noted = 0;
    while (first < count && (uint64_t)(uintptr_t)frame[first] != fault->instruction)
        first++;
    if (first == count) /* the program has jumped to where there is no frame */
        first = 0;
    for (int i = first; i < count && noted < FAULT_FRAMES; i++)
        fault->frame[noted++] = (uint64_t)(uintptr_t)frame[i] - (i > first);
    atomic_store_explicit(&fault->frames, noted, memory_order_release);
}

/* Sends the signal to this thread again. Uses tgkill(2) with the thread's number from the kernel:
 * glibc's raise(3) may use one cached before the clone(2). */
static void resend_fatal_signal(int number)
{
    syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), number);
}

static void on_fatal_signal(int number, siginfo_t *info, void *context)
{
    note_fault_signal(mine.fault, info, context);
    note_fault_message(mine.fault, mine.message, mine.message_len);
    note_fault_frames(mine.fault);
    resend_fatal_signal(number); /* SA_RESETHAND: the default action */
}

static void install_fault_handler(int number)
{
    struct sigaction before, action = {.sa_sigaction = on_fatal_signal,
                                       .sa_flags = SA_SIGINFO | SA_ONSTACK | (int)SA_RESETHAND};
    sigfillset(&action.sa_mask);
    if (sigaction(number, NULL, &before) == 0 && before.sa_handler == SIG_DFL)
        sigaction(number, &action, NULL);
}

void last_words_open(struct slot_words *words, struct fault *fault, uint32_t incarnation,
                     const uint8_t build[BUILD_ID_SIZE], uint64_t seed)
{
    static uint8_t stack[STACK_SIZE];
    const stack_t own = {.ss_sp = stack, .ss_size = sizeof(stack)};
    words_begin(words, incarnation, build);
    mine.fault = fault;
    mine.incarnation = incarnation;
    mine.seed = seed;
    sigaltstack(&own, NULL);
#define INSTALL(number) install_fault_handler(number);
    FATAL_SIGNALS(INSTALL)
#undef INSTALL
}

void last_words_message(const uint8_t *bytes, size_t len)
{
    mine.message = bytes;
    mine.message_len = len;
}

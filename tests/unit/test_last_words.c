/*
 * The handler of a worker's last words: children of this test die in each way, and their words are
 * read from shared memory.
 */
#include "worker/last_words.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { INCARNATION = 7, SEED = 42 };

static struct shared {
    struct slot_words words;
    struct fault fault;
} * shared;

static uint8_t build[BUILD_ID_SIZE];

static const char message[] = "the last that it read";

static volatile bool forever = true;
static int *volatile nowhere = (int *)8;

static int begin(void **state)
{
    void *frame[1];
    (void)state;
    backtrace(frame, 1); /* as the master does */
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    build_id(build);
    return shared == MAP_FAILED ? -1 : 0;
}

static int end(void **state)
{
    (void)state;
    munmap(shared, sizeof(*shared));
    return 0;
}

/* As in a plain build, also where a sanitizer has its own handlers. */
static void drop_handlers(void)
{
#define DROP(number) signal(number, SIG_DFL);
    FATAL_SIGNALS(DROP)
#undef DROP
}

/* Runs `death` in a child that has a message in hand. Returns the wait status. */
static int run(void (*death)(void))
{
    const struct rlimit none = {0, 0};
    const pid_t pid = fork();
    int status;
    assert_int_not_equal(pid, -1);
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &none);
        drop_handlers();
        last_words_open(&shared->words, &shared->fault, INCARNATION, build, SEED);
        words_connection(&shared->words, 30, 5);
        last_words_message((const uint8_t *)message, sizeof(message));
        death();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void expect_signal(int status, int number)
{
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), number);
    assert_true(fault_is_of(&shared->fault, INCARNATION));
    assert_int_equal(shared->fault.signal, number);
}

/* In this program, which has no functions in its dynamic table: by its base address. */
static bool in_this_program(uint64_t address)
{
    Dl_info there, here;
    return dladdr((void *)(uintptr_t)address, &there) && dladdr((void *)(uintptr_t)begin, &here) &&
           there.dli_fbase == here.dli_fbase;
}

/* True if the address is within the function, which is short. */
static bool is_in(uint64_t address, void (*function)(void))
{
    return address >= (uint64_t)(uintptr_t)function &&
           address < (uint64_t)(uintptr_t)function + 512;
}

__attribute__((noinline)) static void fault_by_pointer(void)
{
    *nowhere = 1; /* NOLINT */
}

static void a_fault_is_told_with_its_place(void **state)
{
    (void)state;
    expect_signal(run(fault_by_pointer), SIGSEGV);
    assert_int_equal(shared->fault.code, SEGV_MAPERR);
    assert_int_equal(shared->fault.sender, 0);
    assert_int_equal(shared->fault.address, 8);
    assert_true(is_in(shared->fault.instruction, fault_by_pointer));
    assert_in_range(shared->fault.frames, 2, FAULT_FRAMES);
    assert_true(shared->fault.frame[0] == shared->fault.instruction);
    assert_true(in_this_program(shared->fault.frame[1])); /* run */
    assert_int_equal(shared->words.fd, 30);
    assert_int_equal(shared->words.generation, 5);
    assert_memory_equal(shared->words.build, build, sizeof(build));
}

static void the_message_in_hand_is_told(void **state)
{
    (void)state;
    expect_signal(run(fault_by_pointer), SIGSEGV);
    assert_int_equal(shared->fault.message_len, sizeof(message));
    assert_memory_equal(shared->fault.begins, message, sizeof(message));
    assert_true(shared->fault.message ==
                message_hash(SEED, (const uint8_t *)message, sizeof(message)));
}

static void forget_the_message(void)
{
    last_words_message(NULL, 0);
    raise(SIGILL);
}

static void no_message_is_told_where_none_is_in_hand(void **state)
{
    (void)state;
    expect_signal(run(forget_the_message), SIGILL);
    assert_int_equal(shared->fault.message_len, 0);
}

/* A bad pointer: the handler dies of it, after it has recorded the signal. */
static void lose_the_message(void)
{
    last_words_message((const uint8_t *)(uintptr_t)8, 100);
    abort();
}

static void a_handler_that_faults_ends_the_process_and_leaves_what_it_had(void **state)
{
    (void)state;
    const int status = run(lose_the_message);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
    assert_true(fault_is_of(&shared->fault, INCARNATION));
    assert_int_equal(shared->fault.signal, SIGABRT);
    assert_int_equal(shared->fault.message_len, 0);
    assert_int_equal(shared->fault.frames, 0);
}

static void an_abort_is_its_own_doing(void **state)
{
    (void)state;
    expect_signal(run(abort), SIGABRT);
    assert_int_equal(shared->fault.sender, 0);
    assert_true(shared->fault.frames > 0);
}

static pid_t killer;

static void be_killed(void)
{
    killer = fork();
    if (killer == 0) {
        kill(getppid(), SIGBUS);
        _exit(0);
    }
    while (forever)
        pause();
}

static void a_signal_from_outside_names_its_sender(void **state)
{
    (void)state;
    expect_signal(run(be_killed), SIGBUS);
    assert_true(shared->fault.sender > 0);
    assert_int_not_equal(shared->fault.sender, getpid());
    assert_int_equal(shared->fault.address, 0);
}

static int deeper(volatile const int *above) /* NOLINT(misc-no-recursion) */
{
    volatile int here[256];
    here[0] = *above + 1;
    return forever ? deeper(here) + here[0] : 0;
}

static void overflow(void)
{
    const struct rlimit small = {1 << 20, 1 << 20};
    const volatile int bottom = 0;
    setrlimit(RLIMIT_STACK, &small);
    deeper(&bottom);
}

static void a_full_stack_is_told_from_another(void **state)
{
    (void)state;
    expect_signal(run(overflow), SIGSEGV);
    assert_int_equal(shared->fault.frames, FAULT_FRAMES);
    assert_true(in_this_program(shared->fault.frame[FAULT_FRAMES - 1]));
    assert_int_equal(shared->fault.message_len, sizeof(message));
}

static void their_handler(int number)
{
    (void)number;
    _exit(99);
}

static void anothers_handler_is_left_alone(void **state)
{
    (void)state;
    const pid_t pid = fork();
    int status;
    if (pid == 0) {
        drop_handlers();
        signal(SIGFPE, their_handler);
        last_words_open(&shared->words, &shared->fault, INCARNATION, build, SEED);
        raise(SIGFPE);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 99);
    assert_false(fault_is_of(&shared->fault, INCARNATION));
}

static void the_build_has_an_id(void **state)
{
    (void)state;
    static const uint8_t none[BUILD_ID_SIZE];
    char text[BUILD_ID_TEXT];
    assert_memory_not_equal(build, none, sizeof(build));
    build_id_text((const uint8_t[BUILD_ID_SIZE]){0x01, 0xab}, text);
    assert_string_equal(text, "01ab000000000000000000000000000000000000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_fault_is_told_with_its_place, begin, end),
        cmocka_unit_test_setup_teardown(the_message_in_hand_is_told, begin, end),
        cmocka_unit_test_setup_teardown(no_message_is_told_where_none_is_in_hand, begin, end),
        cmocka_unit_test_setup_teardown(
            a_handler_that_faults_ends_the_process_and_leaves_what_it_had, begin, end),
        cmocka_unit_test_setup_teardown(an_abort_is_its_own_doing, begin, end),
        cmocka_unit_test_setup_teardown(a_signal_from_outside_names_its_sender, begin, end),
        cmocka_unit_test_setup_teardown(a_full_stack_is_told_from_another, begin, end),
        cmocka_unit_test_setup_teardown(anothers_handler_is_left_alone, begin, end),
        cmocka_unit_test_setup_teardown(the_build_has_an_id, begin, end),
    };
    return cmocka_run_group_tests_name("last words", tests, NULL, NULL);
}

/*
 * See spawn.h. Uses the raw system call, because glibc's clone() requires a stack and a function.
 * The call runs no pthread_atfork handlers; the master has a single thread, so none are needed.
 * glibc 2.36 asks the kernel for the thread id when it raises a signal, so abort() works in the
 * child.
 */
#include "master/spawn.h"

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

pid_t spawn(bool share)
{
    if (!share)
        return fork();
    return (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0);
}

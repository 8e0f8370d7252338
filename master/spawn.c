/*
 * See spawn.h. The raw system call, because glibc's clone() wants a stack and a function. It runs
 * no pthread_atfork handlers, and the master has one thread, so none are missed; glibc 2.36 asks
 * the kernel for the thread id where it raises a signal, so abort() works in the child.
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

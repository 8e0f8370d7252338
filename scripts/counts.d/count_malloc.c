/*
 * Counts allocations of the server's processes from outside: a library for LD_PRELOAD that wraps
 * glibc's malloc and records each call with its caller in a file that all processes map. The
 * program scripts/counts builds it, and reads the file while the processes run.
 *
 * Workers are created by a raw clone(2), which runs no fork handlers: so each call asks the kernel
 * for the pid, which is slow but always right. A process has one row and is its only writer. It
 * counts neither mmap(2) nor allocations before the file is mapped, and supports only one thread in
 * a process.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* The file: PROCESSES rows. allocations.py knows this layout, all of 64-bit words. */
enum { PROCESSES = 16, SITES = 256 };
enum kind { MALLOC, CALLOC, REALLOC, ALIGNED, FREE, KINDS };

struct site {
    uint64_t caller, calls; /* the last site counts all callers that have no row */
};

struct row {
    _Atomic uint64_t pid; /* 0: nobody's yet */
    uint64_t calls[KINDS];
    struct site site[SITES];
};

static struct row *rows;

/* glibc's own, which have no header. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *at, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *at);

__attribute__((constructor)) static void open_rows(void)
{
    const char *path = getenv("COUNT_MALLOC");
    const size_t size = PROCESSES * sizeof(struct row);
    const int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd == -1)
        return;
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED)
        rows = at;
}

static struct row *row_of(uint64_t pid)
{
    for (size_t i = 0; i < PROCESSES; i++) {
        uint64_t owner = 0;
        if (atomic_compare_exchange_strong(&rows[i].pid, &owner, pid) || owner == pid)
            return &rows[i];
    }
    abort();
}

static void note(enum kind kind, const void *caller)
{
    if (!rows)
        return;
    struct row *row = row_of((uint64_t)getpid());
    size_t i = 0;
    row->calls[kind]++;
    if (kind == FREE)
        return;
    while (i < SITES - 1 && row->site[i].caller && row->site[i].caller != (uintptr_t)caller)
        i++;
    row->site[i].caller = i < SITES - 1 ? (uintptr_t)caller : 0;
    row->site[i].calls++;
}

void *malloc(size_t size)
{
    note(MALLOC, __builtin_return_address(0));
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    note(CALLOC, __builtin_return_address(0));
    return __libc_calloc(count, size);
}

void *realloc(void *at, size_t size)
{
    note(REALLOC, __builtin_return_address(0));
    return __libc_realloc(at, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    note(ALIGNED, __builtin_return_address(0));
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    note(ALIGNED, __builtin_return_address(0));
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : 12; /* ENOMEM is returned, and errno is not changed */
}

void free(void *at)
{
    note(FREE, NULL);
    __libc_free(at);
}

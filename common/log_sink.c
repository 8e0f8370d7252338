/*
 * See log_sink.h. stderr may be a pipe or a socket whose reader has stalled: a container's log
 * driver, a hung collector, journald. write(2) would then block a worker that serves clients, or
 * the master. Setting O_NONBLOCK on stderr would also affect the process that started the server,
 * because it shares the open file description. Therefore:
 *
 *   a pipe or a terminal   is opened again through /proc/self/fd, with O_NONBLOCK
 *   a socket               is written to with MSG_DONTWAIT
 *   a file                 is written to directly: it has no reader to wait for
 *
 * A file on a network filesystem whose server is down can still block; docs/operations.md says so.
 * A pipe accepts a line of up to PIPE_BUF bytes entirely or not at all (pipe(7)).
 *
 * All processes share one descriptor table, so the log file's descriptor keeps its number: dup3
 * replaces it by the reopened file atomically, for all processes at once.
 */
#include "common/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int sink_fd = STDERR_FILENO;
static int stderr_fd = STDERR_FILENO; /* stderr as the log writes to it */
static bool stderr_is_socket;
static uint64_t lost_lines;

/* Opens the file behind stderr again, so that the log can set flags of its own. */
static int reopen_stderr(void)
{
    const int flags = O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    const int fd = open("/proc/self/fd/2", flags);
    if (fd != -1)
        return fd;
    /* A pipe of another user cannot be opened: set O_NONBLOCK on the shared description after all.
     */
    const int shared = fcntl(STDERR_FILENO, F_GETFL);
    if (shared != -1)
        fcntl(STDERR_FILENO, F_SETFL, shared | O_NONBLOCK);
    return STDERR_FILENO;
}

static bool is_same_open_file(int fd, const struct stat *file)
{
    struct stat other;
    return fstat(fd, &other) == 0 && other.st_dev == file->st_dev && other.st_ino == file->st_ino;
}

static void inspect_stderr(void)
{
    struct stat file;
    if (fstat(STDERR_FILENO, &file) == -1 ||
        (stderr_fd != STDERR_FILENO && is_same_open_file(stderr_fd, &file)))
        return;
    if (stderr_fd != STDERR_FILENO)
        close(stderr_fd); /* stderr was redirected */
    stderr_is_socket = S_ISSOCK(file.st_mode);
    stderr_fd = stderr_is_socket || S_ISREG(file.st_mode) ? STDERR_FILENO : reopen_stderr();
}

static bool sink_is_file(void)
{
    return sink_fd != STDERR_FILENO && sink_fd != stderr_fd;
}

int log_sink_open(const char *path)
{
    if (path == NULL || *path == '\0') {
        inspect_stderr();
        sink_fd = stderr_fd;
        return 0;
    }
    /* O_NONBLOCK: a FIFO without a reader is an error, and one with a slow reader does not block.
     */
    const int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
    if (fd == -1)
        return -1;
    if (!sink_is_file()) {
        sink_fd = fd;
        return 0;
    }
    const int placed = dup3(fd, sink_fd, O_CLOEXEC);
    const int error = errno;
    close(fd);
    errno = error;
    return placed == -1 ? -1 : 0;
}

static ssize_t write_without_waiting(const char *line, size_t len)
{
    if (sink_fd == stderr_fd && stderr_is_socket)
        return send(sink_fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    return write(sink_fd, line, len);
}

int log_sink_write(const char *line, size_t len)
{
    ssize_t written;
    do
        written = write_without_waiting(line, len);
    while (written == -1 && errno == EINTR);
    if (written == (ssize_t)len)
        return 0;
    lost_lines++;
    return -1;
}

uint64_t log_sink_lost(void)
{
    return lost_lines;
}

void log_sink_forget(uint64_t lines)
{
    lost_lines -= lines;
}

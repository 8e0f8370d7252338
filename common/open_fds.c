/*
 * See open_fds.h.
 */
#include "common/open_fds.h"

#include <fcntl.h>
#include <stdio.h>

int open_fds_end(void)
{
    char line[128];
    int end = -1;
    FILE *status = fopen("/proc/self/status", "re");
    if (!status)
        return -1;
    while (end == -1 && fgets(line, sizeof(line), status))
        if (sscanf(line, "FDSize: %d", &end) != 1)
            end = -1;
    fclose(status);
    return end;
}

bool open_fds_has(int fd)
{
    return fcntl(fd, F_GETFD) != -1;
}

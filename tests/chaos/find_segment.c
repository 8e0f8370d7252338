/*
 * See find_segment.h. Recognises the segment by the name of its memfd.
 */
#include "tests/chaos/find_segment.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool link_names_segment(const char *path)
{
    char target[64] = "";
    return readlink(path, target, sizeof(target) - 1) > 0 &&
           strcmp(target, "/memfd:wspushd (deleted)") == 0;
}

int find_segment(const char *pid)
{
    char path[320];
    int found = -1;
    snprintf(path, sizeof(path), "/proc/%s/fd", pid);
    DIR *open_fds = opendir(path);
    const struct dirent *entry;
    while (open_fds && found == -1 && (entry = readdir(open_fds))) {
        snprintf(path, sizeof(path), "/proc/%s/fd/%s", pid, entry->d_name);
        if (link_names_segment(path))
            found = open(path, O_RDWR | O_CLOEXEC);
    }
    if (open_fds)
        closedir(open_fds);
    return found;
}

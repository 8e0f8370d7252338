/* The table of modes. */
#include "tools/bench_modes.h"

#include <string.h>

const struct mode modes[] = {
#define MODE_ROW(name, users, topics, all, requests, churn, burst, rate, window, event, text) \
    {#name, text, users, topics, all, requests, churn, burst, rate, window, EVENT_##event},
    MODES(MODE_ROW)
#undef MODE_ROW
};
const size_t modes_len = sizeof(modes) / sizeof(modes[0]);

const struct mode *mode_find(const char *name, size_t len)
{
    for (size_t i = 0; i < modes_len; i++) {
        if (strlen(modes[i].name) == len && memcmp(modes[i].name, name, len) == 0)
            return &modes[i];
    }
    return NULL;
}

bool mode_pushes(const struct mode *mode)
{
    return mode->users + mode->topics + mode->all > 0;
}

/*
 * See redis_watch.h. The role is asked for on the command link, because a subscribed connection
 * cannot ask (RESP2), and by INFO, whose reply takes fewer allocations than that of ROLE. Workers
 * ask in different seconds. If INFO was refused at login, it is not sent again: an ACL logs each
 * refusal.
 */
#include "worker/redis_watch.h"

#include "worker/command.h"
#include "worker/link.h"
#include "worker/redis_role.h"

#include <string.h>

enum {
    ASK_EVERY_S = 5,
    APART_S = 2 /* between two workers */
};

static uint32_t asked; /* the last period in which this worker asked */

static void watch_on_replication(struct worker *worker, const redisReply *reply, void *arg)
{
    char why[192];
    (void)arg;
    if (!reply || !redis_replication_is_wrong(reply, why, sizeof(why)))
        return;
    command_restart(worker, why);
    if (link_writable(worker))
        link_fail(worker, why);
}

void redis_watch_tick(struct worker *worker)
{
    const uint32_t period = (worker->now_s + APART_S * worker->id) / ASK_EVERY_S;
    const char *argv[] = {"INFO", "replication"};
    const size_t lens[] = {strlen(argv[0]), strlen(argv[1])};
    if (period == asked || !command_tells_role(worker))
        return;
    asked = period;
    command_send(worker, 2, argv, lens, watch_on_replication, NULL);
}

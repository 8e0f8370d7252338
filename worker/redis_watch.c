/*
 * See redis_watch.h. It is asked on the command link, because a subscribed connection may not ask
 * (RESP2). Where the login was not told the role, it is not asked again: an ACL would log it each
 * time.
 */
#include "worker/redis_watch.h"

#include "worker/command.h"
#include "worker/link.h"
#include "worker/redis_role.h"

#include <string.h>

enum { ASK_EVERY_S = 5 };

static uint32_t asked_s; /* when, by the worker's clock */

static void on_role(struct worker *worker, const redisReply *reply, void *arg)
{
    char why[192];
    (void)arg;
    if (!reply || !redis_role_is_wrong(reply, why, sizeof(why)))
        return;
    command_restart(worker, why);
    if (link_writable(worker))
        link_fail(worker, why);
}

void redis_watch_tick(struct worker *worker)
{
    const char *argv[] = {"ROLE"};
    const size_t lens[] = {strlen(argv[0])};
    if (worker->now_s - asked_s < ASK_EVERY_S || !command_tells_role(worker))
        return;
    asked_s = worker->now_s;
    command_send(worker, 1, argv, lens, on_role, NULL);
}

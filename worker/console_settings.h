/*
 * What the console's page has to know of push.conf and of the server's state: console.json.
 */
#ifndef WSPUSHD_WORKER_CONSOLE_SETTINGS_H
#define WSPUSHD_WORKER_CONSOLE_SETTINGS_H

#include "worker/worker.h"

#include <jansson.h>

/* Returns an owned object, with no password in it. */
json_t *console_settings(const struct worker *worker);

#endif

/*
 * The settings and server state that the console's page needs: console.json.
 */
#ifndef WSPUSHD_WORKER_CONSOLE_SETTINGS_H
#define WSPUSHD_WORKER_CONSOLE_SETTINGS_H

#include "worker/worker.h"

#include <jansson.h>

/* Returns an owned JSON object, which contains no password. */
json_t *console_settings(const struct worker *worker);

#endif

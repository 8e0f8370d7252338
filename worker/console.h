/*
 * The console: a page to try the server by hand, compiled into it, at / of the listener where
 * push.conf has console = true.
 */
#ifndef WSPUSHD_WORKER_CONSOLE_H
#define WSPUSHD_WORKER_CONSOLE_H

#include "common/config.h"
#include "proto/http.h"

#include <stddef.h>
#include <stdint.h>

/*
 * The whole response to a request for the page or one of its parts; NULL for any other request.
 * Its bytes are good until the next call.
 */
const uint8_t *console_response(const struct config *config, const struct http_request *request,
                                size_t *len);

#endif

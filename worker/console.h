/*
 * The console: a page for trying the server by hand, compiled into it and served at / of the
 * listener if push.conf has console = true.
 */
#ifndef WSPUSHD_WORKER_CONSOLE_H
#define WSPUSHD_WORKER_CONSOLE_H

#include "proto/http.h"
#include "worker/worker.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Returns the whole response to a request for the page or one of its parts, or NULL for any other
 * request. The bytes are valid until the next call.
 */
const uint8_t *console_response(const struct worker *worker, const struct http_request *request,
                                size_t *len);

/*
 * True if the console's page asks for the result of a login: a request for the endpoint with the
 * field X-Login-Check instead of Upgrade. It is answered like a handshake, but with 204 instead of
 * 101, because a browser does not let a page see the answer to a handshake.
 */
bool console_checks_login(const struct config *config, const struct http_request *request);

#endif

/*
 * The console: a page to try the server by hand, compiled into it, at / of the listener where
 * push.conf has console = true.
 */
#ifndef WSPUSHD_WORKER_CONSOLE_H
#define WSPUSHD_WORKER_CONSOLE_H

#include "proto/http.h"
#include "worker/worker.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The whole response to a request for the page or one of its parts; NULL for any other request.
 * Its bytes are good until the next call.
 */
const uint8_t *console_response(const struct worker *worker, const struct http_request *request,
                                size_t *len);

/*
 * True if the page asks what the server says to a login: a request for the endpoint with the field
 * X-Login-Check instead of Upgrade. It is answered like a handshake, but with 204 instead of 101. A
 * browser does not let a page see the answer to the handshake itself.
 */
bool console_checks_login(const struct config *config, const struct http_request *request);

#endif

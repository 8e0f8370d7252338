/*
 * See admin_change.h. The master answers no requests, so a worker sends it the signal that an
 * operator would send, and the master writes the outcome to the board (shm/board.h). The answer
 * names the number to wait for there, because this worker may have left by then.
 *
 * The signal is sent through the master's pidfd, so never to an unrelated process that has reused
 * its pid. It is sent only after the answer has left, because a worker that is told to leave does
 * not wait for admin clients.
 */
#include "worker/admin_change.h"

#include "common/log.h"
#include "shm/board.h"
#include "worker/admin.h"

#include <errno.h>
#include <event2/buffer.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>

enum { ACCEPTED = 202, UNAVAILABLE = 503 };

/* A request to the master. Its pidfd is filled in before the signal is sent. */
struct order {
    const char *name;
    int number; /* signal(7) */
    int master_fd;
};

static void send_order_signal(struct evhttp_request *request, void *arg)
{
    const struct order *order = arg;
    (void)request;
    log_info("admin_asked", "for=%s", order->name);
    if (pidfd_send_signal(order->master_fd, order->number, NULL, 0) == -1)
        log_error("admin_ask_failed", "for=%s why=%s", order->name,
                  log_quote(strerror(errno), strlen(strerror(errno))));
}

/* True if the master can be signalled; otherwise answers with an error. */
static bool can_signal_master(const struct worker *worker, struct evhttp_request *request)
{
    const int master_fd = worker->setup->master_fd;
    if (worker_draining(worker)) {
        admin_answer_error(request, UNAVAILABLE, "the server is stopping");
        return false;
    }
    if (master_fd == -1 || pidfd_send_signal(master_fd, 0, NULL, 0) == -1) {
        admin_answer_error(request, UNAVAILABLE, "the master cannot be reached");
        return false;
    }
    return true;
}

/* Sends `answer`, which is consumed, and then the signal. */
static void answer_and_signal(const struct worker *worker, struct evhttp_request *request,
                              struct order *order, json_t *answer)
{
    order->master_fd = worker->setup->master_fd;
    evhttp_request_set_on_complete_cb(request, send_order_signal, order);
    admin_answer_json(request, ACCEPTED, answer);
}

static void request_change(const struct worker *worker, struct evhttp_request *request,
                           struct order *order, enum change_kind kind)
{
    if (can_signal_master(worker, request))
        answer_and_signal(worker, request, order,
                          json_pack("{s:I}", "number",
                                    (json_int_t)board_begun(worker->segment->board, kind) + 1));
}

void admin_reload(struct worker *worker, struct evhttp_request *request, const char *rest)
{
    static struct order order = {.name = "reload", .number = SIGHUP};
    (void)rest;
    request_change(worker, request, &order, CHANGE_RELOAD);
}

void admin_upgrade(struct worker *worker, struct evhttp_request *request, const char *rest)
{
    static struct order order = {.name = "upgrade", .number = SIGUSR2};
    (void)rest;
    request_change(worker, request, &order, CHANGE_UPGRADE);
}

/* Reads the body: {"restart":true}, {"restart":false}, {} or nothing. Returns false if it is
 * anything else: a misspelt member must not turn a restart into a final stop. */
static bool read_drain_body(struct evhttp_request *request, int *restart)
{
    struct evbuffer *input = evhttp_request_get_input_buffer(request);
    const size_t len = evbuffer_get_length(input);
    *restart = 0;
    if (len == 0)
        return true;
    json_t *body = json_loadb((const char *)evbuffer_pullup(input, -1), len, 0, NULL);
    const bool valid = json_unpack(body, "{s?b!}", "restart", restart) == 0;
    json_decref(body);
    return valid;
}

void admin_drain(struct worker *worker, struct evhttp_request *request, const char *rest)
{
    static struct order stop = {.name = "drain", .number = SIGTERM};
    static struct order again = {.name = "restart", .number = SIGQUIT};
    int restart;
    (void)rest;
    if (!read_drain_body(request, &restart))
        admin_answer_error(request, HTTP_BADREQUEST,
                           "invalid body: expected {}, {\"restart\":true} or {\"restart\":false}");
    else if (can_signal_master(worker, request))
        answer_and_signal(worker, request, restart ? &again : &stop,
                          json_pack("{s:b, s:i}", "restart", restart, "drain_timeout",
                                    (int)worker->config->drain_timeout));
}

/* Makes a JSON string of a change's text. A new program that was tried may have printed any bytes:
 * text that is not UTF-8 is shown with `?` for each non-ASCII byte. */
static json_t *change_text_json(char *text)
{
    json_t *json = json_string(text);
    if (json)
        return json;
    for (char *at = text; *at; at++)
        if ((unsigned char)*at >= 0x80)
            *at = '?';
    return json_string(text);
}

void admin_changes_json(const struct worker *worker, json_t *json)
{
    const struct board *board = worker->segment->board;
    for (uint32_t i = 0; i < CHANGE_COUNT; i++) {
        const enum change_kind kind = (enum change_kind)i;
        struct change_report report;
        const uint32_t number = board_read(board, kind, &report);
        json_t *change = json_pack("{s:I, s:b}", "number", (json_int_t)number, "under_way",
                                   board_begun(board, kind) != number);
        if (number > 0)
            json_object_update_new(
                change, json_pack("{s:s, s:I, s:o}", "outcome",
                                  change_outcome_name((enum change_outcome)report.outcome), "at",
                                  (json_int_t)(report.at_ms / 1000), "text",
                                  change_text_json(report.text)));
        json_object_set_new(json, change_name(kind), change);
    }
}

/*
 * See dashboard.h. Plain files, served unchanged; they get their data from /api/stats.
 */
#include "worker/dashboard.h"

#include "worker/admin.h"
#include "worker/embedded.h"

#include <stdio.h>
#include <string.h>

static void serve_dashboard_file(struct evhttp_request *request, const char *name)
{
    static const char *const headers[][2] = {
        {"Content-Security-Policy", PAGE_POLICY},
        {"X-Content-Type-Options", "nosniff"},
        {"Referrer-Policy", "no-referrer"},
        {"Cache-Control", "no-cache"},
    };
    const struct embedded_file *file = dashboard_files, *end = file + dashboard_file_count;
    while (file < end && strcmp(file->name, name) != 0)
        file++;
    if (file == end) {
        admin_answer_error(request, HTTP_NOTFOUND, "no such path");
        return;
    }
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
        evhttp_add_header(evhttp_request_get_output_headers(request), headers[i][0], headers[i][1]);
    admin_answer(request, 200, file->type, file->bytes, file->len);
}

void dashboard_page(struct worker *worker, struct evhttp_request *request, const char *rest)
{
    (void)worker, (void)rest;
    serve_dashboard_file(request, "index.html");
}

void dashboard_part(struct worker *worker, struct evhttp_request *request, const char *rest)
{
    char name[64];
    (void)worker;
    snprintf(name, sizeof(name), "dashboard.%s", rest); /* if it is cut no file has its name */
    serve_dashboard_file(request, name);
}

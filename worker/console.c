/*
 * See console.h. The page is plain files, served unchanged. One more file, console.json, gives the
 * page the settings that it needs (console_settings.c).
 *
 * The page shows other people's text, so its content security policy is as strict as possible
 * (embedded.h).
 */
#include "worker/console.h"

#include "worker/console_settings.h"
#include "worker/embedded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char head[] = "HTTP/1.1 200 OK\r\n"
                           "Content-Type: %s\r\n"
                           "Content-Length: %zu\r\n"
                           "Content-Security-Policy: " PAGE_POLICY "\r\n"
                           "X-Content-Type-Options: nosniff\r\n"
                           "Referrer-Policy: no-referrer\r\n"
                           "Cache-Control: no-cache\r\n"
                           "Connection: close\r\n\r\n";

/* Builds head and body in one buffer, which grows to the largest response. */
static const uint8_t *build_page_response(const char *type, const void *body, size_t body_len,
                                          size_t *len)
{
    static char *buffer;
    static size_t size;
    const size_t need = sizeof(head) + strlen(type) + 24 + body_len;
    if (!buffer || need > size) {
        free(buffer);
        buffer = malloc(need);
        size = need;
        if (!buffer)
            abort();
    }
    const size_t head_len = (size_t)snprintf(buffer, size, head, type, body_len);
    memcpy(buffer + head_len, body, body_len);
    *len = head_len + body_len;
    return (const uint8_t *)buffer;
}

static const uint8_t *settings_response(const struct worker *worker, size_t *len)
{
    json_t *json = console_settings(worker);
    char *text = json_dumps(json, JSON_COMPACT);
    if (!text)
        abort();
    const uint8_t *response = build_page_response("application/json", text, strlen(text), len);
    free(text);
    json_decref(json);
    return response;
}

const uint8_t *console_response(const struct worker *worker, const struct http_request *request,
                                size_t *len)
{
    const struct config *config = worker->config;
    struct slice name = request->path;
    if (!config->console || !slice_equal(request->method, "GET") || name.len == 0 ||
        http_header_find(request, "Upgrade", NULL))
        return NULL;
    name = (struct slice){name.at + 1, name.len - 1};
    if (slice_equal(name, "console.json"))
        return settings_response(worker, len);
    for (size_t i = 0; i < console_file_count; i++) {
        const struct embedded_file *file = &console_files[i];
        if (slice_equal(name, file->name) ||
            (name.len == 0 && strcmp(file->name, "index.html") == 0))
            return build_page_response(file->type, file->bytes, file->len, len);
    }
    return NULL;
}

bool console_checks_login(const struct config *config, const struct http_request *request)
{
    return config->console && http_header_find(request, "X-Login-Check", NULL) &&
           !http_header_find(request, "Upgrade", NULL);
}

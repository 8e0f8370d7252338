/*
 * See console.h. The page is plain files, served as they are; besides them there is one that is
 * made here, console.json, which tells the page where the endpoint is.
 *
 * The page shows what other people sent, so it is held to the strictest content security policy
 * that it can live with (embedded.h).
 */
#include "worker/console.h"

#include "proto/json.h"
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

/* Head and body in one piece, in a buffer that grows to the largest. */
static const uint8_t *whole(const char *type, const void *body, size_t body_len, size_t *len)
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

/* {"path":"/ws"} */
static const uint8_t *settings(const struct config *config, size_t *len)
{
    const size_t path_len = strlen(config->path);
    const size_t quoted_len = json_quote(NULL, config->path, path_len);
    char *json = malloc(sizeof("{\"path\":}") + quoted_len);
    if (!json)
        abort();
    size_t json_len = (size_t)sprintf(json, "{\"path\":");
    json_len += json_quote(json + json_len, config->path, path_len);
    json[json_len++] = '}';
    const uint8_t *response = whole("application/json", json, json_len, len);
    free(json);
    return response;
}

const uint8_t *console_response(const struct config *config, const struct http_request *request,
                                size_t *len)
{
    struct slice name = request->path;
    if (!config->console || !slice_equal(request->method, "GET") || name.len == 0 ||
        http_header_find(request, "Upgrade", NULL))
        return NULL;
    name = (struct slice){name.at + 1, name.len - 1};
    if (slice_equal(name, "console.json"))
        return settings(config, len);
    for (size_t i = 0; i < console_file_count; i++) {
        const struct embedded_file *file = &console_files[i];
        if (slice_equal(name, file->name) ||
            (name.len == 0 && strcmp(file->name, "index.html") == 0))
            return whole(file->type, file->bytes, file->len, len);
    }
    return NULL;
}

/*
 * Redis and HTTP for the publisher: see the header. Of HTTP it supports what servers of this kind
 * send: a status and a Content-Length; a chunked body is refused.
 */
#include "tools/bench_medium.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "proto/http.h"
#include "proto/resp.h"

enum { HTTP_HEAD_MOST = 16384, HTTP_BODY_MOST = 1 << 20 };

static size_t append_redis_publish(char *out, const char *host, const char *channel,
                                   const char *message, size_t len)
{
    static const char command[] = "PUBLISH";

    (void)host;
    size_t at = resp_array_head(out, 3);
    at += resp_bulk(out + at, command, sizeof(command) - 1);
    at += resp_bulk(out + at, channel, strlen(channel));
    return at + resp_bulk(out + at, message, len);
}

static ssize_t read_redis_reply(struct medium_reply *reply, const char *buf, size_t len)
{
    struct resp_reply redis;
    const ssize_t used = resp_parse(&redis, buf, len, NULL);
    if (used <= 0)
        return used < 0 ? -1 : 0;
    *reply = (struct medium_reply){redis.type == RESP_INTEGER, redis.value.integer, "", 0};
    if (redis.type == RESP_ERROR) {
        reply->text = redis.value.at;
        reply->len = redis.value.len;
    }
    return used;
}

static size_t append_http_post(char *out, const char *host, const char *channel,
                               const char *message, size_t len)
{
    const int head = sprintf(out,
                             "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: text/plain\r\n"
                             "Content-Length: %zu\r\n\r\n",
                             channel, host, len);
    memcpy(out + head, message, len);
    return (size_t)head + len;
}

/* Returns the length of the body; -1 if it is unknown or too large. */
static ssize_t read_reply_body_length(const struct http_request *head, int status)
{
    const struct slice *length = http_header_find(head, "Content-Length", NULL);
    size_t bytes = 0;

    if (length == NULL)
        return status == 204 ? 0 : -1;
    for (size_t i = 0; i < length->len; i++) {
        if (!isdigit((unsigned char)length->at[i]) || bytes > HTTP_BODY_MOST)
            return -1;
        bytes = bytes * 10 + (size_t)(length->at[i] - '0');
    }
    return (ssize_t)bytes;
}

static ssize_t read_http_reply(struct medium_reply *reply, const char *buf, size_t len)
{
    struct http_request head;
    int status = 0;
    const ssize_t used = http_parse_response(&head, &status, buf, len, HTTP_HEAD_MOST);
    if (used <= 0)
        return used;
    const ssize_t body = read_reply_body_length(&head, status);
    if (body < 0)
        return -1;
    if (len - (size_t)used < (size_t)body)
        return 0;
    const char *line = memchr(buf, '\r', (size_t)used);
    *reply = (struct medium_reply){status / 100 == 2, -1, buf, (size_t)used};
    if (line != NULL)
        reply->len = (size_t)(line - buf);
    return used + body;
}

static const struct medium media[] = {
    {"redis://",
     {"push:user:{}", "push:topic:bench:{}", "push:all"},
     "6379",
     append_redis_publish,
     read_redis_reply},
    {"http://",
     {"/pub?id={}", "/pub?id=topic-{}", "/pub?id=all"},
     "80",
     append_http_post,
     read_http_reply},
};

const struct medium *medium_find(const char *url)
{
    for (size_t i = 0; i < sizeof(media) / sizeof(media[0]); i++) {
        if (strncmp(url, media[i].scheme, strlen(media[i].scheme)) == 0)
            return &media[i];
    }
    return NULL;
}

void medium_name(char *out, size_t size, const char *pattern, uint32_t number)
{
    const char *hole = strstr(pattern, "{}");
    if (hole == NULL)
        snprintf(out, size, "%s", pattern);
    else
        snprintf(out, size, "%.*s%u%s", (int)(hole - pattern), pattern, number, hole + 2);
}

/*
 * See redis_trouble.h.
 */
#include "worker/redis_trouble.h"

#include "common/log.h"
#include "worker/redis_connect.h"

#include <stdio.h>
#include <string.h>

enum { REPEAT_MS = 60000 /* a reason that stays the same is logged again after this time */ };

/* The last line logged about each link. */
static struct {
    char text[TROUBLE_TEXT_MAX];
    uint64_t at_ms;
    uint32_t repeats; /* repetitions since then that were not logged */
} logged[REDIS_LINK_COUNT];

static bool trouble_is_news(const struct worker *worker, enum redis_link link, const char *why)
{
    return strcmp(logged[link].text, why) != 0 || worker->now_ms - logged[link].at_ms >= REPEAT_MS;
}

/* Copies printable ASCII and replaces other bytes: Redis's text may hold any, and JSON must be
 * UTF-8. */
static void copy_printable_text(char out[TROUBLE_TEXT_MAX], const char *text)
{
    size_t len = 0;
    for (; len < TROUBLE_TEXT_MAX - 1 && text[len]; len++)
        out[len] = text[len] >= ' ' && text[len] <= '~' ? text[len] : '?';
    out[len] = '\0';
}

static void log_link_trouble(const struct worker *worker, enum redis_link link, const char *why,
                             uint32_t retry_ms)
{
    char redis[160], what[1024];
    redis_address_text(&worker->config->redis_at, redis, sizeof(redis));
    snprintf(what, sizeof(what), "redis=%s why=%s retry_ms=%u repeats=%u",
             log_quote(redis, strlen(redis)), log_quote(why, strlen(why)), retry_ms,
             logged[link].repeats);
    if (link == REDIS_PUSHES)
        log_warn("redis_link_down", "%s", what);
    else
        log_warn("redis_commands_down", "%s", what);
}

void redis_trouble_tell(struct worker *worker, enum redis_link link, const char *reason,
                        uint32_t retry_ms)
{
    char why[TROUBLE_TEXT_MAX];
    copy_printable_text(why, reason);
    trouble_set(&worker->slot->trouble[link], why);
    if (!trouble_is_news(worker, link, why)) {
        logged[link].repeats++;
        return;
    }
    log_link_trouble(worker, link, why, retry_ms);
    snprintf(logged[link].text, sizeof(logged[link].text), "%s", why);
    logged[link].at_ms = worker->now_ms;
    logged[link].repeats = 0;
}

void redis_trouble_over(struct worker *worker, enum redis_link link)
{
    trouble_set(&worker->slot->trouble[link], "");
    logged[link].text[0] = '\0';
    logged[link].repeats = 0;
}

bool redis_trouble_any(const struct worker *worker, char text[TROUBLE_TEXT_MAX])
{
    for (uint32_t i = 0; i < worker->workers; i++)
        for (size_t link = 0; link < REDIS_LINK_COUNT; link++)
            if (trouble_get(&worker->segment->slot[i].trouble[link], text))
                return true;
    return false;
}

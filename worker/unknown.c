/*
 * See unknown.h. Logged texts are remembered as hashes in a small table. When it is full it is
 * emptied, and the rate limit still bounds the lines: names may be random.
 */
#include "worker/unknown.h"

#include "common/log.h"

#include <stdio.h>
#include <string.h>

enum {
    SEEN_MAX = 64,
    LINES_A_SECOND = 10,
    ORIGIN_MAX = 256, /* bytes of a channel's name that are logged */
};

/* True if the text is not in the table; adds it. */
static bool member_is_new(const struct worker *worker, const char *text)
{
    static uint32_t seen[SEEN_MAX];
    static size_t count;
    const uint32_t hash = users_hash(worker->segment->header->hash_seed, text, strlen(text));
    for (size_t i = 0; i < count; i++)
        if (seen[i] == hash)
            return false;
    if (count == SEEN_MAX)
        count = 0;
    seen[count++] = hash;
    return true;
}

const char *origin_quote(const struct origin_text *from)
{
    char text[ORIGIN_MAX];
    const int len = snprintf(text, sizeof(text), "%s%s%.*s", from->prefix, from->kind,
                             (int)from->name_len, from->name);
    return log_quote(text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1);
}

void unknown_note(struct worker *worker, _Atomic uint64_t *counter, const struct origin_text *from,
                  const char *why)
{
    static struct log_limit limit;
    stats_add(counter, 1);
    if (member_is_new(worker, why) && log_allow(&limit, LINES_A_SECOND, NULL))
        log_warn("unknown_member", "channel=%s why=%s", origin_quote(from),
                 log_quote(why, strlen(why)));
}

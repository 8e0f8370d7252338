/*
 * See rates.h. A hash table with open addressing; full buckets are dropped when the table has to
 * grow.
 */
#include "worker/rates.h"

#include <stdlib.h>

struct bucket {
    uint64_t key; /* the connection's reference; 0: unused */
    uint32_t op;
    uint32_t level;   /* thousandths of a token that are left */
    uint64_t seen_ms; /* time of `level`, monotonic */
};

struct rates {
    struct bucket *bucket;
    size_t size, count; /* size: a power of two */
};

enum { FIRST_SIZE = 64, TOKEN = 1000 };

struct rates *rates_new(void)
{
    struct rates *rates = calloc(1, sizeof(*rates));
    struct bucket *bucket = calloc(FIRST_SIZE, sizeof(*bucket));
    if (!rates || !bucket) {
        free(rates);
        free(bucket);
        return NULL;
    }
    *rates = (struct rates){.bucket = bucket, .size = FIRST_SIZE};
    return rates;
}

static struct bucket *find_rate_bucket(const struct rates *rates, uint64_t key, uint32_t op)
{
    size_t i = (size_t)((key ^ op) * 0x9e3779b97f4a7c15ull >> 32);
    for (;; i++) {
        struct bucket *bucket = &rates->bucket[i & (rates->size - 1)];
        if (bucket->key == 0 || (bucket->key == key && bucket->op == op))
            return bucket;
    }
}

/* Rebuilds the table, at most half full, with the buckets used within the last second. */
static void rebuild_rate_table(struct rates *rates, uint64_t now_ms)
{
    const struct rates old = *rates;
    size_t live = 0;
    for (size_t i = 0; i < old.size; i++)
        live += old.bucket[i].key && now_ms - old.bucket[i].seen_ms < 1000;
    rates->size = FIRST_SIZE;
    while (rates->size < live * 4)
        rates->size *= 2;
    rates->bucket = calloc(rates->size, sizeof(*rates->bucket));
    if (!rates->bucket)
        abort();
    rates->count = live;
    for (size_t i = 0; i < old.size; i++)
        if (old.bucket[i].key && now_ms - old.bucket[i].seen_ms < 1000)
            *find_rate_bucket(rates, old.bucket[i].key, old.bucket[i].op) = old.bucket[i];
    free(old.bucket);
}

bool rates_allow(struct worker *worker, const struct conn *conn, uint32_t op, uint32_t rate)
{
    struct rates *rates = worker->rates;
    const uint64_t key = conn_ref_pack(conn_ref(worker->table, conn));
    const uint64_t full = (uint64_t)rate * TOKEN;
    if (rates->count * 2 >= rates->size)
        rebuild_rate_table(rates, worker->now_ms);
    struct bucket *bucket = find_rate_bucket(rates, key, op);
    if (bucket->key == 0) {
        *bucket = (struct bucket){.key = key, .op = op, .level = (uint32_t)full};
        rates->count++;
    } else {
        /* `rate` tokens a second are `rate` thousandths a millisecond. */
        const uint64_t level = bucket->level + (worker->now_ms - bucket->seen_ms) * rate;
        bucket->level = (uint32_t)(level > full ? full : level);
    }
    bucket->seen_ms = worker->now_ms;
    if (bucket->level < TOKEN)
        return false;
    bucket->level -= TOKEN;
    return true;
}

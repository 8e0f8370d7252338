/*
 * See rates.h. A table with open addressing; buckets that have filled up are dropped whenever the
 * table is to grow.
 */
#include "worker/rates.h"

#include <stdlib.h>

struct bucket {
    uint64_t key; /* the connection's reference; 0: unused */
    uint32_t op;
    uint32_t level;   /* thousandths of a token that are left */
    uint64_t seen_ms; /* when `level` was right */
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

static struct bucket *find(const struct rates *rates, uint64_t key, uint32_t op)
{
    size_t i = (size_t)((key ^ op) * 0x9e3779b97f4a7c15ull >> 32);
    for (;; i++) {
        struct bucket *bucket = &rates->bucket[i & (rates->size - 1)];
        if (bucket->key == 0 || (bucket->key == key && bucket->op == op))
            return bucket;
    }
}

/* Keeps the buckets that a second has not filled, in a table at most half full. */
static void rebuild(struct rates *rates, uint64_t now_ms)
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
            *find(rates, old.bucket[i].key, old.bucket[i].op) = old.bucket[i];
    free(old.bucket);
}

bool rates_allow(struct worker *worker, const struct conn *conn, uint32_t op, uint32_t rate)
{
    struct rates *rates = worker->rates;
    const uint64_t key = conn_ref_pack(conn_ref(worker->table, conn));
    const uint64_t full = (uint64_t)rate * TOKEN;
    if (rates->count * 2 >= rates->size)
        rebuild(rates, worker->now_ms);
    struct bucket *bucket = find(rates, key, op);
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

/*
 * See limits.h. Other workers' counts may be a moment old, so a limit may be exceeded by
 * connections that reach different workers at the same instant.
 */
#include "worker/limits.h"

static struct addresses address_table_of(const struct worker *worker, uint32_t i)
{
    const uint32_t size = addresses_size(worker->capacity);
    return (struct addresses){worker->segment->addresses + (size_t)i * size, size};
}

static uint64_t conn_address_key(const struct worker *worker, const struct conn *conn)
{
    return address_key(worker->segment->header->hash_seed, conn->address);
}

/* True if the connection is counted by its address. Without a limit none is, and the table's pages
 * are never touched. */
static bool counts_by_address(const struct worker *worker, const struct conn *conn)
{
    return worker->config->max_per_address > 0 && conn_has(conn, CONN_COUNTED);
}

void limits_open(struct worker *worker)
{
    const uint32_t limit = budget_limit();
    worker->addresses = address_table_of(worker, worker->id);
    worker->budget =
        budget_share(limit < worker->capacity ? limit : worker->capacity,
                     worker->config->max_connections, worker_slots(worker), worker->workers);
}

bool limits_full(const struct worker *worker)
{
    return worker_total(worker) > worker->budget.clients;
}

bool limits_overfull(const struct worker *worker, uint32_t fd)
{
    return fd >= worker->budget.end ||
           worker_total(worker) > worker->budget.clients + worker->budget.refused;
}

void limits_gain(struct worker *worker, const struct conn *conn)
{
    if (counts_by_address(worker, conn))
        addresses_add(&worker->addresses, conn_address_key(worker, conn));
}

void limits_lose(struct worker *worker, const struct conn *conn)
{
    if (counts_by_address(worker, conn))
        addresses_remove(&worker->addresses, conn_address_key(worker, conn));
}

void limits_count(struct worker *worker, struct conn *conn)
{
    conn_set(conn, CONN_COUNTED);
    limits_gain(worker, conn);
}

void limits_forget(struct worker *worker)
{
    if (worker->config->max_per_address > 0)
        addresses_clear(&worker->addresses);
}

bool limits_exceeded(struct worker *worker, struct conn *conn)
{
    uint64_t total = 0;
    if (!counts_by_address(worker, conn))
        return false;
    for (uint32_t i = 0; i < worker->workers; i++) {
        const struct addresses table = address_table_of(worker, i);
        total += addresses_count(&table, conn_address_key(worker, conn));
    }
    if (total <= worker->config->max_per_address)
        return false;
    limits_lose(worker, conn);
    conn_clear(conn, CONN_COUNTED);
    return true;
}

/* Returns the worker's handshakes in this second. The second and the count share one word, so that
 * they belong together. */
static uint32_t handshakes_in_second(const struct worker *worker, uint32_t i, uint32_t second)
{
    const uint64_t word =
        atomic_load_explicit(&worker->segment->slot[i].handshakes, memory_order_relaxed);
    return word >> 32 == second ? (uint32_t)word : 0;
}

bool limits_handshake(struct worker *worker)
{
    const uint32_t second = worker->now_s;
    uint64_t total = 0;
    if (worker->config->handshake_rate == 0)
        return true;
    for (uint32_t i = 0; i < worker->workers; i++)
        total += handshakes_in_second(worker, i, second);
    if (total >= worker->config->handshake_rate)
        return false;
    const uint32_t own = handshakes_in_second(worker, worker->id, second) + 1;
    atomic_store_explicit(&worker->slot->handshakes, (uint64_t)second << 32 | own,
                          memory_order_relaxed);
    return true;
}

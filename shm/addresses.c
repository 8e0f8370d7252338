/*
 * See addresses.h. What is removed leaves no tombstone: the entries behind it move up (Knuth,
 * TAOCP 6.4, algorithm R), so that the table is always as if it had been filled afresh.
 */
#include "shm/addresses.h"

#include <assert.h>
#include <string.h>

uint32_t addresses_size(uint32_t connections)
{
    uint32_t size = 16;
    while (size < 2 * (uint64_t)connections && size < UINT32_C(1) << 31)
        size *= 2;
    return size;
}

/* The finalizer of MurmurHash3: every bit of the input reaches every bit of the result. */
static uint64_t mix(uint64_t bits)
{
    bits = (bits ^ bits >> 33) * UINT64_C(0xff51afd7ed558ccd);
    bits = (bits ^ bits >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return bits ^ bits >> 33;
}

uint64_t address_key(uint64_t seed, const uint8_t address[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    uint64_t network, host = 0;
    memcpy(&network, address, sizeof(network));
    if (memcmp(address, mapped, sizeof(mapped)) == 0)
        memcpy(&host, address + 8, sizeof(host));
    const uint64_t key = mix(mix(network ^ seed) ^ host ^ ~seed);
    return key ? key : 1;
}

/* Other processes read what is stored here, one word at a time: relaxed will do. */
static uint64_t key_at(const struct addresses *addresses, uint32_t i)
{
    return atomic_load_explicit(&addresses->entry[i].key, memory_order_relaxed);
}

static uint32_t count_at(const struct addresses *addresses, uint32_t i)
{
    return atomic_load_explicit(&addresses->entry[i].count, memory_order_relaxed);
}

static void put(struct addresses *addresses, uint32_t i, uint64_t key, uint32_t count)
{
    atomic_store_explicit(&addresses->entry[i].key, key, memory_order_relaxed);
    atomic_store_explicit(&addresses->entry[i].count, count, memory_order_relaxed);
}

static uint32_t home_of(const struct addresses *addresses, uint64_t key)
{
    return (uint32_t)key & (addresses->size - 1);
}

static uint32_t next(const struct addresses *addresses, uint32_t i)
{
    return (i + 1) & (addresses->size - 1);
}

/* Where the key is, or would be. Bounded, for its owner may be moving entries meanwhile. */
static uint32_t find(const struct addresses *addresses, uint64_t key)
{
    uint32_t i = home_of(addresses, key);
    for (uint32_t steps = 0; steps < addresses->size; steps++, i = next(addresses, i)) {
        const uint64_t there = key_at(addresses, i);
        if (there == key || there == 0)
            break;
    }
    return i;
}

void addresses_add(struct addresses *addresses, uint64_t key)
{
    const uint32_t i = find(addresses, key);
    assert(key_at(addresses, i) == key || key_at(addresses, i) == 0);
    put(addresses, i, key, key_at(addresses, i) == key ? count_at(addresses, i) + 1 : 1);
}

/* Whether an entry at `i` whose place is `home` is still found when `hole` is empty. */
static bool reachable(uint32_t home, uint32_t hole, uint32_t i)
{
    return hole <= i ? hole < home && home <= i : hole < home || home <= i;
}

static void close_hole(struct addresses *addresses, uint32_t hole)
{
    uint32_t i = next(addresses, hole);
    for (; key_at(addresses, i) != 0; i = next(addresses, i)) {
        const uint64_t key = key_at(addresses, i);
        if (reachable(home_of(addresses, key), hole, i))
            continue;
        put(addresses, hole, key, count_at(addresses, i));
        hole = i;
    }
    put(addresses, hole, 0, 0);
}

void addresses_remove(struct addresses *addresses, uint64_t key)
{
    const uint32_t i = find(addresses, key);
    if (key_at(addresses, i) != key)
        return;
    if (count_at(addresses, i) > 1)
        put(addresses, i, key, count_at(addresses, i) - 1);
    else
        close_hole(addresses, i);
}

uint32_t addresses_count(const struct addresses *addresses, uint64_t key)
{
    const uint32_t i = find(addresses, key);
    return key_at(addresses, i) == key ? count_at(addresses, i) : 0;
}

/* Only what is used is touched: pages that nobody has written cost nothing. */
void addresses_clear(struct addresses *addresses)
{
    for (uint32_t i = 0; i < addresses->size; i++)
        if (key_at(addresses, i) != 0)
            put(addresses, i, 0, 0);
}

bool addresses_valid(const struct addresses *addresses)
{
    for (uint32_t i = 0; i < addresses->size; i++) {
        const uint64_t key = key_at(addresses, i);
        if (key != 0 && (count_at(addresses, i) == 0 || find(addresses, key) != i))
            return false;
        if (key == 0 && count_at(addresses, i) != 0)
            return false;
    }
    return true;
}

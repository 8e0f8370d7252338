/*
 * See addresses.h. A removed entry leaves no tombstone: the entries behind it move up (Knuth, TAOCP
 * 6.4, algorithm R), so the table is always as if it had never held the entry.
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
static uint64_t mix_key_bits(uint64_t bits)
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
    const uint64_t key = mix_key_bits(mix_key_bits(network ^ seed) ^ host ^ ~seed);
    return key ? key : 1;
}

/* Relaxed: other processes read these words one at a time, and need no order between them. */
static uint64_t load_entry_key(const struct addresses *addresses, uint32_t i)
{
    return atomic_load_explicit(&addresses->entry[i].key, memory_order_relaxed);
}

static uint32_t load_entry_count(const struct addresses *addresses, uint32_t i)
{
    return atomic_load_explicit(&addresses->entry[i].count, memory_order_relaxed);
}

static void store_entry(struct addresses *addresses, uint32_t i, uint64_t key, uint32_t count)
{
    atomic_store_explicit(&addresses->entry[i].key, key, memory_order_relaxed);
    atomic_store_explicit(&addresses->entry[i].count, count, memory_order_relaxed);
}

static uint32_t home_index_of_key(const struct addresses *addresses, uint64_t key)
{
    return (uint32_t)key & (addresses->size - 1);
}

static uint32_t next_entry_index(const struct addresses *addresses, uint32_t i)
{
    return (i + 1) & (addresses->size - 1);
}

/* Returns the index at which the key is, or would be. Bounded, because in another process's table
 * entries may be moving meanwhile. */
static uint32_t find_key_index(const struct addresses *addresses, uint64_t key)
{
    uint32_t i = home_index_of_key(addresses, key);
    for (uint32_t steps = 0; steps < addresses->size; steps++, i = next_entry_index(addresses, i)) {
        const uint64_t there = load_entry_key(addresses, i);
        if (there == key || there == 0)
            break;
    }
    return i;
}

void addresses_add(struct addresses *addresses, uint64_t key)
{
    const uint32_t i = find_key_index(addresses, key);
    assert(load_entry_key(addresses, i) == key || load_entry_key(addresses, i) == 0);
    store_entry(addresses, i, key,
                load_entry_key(addresses, i) == key ? load_entry_count(addresses, i) + 1 : 1);
}

/* True if a search for an entry at `i` that begins at `home` does not pass the empty `hole`. */
static bool search_reaches_entry(uint32_t home, uint32_t hole, uint32_t i)
{
    return hole <= i ? hole < home && home <= i : hole < home || home <= i;
}

/* Empties an entry, and moves up those behind it that a search would no longer find. */
static void close_entry_hole(struct addresses *addresses, uint32_t hole)
{
    uint32_t i = next_entry_index(addresses, hole);
    for (; load_entry_key(addresses, i) != 0; i = next_entry_index(addresses, i)) {
        const uint64_t key = load_entry_key(addresses, i);
        if (search_reaches_entry(home_index_of_key(addresses, key), hole, i))
            continue;
        store_entry(addresses, hole, key, load_entry_count(addresses, i));
        hole = i;
    }
    store_entry(addresses, hole, 0, 0);
}

void addresses_remove(struct addresses *addresses, uint64_t key)
{
    const uint32_t i = find_key_index(addresses, key);
    if (load_entry_key(addresses, i) != key)
        return;
    if (load_entry_count(addresses, i) > 1)
        store_entry(addresses, i, key, load_entry_count(addresses, i) - 1);
    else
        close_entry_hole(addresses, i);
}

uint32_t addresses_count(const struct addresses *addresses, uint64_t key)
{
    const uint32_t i = find_key_index(addresses, key);
    return load_entry_key(addresses, i) == key ? load_entry_count(addresses, i) : 0;
}

/* Writes only to entries in use: untouched pages take no memory. */
void addresses_clear(struct addresses *addresses)
{
    for (uint32_t i = 0; i < addresses->size; i++)
        if (load_entry_key(addresses, i) != 0)
            store_entry(addresses, i, 0, 0);
}

bool addresses_valid(const struct addresses *addresses)
{
    for (uint32_t i = 0; i < addresses->size; i++) {
        const uint64_t key = load_entry_key(addresses, i);
        if (key != 0 &&
            (load_entry_count(addresses, i) == 0 || find_key_index(addresses, key) != i))
            return false;
        if (key == 0 && load_entry_count(addresses, i) != 0)
            return false;
    }
    return true;
}

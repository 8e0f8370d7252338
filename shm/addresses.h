/*
 * How many connections come from each client address. Each worker counts its own, in a table that
 * only it writes; the node's count is the sum over the tables, which anybody may make. Like the
 * user index a table is derived: a successor counts anew.
 *
 *   entry    a hash table with open addressing, linear probing
 *   +---------+-------+----------+
 *   | key     | count | reserved |   key 0: unused
 *   +---------+-------+----------+
 *   | key     | count | reserved |
 *   +---------+-------+----------+
 *
 * A reader may look while an entry is being moved, and miss it: a limit may then let one connection
 * more through. Nothing else depends on these counts.
 */
#ifndef WSPUSHD_SHM_ADDRESSES_H
#define WSPUSHD_SHM_ADDRESSES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct address_entry {
    _Atomic uint64_t key;
    _Atomic uint32_t count;
    uint32_t reserved;
};
_Static_assert(sizeof(struct address_entry) == 16, "four to a cache line");

/* A process's view of one worker's table. */
struct addresses {
    struct address_entry *entry;
    uint32_t size; /* a power of two */
};

/* Entries of a table for so many connections: at most half of them are ever in use. */
uint32_t addresses_size(uint32_t connections);

/* The key of a client's address. Of IPv6 the upper 64 bits count, for a subscriber has all of such
 * a network (RFC 6177); of IPv4, as ::ffff:a.b.c.d, all. The seed is secret, so that nobody can
 * choose addresses that collide. */
uint64_t address_key(uint64_t seed, const uint8_t address[16]);

/* One connection more, one less (of those that are counted). */
void addresses_add(struct addresses *addresses, uint64_t key);
void addresses_remove(struct addresses *addresses, uint64_t key);

uint32_t addresses_count(const struct addresses *addresses, uint64_t key);

/* Forgets all. */
void addresses_clear(struct addresses *addresses);

/* Whether every entry is found where it would be looked for, and counts something. */
bool addresses_valid(const struct addresses *addresses);

#endif

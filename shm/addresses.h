/*
 * How many connections come from each client address. Each worker counts its own connections, in a
 * table that only it writes; the node's count of an address is the sum over all tables, which any
 * process may compute. Like the user index, a table is derived: a successor counts again.
 *
 *   entry    a hash table with open addressing, linear probing
 *   +---------+-------+----------+
 *   | key     | count | reserved |   key 0: unused
 *   +---------+-------+----------+
 *   | key     | count | reserved |
 *   +---------+-------+----------+
 *
 * A reader in another process can miss an entry that is just being moved: a limit may then let one
 * connection too many through. Nothing else depends on these counts.
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

/* Returns the entries of a table for this many connections, at least twice as many. */
uint32_t addresses_size(uint32_t connections);

/* Returns the key of a client's address, never 0. IPv6: of the upper 64 bits, because a subscriber
 * has all of such a network (RFC 6177). IPv4, as ::ffff:a.b.c.d: of the whole address. `seed` is
 * secret, so that an attacker cannot choose addresses that collide. */
uint64_t address_key(uint64_t seed, const uint8_t address[16]);

/* Adds one to, or takes one from, the connections of an address. For the table's worker. */
void addresses_add(struct addresses *addresses, uint64_t key);
void addresses_remove(struct addresses *addresses, uint64_t key);

/* Returns how many connections this table counts for an address. For any process. */
uint32_t addresses_count(const struct addresses *addresses, uint64_t key);

/* Empties the table. For its worker. */
void addresses_clear(struct addresses *addresses);

/* True if a search finds every entry in its place, and each counts at least one connection. */
bool addresses_valid(const struct addresses *addresses);

#endif

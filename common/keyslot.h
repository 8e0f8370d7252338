/*
 * Redis Cluster's slot function (redis.io, "Redis cluster specification", key
 * distribution model): CRC16 of the key, or of its first non-empty {hash tag},
 * modulo 16,384. A user's home worker is chosen by the slot of the user's channel,
 * so that all users of one slot have one home.
 */
#ifndef WSPUSHD_COMMON_KEYSLOT_H
#define WSPUSHD_COMMON_KEYSLOT_H

#include <stddef.h>
#include <stdint.h>

enum { KEYSLOTS = 16384 };

/* CRC-16/XMODEM (polynomial 0x1021), continued from `crc`; 0 to begin. */
uint16_t keyslot_crc16(uint16_t crc, const void *bytes, size_t len);

/* The slot of a key, 0 to 16,383. */
uint16_t keyslot(const void *key, size_t len);

/* The slot of the key that is `prefix` followed by `rest`, without joining them. */
uint16_t keyslot_joined(const void *prefix, size_t prefix_len, const void *rest, size_t rest_len);

#endif

/*
 * Redis Cluster's slot function (redis.io, "Redis cluster specification", key distribution model):
 * CRC16 of the key, or of its first {hash tag} if that is not empty, modulo 16,384. The slot of a
 * user's channel determines the user's home worker, so all users of a slot have the same home.
 */
#ifndef WSPUSHD_COMMON_KEYSLOT_H
#define WSPUSHD_COMMON_KEYSLOT_H

#include <stddef.h>
#include <stdint.h>

enum { KEYSLOTS = 16384 };

/* Returns the CRC-16/XMODEM (polynomial 0x1021) of the bytes, continued from `crc`; start with 0.
 */
uint16_t keyslot_crc16(uint16_t crc, const void *bytes, size_t len);

/* Returns the slot of a key, 0 to 16,383. */
uint16_t keyslot(const void *key, size_t len);

/* Returns the slot of the key that consists of `prefix` and `rest`, without copying them. */
uint16_t keyslot_joined(const void *prefix, size_t prefix_len, const void *rest, size_t rest_len);

#endif

/*
 * When to reconnect. For the server's own close codes the table in proto/ws.h decides; of the
 * others, 4000 to 4099 are final. Of the answers to a handshake, those that blame the request are
 * final, except 408 and 429, which blame its timing. Keeps no state and reads no clock.
 */
#include "tools/wspush_retry.h"

#include <stddef.h>
#include <sys/random.h>

#include "proto/ws.h"

uint64_t retry_ceiling_ms(unsigned attempt)
{
    uint64_t ceiling = RETRY_FIRST_MS;
    while (attempt-- > 0 && ceiling < RETRY_MOST_MS)
        ceiling *= 2;
    return ceiling < RETRY_MOST_MS ? ceiling : RETRY_MOST_MS;
}

uint64_t retry_delay_ms(unsigned attempt)
{
    uint64_t random = 0;
    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        random = UINT64_MAX / 2;
    return random % (retry_ceiling_ms(attempt) + 1);
}

bool retry_after_close(uint16_t code)
{
    static const struct {
        uint16_t code;
        bool reconnect;
    } known[] = {
#define CLOSE_ROW(name, number, text, reconnect) {(number), (reconnect)},
        WS_CLOSE_CODES(CLOSE_ROW)
#undef CLOSE_ROW
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i].code == code)
            return known[i].reconnect;
    }
    return code < 4000 || code > 4099;
}

bool retry_after_status(int status)
{
    return status == 408 || status == 429 || status >= 500;
}

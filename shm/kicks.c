/*
 * See kicks.h. A kick is overwritten only after KICKS_MAX others, so a reader that goes back no
 * more than half of that has time enough. Even so it checks the kick's number before and after.
 */
#include "shm/kicks.h"

#include <string.h>

#include "common/killpoint.h"

void kicks_append(struct kicks *kicks, const struct kick *kick)
{
    const uint64_t count = atomic_load_explicit(&kicks->count, memory_order_relaxed);
    struct kick *const at = &kicks->at[(count + 1) % KICKS_MAX];

    if (count > 0 && kicks->at[count % KICKS_MAX].origin == kick->origin)
        return;
    atomic_store_explicit(&at->number, 0, memory_order_relaxed);
    /* No store of the new kick comes before the one above. Pairs with the fence in
     * copy_numbered_kick. */
    atomic_thread_fence(memory_order_release);
    at->origin = kick->origin;
    at->second = kick->second;
    at->hash = kick->hash;
    at->code = kick->code;
    at->user_len = kick->user_len;
    memcpy(at->user, kick->user, kick->user_len);
    memcpy(at->reason, kick->reason, sizeof(at->reason));
    atomic_store_explicit(&at->number, count + 1, memory_order_release);
    KILLPOINT(KICK_WRITTEN);
    /* Release: pairs with the acquire in kicks_count. */
    atomic_store_explicit(&kicks->count, count + 1, memory_order_release);
    KILLPOINT(KICK_ADDED);
}

/* Copies kick `number`. Returns false if it has been overwritten. */
static bool copy_numbered_kick(const struct kicks *kicks, uint64_t number, struct kick *kick)
{
    const struct kick *const at = kicks_at(kicks, number);

    if (atomic_load_explicit(&at->number, memory_order_acquire) != number)
        return false;
    memcpy((uint8_t *)kick + sizeof(kick->number), (const uint8_t *)at + sizeof(at->number),
           sizeof(*kick) - sizeof(kick->number));
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&at->number, memory_order_relaxed) == number;
}

static bool kick_is_for_user(const struct kick *kick, const struct conn *conn)
{
    return kick->hash == conn->hash && kick->user_len == conn->user_len &&
           memcmp(kick->user, conn->user, conn->user_len) == 0;
}

enum kicks_verdict kicks_judge(const struct kicks *kicks, uint64_t made, const struct conn *conn,
                               struct kick *kick)
{
    const uint64_t count = kicks_count(kicks);

    if (count > made && count - made > KICKS_MAX / 2)
        return KICKS_FORGOTTEN;
    for (uint64_t number = count; number > made; number--) {
        if (!copy_numbered_kick(kicks, number, kick))
            return KICKS_FORGOTTEN;
        if (kick_is_for_user(kick, conn))
            return KICKS_END;
    }
    return KICKS_SPARE;
}

static bool kick_entry_valid(const struct kick *kick)
{
    return kick->user_len > 0 && kick->user_len <= USER_MAX &&
           memchr(kick->reason, '\0', sizeof(kick->reason)) != NULL;
}

bool kicks_valid(const struct kicks *kicks)
{
    const uint64_t count = atomic_load(&kicks->count);

    for (uint64_t i = 0; i < KICKS_MAX; i++) {
        const uint64_t number = atomic_load(&kicks->at[i].number);
        if (number == 0)
            continue;
        if (number % KICKS_MAX != i || number > count + 1 || number + KICKS_MAX <= count ||
            !kick_entry_valid(&kicks->at[i]))
            return false;
    }
    return true;
}

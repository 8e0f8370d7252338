/*
 * See words.h. Whether something is poison is decided here from two graves and nothing else, so
 * that it can be tested without a death.
 *
 * Judges no signal: the master decides which deaths get a grave.
 */
#include "shm/words.h"

#include "shm/users.h"

#include <string.h>

static const char *const doing_names[] = {
#define DOING_NAME(name, text) [DOING_##name] = text,
    DOINGS(DOING_NAME)
#undef DOING_NAME
};
enum { DOING_COUNT = sizeof(doing_names) / sizeof(doing_names[0]) };

const char *doing_name(uint32_t doing)
{
    return doing < DOING_COUNT ? doing_names[doing] : "unknown";
}

void words_begin(struct slot_words *words, uint32_t incarnation, const uint8_t build[BUILD_ID_SIZE])
{
    /* Of no process while they change: a worker that dies here had nothing in hand. */
    atomic_store_explicit(&words->incarnation, 0, memory_order_release);
    words_doing(words, DOING_STARTING);
    words_connection(words, 0, 0);
    words_op(words, 0);
    words_push(words, 0, 0);
    memcpy(words->build, build, BUILD_ID_SIZE);
    /* Release: a reader that sees the number sees the words of that process. */
    atomic_store_explicit(&words->incarnation, incarnation, memory_order_release);
}

/* ---- Graves ---- */

bool words_are_of(const struct slot_words *words, uint32_t incarnation)
{
    /* Acquire: pairs with the release in words_begin. */
    return atomic_load_explicit(&words->incarnation, memory_order_acquire) == incarnation;
}

bool fault_is_of(const struct fault *fault, uint32_t incarnation)
{
    /* Acquire: pairs with the release in last_words.c. */
    return atomic_load_explicit(&fault->incarnation, memory_order_acquire) == incarnation;
}

static struct grave grave_of_last_process(const struct slot_words *words, const struct fault *fault,
                                          uint32_t incarnation)
{
    struct grave grave = {.incarnation = incarnation, .doing = DOING_STARTING};
    if (words_are_of(words, incarnation)) {
        grave.doing = words->doing;
        grave.fd = words->fd;
        grave.generation = words->generation;
        grave.source = words->source;
        grave.position = words->position;
    }
    if (fault_is_of(fault, incarnation) && fault->message_len > 0) {
        grave.message = fault->message;
        grave.message_len = fault->message_len;
    }
    return grave;
}

void grave_dig(struct grave grave[2], const struct slot_words *words, const struct fault *fault,
               uint32_t incarnation, uint32_t lived_ms)
{
    grave[1] = grave[0];
    grave[0] = grave_of_last_process(words, fault, incarnation);
    grave[0].lived_ms = lived_ms;
}

static bool graves_share_push(const struct grave *last, const struct grave *before)
{
    return last->position != 0 && last->position == before->position &&
           last->source == before->source;
}

static bool graves_share_message(const struct grave *last, const struct grave *before)
{
    return last->message_len != 0 && last->message_len == before->message_len &&
           last->message == before->message;
}

static bool graves_share_connection(const struct grave *last, const struct grave *before)
{
    return last->position == 0 && last->fd != 0 && last->fd == before->fd &&
           last->generation == before->generation && last->lived_ms < POISON_YOUNG_MS;
}

struct guilt grave_guilt(const struct grave grave[2])
{
    const struct grave *last = &grave[0], *before = &grave[1];
    struct guilt guilt = {.position = NO_POSITION};
    if (last->incarnation == 0 || before->incarnation == 0)
        return guilt;
    if (graves_share_push(last, before)) {
        guilt.position = last->position;
        guilt.source = last->source;
        guilt.unread = last->doing == DOING_PARSING && before->doing == DOING_PARSING;
    } else if (graves_share_message(last, before)) {
        guilt.message = last->message;
        guilt.message_len = last->message_len;
    }
    if (guilt.message_len > 0 || graves_share_connection(last, before)) {
        guilt.fd = last->fd;
        guilt.generation = last->generation;
    }
    return guilt;
}

/* ---- Messages that are set aside ---- */

void poison_begin(struct poison *poison, const uint8_t build[BUILD_ID_SIZE])
{
    if (memcmp(poison->build, build, BUILD_ID_SIZE) == 0)
        return;
    /* The build is stored last: after a death in between, the successor clears again. */
    memset(poison->message, 0, sizeof(poison->message));
    poison->added = 0;
    poison->skipped = 0;
    poison->skipped_ms = 0;
    atomic_thread_fence(memory_order_release);
    memcpy(poison->build, build, BUILD_ID_SIZE);
}

bool poison_has(const struct poison *poison, uint64_t hash, uint32_t len)
{
    for (size_t i = 0; i < POISONS; i++)
        if (poison->message[i].len == len && poison->message[i].hash == hash)
            return len > 0;
    return false;
}

bool poison_has_length(const struct poison *poison, uint32_t len)
{
    for (size_t i = 0; i < POISONS; i++)
        if (poison->message[i].len == len)
            return len > 0;
    return false;
}

void poison_add(struct poison *poison, uint64_t hash, uint32_t len)
{
    if (poison_has(poison, hash, len))
        return;
    struct poison_message *message = &poison->message[poison->added % POISONS];
    message->len = 0; /* a death in between leaves one message fewer, and never a mixture */
    atomic_thread_fence(memory_order_release);
    message->hash = hash;
    atomic_thread_fence(memory_order_release);
    message->len = len;
    poison->added++;
}

bool poison_may_skip(struct poison *poison, uint64_t now_ms)
{
    const uint64_t passed = now_ms > poison->skipped_ms ? now_ms - poison->skipped_ms : 0;
    const uint64_t forgiven = passed / SKIP_EVERY_MS;
    if (poison->skipped <= forgiven) {
        poison->skipped = 0;
        poison->skipped_ms = now_ms;
    } else {
        poison->skipped -= (uint32_t)forgiven;
        poison->skipped_ms += forgiven * SKIP_EVERY_MS;
    }
    if (poison->skipped >= SKIPS_MAX)
        return false;
    poison->skipped++;
    return true;
}

uint64_t message_hash(uint64_t seed, const uint8_t *bytes, size_t len)
{
    const char *text = (const char *)bytes;
    return (uint64_t)users_hash(seed, text, len) << 32 | users_hash(~seed, text, len);
}

/* ---- Validity ---- */

static bool grave_words_valid(const struct grave *grave)
{
    return grave->doing < DOING_COUNT && (grave->message_len > 0 || grave->message == 0);
}

bool words_valid(const struct slot_words *words, const struct fault *fault,
                 const struct grave grave[2], const struct poison *poison)
{
    for (size_t i = 0; i < POISONS; i++)
        if (poison->message[i].len > 0 && i > poison->added)
            return false;
    return words->doing < DOING_COUNT && fault->frames <= FAULT_FRAMES &&
           grave_words_valid(&grave[0]) && grave_words_valid(&grave[1]) &&
           (grave[0].incarnation > 0 || grave[1].incarnation == 0);
}

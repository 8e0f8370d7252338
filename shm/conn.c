/*
 * Connection records: the steps of their life, references and names. Each step is one store of the
 * word, after everything that the new state promises was written. So a process can die at any
 * instruction and leaves a record that conn_valid accepts.
 *
 * A record is wiped when it is claimed and not when it is released, so the contents that a dead
 * process left in a free record do not matter.
 *
 * Looks at no socket and closes none.
 */
#include "shm/conn.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/hexid.h"
#include "common/killpoint.h"

/* Flags that may be set: in all states; at the user's home. */
enum {
    ALWAYS = CONN_JSON | CONN_PINGED | CONN_WRITING | CONN_DIRTY | CONN_UNIX | CONN_WATCHED |
             CONN_TRUSTED | CONN_COUNTED | CONN_GIVEN,
    AT_HOME = ALWAYS | CONN_INDEXED | CONN_CLOSE_IN,
};
#define TO(state) (1u << CONN_##state)
struct state_rule {
    uint32_t flags;  /* that may be set */
    uint32_t next;   /* the states that may follow */
    bool needs_user; /* except for an echo connection, which never has one */
};
/* SUBSCRIBING follows itself when a connection is adopted again after a death. An OPEN or
 * SUBSCRIBING record must be CLOSING before it is released: a successor that finds it half ended
 * must not take it for a connection to be served. */
static const struct state_rule rules[] = {
    [CONN_FREE] = {0, TO(HANDSHAKE), false},
    [CONN_HANDSHAKE] = {ALWAYS | CONN_ECHO | CONN_REFUSED | CONN_PROXY | CONN_ASKED,
                        TO(MOVING) | TO(OPEN) | TO(CLOSING) | TO(FREE), false},
    [CONN_MOVING] = {ALWAYS | CONN_INDEXED, TO(SUBSCRIBING) | TO(FREE), true},
    [CONN_SUBSCRIBING] = {AT_HOME | CONN_GREETING, TO(SUBSCRIBING) | TO(OPEN) | TO(CLOSING), true},
    [CONN_OPEN] = {AT_HOME | CONN_ECHO, TO(CLOSING), true},
    [CONN_CLOSING] = {AT_HOME | CONN_ECHO | CONN_REFUSED, TO(FREE), false},
};
#undef TO

bool conn_may_become(enum conn_state from, enum conn_state to)
{
    return from <= CONN_CLOSING && to <= CONN_CLOSING && (rules[from].next >> to & 1) != 0;
}

bool conn_set_state(struct conn *conn, enum conn_state state)
{
    const uint64_t word = conn_word(conn);

    if (!conn_may_become(word_state(word), state))
        return false;
    conn_publish(conn, word_make(word_generation(word), word_owner(word), state,
                                 word_flags(word) & rules[state].flags));
    return true;
}

struct conn_ref conn_claim(struct conn *table, uint32_t fd, uint32_t owner, uint32_t now_s)
{
    struct conn *conn = &table[fd];
    const uint32_t generation = word_generation(conn_word(conn));

    assert(conn_may_become(word_state(conn_word(conn)), CONN_HANDSHAKE));
    /* Pairs with the fence in conn_copy: a reader that sees any of the following stores also sees
     * that the previous connection is gone. */
    atomic_thread_fence(memory_order_release);
    memset((uint8_t *)conn + sizeof(conn->word), 0, sizeof(*conn) - sizeof(conn->word));
    conn->seen = now_s;
    conn->since = now_s;
    KILLPOINT(CONN_WIPED);
    conn_publish(conn, word_make(generation, owner, CONN_HANDSHAKE, 0));
    return (struct conn_ref){fd, generation};
}

void conn_release(struct conn *conn)
{
    const uint64_t word = conn_word(conn);

    /* Nothing that is indexed by descriptor alone may outlive the connection. */
    assert((word & CONN_INDEXED) == 0 && conn->topics == 0);
    assert(conn_may_become(word_state(word), CONN_FREE));
    conn_publish(conn, word_make(word_generation(word) + 1, 0, CONN_FREE, 0));
}

bool conn_reclaim(struct conn *conn, uint64_t word)
{
    const uint64_t next = word_make(word_generation(word) + 1, 0, CONN_FREE, 0);

    /* The one word that can have two writers at a time, because the record has no owner. */
    return word_state(word) == CONN_FREE &&
           atomic_compare_exchange_strong_explicit(&conn->word, &word, next, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

void conn_give(struct conn *conn, uint32_t owner)
{
    const uint64_t word = conn_word(conn);

    assert(conn_may_become(word_state(word), CONN_MOVING) && (word & CONN_INDEXED) == 0);
    conn_publish(conn, word_make(word_generation(word), owner, CONN_MOVING,
                                 word_flags(word) & rules[CONN_MOVING].flags));
}

void conn_hand_on(struct conn *conn, uint32_t owner)
{
    const uint64_t word = conn_word(conn);

    assert(word_state(word) != CONN_FREE && (word & CONN_GREETING) == 0);
    conn->next = 0;
    conn->topics = 0;
    conn->held = 0;
    conn->incarnation = 0;
    conn->mark = 0;
    conn_publish(conn, word_make(word_generation(word), CONN_ON_THE_WAY + owner, word_state(word),
                                 word_flags(word) & ~(uint32_t)(CONN_INDEXED | CONN_WATCHED)));
}

void conn_take(struct conn *conn, uint32_t owner)
{
    const uint64_t word = conn_word(conn);

    if (word_owner(word) == CONN_ON_THE_WAY + owner)
        conn_publish(conn,
                     word_make(word_generation(word), owner, word_state(word), word_flags(word)));
}

/* Copies a record while its owner may write it: a deliberate race (the reader's side of a sequence
 * lock), whose result the caller discards. So ThreadSanitizer must not look, and no library
 * function may be called. */
__attribute__((no_sanitize("thread"), noinline)) static void
copy_record_racing(struct conn *copy, const struct conn *conn)
{
    const volatile uint64_t *const from = (const volatile uint64_t *)(const volatile void *)conn;
    uint64_t words[sizeof(*copy) / sizeof(uint64_t)] = {0};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        words[i] = from[i];
    memcpy(copy, words, sizeof(*copy));
}

bool conn_copy(struct conn *copy, const struct conn *conn)
{
    const uint64_t before = conn_word(conn);

    if ((before & CONN_INDEXED) == 0)
        return false;
    copy_record_racing(copy, conn);
    atomic_thread_fence(memory_order_acquire); /* pairs with the fence in conn_claim */
    const uint64_t after = atomic_load_explicit(&conn->word, memory_order_relaxed);
    atomic_store_explicit(&copy->word, before, memory_order_relaxed);
    return word_generation(after) == word_generation(before) &&
           word_owner(after) == word_owner(before) && word_state(after) != CONN_FREE;
}

struct conn *conn_deref(struct conn *table, uint32_t capacity, struct conn_ref ref, uint32_t owner)
{
    struct conn *conn;
    uint64_t word;

    if (ref.fd >= capacity)
        return NULL;
    conn = &table[ref.fd];
    word = conn_word(conn);
    if (word_generation(word) != ref.generation || word_owner(word) != owner ||
        word_state(word) == CONN_FREE || word_state(word) > CONN_CLOSING)
        return NULL;
    return conn;
}

size_t conn_name(char out[CONN_NAME_MAX], uint32_t boot_id, struct conn_ref ref)
{
    return (size_t)snprintf(out, CONN_NAME_MAX, "%x-%x-%x", boot_id, ref.fd, ref.generation);
}

bool conn_name_parse(const char *text, size_t len, uint32_t *boot_id, struct conn_ref *ref)
{
    uint32_t number[3];

    if (!hexid_parse(text, len, number, 3))
        return false;
    *boot_id = number[0];
    *ref = (struct conn_ref){.fd = number[1], .generation = number[2]};
    return true;
}

static bool record_user_valid(const struct conn *conn, uint32_t flags, bool needed)
{
    if (conn->user_len > USER_MAX)
        return false;
    if (flags & CONN_ECHO)
        return conn->user_len == 0 && (flags & CONN_INDEXED) == 0;
    return conn->user_len > 0 || (!needed && (flags & CONN_INDEXED) == 0);
}

bool conn_valid(const struct conn *conn, uint32_t workers)
{
    const uint64_t word = conn_word(conn);
    const uint32_t state = (uint32_t)word_state(word), flags = word_flags(word);

    if (state > CONN_CLOSING || (flags & ~rules[state].flags) != 0)
        return false;
    if (state == CONN_FREE)
        return word_owner(word) == 0;
    if (word_owner(word) % CONN_ON_THE_WAY >= workers || word_owner(word) >= 2 * CONN_ON_THE_WAY ||
        !record_user_valid(conn, flags, rules[state].needs_user))
        return false;
    /* A record with private bytes must first name the process that has them, or its parcel. */
    return conn->incarnation != 0 ||
           (((flags & CONN_DIRTY) == 0 || (flags & CONN_GIVEN) != 0) && conn->held == 0);
}

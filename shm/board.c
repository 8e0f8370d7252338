/*
 * The board: reports of changes, published by a number that readers check before and after (a
 * sequence lock with two places, so that no reader waits for a dead writer), and the order in which
 * the clients of a stopping node are to reconnect.
 *
 * It decides nothing: the master knows what a change is and when it has ended.
 */
#include "shm/board.h"

#include <string.h>

static const char *const change_names[] = {
#define CHANGE_NAME(name, text) [CHANGE_##name] = text,
    CHANGES(CHANGE_NAME)
#undef CHANGE_NAME
};

static const char *const outcome_names[] = {
#define OUTCOME_NAME(name, text) [CHANGE_##name] = text,
    CHANGE_OUTCOMES(OUTCOME_NAME)
#undef OUTCOME_NAME
};

const char *change_outcome_name(enum change_outcome outcome)
{
    return (uint32_t)outcome < CHANGE_OUTCOME_COUNT ? outcome_names[outcome] : "unknown";
}

const char *change_name(enum change_kind kind)
{
    return (uint32_t)kind < CHANGE_COUNT ? change_names[kind] : "unknown";
}

/* ---- Reports ---- */

/* Copies the text; one that is too long is cut, and ends with a line that says so. */
static void copy_report_text(char out[CHANGE_TEXT_MAX], const char *text)
{
    static const char more[] = "\n... the log has all of it";
    const size_t len = strlen(text);
    size_t room = CHANGE_TEXT_MAX - sizeof(more);

    if (len < CHANGE_TEXT_MAX) {
        memcpy(out, text, len + 1);
        return;
    }
    while (((unsigned char)text[room] & 0xc0) == 0x80) /* within a character of UTF-8 */
        room--;
    memcpy(out, text, room);
    memcpy(out + room, more, sizeof(more));
}

void board_begin(struct board *board, enum change_kind kind)
{
    struct change_record *record = &board->change[kind];
    const uint32_t number = atomic_load_explicit(&record->number, memory_order_relaxed);

    atomic_store_explicit(&record->begun, number + 1, memory_order_relaxed);
}

void board_resume(struct board *board, enum change_kind kind, uint32_t number)
{
    struct change_record *record = &board->change[kind];

    atomic_store_explicit(&record->number, number - 1, memory_order_relaxed);
    atomic_store_explicit(&record->begun, number, memory_order_relaxed);
}

uint32_t board_begun(const struct board *board, enum change_kind kind)
{
    return atomic_load_explicit(&board->change[kind].begun, memory_order_relaxed);
}

void board_report(struct board *board, enum change_kind kind, enum change_outcome outcome,
                  uint64_t at_ms, const char *text)
{
    struct change_record *record = &board->change[kind];
    const uint32_t number = atomic_load_explicit(&record->number, memory_order_relaxed) + 1;
    struct change_report report = {.at_ms = at_ms, .outcome = outcome};
    uint64_t words[CHANGE_WORDS];

    copy_report_text(report.text, text);
    memcpy(words, &report, sizeof(words));
    /* Pairs with the fence in board_read: a reader that sees a word of this report also sees the
     * previous number, and so knows that the report before that one is gone from this place. */
    atomic_thread_fence(memory_order_release);
    for (size_t i = 0; i < CHANGE_WORDS; i++)
        atomic_store_explicit(&record->report[number % 2][i], words[i], memory_order_relaxed);
    /* Pairs with the acquire in board_read. */
    atomic_store_explicit(&record->number, number, memory_order_release);
}

uint32_t board_read(const struct board *board, enum change_kind kind, struct change_report *out)
{
    const struct change_record *record = &board->change[kind];
    uint32_t number = atomic_load_explicit(&record->number, memory_order_acquire), after;
    uint64_t words[CHANGE_WORDS];

    for (;; number = after) {
        for (size_t i = 0; i < CHANGE_WORDS; i++)
            words[i] = atomic_load_explicit(&record->report[number % 2][i], memory_order_relaxed);
        /* Pairs with the fence in board_report. */
        atomic_thread_fence(memory_order_acquire);
        after = atomic_load_explicit(&record->number, memory_order_acquire);
        if (after == number)
            break;
    }
    memcpy(out, words, sizeof(*out));
    return number;
}

/* ---- The end ---- */

void board_end(struct board *board, enum ending ending, const uint32_t *share, uint32_t workers)
{
    if (atomic_load_explicit(&board->ending, memory_order_relaxed) != ENDING_NONE)
        return;
    for (uint32_t i = 0; i < workers; i++)
        atomic_store_explicit(&board->share[i], share[i], memory_order_relaxed);
    /* Pairs with the acquire in board_turns. */
    atomic_store_explicit(&board->ending, ending, memory_order_release);
}

struct turns board_turns(const struct board *board, uint32_t worker, uint32_t workers,
                         uint32_t count)
{
    struct turns turns = {.step = 1};
    uint32_t own = 0;

    if (atomic_load_explicit(&board->ending, memory_order_acquire) == ENDING_NONE)
        return (struct turns){worker, workers, (uint64_t)count * workers};
    for (uint32_t i = 0; i < workers; i++) {
        const uint32_t share = atomic_load_explicit(&board->share[i], memory_order_relaxed);
        turns.total += share;
        if (i < worker)
            turns.first += share;
        else if (i == worker)
            own = share;
    }
    if (count < own)
        turns.first += own - count;
    return turns;
}

uint32_t turn_ms(const struct turns *turns, uint64_t rank, uint32_t window_ms)
{
    if (turns->total == 0)
        return 0;
    const uint64_t place = (turns->first + rank * turns->step) % turns->total;
    return (uint32_t)(window_ms * (2 * place + 1) / (2 * turns->total));
}

bool board_valid(const struct board *board)
{
    for (size_t kind = 0; kind < CHANGE_COUNT; kind++) {
        struct change_report report;
        const uint32_t begun = board_begun(board, (enum change_kind)kind);
        const uint32_t number = board_read(board, (enum change_kind)kind, &report);
        if (begun - number > 1 || report.outcome >= CHANGE_OUTCOME_COUNT ||
            !memchr(report.text, '\0', sizeof(report.text)))
            return false;
    }
    return atomic_load(&board->asked) < 1u << CHANGE_COUNT &&
           atomic_load(&board->ending) <= ENDING_RESTART;
}

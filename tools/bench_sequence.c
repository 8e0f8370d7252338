/*
 * Numbers of pushes as they arrive: see the header. A push that overtakes others is not at fault:
 * those that it has overtaken are late if they arrive, and lost if they do not.
 */
#include "tools/bench_sequence.h"

#include <stdbool.h>

enum { WINDOW = 64 };

/* Moves the window so that `number` is its newest. */
static void move_sequence_window(struct sequence *sequence, uint32_t number)
{
    const uint32_t steps = number - sequence->next + 1;
    sequence->seen = steps < WINDOW ? sequence->seen << steps : 0;
    sequence->seen |= 1;
    sequence->next = number + 1;
}

enum arrival sequence_take(struct sequence *sequence, uint32_t number)
{
    if (number >= sequence->next) {
        move_sequence_window(sequence, number);
        sequence->distinct++;
        return ARRIVAL_FIRST;
    }
    const uint32_t back = sequence->next - 1 - number;
    const bool known = back >= WINDOW || (sequence->seen >> back & 1) != 0;
    if (known)
        return ARRIVAL_DOUBLED;
    sequence->seen |= UINT64_C(1) << back;
    sequence->distinct++;
    return ARRIVAL_LATE;
}

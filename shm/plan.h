/*
 * The plan: how many workers share the work, and how far a change of that number (a move) has got.
 * It is one word of the segment's header, written by the master. Each worker reports its own
 * progress in its slot; when all have finished a phase, the master begins the next.
 *
 *    63                32 31     24 23     16 15      8 7       0
 *    +-------------------+---------+---------+---------+---------+
 *    | number            | 0       | phase   | other   | active  |
 *    +-------------------+---------+---------+---------+---------+
 *
 *   phase     the workers                                          stage when done
 *   -------   --------------------------------------------------   ---------------------
 *   REST      serve: slots 0 to active - 1 share users and topics  (stays)
 *   PREPARE   also subscribe as homes among `other` workers;       PREPARED
 *             new slots do only that
 *   HOLD      let no new user in, and stop accepting               HELD
 *   SETTLE    subscribe users and topics that are new since        SETTLED
 *   FENCE     one of them publishes the fence; each routes its     FENCED
 *             link up to it and no further
 *   GIVE      read the rings to their end; give each connection    they have left
 *             with another home to that home; leave
 *             - - - - - `active` and `other` change places - - - - - - - - - -
 *   TAKE      successors take the given connections; accept again  TAKEN
 *   REST      route the pushes after the fence; unsubscribe users  TRIMMED
 *             and topics that are no longer theirs
 *
 * Redis puts all PUBLISHes into one order, so the fence has the same place in every link's stream.
 * The old homes deliver the pushes before it, the new homes those after it. A worker ignores a
 * push that belongs to another worker, whose link receives it too. So each push is delivered once,
 * and in order.
 *
 * Until FENCE no connection has changed hands, and the master can go back: it sets REST with the
 * old `active`, and the workers give up their preparations. From GIVE on it can only go
 * forward. A worker that dies is replaced in any phase; its successor finds the phase here and its
 * own stage in the slot, and every step can be repeated.
 */
#ifndef WSPUSHD_SHM_PLAN_H
#define WSPUSHD_SHM_PLAN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* X(name, its name in the log) */
#define PLAN_PHASES(X)    \
    X(REST, "rest")       \
    X(PREPARE, "prepare") \
    X(HOLD, "hold")       \
    X(SETTLE, "settle")   \
    X(FENCE, "fence")     \
    X(GIVE, "give")       \
    X(TAKE, "take")

enum plan_phase {
#define PLAN_PHASE_ENUM(name, text) PLAN_##name,
    PLAN_PHASES(PLAN_PHASE_ENUM)
#undef PLAN_PHASE_ENUM
        PLAN_PHASE_COUNT
};

/* How far a worker has got in a move. */
enum plan_stage {
    STAGE_NONE,
    STAGE_PREPARED,
    STAGE_HELD,
    STAGE_SETTLED,
    STAGE_FENCED,
    STAGE_TAKING, /* all that derives from the old number is reset: index, homes of topics */
    STAGE_TAKEN,
    STAGE_TRIMMED,
};

struct plan {
    uint32_t number; /* of the move, in progress or last; 0: there was none */
    enum plan_phase phase;
    uint32_t active, other; /* workers that serve; their number after the move, then before it */
};

static inline uint64_t plan_pack(struct plan plan)
{
    return (uint64_t)plan.number << 32 | (uint64_t)plan.phase << 16 |
           (uint64_t)(plan.other & 0xff) << 8 | (plan.active & 0xff);
}
static inline struct plan plan_unpack(uint64_t word)
{
    return (struct plan){.number = (uint32_t)(word >> 32),
                         .phase = (enum plan_phase)(word >> 16 & 0xff),
                         .active = (uint32_t)word & 0xff,
                         .other = (uint32_t)(word >> 8) & 0xff};
}

/* Returns how many slots take part in the move. */
static inline uint32_t plan_slots(struct plan plan)
{
    return plan.active > plan.other ? plan.active : plan.other;
}

/* The stage in a slot: number of the move << 8 | enum plan_stage. STAGE_NONE if it is that of
 * another move. */
static inline uint64_t stage_pack(uint32_t number, enum plan_stage stage)
{
    return (uint64_t)number << 8 | stage;
}
static inline enum plan_stage stage_unpack(uint64_t word, uint32_t number)
{
    return word >> 8 == number ? (enum plan_stage)(word & 0xff) : STAGE_NONE;
}

#endif

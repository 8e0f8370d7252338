/*
 * The plan: among how many workers the work is shared, and how far a change of that number has
 * come. It is one word of the segment's header, written by the master; each worker reports in its
 * slot how far it has come itself, and when all have, the master goes on.
 *
 *    63                32 31     24 23     16 15      8 7       0
 *    +-------------------+---------+---------+---------+---------+
 *    | number            | 0       | phase   | other   | active  |
 *    +-------------------+---------+---------+---------+---------+
 *
 *   phase     what workers do                                      when all have done it
 *   -------   --------------------------------------------------   ---------------------
 *   REST      serve: slots 0 to active - 1 share users and topics  (stays)
 *   PREPARE   subscribe, beside what is theirs, what would be      PREPARED
 *             theirs among `other`; slots that are new do only that
 *   HOLD      let no new user in: accepting rests                  HELD
 *   SETTLE    subscribe what has come since                        SETTLED
 *   FENCE     one of them publishes the fence; each routes its     FENCED
 *             link up to it and no further
 *   GIVE      read the rings to their end; give each connection    they have left
 *             that has another home to it; leave
 *             - - - - - `active` and `other` change places - - - - - - - - - -
 *   TAKE      successors take what they were given; accept again   TAKEN
 *   REST      route what stands behind the fence; give up what is  TRIMMED
 *             not theirs any more
 *
 * Redis puts all PUBLISHes into one order, so the fence stands at the same place in every link's
 * stream: what comes before it is the old homes' to deliver, what comes behind it the new ones'. A
 * push that comes to a worker whose it is not is let go: its home gets it too. So each is delivered
 * once, and in order.
 *
 * Up to FENCE nothing has changed hands, and the master can go back: it says REST with `active` as
 * it was, and the workers give up what they had prepared. From GIVE on there is only forward. A
 * worker that dies is replaced in any phase; its successor finds the phase here and its own stage
 * in the slot, and every step can be done again.
 */
#ifndef WSPUSHD_SHM_PLAN_H
#define WSPUSHD_SHM_PLAN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* X(name, how the log calls it) */
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

/* How far a worker has come in a move. */
enum plan_stage {
    STAGE_NONE,
    STAGE_PREPARED,
    STAGE_HELD,
    STAGE_SETTLED,
    STAGE_FENCED,
    STAGE_TAKING, /* what derives from the old number of workers is gone: index, homes of topics */
    STAGE_TAKEN,
    STAGE_TRIMMED,
};

struct plan {
    uint32_t number; /* of the move: 0, and then one more for each */
    enum plan_phase phase;
    uint32_t active, other;
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

/* Slots that have a part in the move. */
static inline uint32_t plan_slots(struct plan plan)
{
    return plan.active > plan.other ? plan.active : plan.other;
}

/* The stage in a slot: number of the move << 8 | enum plan_stage. Of another move it says nothing.
 */
static inline uint64_t stage_pack(uint32_t number, enum plan_stage stage)
{
    return (uint64_t)number << 8 | stage;
}
static inline enum plan_stage stage_unpack(uint64_t word, uint32_t number)
{
    return word >> 8 == number ? (enum plan_stage)(word & 0xff) : STAGE_NONE;
}

#endif

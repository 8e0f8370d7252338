/*
 * What a worker leaves in its slot for the post-mortem, and what its successor concludes from it.
 *
 *   worker ── as it goes ──▶ words ─────┐
 *     │ SIGSEGV, SIGABRT, ...           │ the master has reaped it: did the worker cause its death?
 *     └─────── handler ────▶ fault ─────┴─────▶ grave[0] ──▶ grave[1]
 *                                                   └─── the same in both? ───▶ poison
 *
 * words and fault carry the incarnation of the process that wrote them, so that those of an earlier
 * process are never taken for the last one's. A grave keeps what the worker had in hand at a death
 * of its own making (a fault, an abort, a loop that the watchdog ended); a worker killed from
 * outside gets none. If both graves hold the same thing, it has killed two workers in a row that
 * were not killed from outside: it is poison, and the successor sets it aside.
 *
 *   a push        by its position in the bytes from Redis or from a ring. It was never committed,
 *                 so nothing after it can have been handled in between.
 *   a message     of a client, by its bytes. The connection died with the first worker.
 *   a connection  by (fd, generation), if the second worker had not lived long.
 */
#ifndef WSPUSHD_SHM_WORDS_H
#define WSPUSHD_SHM_WORDS_H

#include "common/build_id.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The signals of a program that has gone wrong: signal(7). */
#define FATAL_SIGNALS(X) X(SIGSEGV) X(SIGBUS) X(SIGILL) X(SIGFPE) X(SIGABRT) X(SIGTRAP) X(SIGSYS)

enum {
    FAULT_FRAMES = 24,       /* return addresses of a backtrace */
    MESSAGE_BEGINS = 64,     /* bytes of a message that are kept */
    POISONS = 8,             /* messages that are set aside; the next one replaces the oldest */
    POISON_YOUNG_MS = 10000, /* a worker that lived longer has served other connections since, so
                                a match proves nothing */
    SKIPS_MAX = 16,          /* pushes that may be skipped at once, ... */
    SKIP_EVERY_MS = 10000    /* ... and one more after each period of this length */
};

/* X(name, text for logs): what a worker is doing. */
#define DOINGS(X)                          \
    X(STARTING, "starting")                \
    X(WAITING, "waiting")                  \
    X(ACCEPTING, "accepting")              \
    X(READING, "reading a client")         \
    X(PARSING, "parsing a reply of Redis") \
    X(ROUTING, "routing pushes")           \
    X(FLUSHING, "sending")                 \
    X(RINGS, "reading rings")              \
    X(SWEEPING, "sweeping")
enum doing {
#define DOING_ENUM(name, text) DOING_##name,
    DOINGS(DOING_ENUM)
#undef DOING_ENUM
};
const char *doing_name(uint32_t doing);

/* What a worker has in hand. Written by the worker as it goes; relaxed, because it is read after
 * the worker's death. */
struct slot_words {
    _Atomic uint32_t incarnation;    /* of the process that wrote the rest; 0: being written */
    _Atomic uint32_t doing;          /* enum doing */
    _Atomic uint32_t fd, generation; /* the connection in hand; fd 0: none */
    _Atomic uint32_t op;             /* opcode of the request or push in hand, once decoded */
    _Atomic uint32_t source;         /* of the push: 0: the link, n + 1: the ring from worker n */
    _Atomic uint64_t position;       /* of the push, in the bytes of `source`; 0: none */
    uint8_t build[BUILD_ID_SIZE];    /* of the binary; all 0 if it has none */
};

/* How the worker died. Written by its signal handler (worker/last_words.c) in this order: signal to
 * instruction, incarnation; the message; the frames. The handler may itself die in between. */
struct fault {
    _Atomic uint32_t incarnation; /* of the process; until it is stored there is no fault */
    int32_t signal, code;         /* si_signo, si_code */
    int32_t sender;               /* pid of another process that sent the signal; 0: none */
    uint64_t address;             /* si_addr: the memory that could not be accessed */
    uint64_t instruction;         /* program counter */
    uint64_t message;             /* hash of the client's message in hand */
    _Atomic uint32_t message_len; /* bytes; 0: none */
    uint8_t begins[MESSAGE_BEGINS];
    _Atomic uint32_t frames;
    uint64_t frame[FAULT_FRAMES]; /* addresses, the same in the master: it forked the worker */
};

/* What a dead worker had in hand. Written by the master while no process runs the slot. */
struct grave {
    uint32_t incarnation; /* 0: empty */
    uint32_t lived_ms;
    uint32_t doing;
    uint32_t fd, generation;
    uint32_t source;
    uint64_t position;
    uint64_t message;
    uint32_t message_len;
    uint32_t reserved;
};

/* Messages that are set aside. Written by the worker. They count only for the binary that they have
 * killed: the next one may have fixed the fault. */
struct poison_message {
    uint64_t hash;
    uint32_t len; /* 0: none */
    uint32_t reserved;
};
struct poison {
    uint8_t build[BUILD_ID_SIZE];
    uint32_t added; /* messages ever added */
    struct poison_message message[POISONS];
    uint32_t skipped; /* pushes skipped, minus one for each SKIP_EVERY_MS since */
    uint32_t reserved;
    uint64_t skipped_ms; /* the time (monotonic, ms) that `skipped` refers to */
};

/* The common cause of the last two deaths. */
struct guilt {
    uint64_t position;    /* of a push; NO_POSITION: not a push */
    uint32_t source;      /* of the push */
    bool unread;          /* the workers died while parsing it, so its end is unknown */
    uint32_t fd;          /* the connection in hand at the last death; 0: it is not to blame */
    uint32_t generation;  /* of the connection */
    uint32_t message_len; /* 0: not a message */
    uint64_t message;     /* hash of the message */
};
#define NO_POSITION UINT64_MAX

/* ---- For the worker, as it goes ---- */

/* Begins the words of a new process. */
void words_begin(struct slot_words *words, uint32_t incarnation,
                 const uint8_t build[BUILD_ID_SIZE]);

/* Note what the worker does now: the kind of work; the opcode, the connection (fd 0: none) and the
 * push (position 0: none) in hand. */
static inline void words_doing(struct slot_words *words, enum doing doing)
{
    atomic_store_explicit(&words->doing, doing, memory_order_relaxed);
}
static inline void words_op(struct slot_words *words, uint32_t op)
{
    atomic_store_explicit(&words->op, op, memory_order_relaxed);
}
static inline void words_connection(struct slot_words *words, uint32_t fd, uint32_t generation)
{
    atomic_store_explicit(&words->fd, fd, memory_order_relaxed);
    atomic_store_explicit(&words->generation, generation, memory_order_relaxed);
}
static inline void words_push(struct slot_words *words, uint32_t source, uint64_t position)
{
    atomic_store_explicit(&words->source, source, memory_order_relaxed);
    atomic_store_explicit(&words->position, position, memory_order_relaxed);
}

/* ---- For the master, after a death ---- */

/* True if the words, or the fault, are those of this process. */
bool words_are_of(const struct slot_words *words, uint32_t incarnation);
bool fault_is_of(const struct fault *fault, uint32_t incarnation);

/* Moves grave[0] to grave[1], and fills grave[0] from the words and the fault of process
 * `incarnation`. `lived_ms`: from its start to its death. */
void grave_dig(struct grave grave[2], const struct slot_words *words, const struct fault *fault,
               uint32_t incarnation, uint32_t lived_ms);

/* ---- For the successor ---- */

/* Returns the common cause of both deaths; guilt_found() tells if there is one. */
struct guilt grave_guilt(const struct grave grave[2]);

/* True if the deaths had a common cause. */
static inline bool guilt_found(struct guilt guilt)
{
    return guilt.position != NO_POSITION || guilt.fd != 0 || guilt.message_len != 0;
}

/* Forgets the poison of another binary. */
void poison_begin(struct poison *poison, const uint8_t build[BUILD_ID_SIZE]);

/* Sets a message of `len` bytes aside, once. */
void poison_add(struct poison *poison, uint64_t hash, uint32_t len);

/* True if this message is set aside. */
bool poison_has(const struct poison *poison, uint64_t hash, uint32_t len);

/* Notes that a push is to be skipped at `now_ms` (monotonic). Returns false if too many were: then
 * the pushes are not the cause, and the caller must not lose more of them. */
bool poison_may_skip(struct poison *poison, uint64_t now_ms);

/* True if a message of this length is set aside; if not, the caller can save the hash. */
bool poison_has_length(const struct poison *poison, uint32_t len);

/* Returns a message's hash, 64 bits. Safe in a signal handler. */
uint64_t message_hash(uint64_t seed, const uint8_t *bytes, size_t len);

/* True if they are in a state that this code can leave at any instruction. */
bool words_valid(const struct slot_words *words, const struct fault *fault,
                 const struct grave grave[2], const struct poison *poison);

#endif

/*
 * What a worker leaves for the post-mortem, in its slot, and what follows from it.
 *
 *   worker ── as it goes ──▶ words ─────┐
 *     │ SIGSEGV, SIGABRT, ...           │ the master has reaped it: a death of its own making?
 *     └─────── handler ────▶ fault ─────┴─────▶ grave[0] ──▶ grave[1]
 *                                                   └─── the same in both? ───▶ poison
 *
 * words and fault bear the incarnation of the process that they speak of, so that what an earlier
 * one has left is never taken for the last one's. A grave keeps what was in hand at a death that
 * the worker brought about itself (a fault, an abort, a loop that the watchdog ended); whoever is
 * killed from outside gets none. So where both graves hold the same, it has killed two workers in a
 * row that nobody else had killed: it is poison, and the successor sets it aside.
 *
 *   a push        by its place in what came from Redis or a ring. It was never committed, so
 *                 nothing behind it can have been handled in between.
 *   a message     of a client, by its bytes. The connection has died with the first worker.
 *   a connection  by (fd, generation), if the second worker had not lived long.
 */
#ifndef WSPUSHD_SHM_WORDS_H
#define WSPUSHD_SHM_WORDS_H

#include "common/build_id.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The signals of a program that has gone wrong, signal(7). */
#define FATAL_SIGNALS(X) X(SIGSEGV) X(SIGBUS) X(SIGILL) X(SIGFPE) X(SIGABRT) X(SIGTRAP) X(SIGSYS)

enum {
    FAULT_FRAMES = 24,   /* return addresses of a backtrace */
    MESSAGE_BEGINS = 64, /* bytes of a message that are kept */
    POISONS = 8,         /* messages that are set aside; the next takes the place of the oldest */
    POISON_YOUNG_MS = 10000, /* who dies older has served other connections in between */
    SKIPS_MAX = 16,          /* pushes that may be skipped at once ... */
    SKIP_EVERY_MS = 10000    /* ... and one more after each so many ms */
};

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

/* What a worker has in hand. Written by the worker as it goes; relaxed, because it is read when the
 * worker is dead. */
struct slot_words {
    _Atomic uint32_t incarnation;    /* of the process that it speaks of */
    _Atomic uint32_t doing;          /* enum doing */
    _Atomic uint32_t fd, generation; /* the connection in hand; fd 0: none */
    _Atomic uint32_t op;             /* of the request or push in hand, once it is decoded */
    _Atomic uint32_t source;         /* of the push: 0 for the link, n + 1 for the ring from n */
    _Atomic uint64_t position;       /* of the push: in what came from there; 0: none */
    uint8_t build[BUILD_ID_SIZE];    /* of the binary; all 0 where it has none */
};

/* How it died. Written by the worker's signal handler (worker/last_words.c) in this order: signal
 * to instruction, incarnation; the message; the frames. The handler may itself die in between. */
struct fault {
    _Atomic uint32_t incarnation; /* whose fault; until it is stored there is none */
    int32_t signal, code;         /* si_signo, si_code */
    int32_t sender;               /* pid of the other process that sent it; 0: none did */
    uint64_t address;             /* si_addr: which memory could not be had */
    uint64_t instruction;         /* where the program was */
    uint64_t message;             /* hash of the client's message in hand */
    _Atomic uint32_t message_len; /* 0: none */
    uint8_t begins[MESSAGE_BEGINS];
    _Atomic uint32_t frames;
    uint64_t frame[FAULT_FRAMES]; /* addresses, as the master has them too */
};

/* What was in hand at a death. Written by the master while nobody runs the slot. */
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

/* Messages that are set aside. Written by the worker. They count for the binary that they have
 * killed: the next may have mended what was wrong. */
struct poison_message {
    uint64_t hash;
    uint32_t len; /* 0: none */
    uint32_t reserved;
};
struct poison {
    uint8_t build[BUILD_ID_SIZE];
    uint32_t added; /* how many were ever added */
    struct poison_message message[POISONS];
    uint32_t skipped; /* pushes skipped, less one for each SKIP_EVERY_MS since */
    uint32_t reserved;
    uint64_t skipped_ms; /* as of this time (monotonic) */
};

/* What the last two deaths have in common. */
struct guilt {
    uint64_t position;    /* of a push; NO_POSITION: of none */
    uint32_t source;      /* of the push */
    bool unread;          /* the workers died of reading it: nothing tells where it ends */
    uint32_t fd;          /* of the connection in hand at the last death; 0: it is not guilty */
    uint32_t generation;  /* of the connection */
    uint32_t message_len; /* 0: no message */
    uint64_t message;     /* hash of the message */
};
#define NO_POSITION UINT64_MAX

/* ---- The worker, as it goes ---- */

/* Begins the words of another process. */
void words_begin(struct slot_words *words, uint32_t incarnation,
                 const uint8_t build[BUILD_ID_SIZE]);

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

/* ---- The master, after a death ---- */

/* Whether the words are those of this process; whether the fault is. */
bool words_are_of(const struct slot_words *words, uint32_t incarnation);
bool fault_is_of(const struct fault *fault, uint32_t incarnation);

/* Puts what the words and the fault of process `incarnation` say into grave[0], and what was there
 * into grave[1]. */
void grave_dig(struct grave grave[2], const struct slot_words *words, const struct fault *fault,
               uint32_t incarnation, uint32_t lived_ms);

/* ---- The successor ---- */

/* What both graves have in common. */
struct guilt grave_guilt(const struct grave grave[2]);

static inline bool guilt_found(struct guilt guilt)
{
    return guilt.position != NO_POSITION || guilt.fd != 0 || guilt.message_len != 0;
}

/* Forgets what another binary has died of. */
void poison_begin(struct poison *poison, const uint8_t build[BUILD_ID_SIZE]);

/* Sets a message aside (once); whether it is. */
void poison_add(struct poison *poison, uint64_t hash, uint32_t len);
bool poison_has(const struct poison *poison, uint64_t hash, uint32_t len);

/* Notes that a push is to be skipped at `now_ms` (monotonic). Returns false if too many were: then
 * it is not the pushes that are at fault, and no more of them may be lost. */
bool poison_may_skip(struct poison *poison, uint64_t now_ms);

/* Whether a message of this length is: only then its hash need be made. */
bool poison_has_length(const struct poison *poison, uint32_t len);

/* A message's hash, 64 bits. Safe in a signal handler. */
uint64_t message_hash(uint64_t seed, const uint8_t *bytes, size_t len);

/* Whether they are such as the code above can have left. */
bool words_valid(const struct slot_words *words, const struct fault *fault,
                 const struct grave grave[2], const struct poison *poison);

#endif

/*
 * The last words of a worker that dies by a fault: its signal handler writes them into the slot
 * (shm/words.h), and the master reads them there.
 *
 *   fault ─▶ on_fault, on a stack of its own ─▶ the slot ─▶ the same signal again, by default
 *
 * So the signal ends the process after all, with a core dump where those are wanted.
 */
#ifndef WSPUSHD_WORKER_LAST_WORDS_H
#define WSPUSHD_WORKER_LAST_WORDS_H

#include "shm/words.h"

/*
 * Begins the words of this process, and installs the handler for each of FATAL_SIGNALS that nobody
 * else handles: a sanitizer's own report says more than ours. `seed`: of message_hash. The first
 * backtrace(3) of a process loads a library, which no signal handler may: the master makes one
 * before it forks.
 */
void last_words_open(struct slot_words *words, struct fault *fault, uint32_t incarnation,
                     const uint8_t build[BUILD_ID_SIZE], uint64_t seed);

/* The client's message in hand, borrowed until the next call; NULL for none. */
void last_words_message(const uint8_t *bytes, size_t len);

#endif

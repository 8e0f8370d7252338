/*
 * A crashing worker's last words: its signal handler writes them into the slot (shm/words.h), where
 * the master reads them.
 *
 *   fault ─▶ on_fatal_signal, on its own stack ─▶ the slot ─▶ the same signal again, by default
 *
 * So the signal still ends the process, with a core dump if those are enabled.
 */
#ifndef WSPUSHD_WORKER_LAST_WORDS_H
#define WSPUSHD_WORKER_LAST_WORDS_H

#include "shm/words.h"

/*
 * Starts this process's last words, and installs the handler for each of FATAL_SIGNALS that has no
 * handler yet: a sanitizer's own report says more than this one. `seed`: of message_hash. The first
 * backtrace(3) of a process loads a library, which a signal handler must not do: the master calls
 * it before it forks.
 */
void last_words_open(struct slot_words *words, struct fault *fault, uint32_t incarnation,
                     const uint8_t build[BUILD_ID_SIZE], uint64_t seed);

/* Records the client's message being handled, which is borrowed until the next call; NULL for
 * none. */
void last_words_message(const uint8_t *bytes, size_t len);

#endif

/*
 * See trouble.h. A sequence lock: the text is stored word by word (relaxed) between two stores of
 * the version, and the fences (C11) make a torn text visible as one.
 */
#include "shm/trouble.h"

#include <string.h>

enum { TRIES = 3 /* of reading a text that is being written, which is rare */ };

void trouble_set(struct trouble *trouble, const char *text)
{
    uint64_t words[TROUBLE_WORDS] = {0};
    const uint32_t version = atomic_load_explicit(&trouble->version, memory_order_relaxed) | 1;
    const size_t len = strlen(text);
    memcpy(words, text, len < TROUBLE_TEXT_MAX ? len : TROUBLE_TEXT_MAX - 1);
    atomic_store_explicit(&trouble->version, version, memory_order_relaxed);
    /* Pairs with the fence in copy_trouble_text: a reader of a new word sees the odd version. */
    atomic_thread_fence(memory_order_release);
    for (size_t i = 0; i < TROUBLE_WORDS; i++)
        atomic_store_explicit(&trouble->text[i], words[i], memory_order_relaxed);
    /* Pairs with the acquire in copy_trouble_text. */
    atomic_store_explicit(&trouble->version, version + 1, memory_order_release);
}

/* Copies the words. Returns false if they were being written. */
static bool copy_trouble_text(const struct trouble *trouble, uint64_t words[TROUBLE_WORDS])
{
    const uint32_t version = atomic_load_explicit(&trouble->version, memory_order_acquire);
    for (size_t i = 0; i < TROUBLE_WORDS; i++)
        words[i] = atomic_load_explicit(&trouble->text[i], memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    return version % 2 == 0 &&
           atomic_load_explicit(&trouble->version, memory_order_relaxed) == version;
}

bool trouble_get(const struct trouble *trouble, char text[TROUBLE_TEXT_MAX])
{
    uint64_t words[TROUBLE_WORDS];
    text[0] = '\0';
    for (int i = 0; i < TRIES; i++) {
        if (!copy_trouble_text(trouble, words))
            continue;
        memcpy(text, words, TROUBLE_TEXT_MAX);
        text[TROUBLE_TEXT_MAX - 1] = '\0';
        break;
    }
    return text[0] != '\0';
}

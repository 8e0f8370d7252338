/*
 * A queue of numbers that grows as needed: private memory of modules that note work for the end of
 * a turn. All zero is an empty queue. If memory is short the process aborts, and a successor takes
 * over.
 */
#ifndef WSPUSHD_WORKER_QUEUE_H
#define WSPUSHD_WORKER_QUEUE_H

#include <stdint.h>
#include <stdlib.h>

struct queue {
    uint64_t *at;
    uint32_t first, count, room; /* circular; room is a power of two */
};

static inline void queue_grow(struct queue *queue)
{
    const uint32_t room = queue->room ? queue->room * 2 : 64;
    uint64_t *at = malloc(room * sizeof(*at));
    if (!at)
        abort();
    for (uint32_t i = 0; i < queue->count; i++)
        at[i] = queue->at[(queue->first + i) & (queue->room - 1)];
    free(queue->at);
    *queue = (struct queue){.at = at, .count = queue->count, .room = room};
}

static inline void queue_push(struct queue *queue, uint64_t number)
{
    if (queue->count == queue->room)
        queue_grow(queue);
    queue->at[(queue->first + queue->count++) & (queue->room - 1)] = number;
}

/* Returns the oldest number of a queue that is not empty. */
static inline uint64_t queue_first(const struct queue *queue)
{
    return queue->at[queue->first];
}

static inline uint64_t queue_pop(struct queue *queue)
{
    const uint64_t number = queue_first(queue);
    queue->first = (queue->first + 1) & (queue->room - 1);
    queue->count--;
    return number;
}

#endif

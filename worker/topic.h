/*
 * Connects the members of a topic with its subscription. A topic has a home, by a hash of its
 * channel's name: the worker that subscribes to it, and that copies each push once to every worker
 * with members. The states in shm/topics.h record the progress on each side:
 *
 *    member's worker              topic's home                    Redis
 *      first member   -- WANT -->  first worker  -- SUBSCRIBE -->
 *      ASKED                       ASKED                           confirmed by PING
 *      JOINED        <-- JOINED -- JOINED        <-- PONG -------
 *      last one left  -- LEAVE -->  no worker    -- UNSUBSCRIBE ->
 *      LEAVING                     LEAVING                         confirmed by PING
 *      IDLE, released <-- LEFT ---  IDLE, released <-- PONG ------
 *
 * If the home itself has members, nothing is exchanged between its two parts. SUBBED may be sent
 * once the topic is JOINED here and its home's link is up: a home whose link is up has subscribed
 * to every topic that it has called JOINED, and Redis has confirmed it.
 *
 * All of it is state in shared memory from which the messages follow, and a message may come twice.
 * The state is stored before the request is sent, so after a death each request without an answer
 * is sent again, as is one that waits for seconds. The one danger would be to take an old answer
 * for a new one. It cannot happen, because a worker waits for the answer before it asks again, and
 * a ring keeps the order.
 *
 * worker/topic.pml is the model of this protocol: change the order of steps there first.
 */
#ifndef WSPUSHD_WORKER_TOPIC_H
#define WSPUSHD_WORKER_TOPIC_H

#include "worker/worker.h"

#include <stddef.h>

/* The messages between workers about a topic. X(NAME, handler in topic.c) */
#define INTEREST_WORDS(X)                                                    \
    X(WANT, topic_on_want)     /* to the home: this worker has members */    \
    X(LEAVE, topic_on_leave)   /* to the home: it has none any more */       \
    X(JOINED, topic_on_joined) /* from the home: subscribed and confirmed */ \
    X(LEFT, topic_on_left)     /* from the home: no more pushes follow */

enum interest_word {
#define INTEREST_ENUM(name, handler) INTEREST_##name,
    INTEREST_WORDS(INTEREST_ENUM)
#undef INTEREST_ENUM
        INTEREST_WORD_COUNT
};

/* The layout of a RING_INTEREST entry. */
struct interest {
    uint8_t word, from, len;
    char name[];
};

/* Returns a new state without topics, or NULL if memory is short. */
struct topic_work *topic_work_new(void);

/* Notes that the members of a topic have changed; topic_turn does the rest. */
void topic_changed(struct worker *worker, uint32_t topic);

/* True if every push to the topic reaches this worker. */
bool topic_live(const struct worker *worker, uint32_t topic);

/* True if this worker is the topic's home and a worker has requested the topic. */
bool topic_is_known(const struct worker *worker, const char *name, size_t len);

/* Returns, at the topic's home, the workers with members, one bit each. */
uint64_t topic_workers(const struct worker *worker, const char *name, size_t len);

/* Handles a message of another worker. */
void topic_told(struct worker *worker, const struct interest *interest);

/* Notes that Redis has confirmed the batch that the topic waited for. */
void topic_confirmed(struct worker *worker, uint32_t topic, uint64_t batch);

/* Requests every topic again on a new socket to Redis, as part of subscriptions_all. */
void topic_subscribe_all(struct worker *worker);

/* Sends requests and answers, removes unused topics, and repeats requests that were not answered.
 * Call it at the end of each turn. */
void topic_turn(struct worker *worker);

/* True if all consequences of changes are done, or requested from others. */
bool topic_settled(const struct worker *worker);

/* Assigns new homes to all topics after a change of the number of workers; no worker has requested
 * any topic at its new home yet. */
void topic_rehome(struct worker *worker);

/* Repeats, after a death, the requests that were under way. */
void topic_recover(struct worker *worker);

#endif

/*
 * Between the members of a topic and its subscription. A topic has a home, by a hash of its
 * channel's name: the worker that subscribes it, and that copies each push once to every worker
 * that has members. The states in shm/topics.h say how far that is, at each of them:
 *
 *    member's worker              topic's home                    Redis
 *      first member   -- WANT -->  first worker  -- SUBSCRIBE -->
 *      ASKED                       ASKED                           confirmed by PING
 *      JOINED        <-- JOINED -- JOINED        <-- PONG -------
 *      last one left  -- LEAVE -->  no worker    -- UNSUBSCRIBE ->
 *      LEAVING                     LEAVING                         confirmed by PING
 *      IDLE, released <-- LEFT ---  IDLE, released <-- PONG ------
 *
 * Where the home itself has members there is nothing between its own two parts. SUBBED may be sent
 * once the topic is JOINED here and its home's link is up: a home whose link is up has subscribed
 * and confirmed all that it says is JOINED.
 *
 * All of it is state in shared memory that the messages follow from, and messages may come twice:
 * the state says that something is asked before it is, so after a death what waits for an answer is
 * asked again, as is what has waited for seconds. The one thing to fear is an old answer taken for
 * a new one. It cannot be, because who has asked waits for the answer before it asks again, and a
 * ring keeps the order.
 *
 * worker/topic.pml is the model of all this: who changes the order of steps changes it first.
 */
#ifndef WSPUSHD_WORKER_TOPIC_H
#define WSPUSHD_WORKER_TOPIC_H

#include "worker/worker.h"

#include <stddef.h>

/* What workers tell each other about a topic. X(NAME, handler in topic.c) */
#define INTEREST_WORDS(X)                                                  \
    X(WANT, on_want)     /* to the home: there are members here */         \
    X(LEAVE, on_leave)   /* to the home: there are none any more */        \
    X(JOINED, on_joined) /* from the home: Redis confirmed; pushes come */ \
    X(LEFT, on_left)     /* from the home: no more pushes come */

enum interest_word {
#define INTEREST_ENUM(name, handler) INTEREST_##name,
    INTEREST_WORDS(INTEREST_ENUM)
#undef INTEREST_ENUM
        INTEREST_WORD_COUNT
};

/* The bytes of RING_INTEREST. */
struct interest {
    uint8_t word, from, len;
    char name[];
};

struct topic_work *topic_work_new(void);

/* The members of a topic have changed: what follows is done at the end of the turn. */
void topic_changed(struct worker *worker, uint32_t topic);

/* Whether every push to the topic reaches this worker. */
bool topic_live(const struct worker *worker, uint32_t topic);

/* Whether this worker is the topic's home, and anybody has asked for it. */
bool topic_is_known(const struct worker *worker, const char *name, size_t len);

/* At the topic's home: the workers with members, one bit each. */
uint64_t topic_workers(const struct worker *worker, const char *name, size_t len);

/* Another worker has told something. */
void topic_told(struct worker *worker, const struct interest *interest);

/* Redis has confirmed the batch that was awaited for the topic. */
void topic_confirmed(struct worker *worker, uint32_t topic, uint64_t batch);

/* A new socket to Redis: asks for every topic again, as part of subscriptions_all. */
void topic_subscribe_all(struct worker *worker);

/* End of a turn: asks, answers, gives up; asks again what was not answered. */
void topic_turn(struct worker *worker);

/* Whether all that follows from changes has been done, or asked of others. */
bool topic_settled(const struct worker *worker);

/* The number of workers is another: topics have other homes, and nobody has asked for any. */
void topic_rehome(struct worker *worker);

/* After a death: takes up what was under way. */
void topic_recover(struct worker *worker);

#endif

/*
 * See topic.h. An event only changes the topic's record and puts the topic on the list of those to
 * be handled at the end of the turn; there settle_topic_state() compares the present state with the
 * required one and takes the next step. So a step that a full ring prevents is tried again, and a
 * successor only has to put every topic on its list.
 */
#include "worker/topic.h"

#include "common/killpoint.h"
#include "common/log.h"
#include "worker/join.h"
#include "worker/move.h"
#include "worker/queue.h"
#include "worker/rings.h"
#include "worker/subscribe.h"

#include <stdlib.h>
#include <string.h>

enum { ANSWER_TIMEOUT_S = 5 }; /* then the request is sent again */

/* Private to the process; topic_recover rebuilds it. */
struct topic_work {
    struct queue changed; /* topics to be handled at the end of the turn */
    struct queue asked;   /* second << 32 | topic: those that await an answer, oldest first */
    uint64_t links_up;    /* links up as of the last turn, one bit for each worker */
};

struct topic_work *topic_work_new(void)
{
    return calloc(1, sizeof(struct topic_work));
}

static struct topic *topic_at(const struct worker *worker, uint32_t number)
{
    return &worker->topics.topic[number];
}

static bool topic_home_is_here(const struct worker *worker, const struct topic *topic)
{
    return topic->home == worker->id;
}

static uint64_t topic_worker_bit(uint32_t worker)
{
    return UINT64_C(1) << worker;
}

static bool topic_link_is_up(const struct worker *worker, uint32_t i)
{
    /* Acquire: pairs with the release of the link's state in link.c. */
    return atomic_load_explicit(&worker->segment->slot[i].link.state, memory_order_acquire) ==
           LINK_UP;
}

bool topic_live(const struct worker *worker, uint32_t number)
{
    const struct topic *topic = topic_at(worker, number);
    return topic->state == TOPIC_JOINED && topic_link_is_up(worker, topic->home);
}

void topic_changed(struct worker *worker, uint32_t number)
{
    struct topic *topic = topic_at(worker, number);
    if (topic->listed)
        return;
    topic->listed = 1;
    queue_push(&worker->topic_work->changed, number);
}

bool topic_is_known(const struct worker *worker, const char *name, size_t len)
{
    const uint32_t number = topics_find(&worker->topics, name, len);
    return number && topic_home_is_here(worker, topic_at(worker, number));
}

uint64_t topic_workers(const struct worker *worker, const char *name, size_t len)
{
    const uint32_t number = topics_find(&worker->topics, name, len);
    return number ? topic_at(worker, number)->workers : 0;
}

/* Informs members that wait for the topic if it has become live. */
static void topic_tell_members(struct worker *worker, uint32_t number)
{
    if (topic_at(worker, number)->waiting > 0 && topic_live(worker, number))
        join_live(worker, number);
}

/* ---- Messages to other workers ---- */

static uint32_t interest_entry_size(const struct topic *topic)
{
    return (uint32_t)(offsetof(struct interest, name) + topic_len(topic));
}

/* Sends a message about the topic to a worker; its ring must have room. */
static void topic_tell_worker(struct worker *worker, uint32_t to, enum interest_word word,
                              const struct topic *topic)
{
    const size_t len = topic_len(topic);
    struct interest *interest =
        ring_reserve(&worker->out[to], RING_INTEREST, 0, interest_entry_size(topic));
    *interest =
        (struct interest){.word = (uint8_t)word, .from = (uint8_t)worker->id, .len = (uint8_t)len};
    memcpy(interest->name, topic->name, len);
    rings_publish(worker, to);
}

/* Sends the message to the workers in *due, and removes each from *due once the ring has the
 * message. After a death in between, one worker gets it twice. Returns false if a ring is full. */
static bool topic_tell_workers(struct worker *worker, uint64_t *due, enum interest_word word,
                               const struct topic *topic)
{
    while (*due) {
        const uint32_t to = (uint32_t)__builtin_ctzll(*due);
        if (!rings_room(worker, to, interest_entry_size(topic)))
            return false;
        topic_tell_worker(worker, to, word, topic);
        KILLPOINT(INTEREST_TOLD);
        *due &= ~topic_worker_bit(to);
    }
    return true;
}

/* Sends the home's answers. Returns false if a ring is full. */
static bool topic_answer_workers(struct worker *worker, struct topic *topic)
{
    if (!topic_tell_workers(worker, &topic->left, INTEREST_LEFT, topic))
        return false;
    if (topic->state != TOPIC_JOINED)
        return true;
    const uint64_t due = topic->workers & ~topic->told & ~topic_worker_bit(worker->id);
    uint64_t rest = due;
    const bool done = topic_tell_workers(worker, &rest, INTEREST_JOINED, topic);
    topic->told |= due & ~rest;
    return done;
}

/* ---- The next step of a topic ---- */

/* Notes that an answer to a request of second `since_s` is awaited; a time long past makes the
 * request due again at once. */
static void topic_await_answer(struct worker *worker, uint32_t number, uint32_t since_s)
{
    topic_at(worker, number)->asked_s = since_s;
    queue_push(&worker->topic_work->asked, (uint64_t)since_s << 32 | number);
}

/* Sends the home the request that the topic's state stands for. */
static void topic_ask_home(struct worker *worker, uint32_t number)
{
    const struct topic *topic = topic_at(worker, number);
    topic_tell_worker(worker, topic->home,
                      topic->state == TOPIC_ASKED ? INTEREST_WANT : INTEREST_LEAVE, topic);
    topic_await_answer(worker, number, worker->now_s);
}

/* Requests the topic, or gives it up: from Redis at its home, else from its home. A home whose link
 * is down need not ask, because subscriptions_all will. The state is stored before the request is
 * sent, so that a successor repeats the request: a subscription unknown to it could never be given
 * up. Returns false if a ring is full. */
static bool topic_request_change(struct worker *worker, uint32_t number, bool join)
{
    struct topic *topic = topic_at(worker, number);
    const enum topic_state next = join ? TOPIC_ASKED : TOPIC_LEAVING;
    if (topic_home_is_here(worker, topic)) {
        if (subscriptions_topic(worker, number, join)) /* sent at the end of the turn */
            topic->state = (uint8_t)next;
        return true;
    }
    if (!rings_room(worker, topic->home, interest_entry_size(topic)))
        return false;
    topic->state = (uint8_t)next;
    KILLPOINT(INTEREST_ASKED);
    topic_ask_home(worker, number);
    return true;
}

static bool topic_awaits_answer(const struct topic *topic)
{
    return topic_len(topic) > 0 && (topic->state == TOPIC_ASKED || topic->state == TOPIC_LEAVING);
}

/* Sends the request again. Returns false if a ring is full. */
static bool topic_ask_again(struct worker *worker, uint32_t number)
{
    const struct topic *topic = topic_at(worker, number);
    if (topic_home_is_here(worker, topic)) {
        subscriptions_topic(worker, number, topic->state == TOPIC_ASKED);
        return true;
    }
    if (!rings_room(worker, topic->home, interest_entry_size(topic)))
        return false;
    topic_ask_home(worker, number);
    return true;
}

static bool topic_answer_is_late(const struct worker *worker)
{
    const struct queue *asked = &worker->topic_work->asked;
    return asked->count > 0 &&
           worker->now_s - (uint32_t)(queue_first(asked) >> 32) >= ANSWER_TIMEOUT_S;
}

static void topic_ask_late_again(struct worker *worker)
{
    struct queue *asked = &worker->topic_work->asked;
    while (topic_answer_is_late(worker)) {
        const uint32_t since_s = (uint32_t)(queue_first(asked) >> 32);
        const uint32_t number = (uint32_t)queue_first(asked);
        const struct topic *topic = topic_at(worker, number);
        if (topic->asked_s == since_s && topic_awaits_answer(topic) &&
            !topic_ask_again(worker, number))
            return;
        queue_pop(asked);
    }
}

/* True if this worker needs the topic; at its home, if any worker does. */
static bool topic_is_wanted(const struct worker *worker, struct topic *topic)
{
    if (!topic_home_is_here(worker, topic))
        return topic->count > 0;
    if (topic->count > 0)
        topic->workers |= topic_worker_bit(worker->id);
    else
        topic->workers &= ~topic_worker_bit(worker->id);
    return topic->workers != 0;
}

/* Takes the steps that are possible now. Returns false if a ring is full. */
static bool settle_topic_state(struct worker *worker, uint32_t number)
{
    struct topic *topic = topic_at(worker, number);
    const bool want = topic_is_wanted(worker, topic);
    if (topic->state == (want ? TOPIC_IDLE : TOPIC_JOINED) &&
        !topic_request_change(worker, number, want))
        return false;
    if (topic_home_is_here(worker, topic) && !topic_answer_workers(worker, topic))
        return false;
    if (!want && topic->state == TOPIC_IDLE)
        topics_remove(&worker->topics, number);
    return true;
}

/* Informs members of topics that are live because their home's link has come up. */
static void topic_notice_links(struct worker *worker)
{
    struct topic_work *work = worker->topic_work;
    uint64_t up = 0;
    for (uint32_t i = 0; i < worker->workers; i++)
        up |= topic_link_is_up(worker, i) ? topic_worker_bit(i) : 0;
    const uint64_t fresh = up & ~work->links_up;
    work->links_up = up;
    if (!fresh)
        return;
    for (uint32_t i = 1; i < worker->topics.control->topic_end; i++)
        if (topic_len(topic_at(worker, i)) > 0 &&
            fresh & topic_worker_bit(topic_at(worker, i)->home))
            topic_tell_members(worker, i);
}

void topic_turn(struct worker *worker)
{
    struct queue *changed = &worker->topic_work->changed;
    if (!move_lets_talk(worker))
        return;
    topic_notice_links(worker);
    topic_ask_late_again(worker);
    for (uint32_t left = changed->count; left > 0; left--) {
        const uint32_t number = (uint32_t)queue_pop(changed);
        topic_at(worker, number)->listed = 0;
        if (!settle_topic_state(worker, number))
            topic_changed(worker, number);
    }
}

/* ---- Messages of other workers ---- */

static void topic_on_want(struct worker *worker, uint32_t number, uint32_t from)
{
    struct topic *topic = topic_at(worker, number);
    topic->workers |= topic_worker_bit(from);
    topic->told &= ~topic_worker_bit(from);
    topic->left &= ~topic_worker_bit(from);
}

static void topic_on_leave(struct worker *worker, uint32_t number, uint32_t from)
{
    struct topic *topic = topic_at(worker, number);
    topic->workers &= ~topic_worker_bit(from);
    topic->told &= ~topic_worker_bit(from);
    topic->left |= topic_worker_bit(from);
}

static void topic_on_joined(struct worker *worker, uint32_t number, uint32_t from)
{
    struct topic *topic = topic_at(worker, number);
    (void)from;
    if (topic->state != TOPIC_ASKED)
        return;
    topic->state = TOPIC_JOINED;
    topic_tell_members(worker, number);
}

static void topic_on_left(struct worker *worker, uint32_t number, uint32_t from)
{
    struct topic *topic = topic_at(worker, number);
    (void)from;
    if (topic->state == TOPIC_LEAVING)
        topic->state = TOPIC_IDLE;
}

static void (*const word_handlers[])(struct worker *, uint32_t, uint32_t) = {
#define INTEREST_HANDLER(name, handler) [INTEREST_##name] = handler,
    INTEREST_WORDS(INTEREST_HANDLER)
#undef INTEREST_HANDLER
};

void topic_told(struct worker *worker, const struct interest *interest)
{
    static struct log_limit limit;
    const bool asks = interest->word == INTEREST_WANT || interest->word == INTEREST_LEAVE;
    const uint32_t number =
        asks ? topics_add(&worker->topics, interest->name, interest->len, worker->id)
             : topics_find(&worker->topics, interest->name, interest->len);
    if (number) {
        word_handlers[interest->word](worker, number, interest->from);
        topic_changed(worker, number);
    } else if (asks && log_allow(&limit, 1, NULL)) {
        log_warn("topics_full", "topic=%s", log_quote(interest->name, interest->len));
    }
}

void topic_confirmed(struct worker *worker, uint32_t number, uint64_t batch)
{
    struct topic *topic = topic_at(worker, number);
    if (topic_len(topic) == 0 || !topic_home_is_here(worker, topic) || topic->batch != batch)
        return; /* it has been requested again since */
    if (topic->state == TOPIC_ASKED) {
        topic->state = TOPIC_JOINED;
        topic_tell_members(worker, number);
    } else if (topic->state == TOPIC_LEAVING) {
        topic->state = TOPIC_IDLE;
    }
    topic_changed(worker, number);
}

void topic_subscribe_all(struct worker *worker)
{
    for (uint32_t i = 1; i < worker->topics.control->topic_end; i++) {
        struct topic *topic = topic_at(worker, i);
        if (topic_len(topic) == 0 || !topic_home_is_here(worker, topic))
            continue;
        topic->state = TOPIC_IDLE;
        if (topic_is_wanted(worker, topic) && subscriptions_topic(worker, i, true))
            topic->state = TOPIC_ASKED;
        topic_changed(worker, i);
    }
}

bool topic_settled(const struct worker *worker)
{
    return worker->topic_work->changed.count == 0 && !topic_answer_is_late(worker);
}

/* Other workers will request the topics that they need from this home. A channel may be subscribed
 * already, and must not be given up before they have done so, so nothing is sent to Redis here. */
void topic_rehome(struct worker *worker)
{
    for (uint32_t i = 1; i < worker->topics.control->topic_end; i++) {
        struct topic *topic = topic_at(worker, i);
        if (topic_len(topic) == 0)
            continue;
        topic->home = (uint8_t)worker_topic_home(worker, topic->name, topic_len(topic));
        topic->workers = topic->told = topic->left = topic->batch = 0;
        topic->state = TOPIC_IDLE;
        if (topic->count == 0)
            topics_remove(&worker->topics, i);
    }
}

/* ---- After a death ---- */

void topic_recover(struct worker *worker)
{
    for (uint32_t i = 1; i < worker->topics.control->topic_end; i++) {
        struct topic *topic = topic_at(worker, i);
        if (topic_len(topic) == 0)
            continue;
        /* The request may have died with the worker, and so has the note that its answer is
         * awaited. */
        if (topic_awaits_answer(topic))
            topic_await_answer(worker, i, worker->now_s - ANSWER_TIMEOUT_S);
        topic->listed = 0;
        topic_changed(worker, i);
    }
    worker->topic_work->links_up = 0; /* the first turn informs every member that waits */
}

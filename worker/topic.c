/*
 * See topic.h. Whatever happens to a topic only changes its record and puts it on the list of
 * those that are looked at at the end of the turn; there settle() compares what is with what is
 * wanted and does the next step. So a step that a full ring forbids is tried again by itself, and a
 * successor has only to put every topic on its list.
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

enum { ANSWER_TIMEOUT_S = 5 }; /* then it is asked again */

/* Private to the process; topic_recover makes it again. */
struct topic_work {
    struct queue changed; /* topics to be settled */
    struct queue asked;   /* second << 32 | topic: of whom an answer is awaited, oldest first */
    uint64_t links_up;    /* as of the last turn, one bit for each worker */
};

struct topic_work *topic_work_new(void)
{
    return calloc(1, sizeof(struct topic_work));
}

static struct topic *at(const struct worker *worker, uint32_t number)
{
    return &worker->topics.topic[number];
}

static bool is_home(const struct worker *worker, const struct topic *topic)
{
    return topic->home == worker->id;
}

static uint64_t bit(uint32_t worker)
{
    return UINT64_C(1) << worker;
}

static bool link_is_up(const struct worker *worker, uint32_t i)
{
    /* Acquire: pairs with the release of the link's state in link.c. */
    return atomic_load_explicit(&worker->segment->slot[i].link.state, memory_order_acquire) ==
           LINK_UP;
}

bool topic_live(const struct worker *worker, uint32_t number)
{
    const struct topic *topic = at(worker, number);
    return topic->state == TOPIC_JOINED && link_is_up(worker, topic->home);
}

void topic_changed(struct worker *worker, uint32_t number)
{
    struct topic *topic = at(worker, number);
    if (topic->listed)
        return;
    topic->listed = 1;
    queue_push(&worker->topic_work->changed, number);
}

bool topic_is_known(const struct worker *worker, const char *name, size_t len)
{
    const uint32_t number = topics_find(&worker->topics, name, len);
    return number && is_home(worker, at(worker, number));
}

uint64_t topic_workers(const struct worker *worker, const char *name, size_t len)
{
    const uint32_t number = topics_find(&worker->topics, name, len);
    return number ? at(worker, number)->workers : 0;
}

/* The topic may have become live: members may be waiting for that. */
static void tell_members(struct worker *worker, uint32_t number)
{
    if (at(worker, number)->waiting > 0 && topic_live(worker, number))
        join_live(worker, number);
}

/* ---- Telling others ---- */

static uint32_t interest_size(const struct topic *topic)
{
    return (uint32_t)(offsetof(struct interest, name) + topic_len(topic));
}

/* There is room. */
static void tell(struct worker *worker, uint32_t to, enum interest_word word,
                 const struct topic *topic)
{
    const size_t len = topic_len(topic);
    struct interest *interest =
        ring_reserve(&worker->out[to], RING_INTEREST, 0, interest_size(topic));
    *interest =
        (struct interest){.word = (uint8_t)word, .from = (uint8_t)worker->id, .len = (uint8_t)len};
    memcpy(interest->name, topic->name, len);
    rings_publish(worker, to);
}

/* Tells the workers in *due, and takes each off when the ring has it. After a death in between one
 * is told twice. */
static bool tell_each(struct worker *worker, uint64_t *due, enum interest_word word,
                      const struct topic *topic)
{
    while (*due) {
        const uint32_t to = (uint32_t)__builtin_ctzll(*due);
        if (!rings_room(worker, to, interest_size(topic)))
            return false;
        tell(worker, to, word, topic);
        KILLPOINT(INTEREST_TOLD);
        *due &= ~bit(to);
    }
    return true;
}

/* The home's answers. */
static bool answer_workers(struct worker *worker, struct topic *topic)
{
    if (!tell_each(worker, &topic->left, INTEREST_LEFT, topic))
        return false;
    if (topic->state != TOPIC_JOINED)
        return true;
    const uint64_t due = topic->workers & ~topic->told & ~bit(worker->id);
    uint64_t rest = due;
    const bool done = tell_each(worker, &rest, INTEREST_JOINED, topic);
    topic->told |= due & ~rest;
    return done;
}

/* ---- The next step of a topic ---- */

/* An answer, asked for at `since_s`: the present second, or one so long ago that it is asked for
 * again at once. */
static void await(struct worker *worker, uint32_t number, uint32_t since_s)
{
    at(worker, number)->asked_s = since_s;
    queue_push(&worker->topic_work->asked, (uint64_t)since_s << 32 | number);
}

/* Says to the home what the state says already. */
static void ask_home(struct worker *worker, uint32_t number)
{
    const struct topic *topic = at(worker, number);
    tell(worker, topic->home, topic->state == TOPIC_ASKED ? INTEREST_WANT : INTEREST_LEAVE, topic);
    await(worker, number, worker->now_s);
}

/* Asks for the topic, or gives it up: of Redis at its home, else of its home. What the home cannot
 * ask because its link is down, it need not: subscriptions_all will. The state says so before it is
 * asked, so that a successor asks again: what it does not know of it could never give up. Returns
 * false where a ring is full. */
static bool ask(struct worker *worker, uint32_t number, bool join)
{
    struct topic *topic = at(worker, number);
    const enum topic_state next = join ? TOPIC_ASKED : TOPIC_LEAVING;
    if (is_home(worker, topic)) {
        if (subscriptions_topic(worker, number, join)) /* sent at the end of the turn */
            topic->state = (uint8_t)next;
        return true;
    }
    if (!rings_room(worker, topic->home, interest_size(topic)))
        return false;
    topic->state = (uint8_t)next;
    KILLPOINT(INTEREST_ASKED);
    ask_home(worker, number);
    return true;
}

static bool awaits(const struct topic *topic)
{
    return topic_len(topic) > 0 && (topic->state == TOPIC_ASKED || topic->state == TOPIC_LEAVING);
}

/* Returns false where a ring is full. */
static bool ask_again(struct worker *worker, uint32_t number)
{
    const struct topic *topic = at(worker, number);
    if (is_home(worker, topic)) {
        subscriptions_topic(worker, number, topic->state == TOPIC_ASKED);
        return true;
    }
    if (!rings_room(worker, topic->home, interest_size(topic)))
        return false;
    ask_home(worker, number);
    return true;
}

static bool answer_is_late(const struct worker *worker)
{
    const struct queue *asked = &worker->topic_work->asked;
    return asked->count > 0 &&
           worker->now_s - (uint32_t)(queue_first(asked) >> 32) >= ANSWER_TIMEOUT_S;
}

static void ask_late_ones_again(struct worker *worker)
{
    struct queue *asked = &worker->topic_work->asked;
    while (answer_is_late(worker)) {
        const uint32_t since_s = (uint32_t)(queue_first(asked) >> 32);
        const uint32_t number = (uint32_t)queue_first(asked);
        const struct topic *topic = at(worker, number);
        if (topic->asked_s == since_s && awaits(topic) && !ask_again(worker, number))
            return;
        queue_pop(asked);
    }
}

/* Whether this worker needs the topic; at its home, whether any does. */
static bool wanted(const struct worker *worker, struct topic *topic)
{
    if (!is_home(worker, topic))
        return topic->count > 0;
    if (topic->count > 0)
        topic->workers |= bit(worker->id);
    else
        topic->workers &= ~bit(worker->id);
    return topic->workers != 0;
}

/* Does what can be done now. Returns false where a ring was full. */
static bool settle(struct worker *worker, uint32_t number)
{
    struct topic *topic = at(worker, number);
    const bool want = wanted(worker, topic);
    if (topic->state == (want ? TOPIC_IDLE : TOPIC_JOINED) && !ask(worker, number, want))
        return false;
    if (is_home(worker, topic) && !answer_workers(worker, topic))
        return false;
    if (!want && topic->state == TOPIC_IDLE)
        topics_remove(&worker->topics, number);
    return true;
}

/* A link that has come up makes topics live that were JOINED before. */
static void notice_links(struct worker *worker)
{
    struct topic_work *work = worker->topic_work;
    uint64_t up = 0;
    for (uint32_t i = 0; i < worker->workers; i++)
        up |= link_is_up(worker, i) ? bit(i) : 0;
    const uint64_t fresh = up & ~work->links_up;
    work->links_up = up;
    if (!fresh)
        return;
    for (uint32_t i = 1; i < worker->topics.control->topic_end; i++)
        if (topic_len(at(worker, i)) > 0 && fresh & bit(at(worker, i)->home))
            tell_members(worker, i);
}

void topic_turn(struct worker *worker)
{
    struct queue *changed = &worker->topic_work->changed;
    if (!move_lets_talk(worker))
        return;
    notice_links(worker);
    ask_late_ones_again(worker);
    for (uint32_t left = changed->count; left > 0; left--) {
        const uint32_t number = (uint32_t)queue_pop(changed);
        at(worker, number)->listed = 0;
        if (!settle(worker, number))
            topic_changed(worker, number);
    }
}

/* ---- What others say ---- */

static void on_want(struct worker *worker, uint32_t number, uint32_t from)
{
    struct topic *topic = at(worker, number);
    topic->workers |= bit(from);
    topic->told &= ~bit(from);
    topic->left &= ~bit(from);
}

static void on_leave(struct worker *worker, uint32_t number, uint32_t from)
{
    struct topic *topic = at(worker, number);
    topic->workers &= ~bit(from);
    topic->told &= ~bit(from);
    topic->left |= bit(from);
}

static void on_joined(struct worker *worker, uint32_t number, uint32_t from)
{
    struct topic *topic = at(worker, number);
    (void)from;
    if (topic->state != TOPIC_ASKED)
        return;
    topic->state = TOPIC_JOINED;
    tell_members(worker, number);
}

static void on_left(struct worker *worker, uint32_t number, uint32_t from)
{
    struct topic *topic = at(worker, number);
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
    struct topic *topic = at(worker, number);
    if (topic_len(topic) == 0 || !is_home(worker, topic) || topic->batch != batch)
        return; /* it was asked for again since */
    if (topic->state == TOPIC_ASKED) {
        topic->state = TOPIC_JOINED;
        tell_members(worker, number);
    } else if (topic->state == TOPIC_LEAVING) {
        topic->state = TOPIC_IDLE;
    }
    topic_changed(worker, number);
}

void topic_subscribe_all(struct worker *worker)
{
    for (uint32_t i = 1; i < worker->topics.control->topic_end; i++) {
        struct topic *topic = at(worker, i);
        if (topic_len(topic) == 0 || !is_home(worker, topic))
            continue;
        topic->state = TOPIC_IDLE;
        if (wanted(worker, topic) && subscriptions_topic(worker, i, true))
            topic->state = TOPIC_ASKED;
        topic_changed(worker, i);
    }
}

bool topic_settled(const struct worker *worker)
{
    return worker->topic_work->changed.count == 0 && !answer_is_late(worker);
}

/* What others need of a topic whose home is here now, or still, they will ask for. Its channel may
 * be subscribed already; until they have asked it must not be given up, so nothing is said of that.
 */
void topic_rehome(struct worker *worker)
{
    for (uint32_t i = 1; i < worker->topics.control->topic_end; i++) {
        struct topic *topic = at(worker, i);
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
        struct topic *topic = at(worker, i);
        if (topic_len(topic) == 0)
            continue;
        /* What was asked may have died with the worker, and so has its waiting for the answer. */
        if (awaits(topic))
            await(worker, i, worker->now_s - ANSWER_TIMEOUT_S);
        topic->listed = 0;
        topic_changed(worker, i);
    }
    worker->topic_work->links_up = 0; /* the first turn looks at every member that waits */
}

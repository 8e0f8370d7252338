/*
 * See subscribe.h. Commands are gathered as RESP in this module's buffer: consecutive channels of
 * one kind become one SUBSCRIBE or UNSUBSCRIBE, so commands go out in the order of the requests.
 * While the link is down nothing is gathered: everything is requested again when it is back.
 */
#include "worker/subscribe.h"

#include "common/killpoint.h"
#include "proto/resp.h"
#include "worker/home.h"
#include "worker/link.h"
#include "worker/link_streams.h"
#include "worker/node.h"
#include "worker/report.h"
#include "worker/topic.h"
#include "worker/unconfirmed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A fence is an UNSUBSCRIBE of a channel with this name and a number. */
#define FENCE "batch:"

enum {
    CHANNELS_MAX = 1000, /* of one command, so that Redis serves other clients in between */
    CHANNEL_MAX = 64 + 8 + TOPIC_NAME_MAX,
    HEAD_ROOM = 2 * RESP_BULK_OVERHEAD + 16,
};

/* A connection or a topic that waits for a batch to be confirmed. */
struct waiter {
    struct conn_ref ref;
    uint32_t topic; /* 0: a connection */
    uint64_t batch;
};

struct subscriptions {
    /* The command being gathered: HEAD_ROOM bytes for its head, then the channels. */
    bool subscribe;
    uint32_t channels;
    char *bulks;
    size_t used, size;
    bool fence; /* send a fence at the end of the turn */

    /* Commands that Redis may still refuse. Those of a predecessor are not among them: up to batch
     * `inherited` a refusal may concern one of those. */
    struct unconfirmed unconfirmed;
    uint64_t inherited;

    /* Connections and topics that wait: a queue, oldest first. */
    struct waiter *waiter;
    uint32_t first, count, room; /* circular; room is a power of two */
};

struct subscriptions *subscriptions_new(void)
{
    struct subscriptions *subs = calloc(1, sizeof(*subs));
    if (subs)
        subs->used = HEAD_ROOM;
    return subs;
}

static bool subscription_link_is_up(const struct worker *worker)
{
    return atomic_load_explicit(&worker->slot->link.state, memory_order_relaxed) == LINK_UP;
}

bool subscriptions_live(const struct worker *worker)
{
    return subscription_link_is_up(worker) && node_ready(worker);
}

/* ---- Commands ---- */

static void forget_gathered_command(struct subscriptions *subs)
{
    subs->channels = 0;
    subs->used = HEAD_ROOM;
}

/* Hands a command to the link. While the link is not up a refusal ends it, so the command need not
 * be kept. */
static void hand_command_to_link(struct worker *worker, const char *command, size_t len)
{
    link_write(worker, command, len);
    if (subscription_link_is_up(worker))
        unconfirmed_add(&worker->subs->unconfirmed, command, len);
}

/* Hands the gathered channels to the link as one command, in one piece: a death must not leave half
 * of it in the stream. The slot notes users only while they are in a gathered UNSUBSCRIBE, so the
 * notes are dropped together with it. */
static void send_gathered_command(struct worker *worker)
{
    struct subscriptions *subs = worker->subs;
    static const char *const name[] = {"UNSUBSCRIBE", "SUBSCRIBE"};
    char head[HEAD_ROOM];
    if (subs->channels == 0)
        return;
    size_t len = resp_array_head(head, subs->channels + 1);
    len += resp_bulk(head + len, name[subs->subscribe], strlen(name[subs->subscribe]));
    char *command = subs->bulks + HEAD_ROOM - len;
    memcpy(command, head, len);
    hand_command_to_link(worker, command, subs->used - HEAD_ROOM + len);
    KILLPOINT(COMMAND_WRITTEN);
    stats_add(subs->subscribe ? &worker->stats->subscribes : &worker->stats->unsubscribes,
              subs->channels);
    forget_gathered_command(subs);
    if (!subs->subscribe)
        slot_gone_clear(worker->slot);
}

/* Ensures that the gathered command is of this kind and has room for one more channel. */
static void command_make_room(struct worker *worker, bool subscribe)
{
    struct subscriptions *subs = worker->subs;
    if (subs->subscribe != subscribe || subs->channels == CHANNELS_MAX)
        send_gathered_command(worker);
    subs->subscribe = subscribe;
}

/* Returns the end of the gathered channels, with memory for one more. */
static char *channel_bulk_room(struct subscriptions *subs)
{
    if (subs->used + CHANNEL_MAX + RESP_BULK_OVERHEAD > subs->size) {
        subs->size = subs->size ? subs->size * 2 : 4096;
        subs->bulks = realloc(subs->bulks, subs->size);
        if (!subs->bulks)
            abort();
    }
    return subs->bulks + subs->used;
}

static void gather_channel(struct worker *worker, bool subscribe, const char *kind,
                           const char *rest, size_t rest_len)
{
    struct subscriptions *subs = worker->subs;
    char prefix[80];
    if (!link_writable(worker))
        return;
    const int prefix_len = snprintf(prefix, sizeof(prefix), "%s%s", worker->config->prefix, kind);
    command_make_room(worker, subscribe);
    char *at = channel_bulk_room(subs);
    subs->used += resp_bulk_joined(at, prefix, (size_t)prefix_len, rest, rest_len);
    subs->channels++;
    subs->fence |= subscribe;
}

void subscriptions_channel(struct worker *worker, const char *name, bool subscribe)
{
    gather_channel(worker, subscribe, name, "", 0);
}

void subscriptions_other(struct worker *worker, const char *kind, const char *name, size_t len,
                         bool subscribe)
{
    gather_channel(worker, subscribe, kind, name, len);
}

/* Unsubscribes from a channel that was never subscribed: "<prefix>batch:<number>". */
static void send_batch_fence(struct worker *worker)
{
    struct slot_link *link = &worker->slot->link;
    char name[CHANNEL_MAX], command[CHANNEL_MAX + 3 * RESP_BULK_OVERHEAD];
    link->batch_sent++;
    KILLPOINT(BATCH_COUNTED);
    const int len = snprintf(name, sizeof(name), "%s" FENCE "%llu", worker->config->prefix,
                             (unsigned long long)link->batch_sent);
    const char *const args[] = {"UNSUBSCRIBE", name};
    const size_t lens[] = {strlen(args[0]), (size_t)len};
    link_write(worker, command, resp_command(command, 2, args, lens));
}

void subscriptions_turn(struct worker *worker)
{
    struct subscriptions *subs = worker->subs;
    send_gathered_command(worker);
    if (!subs->fence || !link_writable(worker))
        return;
    subs->fence = false;
    send_batch_fence(worker);
}

void subscriptions_fence(struct worker *worker)
{
    worker->subs->fence = true;
}

bool subscriptions_is_fence(const struct worker *worker, const char *channel, size_t len,
                            uint64_t *batch)
{
    const size_t prefix = strlen(worker->config->prefix), head = prefix + strlen(FENCE);
    char number[24];
    if (len <= head || len - head >= sizeof(number) ||
        memcmp(channel, worker->config->prefix, prefix) != 0 ||
        memcmp(channel + prefix, FENCE, strlen(FENCE)) != 0)
        return false;
    memcpy(number, channel + head, len - head);
    number[len - head] = '\0';
    *batch = strtoull(number, NULL, 10);
    return true;
}

/* ---- Waiting connections and topics ---- */

static void wait_for_batch(struct subscriptions *subs, struct waiter waiter)
{
    if (subs->count == subs->room) {
        const uint32_t room = subs->room ? subs->room * 2 : 64;
        struct waiter *bigger = malloc(room * sizeof(*bigger));
        if (!bigger)
            abort();
        for (uint32_t i = 0; i < subs->count; i++)
            bigger[i] = subs->waiter[(subs->first + i) & (subs->room - 1)];
        free(subs->waiter);
        subs->waiter = bigger;
        subs->first = 0;
        subs->room = room;
    }
    subs->waiter[(subs->first + subs->count++) & (subs->room - 1)] = waiter;
}

void subscriptions_join(struct worker *worker, struct conn *conn, bool first)
{
    struct subscriptions *subs = worker->subs;
    conn->mark = worker->slot->link.batch_sent + 1;
    wait_for_batch(subs,
                   (struct waiter){.ref = conn_ref(worker->table, conn), .batch = conn->mark});
    if (first)
        gather_channel(worker, true, "user:", conn->user, conn->user_len);
    subs->fence = true;
}

/* The user is noted in the slot until the command is in the stream. If the slot's list is full, the
 * gathered command must go first: that clears the list, and this user must be noted after it. */
void subscriptions_leave(struct worker *worker, const char *user, size_t len)
{
    if (!link_writable(worker))
        return;
    command_make_room(worker, false);
    if (!slot_gone_add(worker->slot, user, len)) {
        send_gathered_command(worker);
        slot_gone_clear(worker->slot);
        slot_gone_add(worker->slot, user, len);
    }
    gather_channel(worker, false, "user:", user, len);
}

void subscriptions_resume_gone(struct worker *worker)
{
    const struct slot_gone *gone = &worker->slot->gone;
    const uint32_t count = atomic_load_explicit(&gone->count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++)
        if (users_first(&worker->users, gone->at[i].user, gone->at[i].len) == 0)
            gather_channel(worker, false, "user:", gone->at[i].user, gone->at[i].len);
}

bool subscriptions_topic(struct worker *worker, uint32_t number, bool subscribe)
{
    struct topic *topic = &worker->topics.topic[number];
    if (!link_writable(worker))
        return false;
    topic->batch = worker->slot->link.batch_sent + 1;
    wait_for_batch(worker->subs, (struct waiter){.topic = number, .batch = topic->batch});
    gather_channel(worker, subscribe, "topic:", topic->name, topic_len(topic));
    worker->subs->fence = true;
    return true;
}

void subscriptions_release(struct worker *worker)
{
    struct subscriptions *subs = worker->subs;
    const uint64_t confirmed = worker->slot->link.batch_confirmed;
    while (subs->count > 0) {
        const struct waiter waiter = subs->waiter[subs->first & (subs->room - 1)];
        if (waiter.batch > confirmed || (!waiter.topic && !subscriptions_live(worker)))
            return;
        subs->first = (subs->first + 1) & (subs->room - 1);
        subs->count--;
        if (waiter.topic) {
            topic_confirmed(worker, waiter.topic, waiter.batch);
            continue;
        }
        struct conn *conn = conn_deref(worker->table, worker->capacity, waiter.ref, worker->id);
        if (conn)
            home_greet(worker, conn);
    }
}

void subscriptions_confirmed(struct worker *worker, uint64_t batch)
{
    struct slot_link *link = &worker->slot->link;
    if (batch < link->batch_again)
        return;
    if (batch > link->batch_confirmed && batch <= link->batch_sent)
        link->batch_confirmed = batch;
    unconfirmed_drop(&worker->subs->unconfirmed, link->batch_confirmed, link->batch_sent + 1);
    KILLPOINT(BATCH_CONFIRMED);
    subscriptions_release(worker);
}

/* ---- Commands refused for now ---- */

/* An error does not say which command it answers, but all unconfirmed commands may be sent again:
 * in the same order they lead to the same subscriptions. */
bool subscriptions_refused(struct worker *worker)
{
    struct slot_link *link = &worker->slot->link;
    if (!subscription_link_is_up(worker) || link->batch_confirmed < worker->subs->inherited)
        return false;
    link->batch_again = BATCH_NEVER;
    return true;
}

void subscriptions_again(struct worker *worker)
{
    struct subscriptions *subs = worker->subs;
    struct slot_link *link = &worker->slot->link;
    if (link->batch_again != BATCH_NEVER)
        return;
    send_gathered_command(worker);
    if (subs->unconfirmed.len > 0)
        link_write(worker, subs->unconfirmed.bytes, subs->unconfirmed.len);
    KILLPOINT(COMMANDS_AGAIN);
    link->batch_again = link->batch_sent + 1;
    unconfirmed_sent(&subs->unconfirmed, link->batch_again);
    subs->fence = true;
}

bool subscriptions_taken_up(struct worker *worker)
{
    const struct slot_link *link = &worker->slot->link;
    if (link->batch_again == BATCH_NEVER)
        return false;
    worker->subs->inherited = link->batch_sent + 1;
    worker->subs->fence = true;
    return true;
}

/* ---- A new socket ---- */

void subscriptions_all(struct worker *worker)
{
    struct subscriptions *subs = worker->subs;
    const uint32_t high = worker_high(worker);
    forget_gathered_command(subs);
    slot_gone_clear(worker->slot);
    unconfirmed_clear(&subs->unconfirmed);
    subs->inherited = worker->slot->link.batch_again = 0;
    for (uint32_t fd = 0; fd < high; fd++) {
        const struct conn *conn = &worker->table[fd];
        const uint64_t word = conn_word(conn);
        if (word_owner(word) == worker->id && word_flags(word) & CONN_INDEXED &&
            users_leads(&worker->users, fd))
            gather_channel(worker, true, "user:", conn->user, conn->user_len);
    }
    topic_subscribe_all(worker);
    KILLPOINT(LINK_ASKING);
    node_subscribe(worker);
    report_subscribe(worker);
    subs->fence = true; /* even with nothing to subscribe: the answer shows that the link is up */
    subscriptions_turn(worker);
}

void subscriptions_recover(struct worker *worker, struct conn *conn)
{
    const uint64_t word = conn_word(conn);
    if (word_state(word) == CONN_SUBSCRIBING && word_flags(word) & CONN_INDEXED)
        subscriptions_join(worker, conn, true);
}

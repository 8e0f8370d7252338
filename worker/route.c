/*
 * See route.h. A push to a user is the common case and is tested first. Messages on the channels of
 * the whole node come only to the node's home, which copies them to the other workers through the
 * rings.
 */
#include "worker/route.h"

#include "common/log.h"
#include "proto/redis_error.h"
#include "worker/control.h"
#include "worker/deliver.h"
#include "worker/link.h"
#include "worker/link_streams.h"
#include "worker/move.h"
#include "worker/node.h"
#include "worker/pending.h"
#include "worker/rings.h"
#include "worker/subscribe.h"
#include "worker/topic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A message on a channel: the rest of the channel's name after the matched kind, and the
 * payload. */
struct arrival {
    const char *rest;
    size_t rest_len;
    const uint8_t *payload;
    size_t len;
    uint64_t position;
};

typedef bool channel_handler(struct worker *worker, const struct arrival *arrival);

static bool route_to_user(struct worker *worker, const struct arrival *arrival)
{
    deliver_user(worker, arrival->rest, arrival->rest_len, arrival->payload, arrival->len,
                 conn_mark(LINK_SOURCE, arrival->position));
    return true;
}

static bool route_to_all(struct worker *worker, const struct arrival *arrival)
{
    if (!rings_broadcast(worker, RING_ALL, arrival->position, arrival->payload, arrival->len))
        return false;
    stats_add(&worker->stats->pushes_received, 1);
    deliver_all(worker, arrival->payload, arrival->len, conn_mark(LINK_SOURCE, arrival->position),
                (int)worker->workers - 1);
    return true;
}

static bool route_to_users(struct worker *worker, const struct arrival *arrival)
{
    if (!rings_broadcast(worker, RING_USERS, arrival->position, arrival->payload, arrival->len))
        return false;
    stats_add(&worker->stats->pushes_received, 1);
    deliver_users(worker, arrival->payload, arrival->len, conn_mark(LINK_SOURCE, arrival->position),
                  (int)worker->workers - 1);
    return true;
}

/* True if the topic belongs to another worker. A topic in this home that no worker has requested is
 * unsubscribed: a member that left while the number of workers changed may have left it behind. */
static bool route_topic_strays(struct worker *worker, const char *name, size_t len)
{
    if (topic_is_known(worker, name, len))
        return false;
    if (move_strays(worker, "topic:", name, len))
        return true;
    if (worker->plan.phase == PLAN_REST)
        subscriptions_other(worker, "topic:", name, len, false);
    return false;
}

static bool route_to_topic(struct worker *worker, const struct arrival *arrival)
{
    const uint8_t len = (uint8_t)arrival->rest_len;
    if (route_topic_strays(worker, arrival->rest, arrival->rest_len))
        return true;
    const uint64_t to =
        topic_workers(worker, arrival->rest, arrival->rest_len) & ~(UINT64_C(1) << worker->id);
    const struct ring_piece pieces[] = {
        {&len, 1}, {arrival->rest, len}, {arrival->payload, arrival->len}};
    if (!rings_copy(worker, to, RING_TOPIC, arrival->position, pieces, 3))
        return false;
    stats_add(&worker->stats->pushes_received, 1);
    deliver_topic(worker, arrival->rest, len, arrival->payload, arrival->len,
                  conn_mark(LINK_SOURCE, arrival->position), __builtin_popcountll(to));
    return true;
}

static bool route_control_command(struct worker *worker, const struct arrival *arrival)
{
    return control_command(worker, arrival->payload, arrival->len, arrival->position);
}

static bool route_report(struct worker *worker, const struct arrival *arrival)
{
    pending_report(worker, arrival->payload, arrival->len);
    return true;
}

static bool route_probe(struct worker *worker, const struct arrival *arrival)
{
    if (!rings_broadcast(worker, RING_PROBE, arrival->position, "", 0))
        return false;
    atomic_store_explicit(&worker->slot->probed, worker->now_ms, memory_order_relaxed);
    return true;
}

/* A fence that must stay in the stream is routed again by the worker that continues the stream. */
static bool route_fence(struct worker *worker, const struct arrival *arrival)
{
    return !move_fence(worker, arrival->payload, arrival->len);
}

/* The channels, without the prefix. `whole`: nothing follows the name. */
static const struct {
    const char *name;
    size_t len;
    bool whole;
    channel_handler *handler;
} channels[] = {
    {"user:", 5, false, route_to_user},  {"all", 3, true, route_to_all},
    {"users", 5, true, route_to_users},  {"ctl", 3, true, route_control_command},
    {"probe:", 6, false, route_probe},   {"topic:", 6, false, route_to_topic},
    {"report:", 7, false, route_report}, {"fence:", 6, false, route_fence},
};

/* Drops a push above max_push; the reply itself fitted the stream. */
static bool route_too_large(struct worker *worker, const struct resp_value *channel,
                            const struct resp_value *payload)
{
    if (payload->len <= worker->config->max_push)
        return false;
    deliver_too_large(worker, channel->at, channel->len, payload->len);
    return true;
}

static bool route_push(struct worker *worker, const struct resp_value *channel,
                       const struct resp_value *payload, uint64_t position)
{
    const char *prefix = worker->config->prefix;
    const size_t prefix_len = strlen(prefix);
    if (channel->len < prefix_len || memcmp(channel->at, prefix, prefix_len) != 0)
        return true;
    const char *name = channel->at + prefix_len;
    const size_t len = channel->len - prefix_len;
    if (route_too_large(worker, channel, payload))
        return true;
    for (size_t i = 0; i < sizeof(channels) / sizeof(channels[0]); i++) {
        const size_t kind = channels[i].len;
        if (len < kind || memcmp(name, channels[i].name, kind) != 0 ||
            (channels[i].whole && len != kind))
            continue;
        const struct arrival arrival = {name + kind, len - kind, (const uint8_t *)payload->at,
                                        payload->len, position};
        return channels[i].handler(worker, &arrival);
    }
    return true;
}

/* Handles the confirmation of an UNSUBSCRIBE. That of a fence confirms everything before it. */
static void route_unsubscribed(struct worker *worker, const struct resp_value *channel)
{
    uint64_t batch = 0;
    if (!subscriptions_is_fence(worker, channel->at, channel->len, &batch))
        return;
    subscriptions_confirmed(worker, batch);
    if (worker->slot->link.batch_confirmed == worker->slot->link.batch_sent)
        link_confirmed(worker);
    node_confirmed(worker);
    subscriptions_release(worker);
}

/* Handles an error. It shows that Redis is alive, so the link stays if Redis only refuses a command
 * for now. */
static void route_redis_error(struct worker *worker, const struct resp_value *error)
{
    const char *advice = redis_error_advice(error->at, error->len);
    char why[TROUBLE_TEXT_MAX];
    if (redis_error_kind(error->at, error->len) == REDIS_ERROR_LATER &&
        subscriptions_refused(worker))
        return;
    snprintf(why, sizeof(why), advice ? "%.*s (%s)" : "%.*s", (int)error->len, error->at, advice);
    link_fail(worker, why);
}

bool route_reply(struct worker *worker, const struct resp_reply *reply, uint64_t position)
{
    const struct resp_value *element = reply->element;
    if (reply->type == RESP_ERROR) {
        route_redis_error(worker, &reply->value);
    } else if (reply->type == RESP_ARRAY && reply->count == 3 && resp_is(&element[0], "message")) {
        return route_push(worker, &element[1], &element[2], position);
    } else if (reply->type == RESP_ARRAY && reply->count == 3 &&
               resp_is(&element[0], "unsubscribe")) {
        route_unsubscribed(worker, &element[1]);
    }
    return true; /* replies to SUBSCRIBE are ignored: the fence behind them confirms the same */
}

/*
 * See deliver.h. Nothing is allocated: the envelope is decoded where it lies, and the frame goes
 * straight into the outbox's arena.
 *
 * A push that asks what becomes of it is sent by itself: the outbox is flushed before it and behind
 * it, so that what the counters have grown by is its own.
 */
#include "worker/deliver.h"

#include "common/fault.h"
#include "common/log.h"
#include "proto/envelope.h"
#include "proto/explain.h"
#include "worker/batch.h"
#include "worker/hold.h"
#include "worker/move.h"
#include "worker/outbox.h"
#include "worker/report.h"
#include "worker/subscribe.h"
#include "worker/unknown.h"
#include "worker/trace.h"

#include <stdlib.h>
#include <string.h>

/* A push in delivery. */
struct delivery {
    struct push push;
    struct push_terms terms;
    frame_id frame[2];   /* by whether it is for JSON mode; NO_FRAME until somebody needs it */
    uint32_t recipients; /* connections that it was given to */
    uint32_t repeated;   /* connections that have it from a worker that died since */
    struct conn_ref only, except; /* descriptor 0: not given */
    bool users;                   /* it must name users */
    enum push_error error;        /* why it is malformed */
    int copies;                   /* as in deliver.h */
    struct tally before;          /* where it asks for a report: the counters */
};

/* The channel that a push came on, behind the prefix: "user:" and a name, or "all" and none. */
struct channel {
    const char *kind, *name;
    size_t len;
};

/* Decoded text and base64. Grows to the largest push. */
static struct {
    uint8_t *at;
    size_t size;
} decoded;

static _Atomic uint64_t *malformed_counter(struct stats *stats, enum push_error error)
{
    switch (error) {
    case PUSH_SHORT:
        return &stats->push_short;
    case PUSH_BAD_JSON:
        return &stats->push_bad_json;
    case PUSH_NO_OP:
        return &stats->push_no_op;
    case PUSH_BAD_OP:
        return &stats->push_bad_op;
    case PUSH_TWO_PAYLOADS:
        return &stats->push_two_payloads;
    case PUSH_BAD_TEXT:
        return &stats->push_bad_text;
    case PUSH_BAD_BASE64:
        return &stats->push_bad_base64;
    case PUSH_BAD_OPTION:
    case PUSH_OK:
    case PUSH_ERROR_END:
        break;
    }
    return &stats->push_bad_option;
}

static enum push_error decode(struct push *push, const uint8_t *payload, size_t len)
{
    if (len > decoded.size) {
        free(decoded.at);
        decoded.size = len + 4096;
        decoded.at = malloc(decoded.size);
        if (!decoded.at)
            abort();
    }
    return push_decode(push, payload, len, decoded.at);
}

/* The push's id for the log: "" where it has none. */
static const char *id_text(const struct push *push)
{
    char text[512];
    if (push->id.type == JSON_TYPE_NONE)
        return log_quote("", 0);
    if (push->id.len <= sizeof(text))
        return log_quote(text, json_unescape(text, &push->id));
    return log_quote(push->id.at + 1, push->id.len - 2); /* as it is written: it is cut anyway */
}

static void malformed(struct worker *worker, const struct delivery *delivery,
                      const struct origin_text *from, const uint8_t *payload, size_t len)
{
    static struct log_limit limit;
    uint64_t suppressed;
    char why[EXPLAIN_MAX];
    stats_add(malformed_counter(worker->stats, delivery->error), 1);
    if (!log_allow(&limit, 10, &suppressed))
        return;
    explain_push(why, delivery->error, payload, len);
    log_warn("push_malformed",
             "reason=%s channel=%s why=%s bytes=%zu id=%s begins=%s suppressed=%llu",
             push_error_name(delivery->error), origin_quote(from), log_quote(why, strlen(why)), len,
             id_text(&delivery->push), log_quote(payload, len < 64 ? len : 64),
             (unsigned long long)suppressed);
}

/* Counts and logs, once for the node, why read_push has returned false. Returns whether the push
 * can be delivered all the same. */
static bool is_deliverable(struct worker *worker, const struct delivery *delivery,
                           const struct channel *channel, const uint8_t *payload, size_t len)
{
    const struct origin_text from = {worker->config->prefix, channel->kind, channel->name,
                                     channel->len};
    char why[EXPLAIN_MAX];
    if (delivery->copies == REPORT_COPY)
        return !delivery->error;
    if (delivery->error)
        malformed(worker, delivery, &from, payload, len);
    else if (explain_unknown(why, (const char *)payload, len, &envelope_names))
        unknown_note(worker, &worker->stats->unknown_push, &from, why);
    return !delivery->error;
}

void deliver_too_large(struct worker *worker, const char *channel, size_t channel_len, size_t bytes)
{
    static struct log_limit limit;
    uint64_t suppressed;
    stats_add(&worker->stats->pushes_received, 1);
    stats_add(&worker->stats->push_too_large, 1);
    if (log_allow(&limit, 10, &suppressed))
        log_warn("push_malformed",
                 "reason=too_large bytes=%zu max_push=%u channel=%s suppressed=%llu", bytes,
                 worker->config->max_push, log_quote(channel, channel_len),
                 (unsigned long long)suppressed);
}

/* A push that is well formed, once for the node. */
static void routed(struct worker *worker, const struct push *push, uint64_t mark)
{
    stats_add(&worker->stats->pushes_routed, 1);
    if (trace_on(worker))
        trace_push(worker, push, push->id.type == JSON_TYPE_NONE ? "" : id_text(push), mark);
}

/* The connection that `name` speaks of, if it is one of this node's. */
static struct conn_ref named(const struct worker *worker, const struct json_value *name)
{
    char text[256];
    uint32_t boot_id;
    struct conn_ref ref;
    if (name->type != JSON_TYPE_STRING)
        return (struct conn_ref){0};
    if (name->len <= sizeof(text) &&
        conn_name_parse(text, json_unescape(text, name), &boot_id, &ref) &&
        boot_id == worker->segment->header->boot_id)
        return ref;
    return (struct conn_ref){.fd = UINT32_MAX}; /* given, but nobody here */
}

/* Two keys are the same if their hashes are. They are 64 bits, with a secret seed. */
static uint64_t key_of(const struct worker *worker, const struct json_value *key)
{
    const uint64_t seed = worker->segment->header->hash_seed;
    char text[6 * PUSH_KEY_MAX + 2];
    if (key->type == JSON_TYPE_NONE)
        return 0;
    const size_t len = json_unescape(text, key);
    return (uint64_t)users_hash(seed, text, len) << 32 | users_hash(~seed, text, len) | 1;
}

static struct push_terms terms(const struct worker *worker, const struct push *push, uint64_t mark)
{
    return (struct push_terms){
        .mark = mark,
        .expires_ms = push->ttl ? worker->now_ms + (uint64_t)push->ttl * 1000 : 0,
        .key = key_of(worker, &push->key),
    };
}

static bool asks(const struct delivery *delivery)
{
    return delivery->push.report.type != JSON_TYPE_NONE;
}

/* Decodes the push. Returns false if it is malformed or has members that nobody knows. */
static bool read_push(struct worker *worker, struct delivery *delivery, const uint8_t *payload,
                      size_t len, uint64_t mark)
{
    enum push_error error = decode(&delivery->push, payload, len);
    if (!error && delivery->users && delivery->push.users.type != JSON_TYPE_ARRAY)
        error = PUSH_BAD_OPTION;
    if (error)
        delivery->error = error;
    else if (delivery->copies != REPORT_COPY)
        routed(worker, &delivery->push, mark);
    return (error | delivery->push.unknown) == 0;
}

/* Makes everything ready to give it to connections. */
static void prepare(struct worker *worker, struct delivery *delivery, uint64_t mark)
{
    words_op(&worker->slot->words, delivery->push.message.op);
    delivery->frame[false] = delivery->frame[true] = NO_FRAME;
    delivery->terms = terms(worker, &delivery->push, mark);
    delivery->only = named(worker, &delivery->push.conn);
    delivery->except = named(worker, &delivery->push.except);
    outbox_reserve(worker, delivery->push.message.len);
    if (asks(delivery)) {
        outbox_flush(worker);
        delivery->before = report_tally(worker);
    }
}

static bool begin(struct worker *worker, struct delivery *delivery, const struct channel *channel,
                  const uint8_t *payload, size_t len, uint64_t mark)
{
    if (!read_push(worker, delivery, payload, len, mark) &&
        !is_deliverable(worker, delivery, channel, payload, len))
        return false;
    prepare(worker, delivery, mark);
    return true;
}

/* Tells who asks what has become of the push. */
static void finish(struct worker *worker, const struct delivery *delivery)
{
    if (!asks(delivery))
        return;
    const struct json_value *ticket = &delivery->push.report;
    const uint32_t queued = outbox_flush_and_count(worker, delivery->frame);
    struct report report = {.copies = delivery->copies};
    report_ticket_parse(&report.ticket, ticket->at + 1, ticket->len - 2);
    report_tell(worker, &report, &delivery->before, delivery->recipients, delivery->repeated,
                queued);
}

static bool is_named(const struct worker *worker, const struct conn *conn, struct conn_ref ref)
{
    const struct conn_ref self = conn_ref(worker->table, conn);
    return self.fd == ref.fd && self.generation == ref.generation;
}

/* True if a connection with this word is one that pushes may reach: this worker's, in its index,
 * and not closing. */
static bool is_reachable(const struct worker *worker, uint64_t word)
{
    return word_owner(word) == worker->id && word_flags(word) & CONN_INDEXED &&
           (word_state(word) == CONN_OPEN || word_state(word) == CONN_SUBSCRIBING);
}

/* Gives the push to one connection, unless it is one that must not have it. */
static void give_to_conn(struct worker *worker, struct delivery *delivery, struct conn *conn)
{
    const uint64_t word = conn_word(conn);
    const bool json = word_flags(word) & CONN_JSON;
    if (!is_reachable(worker, word) ||
        (delivery->only.fd && !is_named(worker, conn, delivery->only)) ||
        (delivery->except.fd && is_named(worker, conn, delivery->except)))
        return;
    if (word_state(word) == CONN_OPEN && conn_mark_seen(conn->mark, delivery->terms.mark)) {
        delivery->repeated++;
        return;
    }
    if (hold_lost(worker, conn)) { /* it is ended, or adopted again: then HELLO is still to come */
        stats_add(&worker->stats->dropped_closed, 1);
        delivery->recipients++;
        return;
    }
    fault_meet(delivery->push.message.payload, delivery->push.message.len);
    if (delivery->frame[json] == NO_FRAME)
        delivery->frame[json] =
            outbox_push(worker, &delivery->push.message, json, &delivery->terms);
    if (outbox_ends_with(worker, conn, delivery->frame[json]))
        return; /* its user is named twice */
    outbox_add(worker, conn, delivery->frame[json]);
    delivery->recipients++;
}

static void give_to_user(struct worker *worker, struct delivery *delivery, const char *user,
                         size_t len)
{
    for (uint32_t fd = users_first(&worker->users, user, len); fd;
         fd = users_next(&worker->users, fd))
        give_to_conn(worker, delivery, &worker->table[fd]);
}

/* Nobody is here, so there should be no subscription: an UNSUBSCRIBE may have died with a worker.
 */
static void nobody(struct worker *worker, const char *user, size_t len, uint64_t mark)
{
    stats_add(&worker->stats->dropped_nobody, 1);
    trace_nobody(worker, user, len, mark);
    if (users_first(&worker->users, user, len) == 0)
        subscriptions_leave(worker, user, len);
}

void deliver_user(struct worker *worker, const char *user, size_t user_len, const uint8_t *payload,
                  size_t len, uint64_t mark)
{
    struct delivery delivery = {.copies = 0};
    if (worker->plan.number > 0 && users_first(&worker->users, user, user_len) == 0 &&
        move_strays(worker, "user:", user, user_len))
        return;
    stats_add(&worker->stats->pushes_received, 1);
    if (!begin(worker, &delivery, &(struct channel){"user:", user, user_len}, payload, len, mark))
        return;
    give_to_user(worker, &delivery, user, user_len);
    if (delivery.recipients + delivery.repeated == 0)
        nobody(worker, user, user_len, mark);
    finish(worker, &delivery);
}

void deliver_all(struct worker *worker, const uint8_t *payload, size_t len, uint64_t mark,
                 int copies)
{
    struct delivery delivery = {.copies = copies};
    const uint32_t high = worker_high(worker);
    if (!begin(worker, &delivery, &(struct channel){"all", "", 0}, payload, len, mark))
        return;
    batch_spend(worker, high / 32);
    for (uint32_t fd = 0; fd < high; fd++)
        give_to_conn(worker, &delivery, &worker->table[fd]);
    finish(worker, &delivery);
}

void deliver_topic(struct worker *worker, const char *name, size_t name_len, const uint8_t *payload,
                   size_t len, uint64_t mark, int copies)
{
    const struct topics *topics = &worker->topics;
    const uint32_t topic = topics_find(topics, name, name_len);
    const uint32_t first = topic ? topics->topic[topic].first : 0;
    struct delivery delivery = {.copies = copies};
    const struct channel channel = {"topic:", name, name_len};
    if (!read_push(worker, &delivery, payload, len, mark) &&
        !is_deliverable(worker, &delivery, &channel, payload, len))
        return;
    if (!first && copies > 0 && !asks(&delivery))
        return; /* it has none here: then it is only passed on */
    prepare(worker, &delivery, mark);
    if (!first && copies == 0) {
        stats_add(&worker->stats->dropped_nobody, 1);
        trace_nobody(worker, name, name_len, mark);
    }
    for (uint32_t i = first; i; i = topics->member[i].next) {
        struct conn *conn = topics_conn(topics, i, worker->id);
        if (conn)
            give_to_conn(worker, &delivery, conn);
    }
    finish(worker, &delivery);
}

void deliver_users(struct worker *worker, const uint8_t *payload, size_t len, uint64_t mark,
                   int copies)
{
    struct delivery delivery = {.copies = copies, .users = true};
    struct json_value user;
    if (!begin(worker, &delivery, &(struct channel){"users", "", 0}, payload, len, mark))
        return;
    struct json_walk walk = json_walk_array(delivery.push.users.at, delivery.push.users.len);
    while (json_next(&walk, NULL, &user)) {
        char name[6 * USER_MAX + 2];
        if (user.len > sizeof(name))
            continue; /* no user has so long a name */
        give_to_user(worker, &delivery, name, json_unescape(name, &user));
    }
    finish(worker, &delivery);
}

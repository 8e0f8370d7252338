/*
 * See deliver.h. Nothing is allocated for a push: the envelope is decoded in place, and the frame
 * is written straight into the outbox's arena.
 *
 * A push that requests a report is sent by itself: the outbox is flushed before and after it, so
 * that the change in the counters is its own.
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
    frame_id frame[2];            /* indexed by JSON mode; NO_FRAME until it is needed */
    uint32_t recipients;          /* connections that it was delivered to */
    uint32_t repeated;            /* connections that have it from a worker that has died since */
    struct conn_ref only, except; /* fd 0: not given */
    bool users;                   /* it must have `users` */
    enum push_error error;        /* why it is malformed */
    int copies;                   /* as in deliver.h */
    struct tally before;          /* if it requests a report: the counters before it */
};

/* The channel of a push, after the prefix: "user:" and a name, or "all" and no name. */
struct channel {
    const char *kind, *name;
    size_t len;
};

/* Buffer for decoded text and base64. Grows to the largest push. */
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

static enum push_error decode_push_payload(struct push *push, const uint8_t *payload, size_t len)
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

/* Returns the push's id for the log, quoted; empty if there is none. */
static const char *push_id_text(const struct push *push)
{
    char text[512];
    if (push->id.type == JSON_TYPE_NONE)
        return log_quote("", 0);
    if (push->id.len <= sizeof(text))
        return log_quote(text, json_unescape(text, &push->id));
    return log_quote(push->id.at + 1, push->id.len - 2); /* still escaped: it is cut anyway */
}

static void note_malformed_push(struct worker *worker, const struct delivery *delivery,
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
             push_id_text(&delivery->push), log_quote(payload, len < 64 ? len : 64),
             (unsigned long long)suppressed);
}

/* Counts and logs, once for the node, why the push was rejected or has unknown members. Returns
 * true if the push can be delivered all the same. */
static bool is_push_deliverable(struct worker *worker, const struct delivery *delivery,
                                const struct channel *channel, const uint8_t *payload, size_t len)
{
    const struct origin_text from = {worker->config->prefix, channel->kind, channel->name,
                                     channel->len};
    char why[EXPLAIN_MAX];
    if (delivery->copies == REPORT_COPY)
        return !delivery->error;
    if (delivery->error)
        note_malformed_push(worker, delivery, &from, payload, len);
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

/* Counts and traces a well-formed push, once for the node. */
static void note_routed_push(struct worker *worker, const struct push *push, uint64_t mark)
{
    stats_add(&worker->stats->pushes_routed, 1);
    if (trace_on(worker))
        trace_push(worker, push, push->id.type == JSON_TYPE_NONE ? "" : push_id_text(push), mark);
}

/* Returns the connection with this name, if it is on this node. */
static struct conn_ref resolve_conn_name(const struct worker *worker, const struct json_value *name)
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
    return (struct conn_ref){.fd = UINT32_MAX}; /* given, but not on this node */
}

/* Returns the hash of a push's key: equal hashes count as equal keys. 64 bits, with a secret
 * seed. */
static uint64_t hash_push_key(const struct worker *worker, const struct json_value *key)
{
    const uint64_t seed = worker->segment->header->hash_seed;
    char text[6 * PUSH_KEY_MAX + 2];
    if (key->type == JSON_TYPE_NONE)
        return 0;
    const size_t len = json_unescape(text, key);
    return (uint64_t)users_hash(seed, text, len) << 32 | users_hash(~seed, text, len) | 1;
}

static struct push_terms make_push_terms(const struct worker *worker, const struct push *push,
                                         uint64_t mark)
{
    return (struct push_terms){
        .mark = mark,
        .expires_ms = push->ttl ? worker->now_ms + (uint64_t)push->ttl * 1000 : 0,
        .key = hash_push_key(worker, &push->key),
    };
}

static bool wants_push_report(const struct delivery *delivery)
{
    return delivery->push.report.type != JSON_TYPE_NONE;
}

/* Decodes the push. Returns false if it is malformed or has unknown members. */
static bool decode_and_check_push(struct worker *worker, struct delivery *delivery,
                                  const uint8_t *payload, size_t len, uint64_t mark)
{
    enum push_error error = decode_push_payload(&delivery->push, payload, len);
    if (!error && delivery->users && delivery->push.users.type != JSON_TYPE_ARRAY)
        error = PUSH_BAD_OPTION;
    if (error)
        delivery->error = error;
    else if (delivery->copies != REPORT_COPY)
        note_routed_push(worker, &delivery->push, mark);
    return (error | delivery->push.unknown) == 0;
}

/* Prepares the push for delivery to connections. */
static void prepare_delivery(struct worker *worker, struct delivery *delivery, uint64_t mark)
{
    words_op(&worker->slot->words, delivery->push.message.op);
    delivery->frame[false] = delivery->frame[true] = NO_FRAME;
    delivery->terms = make_push_terms(worker, &delivery->push, mark);
    delivery->only = resolve_conn_name(worker, &delivery->push.conn);
    delivery->except = resolve_conn_name(worker, &delivery->push.except);
    outbox_reserve(worker, delivery->push.message.len);
    if (wants_push_report(delivery)) {
        outbox_flush(worker);
        delivery->before = report_tally(worker);
    }
}

static bool begin_delivery(struct worker *worker, struct delivery *delivery,
                           const struct channel *channel, const uint8_t *payload, size_t len,
                           uint64_t mark)
{
    if (!decode_and_check_push(worker, delivery, payload, len, mark) &&
        !is_push_deliverable(worker, delivery, channel, payload, len))
        return false;
    prepare_delivery(worker, delivery, mark);
    return true;
}

/* Reports the push's outcome, if it was requested. */
static void finish_delivery(struct worker *worker, const struct delivery *delivery)
{
    if (!wants_push_report(delivery))
        return;
    const struct json_value *ticket = &delivery->push.report;
    const uint32_t queued = outbox_flush_and_count(worker, delivery->frame);
    struct report report = {.copies = delivery->copies};
    report_ticket_parse(&report.ticket, ticket->at + 1, ticket->len - 2);
    report_tell(worker, &report, &delivery->before, delivery->recipients, delivery->repeated,
                queued);
}

static bool is_named_conn(const struct worker *worker, const struct conn *conn, struct conn_ref ref)
{
    const struct conn_ref self = conn_ref(worker->table, conn);
    return self.fd == ref.fd && self.generation == ref.generation;
}

/* True if pushes may reach a connection whose record has this word: it is this worker's, in its
 * index, and not closing. */
static bool is_push_recipient(const struct worker *worker, uint64_t word)
{
    return word_owner(word) == worker->id && word_flags(word) & CONN_INDEXED &&
           (word_state(word) == CONN_OPEN || word_state(word) == CONN_SUBSCRIBING);
}

/* Delivers the push to one connection, unless `conn` or `except` in the push rules it out. */
static void deliver_to_connection(struct worker *worker, struct delivery *delivery,
                                  struct conn *conn)
{
    const uint64_t word = conn_word(conn);
    const bool json = word_flags(word) & CONN_JSON;
    if (!is_push_recipient(worker, word) ||
        (delivery->only.fd && !is_named_conn(worker, conn, delivery->only)) ||
        (delivery->except.fd && is_named_conn(worker, conn, delivery->except)))
        return;
    if (word_state(word) == CONN_OPEN && conn_mark_seen(conn->mark, delivery->terms.mark)) {
        delivery->repeated++;
        return;
    }
    if (hold_lost(worker, conn)) { /* ended or adopted again later */
        stats_add(&worker->stats->dropped_closed, 1);
        delivery->recipients++;
        return;
    }
    fault_meet(delivery->push.message.payload, delivery->push.message.len);
    if (delivery->frame[json] == NO_FRAME)
        delivery->frame[json] =
            outbox_push(worker, &delivery->push.message, json, &delivery->terms);
    if (outbox_ends_with(worker, conn, delivery->frame[json]))
        return; /* its user is listed twice */
    outbox_add(worker, conn, delivery->frame[json]);
    delivery->recipients++;
}

static void deliver_to_user_conns(struct worker *worker, struct delivery *delivery,
                                  const char *user, size_t len)
{
    for (uint32_t fd = users_first(&worker->users, user, len); fd;
         fd = users_next(&worker->users, fd))
        deliver_to_connection(worker, delivery, &worker->table[fd]);
}

/* Handles a push for a user with no connections here: there should be no subscription, so an
 * UNSUBSCRIBE may have been lost with a worker. */
static void note_push_without_recipient(struct worker *worker, const char *user, size_t len,
                                        uint64_t mark)
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
    if (!begin_delivery(worker, &delivery, &(struct channel){"user:", user, user_len}, payload, len,
                        mark))
        return;
    deliver_to_user_conns(worker, &delivery, user, user_len);
    if (delivery.recipients + delivery.repeated == 0)
        note_push_without_recipient(worker, user, user_len, mark);
    finish_delivery(worker, &delivery);
}

void deliver_all(struct worker *worker, const uint8_t *payload, size_t len, uint64_t mark,
                 int copies)
{
    struct delivery delivery = {.copies = copies};
    const uint32_t high = worker_high(worker);
    if (!begin_delivery(worker, &delivery, &(struct channel){"all", "", 0}, payload, len, mark))
        return;
    batch_spend(worker, high / 32);
    for (uint32_t fd = 0; fd < high; fd++)
        deliver_to_connection(worker, &delivery, &worker->table[fd]);
    finish_delivery(worker, &delivery);
}

void deliver_topic(struct worker *worker, const char *name, size_t name_len, const uint8_t *payload,
                   size_t len, uint64_t mark, int copies)
{
    const struct topics *topics = &worker->topics;
    const uint32_t topic = topics_find(topics, name, name_len);
    const uint32_t first = topic ? topics->topic[topic].first : 0;
    struct delivery delivery = {.copies = copies};
    const struct channel channel = {"topic:", name, name_len};
    if (!decode_and_check_push(worker, &delivery, payload, len, mark) &&
        !is_push_deliverable(worker, &delivery, &channel, payload, len))
        return;
    if (!first && copies > 0 && !wants_push_report(&delivery))
        return; /* no members here: only pass it on */
    prepare_delivery(worker, &delivery, mark);
    if (!first && copies == 0) {
        stats_add(&worker->stats->dropped_nobody, 1);
        trace_nobody(worker, name, name_len, mark);
    }
    for (uint32_t i = first; i; i = topics->member[i].next) {
        struct conn *conn = topics_conn(topics, i, worker->id);
        if (conn)
            deliver_to_connection(worker, &delivery, conn);
    }
    finish_delivery(worker, &delivery);
}

void deliver_users(struct worker *worker, const uint8_t *payload, size_t len, uint64_t mark,
                   int copies)
{
    struct delivery delivery = {.copies = copies, .users = true};
    struct json_value user;
    if (!begin_delivery(worker, &delivery, &(struct channel){"users", "", 0}, payload, len, mark))
        return;
    struct json_walk walk = json_walk_array(delivery.push.users.at, delivery.push.users.len);
    while (json_next(&walk, NULL, &user)) {
        char name[6 * USER_MAX + 2];
        if (user.len > sizeof(name))
            continue; /* no user name is that long */
        deliver_to_user_conns(worker, &delivery, name, json_unescape(name, &user));
    }
    finish_delivery(worker, &delivery);
}

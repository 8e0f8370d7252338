/*
 * Compares the pushes received with those published. A payload names its source and number, so that
 * each push is known to be in order, late, a duplicate or misdelivered. Lost pushes are found at
 * the end: the number published minus the number of different ones received.
 */
#include "tools/bench_account.h"

#include "tools/bench_clock.h"

bool account_owed(const struct swarm *swarm, const struct client *client, enum source kind)
{
    return kind == SOURCE_USER || !bench_comes_and_goes(swarm->bench, client->user);
}

/* Returns the mark of the last event, or NULL if there was none yet. */
static struct event_mark *find_last_mark(struct swarm *swarm)
{
    const uint32_t events =
        atomic_load_explicit(&swarm->bench->board->events, memory_order_acquire);
    return events == 0 ? NULL : &swarm->board->event[events - 1];
}

static void account_latency_sample(struct swarm *swarm, uint64_t due)
{
    const uint64_t took = swarm->now > due ? swarm->now - due : 0;
    struct event_mark *mark = find_last_mark(swarm);

    if (due >= swarm->measured_from)
        histogram_record(&swarm->board->latency, took);
    if (mark != NULL && took > mark->worst)
        mark->worst = took;
}

/* True if a payload can belong to this run and this client. */
static bool is_payload_for_client(const struct swarm *swarm, const struct client *client,
                                  const struct payload *payload)
{
    const struct bench *bench = swarm->bench;
    const uint32_t source[SOURCE_STREAMS] = {
        [SOURCE_USER] = client->user,
        [SOURCE_TOPIC] = client->user % bench->topics,
        [SOURCE_ALL] = 0,
    };
    if (payload->source != source[payload->kind])
        return false;
    /* The count is incremented before the push is sent, so it is always ahead. */
    return payload->number <
           atomic_load_explicit(&bench->sent[payload->kind][payload->source], memory_order_acquire);
}

static void account_received_push(struct swarm *swarm, struct client *client,
                                  const struct payload *payload)
{
    struct swarm_board *board = swarm->board;
    struct sequence *got = &client->got[payload->kind];

    if (client->joined_late[payload->kind]) {
        client->joined_late[payload->kind] = false;
        got->next = payload->number;
    }
    const enum arrival arrival = sequence_take(got, payload->number);
    board_add(&board->deliveries, 1);
    if (arrival == ARRIVAL_DOUBLED) {
        board_add(&board->doubled, 1);
        return;
    }
    if (arrival == ARRIVAL_LATE)
        board_add(&board->late, 1);
    if (account_owed(swarm, client, payload->kind))
        board_add(&board->settled, 1);
    account_latency_sample(swarm, payload->time);
}

void account_payload(struct swarm *swarm, struct client *client, const char *text, size_t len)
{
    struct payload payload;

    const bool is_one = payload_read(&payload, text, len);
    if (is_one && payload.kind == SOURCE_REQUEST)
        account_answer(swarm, client, true);
    else if (is_one && is_payload_for_client(swarm, client, &payload))
        account_received_push(swarm, client, &payload);
    else
        board_add(&swarm->board->foreign, 1);
}

void account_answer(struct swarm *swarm, struct client *client, bool accepted)
{
    if (client->asked_count == 0) {
        board_add(&swarm->board->foreign, 1);
        return;
    }
    const uint64_t due = client->asked[client->asked_first];
    client->asked_first = (client->asked_first + 1) % ASKED_MAX;
    client->asked_count--;
    swarm->unanswered--;
    board_add(accepted ? &swarm->board->accepted : &swarm->board->rejected, 1);
    if (swarm->bench->mode->requests >=
        1000) /* in a mode with pushes, the latency is that of the pushes */
        account_latency_sample(swarm, due);
}

void account_closed(struct swarm *swarm, struct client *client)
{
    const struct event_mark *mark = find_last_mark(swarm);

    board_add(&swarm->board->closed, 1);
    if (mark != NULL) {
        client->closed_by = (uint32_t)(mark - swarm->board->event) + 1;
        swarm->board->event[client->closed_by - 1].closed++;
    }
}

void account_ready(struct swarm *swarm, struct client *client)
{
    const uint64_t now = bench_now();

    board_add(&swarm->board->ready, 1);
    board_add(&swarm->board->opened, 1);
    histogram_record(&swarm->board->connects, now - client->since);
    if (client->closed_by != 0) {
        struct event_mark *mark = &swarm->board->event[client->closed_by - 1];
        mark->back++;
        mark->back_at = now;
        client->closed_by = 0;
    }
}

void account_expected(struct swarm *swarm)
{
    const struct bench *bench = swarm->bench;
    uint64_t expected = 0;

    for (uint32_t i = 0; i < swarm->clients; i++) {
        const struct client *client = &swarm->client[i];
        expected += bench->sent[SOURCE_USER][client->user];
        if (account_owed(swarm, client, SOURCE_TOPIC))
            expected += bench->sent[SOURCE_TOPIC][client->user % bench->topics];
        if (account_owed(swarm, client, SOURCE_ALL))
            expected += bench->sent[SOURCE_ALL][0];
    }
    board_add(&swarm->board->expected, expected);
}

/*
 * See answers.h. A hash table finds the line of a connection by its reference; a line is freed with
 * its last place. A dying worker takes its lines with it: those requests get no answer.
 *
 * After Redis has stalled, thousands of answers may come due at once. If they all went into a
 * client's backlog, it would be mistaken for a slow client. So in one turn a line sends at most
 * half of what a backlog holds, and nothing while the backlog is half full.
 */
#include "worker/answers.h"

#include "proto/ws.h"
#include "worker/client.h"
#include "worker/hold.h"
#include "worker/outbox.h"
#include "worker/requests.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

enum {
    HEADS = 4096,           /* of the hash table; a power of two */
    OWED_WEIGHT = 256,      /* bytes added to each request */
    TURN_BYTES = 64 * 1024, /* most bytes that a line sends in one turn */
};

struct place {
    struct place *before, *next; /* neighbours in the line, or NULL */
    struct line *line;
    uint32_t op;         /* of the request */
    bool owed;           /* Redis has not answered yet */
    uint32_t times;      /* number of equal answers */
    size_t weight;       /* bytes of the request, and OWED_WEIGHT; 0: not asked of Redis */
    struct message form; /* the answer; its payload is `payload` */
    uint8_t *payload;
};

struct line {
    struct line *chain; /* the next with the same hash */
    struct conn_ref ref;
    struct place *first, *last; /* oldest first */
    uint64_t owed;              /* weights of its places */
    uint64_t held;              /* bytes of the answers that do not come from Redis */
    uint64_t turn;              /* the turn in which it has sent `sent` bytes */
    size_t sent;
    bool gone;     /* the connection has ended */
    bool sending;  /* line_release is running */
    bool is_ready; /* in the queue `ready` of struct answers */
    TAILQ_ENTRY(line) ready;
};

struct answers {
    struct line *head[HEADS];
    TAILQ_HEAD(line_queue, line) ready; /* lines whose oldest place is answered */
    uint64_t owed;                      /* weights of the places of all lines */
    uint64_t turn;                      /* number of this turn */
    size_t ready_count;
    bool more; /* a line has reached its limit in this turn */
    bool all;  /* the worker leaves: send everything now */
};

struct answers *answers_new(void)
{
    struct answers *answers = calloc(1, sizeof(*answers));
    if (answers)
        TAILQ_INIT(&answers->ready);
    return answers;
}

static void *must_allocate(size_t size)
{
    void *at = calloc(1, size);
    if (!at)
        abort();
    return at;
}

/* ---- Lines ---- */

/* Returns the link in the hash table that leads to the line of `ref`, or to NULL if there is
 * none. */
static struct line **line_link(struct answers *answers, struct conn_ref ref)
{
    const uint64_t hash = conn_ref_pack(ref) * 0x9e3779b97f4a7c15ull >> 32;
    struct line **link = &answers->head[hash & (HEADS - 1)];
    while (*link && ((*link)->ref.fd != ref.fd || (*link)->ref.generation != ref.generation))
        link = &(*link)->chain;
    return link;
}

static struct line *line_find(struct worker *worker, const struct conn *conn)
{
    return *line_link(worker->answers, conn_ref(worker->table, conn));
}

static struct line *line_find_or_add(struct worker *worker, const struct conn *conn)
{
    struct line **link = line_link(worker->answers, conn_ref(worker->table, conn));
    if (!*link) {
        *link = must_allocate(sizeof(**link));
        (*link)->ref = conn_ref(worker->table, conn);
    }
    return *link;
}

/* Returns the connection of the line if an answer may still be sent to it, or NULL. */
static struct conn *line_live_conn(const struct worker *worker, const struct line *line)
{
    struct conn *conn = conn_deref(worker->table, worker->capacity, line->ref, worker->id);
    if (!conn || line->gone)
        return NULL;
    const enum conn_state state = word_state(conn_word(conn));
    return state == CONN_OPEN || state == CONN_SUBSCRIBING ? conn : NULL;
}

static void line_set_ready(struct answers *answers, struct line *line, bool ready)
{
    if (line->is_ready == ready)
        return;
    line->is_ready = ready;
    if (ready)
        TAILQ_INSERT_TAIL(&answers->ready, line, ready);
    else
        TAILQ_REMOVE(&answers->ready, line, ready);
    answers->ready_count += ready ? 1 : (size_t)-1;
}

static void line_free(struct answers *answers, struct line *line)
{
    struct line **link = line_link(answers, line->ref);
    line_set_ready(answers, line, false);
    *link = line->chain;
    free(line);
}

/* ---- Places ---- */

static struct place *place_add(struct line *line, uint32_t op)
{
    struct place *place = must_allocate(sizeof(*place));
    place->line = line;
    place->op = op;
    place->times = 1;
    place->before = line->last;
    *(line->last ? &line->last->next : &line->first) = place;
    line->last = place;
    return place;
}

static size_t place_held_size(const struct place *place)
{
    return place->weight ? 0 : sizeof(*place) + HOLD_FRAME_WEIGHT + place->form.len;
}

/* Frees a place that has been unlinked from its line. */
static void place_free(struct answers *answers, struct place *place)
{
    struct line *line = place->line;
    line->owed -= place->weight;
    answers->owed -= place->weight;
    line->held -= place_held_size(place);
    free(place->payload);
    free(place);
}

static void place_remove(struct answers *answers, struct place *place)
{
    struct line *line = place->line;
    *(place->before ? &place->before->next : &line->first) = place->next;
    *(place->next ? &place->next->before : &line->last) = place->before;
    place_free(answers, place);
}

static void place_remove_first(struct answers *answers, struct line *line)
{
    struct place *first = line->first;
    line->first = first->next;
    *(line->first ? &line->first->before : &line->last) = NULL;
    place_free(answers, first);
}

static void place_store_answer(struct place *place, const struct message *answer)
{
    place->form = *answer;
    place->payload = must_allocate(answer->len + 1);
    if (answer->len > 0)
        memcpy(place->payload, answer->payload, answer->len);
    place->form.payload = place->payload;
}

static bool place_has_answer(const struct place *place, const struct message *answer)
{
    return place && !place->owed && place->form.op == answer->op &&
           place->form.form == answer->form && place->form.len == answer->len &&
           memcmp(place->payload, answer->payload, answer->len) == 0;
}

/* ---- Sending ---- */

static void send_answer_message(struct worker *worker, struct conn *conn,
                                const struct message *message)
{
    const struct conn_ref ref = conn_ref(worker->table, conn);
    outbox_reserve(worker, message->len); /* may end the connection */
    if (conn_deref(worker->table, worker->capacity, ref, worker->id) == conn)
        outbox_add(worker, conn, outbox_message(worker, message, conn_has(conn, CONN_JSON)));
}

/* True if the line may send an answer of `len` bytes in this turn; then counts it. */
static bool line_may_send(struct worker *worker, struct line *line, const struct conn *conn,
                          size_t len)
{
    struct answers *answers = worker->answers;
    const struct hold *hold = hold_find(worker, conn);
    const size_t half = worker->config->queue_limit / 2;
    if (line->turn != answers->turn) {
        line->turn = answers->turn;
        line->sent = 0;
    }
    if (!answers->all && hold && hold_weight(hold) > half)
        return false;
    if (!answers->all && line->sent > 0 &&
        line->sent + len > (half < TURN_BYTES ? half : TURN_BYTES)) {
        answers->more = true;
        return false;
    }
    line->sent += HOLD_FRAME_WEIGHT + len;
    return true;
}

/* Sends as many of the next answers in order as the line may send. Frees the line if it is
 * empty. */
static void line_release(struct worker *worker, struct line *line)
{
    struct answers *answers = worker->answers;
    struct place *place;
    if (line->sending)
        return; /* called again, because sending has ended the connection */
    line->sending = true;
    while ((place = line->first) && !place->owed) {
        struct conn *conn = line_live_conn(worker, line);
        if (conn && !line_may_send(worker, line, conn, place->form.len))
            break;
        if (conn)
            send_answer_message(worker, conn, &place->form);
        if (!conn || --place->times == 0)
            place_remove_first(answers, line);
    }
    line->sending = false;
    if (!place)
        line_free(answers, line);
    else
        line_set_ready(answers, line, !place->owed);
}

/* ---- Requests that await Redis ---- */

/* Returns the limit on bytes that await Redis: room for at least four requests of the largest size,
 * whatever push.conf says. */
static uint64_t owed_bytes_limit(const struct config *config)
{
    const uint64_t least = 4 * ((uint64_t)config->max_message + 1024);
    return config->request_limit > least ? config->request_limit : least;
}

struct place *answers_owe(struct worker *worker, const struct conn *conn, uint32_t op, size_t bytes)
{
    struct answers *answers = worker->answers;
    const struct line *before = line_find(worker, conn);
    const uint64_t limit = owed_bytes_limit(worker->config);
    const uint64_t weight = (uint64_t)bytes + OWED_WEIGHT;
    const uint64_t own = (before ? before->owed : 0) + weight;
    if (answers->owed + weight + own > limit)
        return NULL; /* it would have more than what is left for others */
    struct place *place = place_add(line_find_or_add(worker, conn), op);
    place->owed = true;
    place->weight = (size_t)weight;
    place->line->owed += weight;
    answers->owed += weight;
    return place;
}

uint64_t answers_owed(const struct worker *worker)
{
    return worker->answers->owed;
}

void answers_cancel(struct worker *worker, struct place *place)
{
    struct line *line = place->line;
    place_remove(worker->answers, place);
    if (!line->first)
        line_free(worker->answers, line);
}

uint32_t answers_op(const struct place *place)
{
    return place->op;
}

/* Sends the answer of the oldest place without copying it. Returns false if it must wait. */
static bool send_first_answer(struct worker *worker, struct line *line,
                              const struct message *answer)
{
    struct conn *conn = line_live_conn(worker, line);
    if (!conn)
        return true;
    if (!line_may_send(worker, line, conn, answer->len))
        return false;
    line->sending = true;
    send_answer_message(worker, conn, answer);
    line->sending = false;
    return true;
}

void answers_fill(struct worker *worker, struct place *place, const struct message *answer)
{
    struct line *line = place->line;
    struct place *before = place->before;
    place->owed = false;
    if (before && place_has_answer(before, answer)) {
        before->times++;
        place_remove(worker->answers, place);
    } else if (!before && send_first_answer(worker, line, answer)) {
        place_remove(worker->answers, place);
    } else {
        place_store_answer(place, answer);
    }
    line_release(worker, line);
}

/* ---- Answers that do not come from Redis ---- */

static void queue_in_line(struct worker *worker, struct conn *conn, struct line *line,
                          const struct message *answer)
{
    struct place *last = line->last;
    if (place_has_answer(last, answer)) {
        last->times++;
        return;
    }
    struct place *place = place_add(line, answer->op);
    place_store_answer(place, answer);
    line->held += place_held_size(place);
    if (line->held > worker->config->queue_limit)
        client_close(worker, conn, WS_CLOSE_TRY_LATER, "too many answers wait for Redis",
                     CLOSED_SLOW);
}

void answers_send(struct worker *worker, struct conn *conn, const struct message *answer)
{
    struct line *line = line_find(worker, conn);
    if (line)
        queue_in_line(worker, conn, line, answer);
    else
        send_answer_message(worker, conn, answer);
}

/* ---- Ends and turns ---- */

void answers_forget(struct worker *worker, const struct conn *conn)
{
    struct line *line = line_find(worker, conn);
    struct place *next;
    if (!line || line->gone)
        return;
    line->gone = true;
    for (struct place *place = line->first; place && !line->sending; place = next) {
        next = place->next;
        if (!place->owed)
            place_remove(worker->answers, place);
    }
    line_release(worker, line);
}

void answers_turn(struct worker *worker)
{
    struct answers *answers = worker->answers;
    struct line *line;
    answers->turn++;
    answers->more = false;
    for (size_t i = answers->ready_count; i > 0 && (line = TAILQ_FIRST(&answers->ready)); i--) {
        line_set_ready(answers, line, false); /* to the end of the queue, if it stays there */
        line_release(worker, line);
    }
}

bool answers_busy(const struct worker *worker)
{
    return worker->answers->more;
}

/* Answers ERROR `unavailable` to all requests of the line that Redis has not answered. */
static void fail_owed_requests(struct worker *worker, struct line *line)
{
    for (struct place *place = line->first; place; place = place->next) {
        struct request_error error;
        if (!place->owed)
            continue;
        request_error(&error, ERROR_UNAVAILABLE, place->op,
                      "Redis has not answered yet: it may have stored the request");
        stats_add(&worker->stats->errors_sent, 1);
        place->owed = false;
        place_store_answer(place, &error.message);
    }
}

void answers_leave(struct worker *worker)
{
    struct answers *answers = worker->answers;
    answers->all = true;
    for (size_t i = 0; i < HEADS; i++) {
        while (answers->head[i]) {
            fail_owed_requests(worker, answers->head[i]);
            line_release(worker, answers->head[i]); /* frees it */
        }
    }
}

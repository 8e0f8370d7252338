/*
 * See home.h. The order of the stores in home_give makes a death harmless: the record names its new
 * owner before the ring does, and `handing` names the connection until the ring has it. A successor
 * finds it there and tells the new owner again.
 */
#include "worker/home.h"

#include "common/killpoint.h"
#include "proto/json.h"
#include "proto/ws.h"
#include "worker/client.h"
#include "worker/hold.h"
#include "worker/join.h"
#include "worker/kicks.h"
#include "worker/limits.h"
#include "worker/outbox.h"
#include "worker/refuse.h"
#include "worker/rings.h"
#include "worker/subscribe.h"
#include "worker/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIBLINGS_ASKED = 8, /* connections of a user that a login checks */
    REPLACED_MAX = 1000 /* connections that a login ends, at most */
};

static const struct refusal refused_devices = {409, "too_many_devices",
                                               "the user already has max_devices connections"};

static const struct refusal refused_late = {503, "not_ready", "the login took too long; try again"};

static void fill_adoption_message(struct adoption *adoption, struct conn_ref ref,
                                  const struct home_entry *entry)
{
    adoption->kicks = entry->kicks;
    adoption->fd = ref.fd;
    adoption->generation = ref.generation;
    adoption->response_len = (uint32_t)entry->response_len;
    adoption->rest_len = (uint32_t)entry->rest_len;
    memcpy(adoption->bytes, entry->response, entry->response_len);
    if (entry->rest_len > 0)
        memcpy(adoption->bytes + entry->response_len, entry->rest, entry->rest_len);
}

static void adopt_in_this_worker(struct worker *worker, struct conn *conn,
                                 const struct home_entry *entry)
{
    _Alignas(struct adoption) uint8_t bytes[sizeof(struct adoption) + HEAD_MAX + 8192];
    struct adoption *adoption = (struct adoption *)bytes;
    fill_adoption_message(adoption, conn_ref(worker->table, conn), entry);
    hold_mark(worker, conn); /* no ring has the adoption: a successor must end the connection */
    conn_set_state(conn, CONN_MOVING);
    KILLPOINT(KEPT);
    worker_count(worker, -1, 0);
    limits_lose(worker, conn);
    home_adopt(worker, adoption);
}

uint32_t home_entry_size(const struct home_entry *entry)
{
    return (uint32_t)(sizeof(struct adoption) + entry->response_len + entry->rest_len);
}

/* Reserves room for an adoption in the ring to `home`. Returns NULL if there is none. */
static struct adoption *reserve_adoption_room(struct worker *worker, uint32_t home, uint32_t size)
{
    return rings_room(worker, home, size) ? ring_reserve(&worker->out[home], RING_ADOPT, 0, size)
                                          : NULL;
}

bool home_give(struct worker *worker, struct conn *conn, uint32_t home,
               const struct home_entry *entry)
{
    struct slot *slot = worker->slot;
    const struct conn_ref ref = conn_ref(worker->table, conn);
    if (home == worker->id) {
        adopt_in_this_worker(worker, conn, entry);
        return true;
    }
    struct adoption *adoption = reserve_adoption_room(worker, home, home_entry_size(entry));
    if (!adoption)
        return false;
    fill_adoption_message(adoption, ref, entry);
    atomic_store_explicit(&slot->handing, conn_ref_pack(ref), memory_order_release);
    KILLPOINT(GIVE_NOTED);
    client_unwatch(worker, conn);
    KILLPOINT(GIVE_UNWATCHED);
    conn_clear(conn, CONN_DIRTY);
    KILLPOINT(GIVE_CLEAN);
    worker_count(worker, -1, 0);
    limits_lose(worker, conn);
    conn_give(conn, home);
    KILLPOINT(GIVEN);
    rings_publish(worker, home);
    KILLPOINT(GIVE_PUBLISHED);
    atomic_store_explicit(&slot->handing, 0, memory_order_release);
    stats_add(&worker->stats->handed_over, 1);
    return true;
}

/* True if one of the user's newest connections is OPEN: then the subscription is confirmed. Only
 * SIBLINGS_ASKED are checked; if an older one is OPEN, the next confirmation greets the new
 * connection. */
static bool is_user_subscribed(const struct worker *worker, uint32_t first)
{
    uint32_t fd = first;
    for (int i = 0; fd && i < SIBLINGS_ASKED; i++, fd = users_next(&worker->users, fd)) {
        const uint64_t word = conn_word(&worker->table[fd]);
        if (word_state(word) == CONN_OPEN || word_flags(word) & CONN_GREETING)
            return true;
    }
    return false;
}

static void enter_user_index(struct worker *worker, struct conn *conn, uint32_t fd)
{
    const uint32_t first = users_first(&worker->users, conn->user, conn->user_len);
    worker_count(worker, 0, 1);
    users_add(&worker->users, fd);
    KILLPOINT(ADOPT_INDEXED);
    if (is_user_subscribed(worker, first) && subscriptions_live(worker))
        home_greet(worker, conn);
    else
        subscriptions_join(worker, conn, first == 0);
}

/* ---- Devices ---- */

/* True if the user has at least `count` connections. */
static bool has_device_count(const struct worker *worker, const struct conn *conn, uint32_t count)
{
    uint32_t fd = users_first(&worker->users, conn->user, conn->user_len);
    for (; fd && count > 0; fd = users_next(&worker->users, fd))
        count--;
    return count == 0;
}

static bool device_limit_admits(const struct worker *worker, const struct conn *conn)
{
    const uint32_t max = worker->config->max_devices;
    return max == 0 || worker->config->device_policy != DEVICE_REJECT ||
           !has_device_count(worker, conn, max);
}

/* A connection that may be replaced. `place`: in its user's list, where newer ones come first. */
struct device {
    struct conn_ref ref;
    uint32_t since, place;
};

static int compare_device_age(const void *left, const void *right)
{
    const struct device *a = left, *b = right;
    if (a->since != b->since)
        return a->since < b->since ? -1 : 1;
    return a->place > b->place ? -1 : 1;
}

/* Returns all of the user's connections, oldest first, and their number in *count. Valid until the
 * next call. */
static struct device *list_user_devices(const struct worker *worker, const struct conn *conn,
                                        uint32_t *count)
{
    static struct device *device;
    static uint32_t size;
    *count = 0;
    for (uint32_t fd = users_first(&worker->users, conn->user, conn->user_len); fd;
         fd = users_next(&worker->users, fd)) {
        const struct conn *other = &worker->table[fd];
        if (*count == size) {
            size = size ? size * 2 : 64;
            device = realloc(device, size * sizeof(*device));
            if (!device)
                abort();
        }
        device[*count] = (struct device){conn_ref(worker->table, other), other->since, *count};
        ++*count;
    }
    if (*count > 1)
        qsort(device, *count, sizeof(*device), compare_device_age);
    return device;
}

/* Closes the oldest connections above max_devices. The new one is indexed by then, so the user
 * stays online. If max_devices was lowered there may be very many: closes at most REPLACED_MAX at
 * once, so that others are served; the next login closes more. */
static void replace_oldest_devices(struct worker *worker, const struct conn *conn)
{
    const uint32_t max = worker->config->max_devices;
    uint32_t count;
    if (max == 0 || !has_device_count(worker, conn, max + 1))
        return;
    const struct device *device = list_user_devices(worker, conn, &count);
    const uint32_t excess = count - max;
    for (uint32_t i = 0; i < excess && i < REPLACED_MAX; i++) {
        struct conn *oldest =
            conn_deref(worker->table, worker->capacity, device[i].ref, worker->id);
        if (oldest)
            client_close(worker, oldest, WS_CLOSE_REPLACED, ws_close_text(WS_CLOSE_REPLACED),
                         CLOSED_REPLACED);
    }
}

/* ---- Arrival ---- */

void home_count(struct worker *worker, struct conn *conn)
{
    worker_count(worker, 1, 0);
    limits_gain(worker, conn);
}

/* Takes ownership of the connection. Its bytes exist only here until the answer has left. Returns
 * 0, or -1 if it had to be ended. */
static int take_connection_in(struct worker *worker, struct conn *conn, uint32_t fd, bool arrives)
{
    worker_owns(worker, fd);
    conn->seen = worker->now_s;
    if (arrives) {
        conn->mark = 0;
        home_count(worker, conn);
    }
    KILLPOINT(ADOPT_COUNTED);
    hold_mark(worker, conn);
    KILLPOINT(ADOPT_MARKED);
    conn_set_state(conn, CONN_SUBSCRIBING);
    KILLPOINT(ADOPT_SETTLED);
    if (client_watch(worker, conn) == 0)
        return 0;
    client_end(worker, conn, CLOSED_RESET);
    return -1;
}

/* Ends the login if a kick has come since: the client is admitted, so that it can be told the
 * kick's code. If kicks that old are forgotten, the client has to log in again. Returns true if the
 * connection stays. */
static bool login_outlives_kicks(struct worker *worker, struct conn *conn,
                                 const struct adoption *adoption)
{
    struct kick kick;
    const enum kicks_verdict verdict = kicks_judge_login(worker, conn, adoption->kicks, &kick);
    if (verdict == KICKS_SPARE)
        return true;
    if (verdict == KICKS_FORGOTTEN) {
        refuse(worker, conn, refused_late, &worker->stats->refused_not_ready);
        return false;
    }
    outbox_add(worker, conn, outbox_bytes(worker, adoption->bytes, adoption->response_len));
    client_close(worker, conn, kick.code, kick.reason, CLOSED_KICKED);
    return false;
}

void home_adopt(struct worker *worker, const struct adoption *adoption)
{
    const struct conn_ref ref = {adoption->fd, adoption->generation};
    struct conn *conn = conn_deref(worker->table, worker->capacity, ref, worker->id);
    const bool arrives = conn && word_state(conn_word(conn)) == CONN_MOVING;
    /* After a death: it is in the index, but the dead worker's 101 may never have left. */
    const bool again =
        conn && word_state(conn_word(conn)) == CONN_SUBSCRIBING && hold_lost(worker, conn);
    if (!arrives && !again)
        return;
    outbox_reserve(worker, adoption->response_len);
    kicks_begin(worker);
    if (take_connection_in(worker, conn, ref.fd, arrives) == -1)
        return;
    if (!conn_has(conn, CONN_INDEXED) && !login_outlives_kicks(worker, conn, adoption))
        return;
    if (!conn_has(conn, CONN_INDEXED) && !device_limit_admits(worker, conn)) {
        refuse(worker, conn, refused_devices, &worker->stats->refused_devices);
        return;
    }
    KILLPOINT(ADOPT_WATCHED);
    outbox_add(worker, conn, outbox_bytes(worker, adoption->bytes, adoption->response_len));
    if (!conn_has(conn, CONN_INDEXED)) {
        enter_user_index(worker, conn, ref.fd);
        KILLPOINT(ADOPT_ASKED);
        replace_oldest_devices(worker, conn);
    }
    if (adoption->rest_len > 0) {
        memcpy(worker->scratch, adoption->bytes + adoption->response_len, adoption->rest_len);
        client_feed(worker, conn, worker->scratch, adoption->rest_len);
    }
}

static size_t format_hello_json(const struct worker *worker, const struct conn *conn, char *out,
                                size_t size)
{
    char name[CONN_NAME_MAX], user[6 * USER_MAX + 2], node[6 * NODE_NAME_MAX + 2];
    const char *const node_name = worker->segment->header->node;
    const size_t name_len =
        conn_name(name, worker->segment->header->boot_id, conn_ref(worker->table, conn));
    const size_t user_len = json_quote(user, conn->user, conn->user_len);
    const size_t node_len = json_quote(node, node_name, strlen(node_name));
    return (size_t)snprintf(out, size,
                            "{\"conn\":\"%.*s\",\"user\":%.*s,\"node\":%.*s,\"heartbeat\":%u,"
                            "\"server\":\"wspushd/%s\"}",
                            (int)name_len, name, (int)user_len, user, (int)node_len, node,
                            worker->config->heartbeat, WSPUSHD_VERSION);
}

void home_greet(struct worker *worker, struct conn *conn)
{
    char json[1024];
    const struct message hello = {.op = OP_HELLO,
                                  .form = PAYLOAD_JSON,
                                  .payload = (const uint8_t *)json,
                                  .len = format_hello_json(worker, conn, json, sizeof(json))};
    outbox_reserve(worker, sizeof(json));
    if (word_state(conn_word(conn)) != CONN_SUBSCRIBING || conn_has(conn, CONN_GREETING))
        return;
    const frame_id frame = outbox_message(worker, &hello, conn_has(conn, CONN_JSON));
    conn_set(conn, CONN_GREETING);
    KILLPOINT(GREETING_SET);
    stats_add(&worker->stats->opened, 1);
    trace_opened(worker, conn, conn_has(conn, CONN_JSON) ? "json" : "binary");
    outbox_greet(worker, conn, frame);
    join_greeted(worker, conn);
}

void home_greeted(struct worker *worker, struct conn *conn)
{
    (void)worker;
    if (word_state(conn_word(conn)) != CONN_SUBSCRIBING)
        return; /* closed after its HELLO, in the same turn */
    conn->mark = 0;
    KILLPOINT(HELLO_LEFT);
    conn_set_state(conn, CONN_OPEN);
}

/* Unsubscribes before the index forgets the user: a successor finds either the UNSUBSCRIBE
 * requested, or the connection CLOSING and still in the index. */
void home_leave(struct worker *worker, struct conn *conn)
{
    /* Even if it is not in the index: data kept under its descriptor must not pass to the next
     * connection. */
    join_end(worker, conn);
    KILLPOINT(LEAVE_TOPICS);
    if (!conn_has(conn, CONN_INDEXED))
        return;
    if (users_alone(&worker->users, (uint32_t)(conn - worker->table)))
        subscriptions_leave(worker, conn->user, conn->user_len);
    KILLPOINT(LEAVE_GONE);
    users_remove(&worker->users, (uint32_t)(conn - worker->table));
    worker_count(worker, 0, -1);
    KILLPOINT(LEFT);
}

/*
 * Deals with the connection that the dead worker was handing over. It may have died anywhere in
 * home_give. Before conn_give the record was still this worker's, and takeover.c deals with it.
 * After it, the ring may lack the adoption, and then the 101 in it is lost: the new owner is told,
 * after everything already in the ring, to end a connection that has not arrived; its client
 * retries. The connection may also have arrived and ended, and another with its number may be
 * moving now: the generation tells them apart.
 */
void home_resume_handing(struct worker *worker)
{
    const uint64_t handing = atomic_load_explicit(&worker->slot->handing, memory_order_acquire);
    const struct conn_ref ref = conn_ref_unpack(handing);
    if (handing == 0)
        return;
    const uint64_t word = conn_word(&worker->table[ref.fd]);
    if (word_state(word) == CONN_MOVING && word_owner(word) != worker->id &&
        word_generation(word) == ref.generation) {
        struct conn_ref *orphan =
            ring_reserve(&worker->out[word_owner(word)], RING_ORPHAN, 0, sizeof(*orphan));
        if (orphan) { /* else the new owner's sweep ends it in time */
            *orphan = ref;
            rings_publish(worker, word_owner(word));
        }
    }
    KILLPOINT(ORPHAN_TOLD);
    atomic_store_explicit(&worker->slot->handing, 0, memory_order_release);
}

void home_orphan(struct worker *worker, const struct conn_ref *ref)
{
    struct conn *conn = conn_deref(worker->table, worker->capacity, *ref, worker->id);
    if (!conn || word_state(conn_word(conn)) != CONN_MOVING)
        return;
    home_count(worker, conn);
    client_end(worker, conn, CLOSED_DIRTY);
}

/*
 * See control.h. A command is a JSON object with exactly one of the names in the table; its other
 * members belong to that one. It is checked whole before anything is done, the same way by every
 * worker. Commands are rare, so they are read by jansson into a tree.
 */
#include "worker/control.h"

#include "common/log.h"
#include "proto/topic.h"
#include "proto/ws.h"
#include "worker/auth.h"
#include "worker/client.h"
#include "worker/join.h"
#include "worker/queue.h"

#include <jansson.h>
#include <string.h>

enum { CODE_MIN = 3000, CODE_MAX = 4999 }; /* of close codes: RFC 6455 §7.4.2 */

/* ---- Checks ---- */

static bool is_user(const json_t *value)
{
    return json_is_string(value) &&
           auth_user_valid(json_string_value(value), json_string_length(value));
}

static bool kick_valid(const json_t *command)
{
    const json_t *code = json_object_get(command, "code");
    const json_t *reason = json_object_get(command, "reason");
    return (!code || (json_is_integer(code) && json_integer_value(code) >= CODE_MIN &&
                      json_integer_value(code) <= CODE_MAX)) &&
           (!reason || json_is_string(reason));
}

static bool user_kick_valid(const json_t *command, const json_t *user)
{
    return is_user(user) && kick_valid(command);
}

static bool find_named(const struct worker *worker, const json_t *name, struct conn_ref *ref)
{
    uint32_t boot_id;
    return json_is_string(name) &&
           conn_name_parse(json_string_value(name), json_string_length(name), &boot_id, ref) &&
           (!worker || boot_id == worker->segment->header->boot_id);
}

static bool conn_kick_valid(const json_t *command, const json_t *name)
{
    struct conn_ref ref;
    return find_named(NULL, name, &ref) && kick_valid(command);
}

static bool topics_valid_for(const json_t *command, const json_t *user)
{
    const json_t *topics = json_object_get(command, "topics");
    if (!is_user(user) || !json_is_array(topics) || json_array_size(topics) == 0)
        return false;
    for (size_t i = 0; i < json_array_size(topics); i++) {
        const json_t *topic = json_array_get(topics, i);
        if (!json_is_string(topic) ||
            !topic_name_valid(json_string_value(topic), json_string_length(topic)))
            return false;
    }
    return true;
}

/* ---- What they do ---- */

typedef void action(struct worker *worker, struct conn *conn, const json_t *command);

/* Does it to each connection of the user. The connections are found before the first is touched,
 * because what is done to one can end others. */
static void for_user(struct worker *worker, const json_t *command, const json_t *user, action *act)
{
    static struct queue refs;
    const char *name = json_string_value(user);
    for (uint32_t fd = users_first(&worker->users, name, json_string_length(user)); fd;
         fd = users_next(&worker->users, fd))
        queue_push(&refs, conn_ref_pack(conn_ref(worker->table, &worker->table[fd])));
    while (refs.count > 0) {
        const struct conn_ref ref = conn_ref_unpack(queue_pop(&refs));
        struct conn *conn = conn_deref(worker->table, worker->capacity, ref, worker->id);
        if (conn && conn_has(conn, CONN_INDEXED))
            act(worker, conn, command);
    }
}

static void kick(struct worker *worker, struct conn *conn, const json_t *command)
{
    const json_t *code = json_object_get(command, "code");
    const char *reason = json_string_value(json_object_get(command, "reason"));
    client_close(worker, conn, (uint16_t)(code ? json_integer_value(code) : WS_CLOSE_KICKED),
                 reason ? reason : ws_close_text(WS_CLOSE_KICKED), CLOSED_KICKED);
}

static void sub(struct worker *worker, struct conn *conn, const json_t *command)
{
    join_commanded(worker, conn, json_object_get(command, "topics"));
}

static void unsub(struct worker *worker, struct conn *conn, const json_t *command)
{
    leave_commanded(worker, conn, json_object_get(command, "topics"));
}

static void kick_user(struct worker *worker, const json_t *command, const json_t *user)
{
    for_user(worker, command, user, kick);
}

static void kick_conn(struct worker *worker, const json_t *command, const json_t *name)
{
    struct conn_ref ref;
    struct conn *conn = find_named(worker, name, &ref)
                            ? conn_deref(worker->table, worker->capacity, ref, worker->id)
                            : NULL;
    if (conn && conn_has(conn, CONN_INDEXED))
        kick(worker, conn, command);
}

static void sub_user(struct worker *worker, const json_t *command, const json_t *user)
{
    for_user(worker, command, user, sub);
}

static void unsub_user(struct worker *worker, const json_t *command, const json_t *user)
{
    for_user(worker, command, user, unsub);
}

/* ---- The commands ---- */

struct command_kind {
    const char *name;
    bool (*valid)(const json_t *command, const json_t *value);
    void (*run)(struct worker *worker, const json_t *command, const json_t *value);
};

static const struct command_kind kinds[] = {
    {"kick", user_kick_valid, kick_user},
    {"kick_conn", conn_kick_valid, kick_conn},
    {"sub", topics_valid_for, sub_user},
    {"unsub", topics_valid_for, unsub_user},
};

/* The one kind whose name the object has, or NULL. */
static const struct command_kind *kind_of(const json_t *command)
{
    const struct command_kind *found = NULL;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (!json_object_get(command, kinds[i].name))
            continue;
        if (found)
            return NULL;
        found = &kinds[i];
    }
    return found;
}

static void malformed(struct worker *worker, const uint8_t *payload, size_t len)
{
    static struct log_limit limit;
    uint64_t suppressed;
    stats_add(&worker->stats->commands_malformed, 1);
    if (log_allow(&limit, 10, &suppressed))
        log_warn("ctl_malformed", "begins=%s suppressed=%llu",
                 log_quote(payload, len < 64 ? len : 64), (unsigned long long)suppressed);
}

void control_command(struct worker *worker, const uint8_t *payload, size_t len)
{
    json_t *command = json_loadb((const char *)payload, len, 0, NULL);
    const bool counts = worker->id == worker_node_home(worker);
    const struct command_kind *kind = kind_of(command);
    const json_t *value = kind ? json_object_get(command, kind->name) : NULL;
    if (kind && kind->valid(command, value)) {
        kind->run(worker, command, value);
        if (counts)
            stats_add(&worker->stats->commands, 1);
    } else if (counts) {
        malformed(worker, payload, len);
    }
    json_decref(command);
}

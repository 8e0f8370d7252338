/*
 * See control.h. A command is a JSON object with exactly one of the names in the table; its other
 * members belong to that one. It is checked completely before anything is done. Commands are rare,
 * so jansson parses the valid ones into a tree.
 */
#include "worker/control.h"

#include "common/log.h"
#include "proto/explain.h"
#include "proto/ws.h"
#include "worker/checks.h"
#include "worker/client.h"
#include "worker/join.h"
#include "worker/kicks.h"
#include "worker/queue.h"
#include "worker/rings.h"
#include "worker/unknown.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* ---- Checks ---- */

/* A command's text, and the value of the member that names the command. */
struct order {
    const char *text;
    size_t len;
    struct json_value value;
    uint64_t position; /* in the link's stream */
};

static bool check_user_kick(char why[EXPLAIN_MAX], const struct order *order)
{
    return check_user(why, "kick", &order->value) && check_kick(why, order->text, order->len);
}

static bool parse_named_conn(const struct worker *worker, const json_t *name, struct conn_ref *ref)
{
    uint32_t boot_id;
    return conn_name_parse(json_string_value(name), json_string_length(name), &boot_id, ref) &&
           boot_id == worker->segment->header->boot_id;
}

static bool check_conn_kick(char why[EXPLAIN_MAX], const struct order *order)
{
    char name[64], shown[64];
    uint32_t boot_id;
    struct conn_ref ref;
    const ssize_t len = check_decode(name, sizeof(name) - 1, &order->value);
    if (len > 0 && conn_name_parse(name, (size_t)len, &boot_id, &ref))
        return check_kick(why, order->text, order->len);
    explain_value(shown, sizeof(shown), &order->value);
    snprintf(why, EXPLAIN_MAX, "kick_conn must be the name of a connection, not %s", shown);
    return false;
}

static const char *const topic_names[] = {"sub", "unsub", "topics"};
static const struct names topic_members = {topic_names, 3};

static bool check_topic_change(char why[EXPLAIN_MAX], const char *name, const struct order *order)
{
    const struct json_value topics = check_member(order->text, order->len, "topics");
    if (!check_user(why, name, &order->value))
        return false;
    if (topics.type != JSON_TYPE_NONE)
        return check_topics(why, "topics", &topics, SIZE_MAX);
    explain_missing(why, "topics", order->text, order->len, &topic_members);
    return false;
}

static bool check_sub(char why[EXPLAIN_MAX], const struct order *order)
{
    return check_topic_change(why, "sub", order);
}

static bool check_unsub(char why[EXPLAIN_MAX], const struct order *order)
{
    return check_topic_change(why, "unsub", order);
}

/* ---- Actions ---- */

typedef void action(struct worker *worker, struct conn *conn, const json_t *command);

/* Calls `act` for each connection of the user. Collects the connections first, because an action on
 * one can end others. */
static void for_each_user_conn(struct worker *worker, const json_t *command, const json_t *user,
                               action *act)
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

/* Returns the close code of a kick, or the default. */
static uint16_t kick_close_code(const json_t *command)
{
    const json_t *code = json_object_get(command, "code");
    return (uint16_t)(code ? json_integer_value(code) : WS_CLOSE_KICKED);
}

static const char *kick_close_reason(const json_t *command)
{
    const char *reason = json_string_value(json_object_get(command, "reason"));
    return reason ? reason : ws_close_text(WS_CLOSE_KICKED);
}

static void sub_connection(struct worker *worker, struct conn *conn, const json_t *command)
{
    join_commanded(worker, conn, json_object_get(command, "topics"));
}

static void unsub_connection(struct worker *worker, struct conn *conn, const json_t *command)
{
    leave_commanded(worker, conn, json_object_get(command, "topics"));
}

static void kick_named_conn(struct worker *worker, const json_t *command, const json_t *name)
{
    struct conn_ref ref;
    struct conn *conn = parse_named_conn(worker, name, &ref)
                            ? conn_deref(worker->table, worker->capacity, ref, worker->id)
                            : NULL;
    if (conn && conn_has(conn, CONN_INDEXED))
        client_close(worker, conn, kick_close_code(command), kick_close_reason(command),
                     CLOSED_KICKED);
}

static void sub_user_conns(struct worker *worker, const json_t *command, const json_t *user)
{
    for_each_user_conn(worker, command, user, sub_connection);
}

static void unsub_user_conns(struct worker *worker, const json_t *command, const json_t *user)
{
    for_each_user_conn(worker, command, user, unsub_connection);
}

/* Sends every worker a copy. */
static bool share_with_workers(struct worker *worker, const struct order *order,
                               const json_t *command, const json_t *value)
{
    (void)command, (void)value;
    return rings_broadcast(worker, RING_CTL, order->position, order->text, order->len);
}

/* Adds a kick to the shared list, which gives it a place in time; the rings would not. */
static bool add_user_kick(struct worker *worker, const struct order *order, const json_t *command,
                          const json_t *user)
{
    return kicks_add(worker, json_string_value(user), json_string_length(user),
                     kick_close_code(command), kick_close_reason(command), order->position);
}

static void run_no_action(struct worker *worker, const json_t *command, const json_t *value)
{
    (void)worker, (void)command, (void)value;
}

/* ---- The commands ---- */

static const char *const kick_names[] = {"kick", "kick_conn", "code", "reason"};
static const struct names kick_members = {kick_names, 4};
static const char *const all_names[] = {"kick",   "kick_conn", "sub",   "unsub",
                                        "topics", "code",      "reason"};
static const struct names all_members = {all_names, 7};

struct command_kind {
    const char *name;
    bool (*check)(char why[EXPLAIN_MAX], const struct order *order);
    /* Called in the node's home: has all workers carry it out. Returns false to try again later. */
    bool (*spread)(struct worker *worker, const struct order *order, const json_t *command,
                   const json_t *value);
    /* Called in each worker, for its own connections. */
    void (*run)(struct worker *worker, const json_t *command, const json_t *value);
    const struct names *members;
};

static const struct command_kind kinds[] = {
    {"kick", check_user_kick, add_user_kick, run_no_action, &kick_members},
    {"kick_conn", check_conn_kick, share_with_workers, kick_named_conn, &kick_members},
    {"sub", check_sub, share_with_workers, sub_user_conns, &topic_members},
    {"unsub", check_unsub, share_with_workers, unsub_user_conns, &topic_members},
};

static const struct command_kind *explain_no_command(char why[EXPLAIN_MAX],
                                                     const struct order *order)
{
    char unknown[EXPLAIN_MAX];
    const bool any = explain_unknown(unknown, order->text, order->len, &all_members);
    snprintf(why, EXPLAIN_MAX, "expected one of kick, kick_conn, sub, unsub%s%.200s",
             any ? "; " : "", any ? unknown : "");
    return NULL;
}

/* Returns the command named in the object, with its value in *order; or NULL, with the reason in
 * `why`. */
static const struct command_kind *find_command_kind(char why[EXPLAIN_MAX], struct order *order)
{
    const struct command_kind *found = NULL;
    if (!json_valid(order->text, order->len) || json_walk_object(order->text, order->len).failed) {
        explain_json(why, order->text, order->len);
        return NULL;
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const struct json_value value = check_member(order->text, order->len, kinds[i].name);
        if (value.type == JSON_TYPE_NONE)
            continue;
        if (found) {
            snprintf(why, EXPLAIN_MAX, "%s and %s: only one command is allowed", found->name,
                     kinds[i].name);
            return NULL;
        }
        found = &kinds[i];
        order->value = value;
    }
    return found ? found : explain_no_command(why, order);
}

static void note_malformed_command(struct worker *worker, const struct origin_text *from,
                                   const char *why, const uint8_t *payload, size_t len)
{
    static struct log_limit limit;
    uint64_t suppressed;
    stats_add(&worker->stats->commands_malformed, 1);
    if (log_allow(&limit, 10, &suppressed))
        log_warn("ctl_malformed", "channel=%s why=%s begins=%s suppressed=%llu", origin_quote(from),
                 log_quote(why, strlen(why)), log_quote(payload, len < 64 ? len : 64),
                 (unsigned long long)suppressed);
}

static void note_unknown_member(struct worker *worker, const struct origin_text *from,
                                const struct order *order, const struct names *members)
{
    char why[EXPLAIN_MAX];
    if (explain_unknown(why, order->text, order->len, members))
        unknown_note(worker, &worker->stats->unknown_command, from, why);
}

/* Returns the kind of a valid command, and its tree, which the caller owns; or NULL, with the
 * reason in `why`. */
static const struct command_kind *read_control_command(char why[EXPLAIN_MAX], struct order *order,
                                                       json_t **command)
{
    const struct command_kind *kind = find_command_kind(why, order);
    *command = NULL;
    if (!kind || !kind->check(why, order))
        return NULL;
    *command = json_loadb(order->text, order->len, 0, NULL);
    if (*command)
        return kind;
    snprintf(why, EXPLAIN_MAX, "%s", "jansson cannot read it");
    return NULL;
}

bool control_command(struct worker *worker, const uint8_t *payload, size_t len, uint64_t position)
{
    char why[EXPLAIN_MAX];
    const struct origin_text from = {worker->config->prefix, "ctl", "", 0};
    struct order order = {.text = (const char *)payload, .len = len, .position = position};
    json_t *command;
    const struct command_kind *kind = read_control_command(why, &order, &command);
    if (!kind) {
        note_malformed_command(worker, &from, why, payload, len);
        return true;
    }
    const json_t *value = json_object_get(command, kind->name);
    const bool done = kind->spread(worker, &order, command, value);
    if (done) {
        kind->run(worker, command, value);
        stats_add(&worker->stats->commands, 1);
        note_unknown_member(worker, &from, &order, kind->members);
    }
    json_decref(command);
    return done;
}

void control_copied(struct worker *worker, const uint8_t *payload, size_t len)
{
    char why[EXPLAIN_MAX];
    struct order order = {.text = (const char *)payload, .len = len};
    json_t *command;
    const struct command_kind *kind = read_control_command(why, &order, &command);
    if (kind)
        kind->run(worker, command, json_object_get(command, kind->name));
    json_decref(command);
}

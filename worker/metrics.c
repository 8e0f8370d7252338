/*
 * See metrics.h. Values are read while other processes write them: each number is consistent by
 * itself, and a moment old.
 */
#include "worker/metrics.h"

#include "common/clock.h"
#include "common/version.h"
#include "shm/backlog.h"
#include "worker/address.h"
#include "worker/admin_change.h"
#include "worker/metrics_list.h"
#include "worker/metrics_node.h"
#include "worker/node.h"
#include "worker/redis_trouble.h"

#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

static void add_slot_gauges(const struct slot *slot, uint64_t sum[GAUGE_COUNT])
{
    size_t i = 0;
#define GAUGE_ADD(name, help, value) sum[i++] += (value);
    SLOT_GAUGES(GAUGE_ADD)
#undef GAUGE_ADD
}

static void sum_slot_gauges(const struct worker *worker, uint64_t sum[GAUGE_COUNT])
{
    memset(sum, 0, GAUGE_COUNT * sizeof(*sum));
    for (uint32_t i = 0; i < worker_slots(worker); i++)
        add_slot_gauges(&worker->segment->slot[i], sum);
}

static const struct {
    const char *name, *help;
} gauges[] = {
#define GAUGE_NAME(name, help, value) {name, help},
    SLOT_GAUGES(GAUGE_NAME)
#undef GAUGE_NAME
};
_Static_assert(sizeof(gauges) / sizeof(gauges[0]) == GAUGE_COUNT, "one name for each gauge");

static void print_all_counters(const struct worker *worker, FILE *out)
{
    const char *family = "";
    for (size_t i = 0; i < stats_table_len; i++) {
        const struct stats_row *row = &stats_table[i];
        if (strcmp(row->family, family) != 0)
            fprintf(out, "# HELP wspushd_%s %s\n# TYPE wspushd_%s counter\n", row->family,
                    row->help, row->family);
        family = row->family;
        fprintf(out, "wspushd_%s%s%s%s %llu\n", family, row->labels[0] ? "{" : "", row->labels,
                row->labels[0] ? "}" : "",
                (unsigned long long)stats_sum(worker->segment->stats, worker_slots(worker), row));
    }
}

char *metrics_prometheus(const struct worker *worker, size_t *len)
{
    char *text = NULL;
    uint64_t sum[GAUGE_COUNT];
    FILE *out = open_memstream(&text, len);
    if (!out)
        return NULL;
    print_all_counters(worker, out);
    sum_slot_gauges(worker, sum);
    for (size_t i = 0; i < GAUGE_COUNT; i++)
        fprintf(out, "# HELP wspushd_%s %s\n# TYPE wspushd_%s gauge\nwspushd_%s %llu\n",
                gauges[i].name, gauges[i].help, gauges[i].name, gauges[i].name,
                (unsigned long long)sum[i]);
    metrics_node_print(worker, out);
    fclose(out);
    return text;
}

static json_t *metrics_workers_json(const struct worker *worker)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < worker->workers; i++) {
        const struct slot *slot = &worker->segment->slot[i];
        json_array_append_new(
            list, json_pack("{s:i, s:i, s:I, s:I, s:s}", "slot", (int)i, "pid",
                            (int)atomic_load(&slot->pid), "connections",
                            (json_int_t)atomic_load(&slot->connections), "restarts",
                            (json_int_t)atomic_load(&slot->restarts), "link",
                            link_state_name((enum link_state)atomic_load(&slot->link.state))));
    }
    return list;
}

/* Returns the counters. A family with labels becomes an object by label value: {"slow": 1,
 * "closed": 0}. */
static json_t *metrics_counters_json(const struct worker *worker)
{
    json_t *counters = json_object();
    for (size_t i = 0; i < stats_table_len; i++) {
        const struct stats_row *row = &stats_table[i];
        const json_int_t sum =
            (json_int_t)stats_sum(worker->segment->stats, worker_slots(worker), row);
        char label[64];
        if (sscanf(row->labels, "%*[^\"]\"%63[^\"]", label) != 1) {
            json_object_set_new(counters, row->family, json_integer(sum));
            continue;
        }
        if (!json_object_get(counters, row->family))
            json_object_set_new(counters, row->family, json_object());
        json_object_set_new(json_object_get(counters, row->family), label, json_integer(sum));
    }
    return counters;
}

json_t *metrics_json(const struct worker *worker)
{
    const struct segment_header *header = worker->segment->header;
    uint64_t sum[GAUGE_COUNT];
    char boot[16];
    snprintf(boot, sizeof(boot), "%x", header->boot_id);
    sum_slot_gauges(worker, sum);
    json_t *json = json_pack(
        "{s:s, s:s, s:s, s:I, s:o, s:o}", "node", header->node, "boot", boot, "version",
        WSPUSHD_VERSION, "uptime", (json_int_t)((clock_mono_ms() - header->began_ms) / 1000),
        "workers", metrics_workers_json(worker), "counters", metrics_counters_json(worker));
    const char *why = "";
    json_object_set_new(json, "ready", json_boolean(node_serves(worker, &why)));
    if (why)
        json_object_set_new(json, "why", json_string(why));
    char redis[TROUBLE_TEXT_MAX];
    if (redis_trouble_any(worker, redis))
        json_object_set_new(json, "redis", json_string(redis));
    for (size_t i = 0; json && i < GAUGE_COUNT; i++)
        json_object_set_new(json, gauges[i].name, json_integer((json_int_t)sum[i]));
    json_object_set_new(json, "build", json_string(version_build()));
    metrics_node_json(worker, json);
    admin_changes_json(worker, json);
    return json;
}

/* Returns the number of bytes that the kernel still holds for the client. */
static json_int_t unsent_kernel_bytes(int fd)
{
    int bytes = 0;
    return ioctl(fd, SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

static json_t *connection_json(const struct worker *worker, const struct conn *conn, uint32_t fd)
{
    char name[CONN_NAME_MAX + 1], address[ADDRESS_TEXT_MAX];
    const uint64_t word = conn_word(conn);
    const struct conn_ref ref = {fd, word_generation(word)};
    const uint32_t since = conn->since; /* another worker's clock may be ahead of ours */
    const json_int_t age = worker->now_s > since ? worker->now_s - since : 0;
    const json_int_t backlog = backlog_of(worker->segment->backlog, fd, word);
    name[conn_name(name, worker->segment->header->boot_id, ref)] = '\0';
    return json_pack("{s:s, s:s, s:i, s:s, s:I, s:I, s:I}", "conn", name, "address",
                     address_text(conn, address), "worker", (int)word_owner(word), "mode",
                     word_flags(word) & CONN_JSON ? "json" : "binary", "age", age, "queue",
                     unsent_kernel_bytes((int)fd) + backlog, "backlog", backlog);
}

/* The user's home alone can use the index, so this walks the table: a request of an operator may
 * take a millisecond. */
json_t *metrics_user(const struct worker *worker, const char *user, size_t len)
{
    json_t *list = json_array();
    const uint32_t home = worker_home(worker, user, len);
    const uint32_t high =
        atomic_load_explicit(&worker->segment->slot[home].high, memory_order_acquire);
    for (uint32_t fd = 0; fd < high; fd++) {
        struct conn copy;
        if (conn_copy(&copy, &worker->table[fd]) && word_owner(conn_word(&copy)) == home &&
            copy.user_len == len && memcmp(copy.user, user, len) == 0)
            json_array_append_new(list, connection_json(worker, &copy, fd));
    }
    return json_pack("{s:s%, s:o}", "user", user, len, "connections", list);
}

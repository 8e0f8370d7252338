/*
 * See master.h. Every step that can fail because of the configuration or the system happens before
 * the first worker exists; from then on the master only waits for events.
 */
#include "master/master.h"

#include "common/fault.h"
#include "common/log.h"
#include "common/open_fds.h"
#include "common/version.h"
#include "master/change.h"
#include "master/event_log.h"
#include "master/handover.h"
#include "master/inherit.h"
#include "master/notify.h"
#include "master/rollback.h"
#include "master/signals.h"
#include "master/supervise.h"
#include "master/upgrade.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

enum {
    LINK_OUT_SIZE = 1 << 20, /* bytes of unsent subscription commands in shared memory */
    SLOTS_MIN = 16,   /* a reload may add workers up to this; unused slots cost next to nothing */
    TOPICS_EACH = 16, /* topics of a connection, on average; unused memberships cost no memory */
    MEMBERSHIPS_MIN = 1 << 16,
    MEMBERSHIPS_MAX = 1 << 26,
    PAGE = 4096,
    /* Descriptors for which the table has room from the start: 32 KiB of the kernel's memory. It is
     * no larger because some loops of an upgrade go through the whole table. */
    FIRST_TABLE = 4096
};

static int log_start_failure(const char *what)
{
    log_error("start_failed", "what=%s why=%s", what,
              log_quote(strerror(errno), strlen(strerror(errno))));
    return -1;
}

static uint32_t round_up_to_power(uint64_t least)
{
    uint32_t size = PAGE;
    while (size < least)
        size *= 2;
    return size;
}

/* Returns the number of memberships of each worker, which may be the home of all topics. */
static uint32_t compute_membership_count(const struct config *config)
{
    const uint64_t memberships = (uint64_t)config->max_connections * TOPICS_EACH;
    if (memberships < MEMBERSHIPS_MIN)
        return MEMBERSHIPS_MIN;
    return memberships > MEMBERSHIPS_MAX ? MEMBERSHIPS_MAX : (uint32_t)memberships;
}

static uint32_t count_cores(void)
{
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (uint32_t)online : 1;
}

uint32_t master_workers(const struct config *config)
{
    const uint32_t workers = config->workers ? config->workers : count_cores();
    return workers < WORKERS_MAX ? workers : WORKERS_MAX;
}

/* Returns the number of slots: twice the number of cores. Without shared descriptors connections
 * cannot move between workers, so the number of workers cannot change. */
static uint32_t compute_slot_count(const struct config *config, uint32_t workers)
{
    uint32_t slots = 2 * count_cores() > SLOTS_MIN ? 2 * count_cores() : SLOTS_MIN;
    if (slots < workers || !config->share_descriptors)
        slots = workers;
    return slots < WORKERS_MAX ? slots : WORKERS_MAX;
}

struct budget master_budget(const struct config *config)
{
    const uint32_t workers = master_workers(config);
    return budget_share(budget_raise_limit(), config->max_connections,
                        compute_slot_count(config, workers), workers);
}

/* Returns the number of connection records. A connection has the record of its descriptor's number,
 * and the server's own descriptors may have any numbers. Assumes as many workers as slots. */
static uint32_t compute_conn_capacity(const struct config *config, uint32_t slots)
{
    const uint32_t limit = budget_raise_limit();
    const struct budget all = budget_share(UINT32_MAX, config->max_connections, slots, slots);
    const uint64_t capacity = (uint64_t)all.clients + all.refused + all.reserve;
    return capacity < limit ? (uint32_t)capacity : limit;
}

static struct segment_shape compute_segment_shape(const struct config *config, uint32_t workers)
{
    const uint32_t slots = compute_slot_count(config, workers);
    return (struct segment_shape){
        .workers = slots,
        .capacity = compute_conn_capacity(config, slots),
        .memberships = compute_membership_count(config),
        .ring_size = round_up_to_power((uint64_t)config->max_push + (256 << 10)),
        .link_in_size = round_up_to_power(2 * (uint64_t)config->max_push + PAGE),
        .link_out_size = LINK_OUT_SIZE,
    };
}

static int open_first_listeners(struct master *master)
{
    if (inherit_open() == -1)
        return -1;
    return listeners_open(&master->listeners, master->config, NULL);
}

static void on_second_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    supervise_watch(arg);
    notify_status(arg);
    log_tick();
}

static int create_or_resume_segment(struct master *master)
{
    const int resumed = handover_take_up(master);
    if (resumed != 0)
        return resumed;
    char host[NODE_NAME_MAX] = "";
    const struct segment_shape shape = compute_segment_shape(master->config, master->workers);
    const char *node = master->config->node;
    if (!node[0] && gethostname(host, sizeof(host) - 1) == 0)
        node = host;
    if (segment_create(&master->segment, &shape, node) == -1)
        return -1;
    segment_set_plan(&master->segment,
                     (struct plan){.active = master->workers, .other = master->workers});
    config_kept_text(master->config, master->segment.header->kept, KEPT_MAX);
    handover_carry_on(master);
    return 0;
}

static int start_master(struct master *master)
{
    event_log_open();
    master->base = event_base_new();
    if (!master->base || signals_open(master) == -1)
        return log_start_failure("event loop");
    budget_raise_limit();
    open_fds_make_room(FIRST_TABLE);
    if (create_or_resume_segment(master) == -1)
        return log_start_failure("shared memory");
    master->slots = master->segment.header->shape.workers;
    fault_meet_at("master");
    if (open_first_listeners(master) == -1)
        return -1;
    rollback_arm(master);
    if (upgrade_open() == -1)
        return log_start_failure("memfd_create");
    /* valgrind does not support pidfds; without one, workers do not notice the master's death. */
    master->self_fd = pidfd_open(getpid(), 0);
    if (master->self_fd == -1 && master->config->share_descriptors)
        return log_start_failure("pidfd_open");
    master->tick = event_new(master->base, -1, EV_PERSIST, on_second_tick, master);
    if (!master->tick || event_add(master->tick, &(struct timeval){1, 0}) == -1 ||
        supervise_open(master) == -1)
        return log_start_failure("workers");
    handover_close_others();
    if (handover_is_same())
        rollback_arm(master); /* with the descriptors that are open by now */
    else
        rollback_end(); /* the previous version cannot read what workers write from here on */
    /* Before supervise_start, which records the master's open descriptors. */
    if (notify_open(master) == -1)
        return log_start_failure("NOTIFY_SOCKET");
    if (supervise_start(master) == -1)
        return log_start_failure("workers");
    fault_meet_at("supervisor");
    if (change_open(master) == -1)
        return log_start_failure("event loop");
    return 0;
}

/* Writes the addresses of `listen`, separated by commas, to `out`. Returns `out`. */
static const char *write_listen_text(const struct config *config, char *out, size_t size)
{
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 0; i < config->listen.count && len < size; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%s", i > 0 ? "," : "",
                                config->listen.item[i]);
    return out;
}

/* Warns if the limit on open files allows fewer clients than max_connections. */
static void log_limit_warning(const struct config *config, const struct budget *budget)
{
    if (budget->clients < config->max_connections)
        log_warn(
            "descriptor_limit",
            "limit=%u max_connections=%u capacity=%u why=\"the limit on open files leaves room "
            "for fewer clients than max_connections: the others get 503. Raise ulimit -Hn or "
            "LimitNOFILE=, or lower max_connections\"",
            budget->limit, config->max_connections, budget->clients);
}

/* Logs the operator's first questions: the build, the file, the addresses, Redis. */
static void log_server_started(const struct master *master)
{
    const struct config *config = master->config;
    const struct budget budget = master_budget(config);
    char listen[1024], redis[512];

    log_limit_warning(config, &budget);
    write_listen_text(config, listen, sizeof(listen));
    config_redis_text(&config->redis_at, redis, sizeof(redis));
    log_info("started",
             "version=%s build=%s workers=%u capacity=%u file=%s listen=%s admin=%s redis=%s",
             WSPUSHD_VERSION, version_build(), master->workers, budget.clients,
             log_quote(master->invocation->file, strlen(master->invocation->file)),
             log_quote(listen, strlen(listen)), log_quote(config->admin, strlen(config->admin)),
             log_quote(redis, strlen(redis)));
}

int master_run(struct config *config, const struct invocation *invocation)
{
    static struct master master;
    master.config = config;
    master.invocation = invocation;
    master.workers = master_workers(config);
    if (start_master(&master) == -1)
        return 2;
    log_server_started(&master);
    event_base_dispatch(master.base);
    log_info("stopped", "status=%d", master.status);
    return master.status;
}

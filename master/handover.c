/*
 * See handover.h. The first half runs in the old version, the second half in the new one.
 */
#include "master/handover.h"

#include "common/log.h"
#include "common/open_fds.h"
#include "master/change.h"
#include "master/inherit.h"
#include "master/supervise.h"
#include "shm/layout.h"
#include "shm/migrate.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Before execve ---- */

static void keep_open_at_exec(int fd)
{
    if (fd > 0)
        fcntl(fd, F_SETFD, 0);
}

/*
 * Sets close-on-exec on every descriptor: those kept by an earlier upgrade, sockets to Redis, and
 * sockets that killed workers were accepting or closing and that no successor has found yet. The
 * new version would mistake them for its own. `clients`: except the clients' and the slots'
 * descriptors, which a successor takes over.
 */
static void close_at_exec(const struct master *master, bool clients)
{
    const uint32_t high = segment_high(&master->segment);
    const int end = open_fds_end();
    for (int fd = STDERR_FILENO + 1; fd < end; fd++)
        if (!clients || !supervise_knows(master, fd, high))
            fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void keep_slots_open(const struct master *master)
{
    for (uint32_t i = 0; i < master->slots; i++) {
        const struct slot *slot = &master->segment.slot[i];
        keep_open_at_exec(slot->epoll_fd);
        keep_open_at_exec(slot->event_fd);
        keep_open_at_exec(atomic_load(&slot->link.fd));
        keep_open_at_exec(atomic_load(&slot->parcel));
    }
}

void handover_prepare(const struct master *master, bool clients)
{
    close_at_exec(master, clients);
    if (clients)
        keep_slots_open(master);
}

static void print_descriptor(FILE *told, int fd)
{
    if (fd > 0)
        fprintf(told, " %d", fd);
}

char *handover_text(const struct master *master, int first)
{
    char *text = NULL;
    size_t len;
    FILE *told = open_memstream(&text, &len);
    if (!told)
        return NULL;
    fprintf(told, "%d", first);
    for (size_t i = 0; i < master->listeners.count; i++)
        print_descriptor(told, master->listeners.fd[i]);
    print_descriptor(told, master->listeners.admin);
    for (uint32_t i = 0; first > 0 && i < master->slots; i++)
        print_descriptor(told, master->charge[i].base.set);
    if (fclose(told) == 0)
        return text;
    free(text);
    return NULL;
}

void handover_keep(const char *text)
{
    char *at;
    keep_open_at_exec((int)strtol(text, &at, 10));
    while (*at == ' ')
        keep_open_at_exec((int)strtol(at, &at, 10));
}

/* ---- After it ---- */

static struct {
    int first;    /* the segment, or minus the number of the upgrade; 0: no handover */
    int old;      /* the segment if it has another layout; 0: it has not, or it is closed */
    size_t count; /* of the other listed descriptors */
    struct kept {
        int fd;
        bool taken;
    } * kept;
} brought;

bool handover_is_due(void)
{
    return getenv(HANDOVER_VARIABLE);
}

/* Parses " 5 6 7". Returns 0, or -1 with errno. */
static int read_kept_descriptors(char *text)
{
    const size_t most = strlen(text); /* more than there can be */
    brought.kept = calloc(most + 1, sizeof(*brought.kept));
    if (!brought.kept)
        return -1;
    while (*text == ' ')
        brought.kept[brought.count++].fd = (int)strtol(text, &text, 10);
    return 0;
}

/* Opens or migrates the segment. Its descriptor stays open and unchanged, for a rollback. */
static int take_up_segment(struct master *master)
{
    const int fd = fcntl(brought.first, F_DUPFD_CLOEXEC, 0);
    uint64_t from;
    if (fd == -1 || migrate_open(&master->segment, fd, &from) == -1)
        return -1;
    if (from == layout_fingerprint()) {
        master->segment.fd = brought.first;
        close(fd);
    } else {
        brought.old = brought.first;
        log_info("migrated", "from=%016" PRIx64 " to=%016" PRIx64 " bytes=%zu", from,
                 layout_fingerprint(), master->segment.size);
    }
    master->workers = segment_plan(&master->segment).active;
    return 1;
}

int handover_take_up(struct master *master)
{
    char *at = getenv(HANDOVER_VARIABLE);
    if (!at)
        return 0;
    brought.first = (int)strtol(at, &at, 10);
    if (read_kept_descriptors(at) == -1)
        return -1;
    unsetenv(HANDOVER_VARIABLE);
    return handover_restarted() ? 0 : take_up_segment(master);
}

void handover_carry_on(const struct master *master)
{
    if (!handover_restarted())
        return;
    board_resume(master->segment.board, CHANGE_UPGRADE, (uint32_t)-brought.first);
    change_note("the layout of shared memory has changed: clients were told of a restart");
}

bool handover_resumed(void)
{
    return brought.first != 0;
}

bool handover_restarted(void)
{
    return brought.first < 0;
}

int handover_first(void)
{
    return brought.first;
}

bool handover_is_same(void)
{
    return brought.first > 0 && brought.old == 0;
}

static int take_kept_descriptor(struct kept *kept)
{
    kept->taken = true;
    return kept->fd;
}

int handover_listener(const struct listen_address *address)
{
    for (struct kept *kept = brought.kept; kept < brought.kept + brought.count; kept++)
        if (!kept->taken && inherit_is_bound(kept->fd, address))
            return take_kept_descriptor(kept);
    return -1;
}

int handover_set(const struct slot *slot)
{
    for (struct kept *kept = brought.kept; kept < brought.kept + brought.count; kept++)
        if (!kept->taken && base_is_around(kept->fd, slot))
            return take_kept_descriptor(kept);
    return -1;
}

bool handover_brought(int fd)
{
    for (size_t i = 0; i < brought.count; i++)
        if (brought.kept[i].fd == fd)
            return true;
    return false;
}

void handover_close_others(void)
{
    for (size_t i = 0; i < brought.count; i++)
        if (!brought.kept[i].taken && !inherit_owns(brought.kept[i].fd))
            close(brought.kept[i].fd);
    free(brought.kept);
    brought.kept = NULL;
    brought.count = 0;
}

void handover_end(void)
{
    if (brought.old > 0)
        close(brought.old);
    brought.old = 0;
}

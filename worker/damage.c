/*
 * See damage.h. Nothing in a damaged record is trusted, not even its user or topics. So it is freed
 * as it is, and the user index, the topics and the counts are rebuilt from the other records. With
 * many connections that takes a moment; it happens only with a bug or failing memory.
 *
 * A descriptor is closed only if it is registered in this worker's epoll set, which holds only
 * clients: the damaged record may have the number of a Redis socket or a listener.
 */
#include "worker/damage.h"

#include "common/log.h"
#include "worker/takeover.h"

#include <sys/epoll.h>
#include <unistd.h>

bool damage_is_none(const struct worker *worker, uint32_t fd)
{
    const struct conn *conn = &worker->table[fd];
    return conn->since != 0 && conn_valid(conn, worker_slots(worker));
}

void damage_confine(struct worker *worker, uint32_t fd)
{
    static struct log_limit limit;
    struct conn *conn = &worker->table[fd];
    const uint64_t word = conn_word(conn);
    const bool registered = epoll_ctl(worker->slot->epoll_fd, EPOLL_CTL_DEL, (int)fd, NULL) == 0;
    conn_publish(conn, word_make(word_generation(word) + 1, 0, CONN_FREE, 0));
    if (registered)
        close((int)fd);
    stats_add(&worker->stats->records_damaged, 1);
    if (log_allow(&limit, 10, NULL))
        log_error("record_damaged", "fd=%u word=%016llx closed=%d", fd, (unsigned long long)word,
                  registered);
    takeover_rebuild(worker);
}

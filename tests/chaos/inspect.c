/*
 * Checks the shared memory of a running server from outside: `inspect PID` of the master finds its
 * segment in /proc, maps it, calls every structure's _valid(), and compares the counts that the
 * workers keep with the records. Prints one JSON object. Exit status 0 if all is well, 1 if not, 2
 * if there is no segment.
 *
 * The server keeps running, so a check that fails is repeated for a while: a change in progress
 * passes, damage stays. The counts agree only while no client connects or leaves.
 *
 * Only reads.
 */
#include "shm/addresses.h"
#include "shm/conn.h"
#include "shm/history.h"
#include "shm/ring.h"
#include "shm/segment.h"
#include "shm/slot.h"
#include "shm/topics.h"
#include "shm/users.h"
#include "tests/chaos/find_segment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TRIES = 400, PAUSE_MS = 5 };

static const struct segment *view;

static const struct slot *viewed_slot(uint32_t i)
{
    return &view->slot[i];
}

static uint32_t table_capacity(void)
{
    return view->header->shape.capacity;
}

/* ---- What must hold of worker i ---- */

static bool slot_ok(uint32_t i)
{
    return slot_valid(viewed_slot(i), table_capacity());
}

static bool users_ok(uint32_t i)
{
    const struct users users = {.control = &view->slot[i].users,
                                .heads = view->heads + (size_t)i * table_capacity(),
                                .siblings = view->siblings,
                                .table = view->conn,
                                .capacity = table_capacity(),
                                .seed = view->header->hash_seed};
    return users_valid(&users, i);
}

static bool topics_ok(uint32_t i)
{
    const uint32_t memberships = view->header->shape.memberships;
    const size_t first = (size_t)i * memberships;
    const struct topics topics = {.control = &view->slot[i].topics,
                                  .heads = view->topic_heads + first,
                                  .topic = view->topic + first,
                                  .member = view->member + first,
                                  .table = view->conn,
                                  .capacity = memberships,
                                  .conns = table_capacity(),
                                  .seed = view->header->hash_seed};
    return topics_valid(&topics, i);
}

static bool addresses_ok(uint32_t i)
{
    const uint32_t size = addresses_size(table_capacity());
    const struct addresses addresses = {view->addresses + (size_t)i * size, size};
    return addresses_valid(&addresses);
}

static bool streams_ok(uint32_t i)
{
    const struct segment_shape *shape = &view->header->shape;
    return stream_valid(&viewed_slot(i)->link.in, shape->link_in_size) &&
           stream_valid(&viewed_slot(i)->link.out, shape->link_out_size);
}

static bool rings_ok(uint32_t i)
{
    const uint32_t size = view->header->shape.ring_size;
    for (uint32_t to = 0; to < view->header->shape.workers; to++) {
        if (to == i)
            continue;
        static uint8_t *data[WORKERS_MAX][WORKERS_MAX];
        if (!data[i][to])
            data[i][to] = segment_mirror(view, segment_ring_offset(view, i, to), size);
        struct ring ring;
        ring_attach(&ring, segment_ring_control(view, i, to), data[i][to], size);
        if (!ring_valid(&ring))
            return false;
    }
    return true;
}

static bool records_ok(uint32_t i)
{
    for (uint32_t fd = 0; fd < table_capacity(); fd++) {
        const uint64_t word = conn_word(&view->conn[fd]);
        if (word_owner(word) == i && !conn_valid(&view->conn[fd], view->header->shape.workers))
            return false;
    }
    return true;
}

/* Compares the counts of this worker's records, and of those in its user index. */
static bool counts_ok(uint32_t i)
{
    const struct slot *slot = viewed_slot(i);
    uint32_t connections = 0, users = 0;
    for (uint32_t fd = 0; fd < table_capacity(); fd++) {
        const uint64_t word = conn_word(&view->conn[fd]);
        if (word_owner(word) != i || word_state(word) == CONN_FREE)
            continue;
        if (fd >= atomic_load(&slot->high))
            return false;
        connections++;
        users += (word_flags(word) & CONN_INDEXED) != 0;
    }
    return connections == atomic_load(&slot->connections) &&
           users == atomic_load(&slot->ready_users) && users == slot->users.count;
}

/* True if exactly the clients that are to get pushes are in the index. */
static bool indexed_ok(uint32_t i)
{
    for (uint32_t fd = 0; fd < table_capacity(); fd++) {
        const uint64_t word = conn_word(&view->conn[fd]);
        const enum conn_state state = word_state(word);
        const bool is_in = word_flags(word) & CONN_INDEXED;
        const bool belongs =
            (state == CONN_SUBSCRIBING || state == CONN_OPEN) && view->conn[fd].user_len > 0;
        if (word_owner(word) == i && is_in != belongs)
            return false;
    }
    return true;
}

/* True if no connection is half given away. */
static bool handing_ok(uint32_t i)
{
    return atomic_load(&viewed_slot(i)->handing) == 0 && atomic_load(&viewed_slot(i)->parcel) == 0;
}

/* The node has one history, written by its home: it is checked as slot 0's. */
static bool history_ok(uint32_t i)
{
    return i != 0 || history_valid(view->history);
}

static const struct {
    const char *name;
    bool (*holds)(uint32_t worker);
} laws[] = {
    {"slot", slot_ok},       {"users", users_ok},     {"topics", topics_ok},
    {"streams", streams_ok}, {"rings", rings_ok},     {"addresses", addresses_ok},
    {"records", records_ok}, {"indexed", indexed_ok}, {"counts", counts_ok},
    {"handing", handing_ok}, {"history", history_ok},
};

/* ---- The report ---- */

static bool holds_in_time(size_t law, uint32_t worker)
{
    const struct timespec pause = {0, PAUSE_MS * 1000000L};
    for (int i = 0; i < TRIES; i++) {
        if (laws[law].holds(worker))
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

static int print_faults(void)
{
    int faults = 0;
    printf("{\"faults\":[");
    for (uint32_t i = 0; i < view->header->shape.workers; i++)
        for (size_t law = 0; law < sizeof(laws) / sizeof(laws[0]); law++)
            if (!holds_in_time(law, i))
                printf("%s\"worker %u: %s\"", faults++ ? "," : "", i, laws[law].name);
    printf("]");
    return faults;
}

static void print_states(void)
{
    static const char *const name[] = {"free",        "handshake", "moving",
                                       "subscribing", "open",      "closing"};
    uint32_t count[CONN_CLOSING + 1] = {0};
    for (uint32_t fd = 0; fd < table_capacity(); fd++) {
        const uint32_t state = (uint32_t)word_state(conn_word(&view->conn[fd]));
        count[state <= CONN_CLOSING ? state : 0]++;
    }
    for (uint32_t state = CONN_HANDSHAKE; state <= CONN_CLOSING; state++)
        printf(",\"%s\":%u", name[state], count[state]);
}

static void print_work(void)
{
    uint64_t ring_bytes = 0, in = 0, out = 0;
    uint32_t topics = 0, members = 0;
    for (uint32_t i = 0; i < view->header->shape.workers; i++) {
        const struct slot *slot = viewed_slot(i);
        in += stream_level(&slot->link.in);
        out += stream_level(&slot->link.out);
        topics += atomic_load(&slot->topics.topics);
        members += atomic_load(&slot->topics.members);
        for (uint32_t to = 0; to < view->header->shape.workers; to++) {
            const struct ring_control *control = segment_ring_control(view, i, to);
            ring_bytes +=
                (atomic_load(&control->tail) & ~UINT64_C(7)) - atomic_load(&control->head);
        }
    }
    printf(",\"ring_bytes\":%llu,\"in_bytes\":%llu,\"out_bytes\":%llu,\"topics\":%u,\"members\":%u",
           (unsigned long long)ring_bytes, (unsigned long long)in, (unsigned long long)out, topics,
           members);
}

/* ---- The segment ---- */

int main(int argc, char **argv)
{
    struct segment segment;
    const int fd = argc == 2 ? find_segment(argv[1]) : -1;
    if (fd == -1 || segment_open(&segment, fd) == -1) {
        fprintf(stderr, "inspect: no segment of process %s\n", argc == 2 ? argv[1] : "?");
        return 2;
    }
    view = &segment;
    const int faults = print_faults();
    print_states();
    print_work();
    printf("}\n");
    return faults ? 1 : 0;
}

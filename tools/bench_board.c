/*
 * The shared memory of a run: one anonymous mapping for the board and the arrays after it. It is
 * zero at first, which is the initial state of everything in it.
 */
#include "tools/bench_board.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* Returns the size of the board with its arrays. */
static size_t measure_board_size(const struct bench *bench)
{
    return sizeof(struct board) + (2 * (size_t)bench->users + bench->topics + 1) * sizeof(uint32_t);
}

bool board_open(struct bench *bench)
{
    bench->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (bench->wake_fd == -1)
        return false;
    void *at = mmap(NULL, measure_board_size(bench), PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
        const int saved = errno;
        close(bench->wake_fd);
        errno = saved;
        return false;
    }
    bench->board = at;
    bench->sent[SOURCE_USER] = (_Atomic uint32_t *)(bench->board + 1);
    bench->sent[SOURCE_TOPIC] = bench->sent[SOURCE_USER] + bench->users;
    bench->sent[SOURCE_ALL] = bench->sent[SOURCE_TOPIC] + bench->topics;
    bench->away = bench->sent[SOURCE_ALL] + 1;
    atomic_store_explicit(&bench->board->measured_from, UINT64_MAX, memory_order_relaxed);
    atomic_store_explicit(&bench->board->stop_at, UINT64_MAX, memory_order_relaxed);
    return true;
}

void board_close(struct bench *bench)
{
    munmap(bench->board, measure_board_size(bench));
    close(bench->wake_fd);
}

struct swarm_sums board_sums(const struct bench *bench)
{
    struct swarm_sums sums = {0};

    for (uint32_t i = 0; i < bench->swarms; i++) {
        const struct swarm_board *swarm = &bench->board->swarm[i];
#define BOARD_ADD(name, text) sums.name += atomic_load_explicit(&swarm->name, memory_order_relaxed);
        SWARM_COUNTS(BOARD_ADD)
#undef BOARD_ADD
    }
    return sums;
}

uint64_t board_settled(const struct bench *bench)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < bench->swarms; i++)
        sum += atomic_load_explicit(&bench->board->swarm[i].settled, memory_order_relaxed);
    return sum;
}

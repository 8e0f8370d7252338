/*
 * The modes of a run. One table generates --mode, --help and the program's behaviour.
 *
 * X(name, users, topics, all, requests, churn, burst, rate, window, event, text)
 *
 *   users, topics, all   of 1,000 pushes, how many go to one user, to a topic, to all
 *   requests             of clients, per 1,000 pushes; without pushes, --rate counts them
 *   churn                true if a quarter of the clients come and go
 *   burst                true if a user gets several pushes at once
 *   rate                 per second, unless --rate is given; 0: as fast as --window allows
 *   window               deliveries or requests in flight, unless --window is given; of pushes
 *                        to many: pushes
 *   event                the event that happens to the server during the run
 */
#ifndef WSPUSHD_TOOLS_BENCH_MODES_H
#define WSPUSHD_TOOLS_BENCH_MODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* clang-format off */
#define MODES(X)                                                                                   \
    X(idle,         0,   0,    0,    0, false, false,     0,    0, NONE,                           \
      "idle connections: memory, and the server's own activity")                   \
    X(connect,      0,   0,    0,    0, false, false,     0,    0, NONE,                           \
      "a storm of connections: the time until each is ready")                                      \
    X(unicast,   1000,   0,    0,    0, false, false,     0, 1000, NONE,                           \
      "pushes, each to one user, in random order")                                                  \
    X(burst,     1000,   0,    0,    0, false, true,      0, 4000, NONE,                           \
      "several pushes at once to one user")                                                       \
    X(topic,        0, 1000,   0,    0, false, false,     0,    4, NONE,                           \
      "pushes to topics, each with its share of the clients")                          \
    X(broadcast,    0,   0, 1000,    0, false, false,     0,    2, NONE,                           \
      "pushes to all clients")                                                                       \
    X(upstream,     0,   0,    0, 1000, false, false,     0,  256, NONE,                           \
      "requests from clients: the time until the server answers")                                        \
    X(mixed,      980,  19,    1,  100, true,  false,  5000, 1000, NONE,                           \
      "pushes to users, topics and all, and requests, while clients come and go")                  \
    X(churn,     1000,   0,    0,    0, true,  false,  5000, 1000, NONE,                           \
      "pushes to users while a quarter of them come and go")                                       \
    X(steady,    1000,   0,    0,    0, false, false,  2000, 1000, PAUSE,                          \
      "as crash, but without an event: how much the machine itself stalls")                            \
    X(crash,     1000,   0,    0,    0, false, false,  2000, 1000, KILL,                           \
      "pushes to users while workers are killed")                                                  \
    X(reload,    1000,   0,    0,    0, false, false,  2000, 1000, RELOAD,                         \
      "pushes to users while the server reloads")                                                  \
    X(upgrade,   1000,   0,    0,    0, false, false,  2000, 1000, UPGRADE,                        \
      "pushes to users while the server replaces its binary")
/* clang-format on */

/* What is done to the server during a run. */
enum event {
    EVENT_NONE,
    EVENT_PAUSE,   /* nothing, but measured like an event */
    EVENT_KILL,    /* SIGKILL to the children of --server-pid, one after the other */
    EVENT_RELOAD,  /* SIGHUP to --server-pid */
    EVENT_UPGRADE, /* SIGUSR2 to --server-pid */
};

struct mode {
    const char *name, *text;
    uint16_t users, topics, all, requests;
    bool churn, burst;
    uint32_t rate, window;
    enum event event;
};

extern const struct mode modes[];
extern const size_t modes_len;

/* Returns the mode of that name (`len` bytes), or NULL. */
const struct mode *mode_find(const char *name, size_t len);

/* True if the run publishes anything. */
bool mode_pushes(const struct mode *mode);

#endif

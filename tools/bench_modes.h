/*
 * What a run does. One table: --mode, --help, the manual and the program's behaviour come from it.
 *
 * X(name, users, topics, all, requests, churn, burst, rate, window, event, text)
 *
 *   users, topics, all   of 1,000 pushes, how many go to one user, to a topic, to everybody
 *   requests             of clients, for each 1,000 pushes; without pushes, they are the rate's
 *   churn                whether a quarter of the clients come and go
 *   burst                whether a user gets several pushes at once
 *   rate                 a second, where --rate does not say; 0: as fast as --window allows
 *   window               deliveries or requests under way, where --window does not say; of pushes
 *                        to many: pushes
 *   event                what happens to the server meanwhile
 */
#ifndef WSPUSHD_TOOLS_BENCH_MODES_H
#define WSPUSHD_TOOLS_BENCH_MODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* clang-format off */
#define MODES(X)                                                                                   \
    X(idle,         0,   0,    0,    0, false, false,     0,    0, NONE,                           \
      "connections that do nothing: memory, and what the server does by itself")                   \
    X(connect,      0,   0,    0,    0, false, false,     0,    0, NONE,                           \
      "a storm of connections: how long until each is ready")                                      \
    X(unicast,   1000,   0,    0,    0, false, false,     0, 1000, NONE,                           \
      "pushes to one user each, in random order")                                                  \
    X(burst,     1000,   0,    0,    0, false, true,      0, 4000, NONE,                           \
      "several pushes at once for one user")                                                       \
    X(topic,        0, 1000,   0,    0, false, false,     0,    4, NONE,                           \
      "pushes to topics, whose members share the clients out among them")                          \
    X(broadcast,    0,   0, 1000,    0, false, false,     0,    2, NONE,                           \
      "pushes to everybody")                                                                       \
    X(upstream,     0,   0,    0, 1000, false, false,     0,  256, NONE,                           \
      "requests of clients, until the server has answered")                                        \
    X(mixed,      980,  19,    1,  100, true,  false,  5000, 1000, NONE,                           \
      "users, topics, everybody and requests at once, while clients come and go")                  \
    X(churn,     1000,   0,    0,    0, true,  false,  5000, 1000, NONE,                           \
      "pushes to users while a quarter of them come and go")                                       \
    X(steady,    1000,   0,    0,    0, false, false,  2000, 1000, PAUSE,                          \
      "as crash, but nothing happens: what the machine does by itself")                            \
    X(crash,     1000,   0,    0,    0, false, false,  2000, 1000, KILL,                           \
      "pushes to users while workers are killed")                                                  \
    X(reload,    1000,   0,    0,    0, false, false,  2000, 1000, RELOAD,                         \
      "pushes to users while the server reloads")                                                  \
    X(upgrade,   1000,   0,    0,    0, false, false,  2000, 1000, UPGRADE,                        \
      "pushes to users while the server replaces its binary")
/* clang-format on */

/* What happens to the server during a run. */
enum event {
    EVENT_NONE,
    EVENT_PAUSE,   /* nothing, but measured as if */
    EVENT_KILL,    /* SIGKILL to one child of --server-pid after the other */
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

/* The mode of that name (`len` bytes), or NULL. */
const struct mode *mode_find(const char *name, size_t len);

/* Whether the run publishes anything. */
bool mode_pushes(const struct mode *mode);

#endif

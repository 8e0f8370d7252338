/*
 * The command line. One table generates the fields of struct options, the parser and --help.
 *
 * TEXT  (field, "--name", "VALUE", help)
 * NUMBER(field, "--name", "VALUE", default, least, most, help)
 * TIME  (field, "--name", "TIME", default in ms, help)   "5s", "500ms", "2m"; kept in ms
 * FLAG  (field, "--name", help)
 */
#ifndef WSPUSHD_TOOLS_BENCH_OPTIONS_H
#define WSPUSHD_TOOLS_BENCH_OPTIONS_H

#include "tools/bench_dialect.h"
#include "tools/bench_modes.h"
#include "tools/bench_medium.h"
#include "tools/bench_payload.h"
#include "tools/bench_token.h"
#include "tools/wspush_url.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    SWARMS_MAX = 16,
    STALLS_MAX = 16, /* at most so many processors are watched: bench_stall.h */
    NODES_MAX = 16,
    EVENTS_MAX = 1000,
    MODES_MAX = 32,
    SIZE_MAX_PAYLOAD = 65536,
};

/* The value of an option that was not given and whose default depends on the mode. */
#define OPTION_UNSET UINT64_MAX

/* clang-format off */
#define BENCH_OPTIONS(TEXT, NUMBER, TIME, FLAG)                                                    \
    TEXT  (mode, "--mode", "NAME,...", "modes to run, one after the other (default unicast)")        \
    NUMBER(connections, "--connections", "N", 1000, 1, 1000000, "number of clients, one user each")            \
    NUMBER(processes, "--processes", "N", 2, 1, SWARMS_MAX, "processes that hold the clients")               \
    NUMBER(rate, "--rate", "N", OPTION_UNSET, 0, 10000000,                                         \
           "pushes or requests per second, timed from when each is due; 0: as --window allows")         \
    NUMBER(window, "--window", "N", OPTION_UNSET, 1, 1000000, "pushes or requests in flight if there is no rate")  \
    TIME  (seconds, "--seconds", "TIME", 5000, "how long to measure")                              \
    TIME  (warmup, "--warmup", "TIME", 500, "how long to run before measuring")                              \
    TIME  (drain, "--drain", "TIME", 3000, "how long to wait for missing messages at the end")      \
    TIME  (patience, "--patience", "TIME", 20000, "how long to wait for the next connection")      \
    TIME  (settle, "--settle", "TIME", 200, "how long to wait once all are connected")             \
    TIME  (nap, "--nap", "TIME", 0, "clients read their sockets at this interval instead of being woken")  \
    NUMBER(size, "--size", "BYTES", 64, PAYLOAD_MIN, SIZE_MAX_PAYLOAD, "size of a payload")             \
    NUMBER(burst, "--burst", "N", 16, 2, 10000, "pushes at once (burst)")                          \
    NUMBER(topics, "--topics", "N", 10, 1, 1000000, "topics (topic, mixed)")                       \
    NUMBER(churn, "--churn", "N", 100, 1, 1000000, "clients per second that leave (churn, mixed)")   \
    NUMBER(first, "--first", "N", OPTION_UNSET, 1, 1000000,                                        \
           "connections opened before the first measurement of memory (idle; default a tenth)")                    \
    NUMBER(connect_rate, "--connect-rate", "N", 0, 0, 10000000,                                    \
           "connections per second; 0: as --connect-window allows")                          \
    NUMBER(connect_window, "--connect-window", "N", 256, 1, 100000, "handshakes in progress at once")        \
    NUMBER(events, "--events", "N", 5, 1, EVENTS_MAX, "number of kills, reloads or upgrades")                \
    TIME  (every, "--every", "TIME", 1000, "time between two events")                                \
    TEXT  (dialect, "--dialect", "NAME", "the server's protocol: wspush (default), plain, socketio")        \
    TEXT  (jwt_key, "--jwt-key", "FILE", "clients log in with tokens signed with this secret (HS256)") \
    TEXT  (format, "--format", "NAME", "format of a push to wspushd: raw (default), envelope")            \
    NUMBER(op, "--op", "N", 110, 0, 16777215, "opcode of pushes")                                  \
    NUMBER(request_op, "--request-op", "N", 110, 100, 16777215, "opcode of requests")              \
    TEXT  (publish, "--publish", "URL", "redis://HOST:PORT (default redis://127.0.0.1:6379) or http://...") \
    NUMBER(publish_connections, "--publish-connections", "N", 1, 1, PIPES_MAX, "connections to publish over")    \
    TEXT  (user_channel, "--user-channel", "PATTERN", "channel of a user, {} is the user (push:user:{}; HTTP: /pub?id={})") \
    TEXT  (topic_channel, "--topic-channel", "PATTERN", "channel of a topic, {} is its number (push:topic:bench:{})") \
    TEXT  (topic_name, "--topic-name", "PATTERN", "topic that clients join (bench:{})")                  \
    TEXT  (all_channel, "--all-channel", "NAME", "channel of all clients (push:all; HTTP: /pub?id=all)")      \
    TEXT  (server_pid, "--server-pid", "PID,...", "measure these processes and their children")    \
    NUMBER(redis_pid, "--redis-pid", "PID", 0, 1, INT32_MAX, "measure this process as Redis")          \
    FLAG  (syscalls, "--syscalls", "count the server's system calls (perf_event_open(2); slows the server)") \
    NUMBER(seed, "--seed", "N", 1, 0, UINT32_MAX, "seed of the random numbers")                         \
    TEXT  (json, "--json", "FILE", "write the results to FILE; -: to standard output, without the table") \
    FLAG  (quiet, "--quiet", "no progress line")                                                   \
    FLAG  (version, "--version", "print the version and exit")                                     \
    FLAG  (help, "--help", "print this help and exit")
/* clang-format on */

struct options {
#define OPTION_TEXT(field, ...)   const char *field;
#define OPTION_NUMBER(field, ...) uint64_t field;
#define OPTION_TIME(field, ...)   uint64_t field;
#define OPTION_FLAG(field, ...)   bool field;
    BENCH_OPTIONS(OPTION_TEXT, OPTION_NUMBER, OPTION_TIME, OPTION_FLAG)
#undef OPTION_TEXT
#undef OPTION_NUMBER
#undef OPTION_TIME
#undef OPTION_FLAG
    struct url
        url[NODES_MAX]; /* of a server, or of its nodes, among which the clients are distributed */
    size_t urls;
    pid_t server[NODES_MAX]; /* --server-pid */
    size_t servers;
    const struct mode *run[MODES_MAX]; /* the modes, in the order of --mode */
    size_t runs;
    const struct dialect *speaks;
    const struct medium *medium;         /* how pushes are published */
    const char *publish_at;              /* HOST:PORT of --publish */
    const char *channel[SOURCE_STREAMS]; /* patterns, by enum source */
    bool envelope;
    struct token_key token_key; /* --jwt-key */
};

enum options_result {
    OPTIONS_RUN,
    OPTIONS_DONE,  /* --help or --version was answered */
    OPTIONS_WRONG, /* an error was printed on stderr */
};

/* Fills an all-zero struct from the command line, and checks everything. */
enum options_result options_parse(struct options *options, int argc, char **argv);
void options_free(struct options *options);

#endif

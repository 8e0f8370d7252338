/*
 * The command line. One table: the fields of struct options, the parser and --help come from it.
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
    STALLS_MAX = 16, /* processors that are watched: bench_stall.h */
    NODES_MAX = 16,
    EVENTS_MAX = 1000,
    MODES_MAX = 32,
    SIZE_MAX_PAYLOAD = 65536,
};

/* An option that was not given, where the mode has a default of its own. */
#define OPTION_UNSET UINT64_MAX

/* clang-format off */
#define BENCH_OPTIONS(TEXT, NUMBER, TIME, FLAG)                                                    \
    TEXT  (mode, "--mode", "NAME,...", "what to do, one after the other (default unicast)")        \
    NUMBER(connections, "--connections", "N", 1000, 1, 1000000, "clients, a user each")            \
    NUMBER(processes, "--processes", "N", 2, 1, SWARMS_MAX, "that hold the clients")               \
    NUMBER(rate, "--rate", "N", OPTION_UNSET, 0, 10000000,                                         \
           "pushes or requests a second, counted from when each was due; 0: see --window")         \
    NUMBER(window, "--window", "N", OPTION_UNSET, 1, 1000000, "under way at once without a rate")  \
    TIME  (seconds, "--seconds", "TIME", 5000, "how long to measure")                              \
    TIME  (warmup, "--warmup", "TIME", 500, "how long to run before")                              \
    TIME  (drain, "--drain", "TIME", 3000, "how long to wait for what is missing at the end")      \
    TIME  (patience, "--patience", "TIME", 20000, "how long to wait for the next connection")      \
    TIME  (settle, "--settle", "TIME", 200, "how long to wait once all are connected")             \
    TIME  (nap, "--nap", "TIME", 0, "clients look at their sockets only so often: nobody wakes them")  \
    NUMBER(size, "--size", "BYTES", 64, PAYLOAD_MIN, SIZE_MAX_PAYLOAD, "of a payload")             \
    NUMBER(burst, "--burst", "N", 16, 2, 10000, "pushes at once (burst)")                          \
    NUMBER(topics, "--topics", "N", 10, 1, 1000000, "topics (topic, mixed)")                       \
    NUMBER(churn, "--churn", "N", 100, 1, 1000000, "clients a second that leave (churn, mixed)")   \
    NUMBER(first, "--first", "N", OPTION_UNSET, 1, 1000000,                                        \
           "connections from which memory is measured (idle; default a tenth)")                    \
    NUMBER(connect_rate, "--connect-rate", "N", 0, 0, 10000000,                                    \
           "connections a second; 0: as fast as --connect-window allows")                          \
    NUMBER(connect_window, "--connect-window", "N", 256, 1, 100000, "handshakes under way")        \
    NUMBER(events, "--events", "N", 5, 1, EVENTS_MAX, "kills, reloads or upgrades")                \
    TIME  (every, "--every", "TIME", 1000, "the time between them")                                \
    TEXT  (dialect, "--dialect", "NAME", "the server's: wspush (default), plain, socketio")        \
    TEXT  (jwt_key, "--jwt-key", "FILE", "clients log in by tokens signed with this secret (HS256)") \
    TEXT  (format, "--format", "NAME", "of a push to wspushd: raw (default), envelope")            \
    NUMBER(op, "--op", "N", 110, 0, 16777215, "opcode of pushes")                                  \
    NUMBER(request_op, "--request-op", "N", 110, 100, 16777215, "opcode of requests")              \
    TEXT  (publish, "--publish", "URL", "redis://HOST:PORT (default redis://127.0.0.1:6379) or http://...") \
    NUMBER(publish_connections, "--publish-connections", "N", 1, 1, PIPES_MAX, "to publish by")    \
    TEXT  (user_channel, "--user-channel", "PATTERN", "{}: the user (push:user:{}; HTTP: /pub?id={})") \
    TEXT  (topic_channel, "--topic-channel", "PATTERN", "{}: the topic's number (push:topic:bench:{})") \
    TEXT  (topic_name, "--topic-name", "PATTERN", "what clients join (bench:{})")                  \
    TEXT  (all_channel, "--all-channel", "NAME", "everybody's (push:all; HTTP: /pub?id=all)")      \
    TEXT  (server_pid, "--server-pid", "PID,...", "measure these processes and their children")    \
    NUMBER(redis_pid, "--redis-pid", "PID", 0, 1, INT32_MAX, "measure this one as Redis")          \
    FLAG  (syscalls, "--syscalls", "count the server's system calls (perf_event_open(2); slows it)") \
    NUMBER(seed, "--seed", "N", 1, 0, UINT32_MAX, "of all that is random")                         \
    TEXT  (json, "--json", "FILE", "write the results there; -: to standard output, without a table") \
    FLAG  (quiet, "--quiet", "no progress line")                                                   \
    FLAG  (version, "--version", "print the version and exit")                                     \
    FLAG  (help, "--help", "print this and exit")
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
    struct url url[NODES_MAX]; /* of a server, or of its nodes, which share the clients out */
    size_t urls;
    pid_t server[NODES_MAX]; /* --server-pid */
    size_t servers;
    const struct mode *run[MODES_MAX]; /* the modes, in the order of --mode */
    size_t runs;
    const struct dialect *speaks;
    const struct medium *medium;         /* by which is published */
    const char *publish_at;              /* HOST:PORT of --publish */
    const char *channel[SOURCE_STREAMS]; /* patterns, by enum source */
    bool envelope;
    struct token_key token_key; /* --jwt-key */
};

enum options_result {
    OPTIONS_RUN,
    OPTIONS_DONE,  /* --help or --version was answered */
    OPTIONS_WRONG, /* said on stderr what is wrong */
};

/* Fills an all-zero struct from the command line, and checks all of it. */
enum options_result options_parse(struct options *options, int argc, char **argv);
void options_free(struct options *options);

#endif

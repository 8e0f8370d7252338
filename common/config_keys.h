/*
 * The table of all keys of push.conf outside of sections. It generates the fields of struct config,
 * libconfuse's options, the bounds, the output of `wspushd -k`, and the check that push.conf and
 * docs/ agree with the code. The keys within sections are in config_table.c.
 *
 * INT (key, default, least, most, unit, reload, help)
 * BOOL(key, default, reload, help)
 * STR (key, default, reload, help)
 * ENUM(key, default, values, reload, help)     values: an X-macro list of (ENUM_NAME, "word")
 * LIST(key, default as initialisers, reload, help)
 *
 * reload: RELOAD takes effect on SIGHUP or on an upgrade, RESTART only when the server is
 * restarted; RELOAD_ONLY takes effect on SIGHUP, and an upgrade is refused while its value differs.
 */
#ifndef WSPUSHD_COMMON_CONFIG_KEYS_H
#define WSPUSHD_COMMON_CONFIG_KEYS_H

#define SLOW_POLICIES(X)   \
    X(SLOW_CLOSE, "close") \
    X(SLOW_DROP_OLDEST, "drop_oldest")
#define DEVICE_POLICIES(X)     \
    X(DEVICE_REJECT, "reject") \
    X(DEVICE_REPLACE, "replace")
#define LOG_LEVELS(X)            \
    X(CONFIG_LOG_ERROR, "error") \
    X(CONFIG_LOG_WARN, "warn")   \
    X(CONFIG_LOG_INFO, "info")   \
    X(CONFIG_LOG_DEBUG, "debug")
#define AUTH_METHODS(X)        \
    X(AUTH_JWT, "jwt")         \
    X(AUTH_SESSION, "session") \
    X(AUTH_HEADER, "header")   \
    X(AUTH_NONE, "none")
#define PAYLOAD_KINDS(X) \
    X(KIND_ANY, "any")   \
    X(KIND_UTF8, "utf8") \
    X(KIND_JSON, "json")

/* clang-format off */
#define CONFIG_KEYS(INT, BOOL, STR, ENUM, LIST)                                                    \
    LIST(listen, {"0.0.0.0:8080"}, RELOAD_ONLY, "addresses to listen on for clients: \"host:port\", \"[::]:port\" or \"unix:/path\"; \"... proxy\": behind the PROXY protocol") \
    STR (listen_mode, "", RELOAD, "permissions of the unix sockets in listen, in octal: \"0660\"; empty: as the umask leaves them") \
    STR (path, "/ws", RELOAD, "path of the WebSocket endpoint") \
    STR (echo_path, "", RELOAD, "path of a plain WebSocket echo without opcodes; empty: none") \
    INT (workers, 0, 0, 64, "processes", RELOAD_ONLY, "worker processes; 0: one for each core") \
    INT (max_connections, 100000, 1, 16000000, "connections", RESTART, "clients of the whole node; further ones get 503") \
    INT (max_per_address, 0, 0, 16000000, "connections", RELOAD, "connections from one client address to this node; further ones get 503; 0: no limit") \
    INT (handshake_rate, 0, 0, 1000000, "handshakes a second", RELOAD, "handshakes of the whole node; further ones get 503; 0: no limit") \
    INT (max_message, 65536, 128, 16777216, "bytes", RELOAD, "largest message from a client; larger ones close with 1009") \
    INT (max_push, 1048576, 1024, 16777216, "bytes", RESTART, "largest push from Redis; larger ones are dropped and counted") \
    STR (admin, "127.0.0.1:8081", RELOAD_ONLY, "address of the admin HTTP interface; empty: none") \
    STR (admin_mode, "", RELOAD, "permissions of admin's unix socket, in octal: \"0600\"; empty: as the umask leaves them") \
    STR (admin_token, "", RELOAD, "secret required in every request to the admin interface except /healthz and /readyz; empty: none") \
    LIST(admin_hosts, {NULL}, RELOAD, "host names accepted in requests to the admin interface without admin_token, besides localhost and IP addresses") \
    STR (redis, "redis://127.0.0.1:6379/0", RELOAD, "redis://[user:password@]host[:port][/db] or unix:///path[?db=N]") \
    STR (prefix, "push:", RESTART, "prefix of every channel's name") \
    INT (queue_limit, 262144, 1024, 1073741824, "bytes", RELOAD, "largest backlog of one slow client: its bytes, plus 64 for each message") \
    ENUM(slow_policy, SLOW_CLOSE, SLOW_POLICIES, RELOAD, "what to do when a client reaches its queue_limit") \
    INT (request_limit, 16777216, 65536, 1073741824, "bytes", RELOAD, "memory of each worker for requests that Redis has not answered yet; one connection gets at most half of the free part; further requests are answered unavailable") \
    INT (send_buffer, 131072, 4096, 16777216, "bytes", RESTART, "SO_SNDBUF of a client's socket: how much unsent data the kernel buffers") \
    INT (heartbeat, 25, 1, 3600, "seconds", RELOAD, "silence of a client after which it is pinged") \
    INT (heartbeat_timeout, 10, 1, 3600, "seconds", RELOAD, "silence after the ping after which the connection is closed with 4009") \
    INT (handshake_timeout, 10, 1, 300, "seconds", RELOAD, "time limit for a client's handshake") \
    INT (auth_timeout, 3, 1, 60, "seconds", RELOAD, "time limit for looking up a session in Redis; then 503") \
    INT (drain_timeout, 10, 0, 3600, "seconds", RELOAD, "time over which a final stop spreads the clients' reconnects") \
    INT (watchdog, 5, 1, 300, "seconds", RELOAD, "a worker whose event loop hangs for longer is killed and replaced") \
    INT (max_devices, 0, 0, 10000, "connections", RELOAD, "connections of one user on this node; 0: no limit") \
    ENUM(device_policy, DEVICE_REJECT, DEVICE_POLICIES, RELOAD, "what to do with a connection above max_devices") \
    LIST(topics, {NULL}, RELOAD, "topics that clients may join: \"room:*\", \"user:{user}:*\"; empty: none") \
    INT (max_topics, 100, 1, 1000, "topics", RELOAD, "topics that one connection may join") \
    LIST(origins, {NULL}, RELOAD, "origins from which browsers may connect, besides the server's own: \"https://app.example.org\", \"https://*.example.org\"; \"*\": any") \
    BOOL(console, false, RELOAD, "serve a page to try the server by hand at / of the listener") \
    LIST(trusted_proxies, {"127.0.0.1/32"}, RELOAD, "networks whose PROXY header, X-Forwarded-For and login header are trusted") \
    LIST(auth, {"none"}, RELOAD, "login methods, tried in order: jwt, session, header, none") \
    BOOL(allow_insecure, false, RELOAD, "allow auth none, and admin without admin_token, on a listener that is not loopback") \
    STR (node, "", RESTART, "this node's name in HELLO and in the log; empty: the host name") \
    STR (log, "", RESTART, "file for the log, reopened on SIGUSR1; empty: stderr") \
    ENUM(log_level, CONFIG_LOG_INFO, LOG_LEVELS, RELOAD, "least severe level that is logged") \
    BOOL(share_descriptors, true, RESTART, "one descriptor table for all processes; false only under valgrind, with workers = 1")
/* clang-format on */

#endif

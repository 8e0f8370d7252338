/*
 * Explains the words on the page. For counters it uses the HELP of /metrics, so that there is one text
 * for each; the values of their labels, which have no HELP, are explained here, as are the tiles, the
 * charts and the columns of tables.
 */

/* Values of labels: by counter, then by value. tests/integration/test_dashboard.py fails if one is
 * missing. */
const values = {
    connections_closed_total: {
        peer: "the client closed it",
        reset: "it broke, or ended before its handshake was over",
        protocol: "the client broke the WebSocket protocol",
        slow: "the client read too slowly: queue_limit bytes waited for it (4008)",
        heartbeat: "the client did not answer a ping in time (4009)",
        kicked: "a backend or an operator closed it",
        replaced: "a newer login of the user took its place: device_policy (4002)",
        expired: "the token expired and was not renewed",
        drain: "the server stopped or restarted",
        dirty: "a worker died while it held bytes of this connection (1012)",
        poison: "what the client sent has killed two workers",
    },
    handshakes_refused_total: {
        bad_request: "400: not a WebSocket handshake",
        login: "401: the token or session was not accepted",
        origin: "403: a page of an origin that is not in origins",
        full: "503: the server has as many connections as it may have",
        not_ready: "503: the node was not ready; the state at the top says why",
        address: "503: the client's address has max_per_address connections",
        rate: "503: more handshakes a second than handshake_rate allows",
        login_unavailable: "503: Redis did not tell in time whether the session is valid",
        devices: "409: the user has max_devices connections",
        timeout: "the client did not finish its handshake in time",
    },
    push_malformed_total: {
        short: "a binary push shorter than its opcode",
        bad_json: "not JSON",
        no_op: "no member \"op\"",
        bad_op: "\"op\" is not an opcode that backends may send",
        two_payloads: "more than one of \"data\", \"text\" and \"base64\"",
        bad_text: "\"text\" is not a string",
        bad_base64: "\"base64\" is not base64",
        bad_option: "an option with a value that it cannot have",
        too_large: "larger than max_push",
    },
    pushes_dropped_total: {
        slow: "the client read too slowly, and its queue was full",
        closed: "the connection ended before the push was sent",
        no_connection: "the user or topic had no connection here any more",
        expired: "its ttl was over while it waited for a slow client",
        replaced: "a newer push with the same key took its place while it waited",
        poison: "it has killed two workers, and was set aside",
    },
    unknown_members_total: {
        push: "in the envelope of a push",
        command: "in a command on push:ctl",
        admin: "in the body of a request to this interface",
    },
    requests_total: {
        2: "PING: is answered with PONG",
        3: "PONG: the answer to the server's PING",
        4: "SUB: join topics",
        6: "UNSUB: leave topics",
        10: "AUTH: a new token before the old one expires",
        other: "opcodes that nobody serves, and those of push.conf beyond 120",
    },
};

/* Everything else that the page shows: word, meaning. */
export const glossary = {
    "connections": "Clients that are connected to this node now, and how many there may be at once: max_connections of push.conf, or what the limit on open files allows.",
    "with a user": "Connections that are logged in. A user with two devices counts twice.",
    "topic members": "Memberships of connections in topics: a connection in three topics counts three times.",
    "pushes": "Messages for users and topics that Redis delivered to this node (PUBLISH).",
    "deliveries": "A push makes one delivery for each connection of its user. It counts when the kernel has taken its last byte.",
    "dropped": "Deliveries that came to nothing. The counters below tell the reasons.",
    "latency": "From the read of a push from Redis to the send that gave it to the kernel: what this server adds. p50: half of the deliveries were faster. p99: all but one in a hundred were faster. Computed from a histogram, so between its bounds it is an estimate.",
    "CPU": "Of all processes of the server together. 100 % is one core.",
    "memory": "Resident memory of all processes, with what they share counted once. The kernel's memory of the sockets is not in it.",
    "files open": "Open descriptors of all processes together, and the limit on them. Each connection is one.",
    "Redis links": "Each worker has a connection to Redis for subscriptions and pushes. While one is not up, the node is not ready.",
    "gaps told": "Times that a worker told its clients that pushes may be missing, because its link to Redis was down (GAP).",
    "restarts": "Deaths of the worker in this slot. Its successor keeps the clients.",
    "slot": "The worker's number. It stays when another process takes over.",
    "queue": "Bytes that wait for the client, in the kernel and in the worker.",
    "backlog": "Those of them that are in the worker's memory, which queue_limit bounds.",
    "mode": "Whether the client gets binary messages or JSON.",
};

let helps = new Map(); /* by name without the prefix */

/* Reads the HELP lines of /metrics. */
export function learnHelp(text) {
    helps = new Map([...text.matchAll(/^# HELP (?:wspushd_)?(\w+) (.*)$/gm)].map(([, name, help]) => [name, help]));
}

/* The meaning of a counter or, if it has labels, of this value of the label. "" if unknown. */
export function meaning(name, value) {
    if (value === undefined) return helps.get(name) ?? "";
    return values[name]?.[value] ?? (name === "requests_total" ? "an opcode of push.conf" : "");
}

/*
 * The console: connects as a user, shows every message decoded, sends requests. wspushd itself serves
 * it if push.conf has console = true, from memory, with a content security policy that restricts it
 * to its own server. console.json gives it the settings of push.conf.
 */
import { OPCODES, PushClient, encode, opcodeName } from "./wspush.js";

const KEPT = 500;       /* messages shown */
const HEX_BYTES = 256;  /* of a message */
const BUTTONS = 7;      /* opcodes of push.conf that have a button; the others are in the list */
const HEALTH_MS = 3000; /* between two checks of whether the server is ready */

const find = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
let client = null;
let shown = 0;
let method = "user";  /* how to log in: "user", "token", "session" or "proxy" */
let settings = null;  /* console.json */
let names = {};       /* of the opcodes in push.conf */
let wasReady = false; /* the present client has received HELLO */

/* Suggested payloads for the opcodes of the example application, by their names in push.conf:
 * examples/backend.py. */
const samples = {
    "add-friend": { payload: '{"to": "7", "text": "我们都好"}', hint: "The other user gets 110, and you learn whether they are online." },
    "get-info": { payload: "{}", hint: "Only your connection gets the answer: the users who asked to be your friends." },
    echo: { payload: "hello", hint: "The server itself sends it back." },
    PING: { payload: "", hint: "The server answers PONG with the same payload." },
};
const kinds = { json: "{}", utf8: "hello", any: "hello" }; /* a payload for any other opcode */

const nameOf = (op) => opcodeName(op) ?? names[op]?.name ?? "";
const sampleOf = (op) => samples[nameOf(op)] ?? { payload: kinds[names[op]?.payload] ?? "" };

/* ---- The list of messages ---- */

function element(tag, className, text) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
}

function clock() {
    const now = new Date();
    return `${now.toLocaleTimeString("en-GB")}.${String(now.getMilliseconds()).padStart(3, "0")}`;
}

/* Changes the list; if its end was in view, it stays in view. */
function keepAtEnd(change) {
    const list = find("messages");
    const atEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 40;
    change(list);
    if (atEnd) list.scrollTop = list.scrollHeight;
}

function add(className, way, op, body, size, bytes) {
    const line = element("li", className);
    const label = element("span", "op");
    label.append(...op);
    line.append(element("time", "", clock()), element("span", "way", way), label,
        element("span", "body", body), element("span", "size", size));
    if (bytes) line.append(hex(bytes));
    keepAtEnd((list) => {
        list.append(line);
        while (list.children.length > KEPT) list.firstChild.remove();
    });
    find("empty").hidden = true;
    find("count").textContent = String(++shown);
}

const digits = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");

/* Highlights the opcode's four bytes. */
function hex(message) {
    const out = element("span", "hex");
    const all = encode(message.op, message.bytes);
    out.append(element("b", "", digits(all.subarray(0, 4))), `  ${digits(all.subarray(4, HEX_BYTES))}`);
    if (all.length > HEX_BYTES) out.append(" …");
    return out;
}

const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;

/* The meaning of some of the server's messages. */
const words = {
    [OPCODES.GAP]: ({ ms }) => `pushes may be missing: Redis was out of reach for ${seconds(ms)}`,
    [OPCODES.BYE]: ({ reason, reconnect_ms: ms }) => `the server ends this connection (${reason}); come back in ${seconds(ms)}`,
};

function bodyOf(message) {
    if (words[message.op] && message.data) return words[message.op](message.data);
    if (message.data !== undefined && typeof message.data === "object")
        return JSON.stringify(message.data, null, 1).replace(/\n\s*/g, " ").replace(/([{[]) | ([}\]])/g, "$1$2");
    return message.text ?? `${message.bytes.length} bytes`;
}

function show(direction, message) {
    const bad = direction === "in" && [OPCODES.ERROR, OPCODES.GAP].includes(message.op);
    add(bad ? "in bad" : direction, direction === "in" ? "←" : "→",
        [element("b", "", String(message.op)), ` ${nameOf(message.op)}`], bodyOf(message),
        `${message.bytes.length + 4} B`, message);
    if (direction === "in") showTopics(message);
}

function note(text, bad = false) {
    add(bad ? "note bad" : "note", "·", [], text, "");
}

/* ---- The connection ---- */

const texts = {
    connecting: () => "connecting …",
    open: () => "connected, waiting for HELLO",
    ready: (hello) => `ready as ${hello.user}`,
    waiting: ({ delay }) => `again in ${seconds(delay)}`,
    closed: ({ code }) => (code && code !== 1000 ? `closed: ${code}` : "not connected"),
};

function showState(state, details) {
    const output = find("state");
    output.textContent = texts[state](details);
    output.dataset.state = state === "closed" && details.code !== 1000 ? "failed" : state;
    find("connect").textContent = state === "closed" ? "Connect" : "Disconnect";
    find("send").disabled = find("join").disabled = state !== "ready";
    find("hello").hidden = state !== "ready";
    find("user").disabled = find("secret").disabled = state !== "closed";
    if (state === "ready") {
        wasReady = true;
        for (const field of document.querySelectorAll("[data-hello]"))
            field.textContent = details[field.dataset.hello] + (field.dataset.hello === "heartbeat" ? " s" : "");
        showPublish(details.user);
    } else {
        find("joined").replaceChildren(); /* memberships end with their connection */
    }
    const why = details.reason ? `: ${details.reason}` : "";
    if (state === "waiting") note(`closed with ${details.code}${why}; again in ${Math.round(details.delay)} ms`);
    if (state === "closed" && client) note(`closed with ${details.code}${why}`, details.code !== 1000);
    if (state === "waiting" && !wasReady) explain(client);
}

/* A browser does not tell a page why a handshake failed. The server answers a plain request to the
 * same endpoint with its reply to the login. */
async function explain(failed) {
    const url = new URL(failed.url);
    url.protocol = location.protocol;
    const response = await fetch(url, { headers: { "X-Login-Check": "1" } }).catch(() => null);
    if (client !== failed || wasReady) return;
    if (!response) return note("the server cannot be reached", true);
    if (response.status === 204)
        return note("the login is accepted, but the handshake failed: see the server's log (origin_refused?) and that of a proxy in front of it", true);
    const { error, message } = await response.json();
    note(`${response.status} ${error}: ${message}`, true);
    if (response.status < 500) { /* it would have the same result */
        disconnect();
        find("state").textContent = `refused: ${response.status}`;
        find("state").dataset.state = "failed";
    }
}

/* ---- The settings of push.conf ---- */

/* The path of console.json is relative: a proxy may serve both below a different path. */
const fetchSettings = () => fetch("console.json").then((response) => response.json());

/* The login methods that push.conf allows and a browser supports: it cannot set custom headers. */
const methods = {
    user: { label: "User", hint: "", has: ({ auth }) => auth.includes("none") },
    token: {
        label: "Token", has: ({ auth }) => auth.includes("jwt"),
        hint: ({ jwt }) => (jwt.query ? `sent as ?${jwt.query}=` : jwt.cookie ? `sent as the cookie ${jwt.cookie}` :
            "push.conf has neither jwt.cookie nor jwt.query, and a browser cannot send a header"),
    },
    session: {
        label: "Session", has: ({ auth, session }) => auth.includes("session") && session.cookie,
        hint: ({ session }) => `sent as the cookie ${session.cookie}`,
    },
    proxy: { label: "Proxy", hint: () => "the proxy in front says who you are", has: ({ auth }) => auth.includes("header") },
};

function pickMethod(picked) {
    method = picked;
    for (const button of find("methods").children)
        button.setAttribute("aria-pressed", String(button.dataset.method === picked));
    const byName = picked === "user", bySecret = picked === "token" || picked === "session";
    find("user").hidden = find("users").hidden = !byName;
    find("user").required = byName;
    find("secret").hidden = find("secret").disabled = !bySecret;
    find("secret").required = bySecret;
    find("who").textContent = methods[picked].label;
    find("who").htmlFor = bySecret ? "secret" : "user";
    find("login-hint").hidden = byName;
    find("login-hint").textContent = byName ? "" : methods[picked].hint(settings);
}

function showMethods() {
    const possible = Object.keys(methods).filter((name) => methods[name].has(settings));
    find("methods").replaceChildren(...possible.map((name) => {
        const button = element("button", "", methods[name].label);
        button.type = "button";
        button.dataset.method = name;
        return button;
    }));
    find("methods").hidden = possible.length < 2;
    pickMethod(possible[0] ?? "user");
}

function showOpcodes() {
    names = Object.fromEntries(settings.opcodes.map((rule) => [rule.op, rule]));
    const known = [...settings.opcodes, { op: OPCODES.PING, name: "PING" }];
    find("known").replaceChildren(...known.map(({ op, name }) => {
        const option = element("option", "", name);
        option.value = op;
        return option;
    }));
    find("opcodes").replaceChildren(...[...known.slice(0, BUTTONS), known.at(-1)]
        .filter((rule, i, all) => all.indexOf(rule) === i)
        .map(({ op, name }) => {
            const button = element("button");
            button.type = "button";
            button.dataset.op = op;
            button.append(element("b", "", op), ` ${name}`);
            return button;
        }));
}

function showPublish(user) {
    const { publish, prefix } = settings;
    find("publish").textContent = `${publish} \\\n  publish ${shell(`${prefix}user:${user}`)} \\\n  '{"op":110,"data":{"text":"我们都好"}}'`;
}

/* As one word for a shell. */
const shell = (text) => (/^[\w:.@/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

async function showHealth() {
    const output = find("health");
    const now = document.hidden ? { ready: true } : await fetchSettings().catch(() => ({ ready: false, why: "it does not answer" }));
    output.hidden = now.ready;
    output.textContent = now.ready ? "" : `the server is not ready: ${now.why}`;
}

/* ---- Topics ---- */

function showTopics({ op, data }) {
    if (op !== OPCODES.SUBBED && op !== OPCODES.UNSUBBED) return;
    for (const name of data?.topics ?? []) {
        [...find("joined").children].find((chip) => chip.dataset.topic === name)?.remove();
        if (op === OPCODES.UNSUBBED) continue;
        const chip = element("button", "", `${name} ×`);
        chip.type = "button";
        chip.dataset.topic = name;
        chip.title = `leave ${name}`;
        find("joined").append(chip);
        find("publish-topic").hidden = false;
        find("publish-topic").textContent =
            `${settings.publish} \\\n  publish ${shell(`${settings.prefix}topic:${name}`)} \\\n  '{"op":110,"data":{"text":"hello, all"}}'`;
    }
}

/* ---- Connecting ---- */

function address() {
    const url = new URL(settings.path.slice(1), document.baseURI);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    if (method === "user") url.search = new URLSearchParams({ user: find("user").value.trim() }).toString();
    if (method === "token" && settings.jwt.query)
        url.search = new URLSearchParams({ [settings.jwt.query]: find("secret").value.trim() }).toString();
    return url;
}

/* The cookie that carries the token or the session; a session cookie. */
function setCookie() {
    const name = method === "session" ? settings.session.cookie : method === "token" && !settings.jwt.query ? settings.jwt.cookie : "";
    if (name) document.cookie = `${name}=${find("secret").value.trim()}; path=/; SameSite=Strict`;
}

function connect() {
    if (client && client.state !== "closed") return;
    setCookie();
    wasReady = false;
    const url = address();
    client = new PushClient(url);
    client.url = url;
    client.on("state", showState);
    client.on("message", (message) => show("in", message));
    client.on("sent", (message) => show("out", message));
    document.title = `${method === "user" ? find("user").value.trim() : method} · wspushd`;
}

function disconnect() {
    client.close();
    client = null;
}

/* ---- The forms ---- */

function pickUser(user) {
    const other = user === "7" ? "42" : "7";
    find("user").value = user;
    find("other").href = `?user=${other}`;
    find("other").textContent = `as ${other} in another tab ↗`;
    showPublish(user);
}

function pickOpcode(op, payload) {
    find("op").value = op;
    find("payload").value = payload ?? sampleOf(op).payload;
    for (const button of find("opcodes").children)
        button.setAttribute("aria-pressed", String(button.dataset.op === String(op)));
    find("hint").textContent = sampleOf(op).hint ?? "";
    find("hint").className = "hint";
}

function send() {
    const op = Number(find("op").value);
    try {
        client?.send(op, find("payload").value || undefined);
    } catch (error) {
        find("hint").textContent = error.message;
        find("hint").className = "hint bad";
    }
}

find("login").addEventListener("submit", (event) => {
    event.preventDefault();
    if (client && client.state !== "closed") disconnect();
    else connect();
});
find("users").addEventListener("click", ({ target }) => {
    if (!target.dataset.user) return;
    const connected = client && client.state !== "closed";
    if (connected) disconnect();
    pickUser(target.dataset.user);
    if (connected) connect();
});
find("methods").addEventListener("click", ({ target }) => {
    if (target.dataset.method && (!client || client.state === "closed")) pickMethod(target.dataset.method);
});
find("user").addEventListener("input", () => pickUser(find("user").value));
find("opcodes").addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (button) pickOpcode(Number(button.dataset.op));
});
find("op").addEventListener("input", () => pickOpcode(Number(find("op").value), find("payload").value));
find("request").addEventListener("submit", (event) => { event.preventDefault(); send(); });
find("payload").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) find("request").requestSubmit();
});
find("hex").addEventListener("change", () =>
    keepAtEnd((list) => list.classList.toggle("bytes", find("hex").checked)));
find("clear").addEventListener("click", () => {
    find("messages").replaceChildren();
    find("count").textContent = String(shown = 0);
    find("empty").hidden = false;
});

find("topics").addEventListener("submit", (event) => {
    event.preventDefault();
    client?.send(OPCODES.SUB, { topics: [find("topic").value.trim()] });
});
find("joined").addEventListener("click", ({ target }) => {
    if (target.dataset.topic) client?.send(OPCODES.UNSUB, { topics: [target.dataset.topic] });
});

settings = await fetchSettings();
showMethods();
showOpcodes();
find("topics").hidden = settings.topics.length === 0;
find("patterns").textContent = settings.topics.join("  ");
find("topic").value = (settings.topics[0] ?? "").replace("{user}", query.get("user") ?? "42").replace("*", "1");
pickUser(query.get("user") ?? "42");
const first = settings.opcodes.find(({ name }) => name === "add-friend") ?? settings.opcodes[0] ?? { op: OPCODES.PING };
pickOpcode(first.op, first.name === "add-friend" && query.get("user") === "7" ? '{"to": "42", "text": "我们都好"}' : undefined);
setInterval(showHealth, HEALTH_MS);
showHealth();
if (query.has("user")) connect();

/*
 * The console: connects as a user, shows every message decoded, sends requests. Served by wspushd
 * itself where push.conf has console = true, from the memory of the server, with a content security
 * policy that lets it load and reach nothing but its own server.
 */
import { OPCODES, PushClient, encode, opcodeName } from "./wspush.js";

const KEPT = 500; /* messages shown */
const HEX_BYTES = 256; /* of a message */

const find = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
let client = null;
let shown = 0;

/* What the example application understands, examples/backend.py. */
const samples = {
    110: { name: "add friend", payload: '{"to": "7", "text": "我们都好"}', hint: "The other user gets 110, and you whether he is online." },
    111: { name: "get info", payload: "{}", hint: "Your connection alone gets the answer: who has asked for you." },
    100: { name: "echo", payload: "hello", hint: "The server itself sends it back." },
    2: { name: "PING", payload: "", hint: "The server answers PONG with the same payload." },
};

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

/* Changes the list; who looks at its end goes on doing so. */
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

/* The opcode's four bytes stand out. */
function hex(message) {
    const out = element("span", "hex");
    const all = encode(message.op, message.bytes);
    out.append(element("b", "", digits(all.subarray(0, 4))), `  ${digits(all.subarray(4, HEX_BYTES))}`);
    if (all.length > HEX_BYTES) out.append(" …");
    return out;
}

function bodyOf(message) {
    if (message.data !== undefined && typeof message.data === "object")
        return JSON.stringify(message.data, null, 1).replace(/\n\s*/g, " ").replace(/([{[]) | ([}\]])/g, "$1$2");
    return message.text ?? `${message.bytes.length} bytes`;
}

function show(direction, message) {
    const name = opcodeName(message.op) ?? samples[message.op]?.name ?? "";
    const bad = message.op === OPCODES.ERROR && direction === "in";
    add(bad ? "in bad" : direction, direction === "in" ? "←" : "→",
        [element("b", "", String(message.op)), ` ${name}`], bodyOf(message),
        `${message.bytes.length + 4} B`, message);
}

function note(text, bad = false) {
    add(bad ? "note bad" : "note", "·", [], text, "");
}

/* ---- The connection ---- */

const texts = {
    connecting: () => "connecting …",
    open: () => "connected, waiting for HELLO",
    ready: (hello) => `ready as ${hello.user}`,
    waiting: ({ delay }) => `again in ${(delay / 1000).toFixed(1)} s`,
    closed: ({ code }) => (code && code !== 1000 ? `closed: ${code}` : "not connected"),
};

function showState(state, details) {
    const output = find("state");
    output.textContent = texts[state](details);
    output.dataset.state = state === "closed" && details.code !== 1000 ? "failed" : state;
    find("connect").textContent = state === "closed" ? "Connect" : "Disconnect";
    find("send").disabled = state !== "ready";
    find("hello").hidden = state !== "ready";
    find("user").disabled = state !== "closed";
    if (state === "ready")
        for (const field of document.querySelectorAll("[data-hello]"))
            field.textContent = details[field.dataset.hello] + (field.dataset.hello === "heartbeat" ? " s" : "");
    const why = details.reason ? `: ${details.reason}` : "";
    if (state === "waiting") note(`closed with ${details.code}${why}; again in ${Math.round(details.delay)} ms`);
    if (state === "closed" && client) note(`closed with ${details.code}${why}`, details.code !== 1000);
}

/* console.json says where the endpoint is; a proxy may have put both below a path of its own. */
const settings = fetch("console.json").then((response) => response.json());

async function connect(user) {
    const { path } = await settings;
    const url = new URL(path.slice(1), document.baseURI);
    if (client && client.state !== "closed") return;
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    url.search = new URLSearchParams({ user }).toString();
    client = new PushClient(url);
    client.on("state", showState);
    client.on("message", (message) => show("in", message));
    client.on("sent", (message) => show("out", message));
    document.title = `${user} · wspushd`;
}

function disconnect() {
    client.close();
    client = null;
}

/* ---- The forms ---- */

function pickUser(user) {
    find("user").value = user;
    find("other").href = `?user=${user === "7" ? "42" : "7"}`;
    find("other").textContent = `as ${user === "7" ? "42" : "7"} in another tab ↗`;
    find("publish").textContent = `redis-cli publish push:user:${user} \\\n  '{"op":110,"data":{"text":"我们都好"}}'`;
}

function pickOpcode(op, payload = samples[op]?.payload) {
    find("op").value = op;
    if (payload !== undefined) find("payload").value = payload;
    for (const button of find("opcodes").children)
        button.setAttribute("aria-pressed", String(button.dataset.op === String(op)));
    find("hint").textContent = samples[op]?.hint ?? "";
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
    else connect(find("user").value.trim());
});
find("users").addEventListener("click", ({ target }) => {
    if (!target.dataset.user) return;
    const connected = client && client.state !== "closed";
    if (connected) disconnect();
    pickUser(target.dataset.user);
    if (connected) connect(target.dataset.user);
});
find("user").addEventListener("input", () => pickUser(find("user").value));
find("opcodes").addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (button) pickOpcode(Number(button.dataset.op));
});
find("op").addEventListener("input", () => pickOpcode(Number(find("op").value), undefined));
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

pickUser(query.get("user") ?? "42");
pickOpcode(110, query.get("user") === "7" ? '{"to": "42", "text": "我们都好"}' : undefined);
if (query.has("user")) connect(query.get("user"));

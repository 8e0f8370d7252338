/*
 * Looks up a user: their connections on this node, or the possible reason for having none.
 */
import { ask, element, find } from "./dashboard.page.js";
import { bytes, count, duration } from "./dashboard.numbers.js";
import { glossary, meaning } from "./dashboard.words.js";

let stats = null; /* the last answer of /api/stats */
let asked = 0; /* only the answer to the last request is shown */

export function noteStats(now) {
    stats = now;
}

const fields = [
    ["connection", ({ conn }) => conn, "The name that HELLO gave it."],
    ["address", ({ address }) => address, "The client's, as a trusted proxy names it, or else the peer's."],
    ["worker", ({ worker }) => String(worker), glossary.slot],
    ["mode", ({ mode }) => mode, glossary.mode],
    ["connected for", ({ age }) => duration(age), ""],
    ["queue", ({ queue }) => bytes(queue), glossary.queue],
    ["backlog", ({ backlog }) => bytes(backlog), glossary.backlog],
];

function connectionCard(connection) {
    const list = element("dl", "connection");
    for (const [name, value, help] of fields) {
        const pair = element("div", "", element("dt", "", name), element("dd", "", value(connection)));
        pair.title = help;
        list.append(pair);
    }
    return list;
}

/* "login 12, origin 3"; "" if there was none. */
function reasonsOf(counter) {
    return Object.entries(stats?.counters[counter] ?? {}).filter(([, n]) => n > 0).sort(([, a], [, b]) => b - a)
        .map(([reason, n]) => `${reason.replaceAll("_", " ")} ${count(n)} (${meaning(counter, reason)})`).join("; ");
}

function whyNot() {
    const refused = reasonsOf("handshakes_refused_total"), closed = reasonsOf("connections_closed_total");
    return [
        stats && !stats.ready && `This node is not ready: ${stats.redis ?? stats.why}.`,
        "They are not connected now, or to another node. PUBLISH answers how many nodes have them; 0: none, so use APNs or FCM.",
        "They are connected under another id. Ids are compared byte by byte: of a token it is the claim that push.conf names, mostly \"sub\".",
        "They are still logging in. A client is shown when its handshake is over.",
        refused && `Their handshake was refused. Since the start, of all users: ${refused}.`,
        closed && `Their connection has ended. Since the start, of all users: ${closed}.`,
    ].filter(Boolean);
}

function show({ user, connections }) {
    if (connections.length)
        return [element("p", "verdict", `${user} has ${count(connections.length)} ${connections.length === 1 ? "connection" : "connections"} here.`),
            ...connections.map(connectionCard)];
    return [element("p", "verdict", `${user} has no connection here. It may be that:`),
        element("ul", "reasons", ...whyNot().map((text) => element("li", "", text)))];
}

const invalid = "This is not an id that a user can have: 1 to 63 bytes of UTF-8 without control characters.";

async function lookUp(event) {
    const number = ++asked;
    event.preventDefault();
    let shown;
    try {
        const answer = await ask(`api/users/${encodeURIComponent(find("user").value)}`);
        shown = show(await answer.json());
    } catch (error) {
        shown = [element("p", "verdict bad", error.status === 400 ? invalid : `The server did not tell: ${error.message}`)];
    }
    if (number === asked) find("found").replaceChildren(...shown);
}

find("lookup").addEventListener("submit", lookUp);

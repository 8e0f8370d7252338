/*
 * The dashboard: requests /api/stats from its own server once a second and shows the changes. When it
 * is opened it requests /api/history, too, so that the charts begin with the last hour; and again
 * after it missed samples, because it was hidden or the server was down. Any worker may answer,
 * because each has the numbers of the whole node.
 */
import { ask, element, find, setChildren, setText } from "./dashboard.page.js";
import { drawCharts, openCharts } from "./dashboard.charts.js";
import { showCounters } from "./dashboard.counters.js";
import { bytes, count, duration, microseconds, percent, perSecond } from "./dashboard.numbers.js";
import { addHistory, addStats, age, before, forget, growth, last, quantile } from "./dashboard.samples.js";
import { noteStats } from "./dashboard.user.js";
import { glossary, learnHelp } from "./dashboard.words.js";

const EVERY_MS = 1000;
const MISSED_S = 15; /* without a sample: request the history again */
const MEAN_S = 3; /* a rate in a tile is the mean over this time */
const MINUTE_S = 60;

let boot = null; /* of the server that answered */

/* ---- The parts of the page ---- */

const rate = (field) => growth(field, before(MEAN_S), last());
const inAll = (field) => `${count(last()[field])} in all`;
const latency = (share) => microseconds(quantile(share, before(MINUTE_S), last()));

/* Each: label, word of the glossary, large text, small text below it, whether it is bad. */
const tiles = [
    ["connections", "connections", (s) => count(s.connections),
        (s) => `of ${count(s.capacity)}: ${percent((100 * s.connections) / s.capacity)}`, (s) => s.connections >= s.capacity],
    ["with a user", "with a user", (s) => count(s.users_connected), () => "connections that are logged in"],
    ["topic members", "topic members", (s) => count(s.topic_members), () => "memberships now"],
    ["pushes / s", "pushes", () => perSecond(rate("pushes_received")), () => inAll("pushes_received")],
    ["deliveries / s", "deliveries", () => perSecond(rate("pushes_delivered")), () => inAll("pushes_delivered")],
    ["dropped / s", "dropped", () => perSecond(rate("pushes_dropped")), () => inAll("pushes_dropped"),
        () => rate("pushes_dropped") > 0],
    ["latency, last minute", "latency", () => latency(0.5), () => `p99 ${latency(0.99)}`],
    ["CPU", "CPU", () => percent(growth("cpu_ms", before(MEAN_S), last()) / 10), (s) => `of one core, ${count(s.workers.length)} workers`],
    ["memory", "memory", (s) => bytes(s.process.resident_memory_bytes),
        (s) => `${count(s.process.open_fds)} of ${count(s.process.max_fds)} files open`],
    ["Redis links up", "Redis links", (s) => `${s.redis_links_up} of ${s.workers.length}`,
        (s) => `${count(s.counters.gaps_total)} gaps told`, (s) => s.redis_links_up < s.workers.length],
];

function makeTile([label, word]) {
    const tile = element("div", "tile", element("small", "", label), element("b"), element("small"));
    tile.title = glossary[word];
    return tile;
}

function showTiles(stats) {
    tiles.forEach(([, , large, small, bad], i) => {
        const tile = find("tiles").children[i];
        tile.classList.toggle("bad", Boolean(bad?.(stats)));
        setText(tile.children[1], large(stats));
        setText(tile.children[2], small(stats));
    });
}

function showState(state, text) {
    const output = find("state");
    output.dataset.state = state;
    setText(output, text);
    document.body.classList.toggle("lost", state === "lost");
}

function showTrouble(text) {
    find("trouble").hidden = !text;
    setText(find("trouble"), text);
}

function showHeader(stats) {
    setText(find("node"), stats.node);
    document.title = `${stats.node} · wspushd`;
    setText(find("about"), `wspushd ${stats.build}, up for ${duration(stats.uptime)}`);
    showState(stats.ready ? "ready" : "waiting", stats.ready ? "ready" : `not ready: ${stats.why}`);
    showTrouble(stats.ready ? "" : stats.redis ?? "");
}

/* ---- Workers ---- */

/* Each: heading, class, content of a cell, meaning. */
const columns = [
    ["slot", "number", ({ slot }) => String(slot), glossary.slot],
    ["pid", "number", ({ pid }) => (pid ? String(pid) : "–"), "The process that runs the slot now."],
    ["connections", "number", ({ connections }) => count(connections), glossary.connections],
    ["restarts", "number", ({ restarts }) => count(restarts), glossary.restarts],
    ["Redis link", "link", ({ link }) => link, glossary["Redis links"]],
    ["CPU", "number", (worker) => percent(workerCpu(worker)), "Of one core, over the last seconds."],
    ["memory", "number", (worker) => bytes(worker.resident_memory_bytes), "Memory that only this worker has."],
];

let cpu = []; /* of each worker: { pid, at, ms, percent } */

/* The CPU time of a process begins at 0, and a successor is another process. */
function noteWorkers(workers, at) {
    cpu = workers.map(({ pid, cpu_ms: ms }, i) => {
        const old = cpu[i];
        const known = old && old.pid === pid && at > old.at;
        return { pid, at, ms, percent: known ? Math.max(0, (ms - old.ms) / (at - old.at) / 10) : undefined };
    });
}

const workerCpu = ({ slot }) => cpu[slot]?.percent;

function makeWorker() {
    return element("tr", "", ...columns.map(([heading, className]) => {
        const cell = element("td", className, element("span"));
        cell.dataset.label = heading;
        return cell;
    }));
}

function showWorkers(workers) {
    const rows = [...find("workers").rows].slice(0, workers.length);
    while (rows.length < workers.length) rows.push(makeWorker());
    workers.forEach((worker, i) => {
        columns.forEach(([, , value], k) => setText(rows[i].cells[k].firstChild, value(worker)));
        rows[i].querySelector(".link").dataset.link = worker.link;
        rows[i].classList.toggle("restarted", worker.restarts > 0);
    });
    setChildren(find("workers"), rows);
}

/* ---- Asking ---- */

async function fill(at) {
    try {
        addHistory(await (await ask("api/history")).json(), at);
    } catch {
        /* the charts begin now */
    }
}

async function take(stats) {
    const at = Date.now() / 1000;
    if (stats.boot !== boot || age(at) < 0) forget(); /* another server, or the same one started again */
    boot = stats.boot;
    if (age(at) > MISSED_S) await fill(at);
    addStats(stats, at);
    noteStats(stats);
    noteWorkers(stats.workers, at);
    showHeader(stats);
    showTiles(stats);
    showWorkers(stats.workers);
    showCounters(stats, at);
    drawCharts();
}

async function update() {
    try {
        await take(await (await ask("api/stats")).json());
    } catch (error) {
        showState("lost", error.status ? `refused: ${error.status}` : "no answer");
        showTrouble(error.status === 401 ? "The server wants its admin_token as the password: load this page again." : error.status ? error.message : "");
    }
}

async function poll() {
    const began = performance.now();
    if (!document.hidden) await update();
    setTimeout(poll, Math.max(100, EVERY_MS - (performance.now() - began)));
}

async function learn() {
    try {
        learnHelp(await (await ask("metrics")).text());
    } catch {
        /* the counters are shown without */
    }
}

find("tiles").append(...tiles.map(makeTile));
find("columns").append(...columns.map(([heading, className, , help]) => {
    const cell = element("th", className, heading);
    cell.title = help;
    return cell;
}));
find("words").append(...Object.entries(glossary).flatMap(([word, text]) => [element("dt", "", word), element("dd", "", text)]));
openCharts(find("charts"), find("ranges"), element);
await learn();
poll();

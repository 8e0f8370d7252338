/*
 * The dashboard: asks its own server's /api/stats once a second and draws what has changed. What the
 * server counts only grows, so a rate is the difference of two answers over the time between them;
 * when a number falls, another server is answering, and everything begins anew. Any worker may
 * answer, for each speaks for the whole node.
 *
 * While the page is hidden it does not ask; the chart then has a hole instead of an invented line.
 */
const EVERY_MS = 1000;
const SHOWN_S = 120; /* of the chart */
const MEAN_S = 3; /* what a rate in a tile is the mean of */
const HOLE_S = 5; /* without an answer: then nothing is drawn in between */

const find = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
const precise = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

let samples = []; /* { at: seconds, stats }, oldest first */

/* ---- What is shown ---- */

const sum = (counter) => (typeof counter === "object" ? Object.values(counter).reduce((a, b) => a + b, 0) : counter);
const total = (stats, name) => sum(stats.counters[name] ?? 0);

const series = [
    { key: "pushes", label: "pushes", counter: "pushes_routed_total" },
    { key: "deliveries", label: "deliveries", counter: "pushes_delivered_total" },
];

/* Each: label, what is large, what is small below it, whether it is bad. */
const tiles = [
    ["connections", (s) => short.format(s.connections), (s) => `${number.format(s.users_connected)} with a user`],
    ["topic members", (s) => short.format(s.topic_members), () => "memberships now"],
    ["pushes / s", () => rateText("pushes_routed_total"), (s) => inAll(s, "pushes_routed_total")],
    ["deliveries / s", () => rateText("pushes_delivered_total"), (s) => inAll(s, "pushes_delivered_total")],
    ["dropped / s", () => rateText("pushes_dropped_total"), (s) => inAll(s, "pushes_dropped_total"),
        () => rate((s) => total(s, "pushes_dropped_total")) > 0],
    ["Redis links up", (s) => `${s.redis_links_up}/${s.workers.length}`, (s) => `${number.format(total(s, "gaps_total"))} gaps told`,
        (s) => s.redis_links_up < s.workers.length],
];

const breakdowns = [
    ["Deliveries dropped", "pushes_dropped_total"],
    ["Malformed pushes", "push_malformed_total"],
    ["Handshakes refused", "handshakes_refused_total"],
    ["Connections closed", "connections_closed_total"],
];

/* ---- Numbers ---- */

const inAll = (stats, name) => `${number.format(total(stats, name))} in all`;

const growth = (of, from, to) => (of(to.stats) - of(from.stats)) / (to.at - from.at);

/* By how much a number grows in a second: the mean of the last seconds, or undefined. */
function rate(of) {
    const end = samples.at(-1);
    if (samples.length < 2) return undefined;
    let first = samples.length - 2;
    while (first > 0 && end.at - samples[first - 1].at <= MEAN_S + 0.5) first--;
    return growth(of, samples[first], end);
}

function rateText(name) {
    const value = rate((stats) => total(stats, name));
    if (value === undefined) return "–";
    return value < 100 ? precise.format(value) : short.format(value);
}

function duration(seconds) {
    const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
    const from = units.findIndex(([, size]) => seconds >= size);
    if (from === -1) return "0 s";
    return units.slice(from, from + 2).map(([unit, size], i) =>
        `${Math.floor((i ? seconds % units[from][1] : seconds) / size)} ${unit}`).join(" ");
}

/* ---- The parts of the page ---- */

function element(tag, className, ...content) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    made.append(...content);
    return made;
}

function showHeader(stats) {
    find("node").textContent = stats.node;
    document.title = `${stats.node} · wspushd`;
    find("about").textContent = `wspushd ${stats.version}, up for ${duration(stats.uptime)}`;
    showState(stats.ready ? "ready" : "waiting", stats.ready ? "ready" : `not ready: ${stats.why}`);
}

function showState(state, text) {
    const output = find("state");
    output.dataset.state = state;
    if (output.textContent !== text) output.textContent = text;
    document.body.classList.toggle("lost", state === "lost");
}

function showTiles(stats) {
    find("tiles").replaceChildren(...tiles.map(([label, large, small, bad]) =>
        element("div", bad?.(stats) ? "tile bad" : "tile", element("small", "", label),
            element("b", "", large(stats)), element("small", "", small(stats)))));
}

function share(connections, most) {
    const filled = element("u");
    filled.style.width = `${most ? (100 * connections) / most : 0}%`;
    return element("td", "share", element("span", "", number.format(connections)), element("i", "", filled));
}

function showWorkers(stats) {
    const most = Math.max(...stats.workers.map((worker) => worker.connections));
    find("workers").replaceChildren(...stats.workers.map((worker) => {
        const link = element("span", "link", worker.link);
        link.dataset.link = worker.link;
        return element("tr", "", element("td", "worker", String(worker.slot)),
            element("td", "pid number", worker.pid ? String(worker.pid) : "–"),
            share(worker.connections, most),
            element("td", worker.restarts ? "number some" : "number", number.format(worker.restarts)),
            element("td", "", link));
    }));
}

function breakdown([title, name], stats) {
    const rows = Object.entries(stats.counters[name] ?? {}).map(([reason, count]) => {
        const perSecond = rate((s) => s.counters[name]?.[reason] ?? 0) ?? 0;
        return element("tr", perSecond > 0 ? "now" : count ? "" : "none",
            element("td", "", reason.replaceAll("_", " ")),
            element("td", "number", perSecond > 0 ? `${precise.format(perSecond)}/s` : ""),
            element("td", "number", number.format(count)));
    });
    const card = element("div", "card", element("div", "bar", element("h2", "", title)),
        element("table", "", element("tbody", "", ...rows)));
    card.dataset.counter = name;
    return card;
}

/* ---- The chart ---- */

const LINES = 4; /* of the grid, above the lowest */
const margin = { left: 52, right: 16, top: 12, bottom: 26 };
let cursor = null; /* where the mouse is, in pixels */

function svg(tag, attributes, text) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text !== undefined) made.textContent = text;
    return made;
}

/* The least of 1, 2, 2.5, 5, 10, 20, ... that is not below. */
function roundUp(value) {
    const power = 10 ** Math.max(0, Math.floor(Math.log10(value)));
    return [1, 2, 2.5, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}

/* The rates between answers, as pieces without holes: [[{ at, value }, ...], ...]. */
function pieces(counter) {
    const out = [];
    for (let i = 1; i < samples.length; i++) {
        const [before, now] = [samples[i - 1], samples[i]];
        if (now.at - before.at > HOLE_S) continue;
        if (!out.length || out.at(-1).at(-1).at !== before.at) out.push([]);
        out.at(-1).push({ at: now.at, value: growth((stats) => total(stats, counter), before, now) });
    }
    return out;
}

function drawGrid(chart, top, width, height, y) {
    for (let i = 0; i <= LINES; i++) {
        const value = (top * i) / LINES;
        chart.append(svg("line", { class: "grid", x1: margin.left, x2: width - margin.right, y1: y(value), y2: y(value) }),
            svg("text", { x: margin.left - 8, y: y(value) + 4, "text-anchor": "end" }, short.format(value)));
    }
    for (let ago = 0; ago <= SHOWN_S; ago += 30)
        chart.append(svg("text", { x: width - margin.right - (ago / SHOWN_S) * (width - margin.left - margin.right), y: height - 7,
            "text-anchor": ago === 0 ? "end" : "middle" }, ago ? `−${ago} s` : "now"));
}

function drawSeries(chart, { key, lines }, x, y) {
    for (const line of lines) {
        const points = line.map((point) => `${x(point.at).toFixed(1)},${y(point.value).toFixed(1)}`);
        if (points.length === 1) points.push(points[0]);
        chart.append(
            svg("path", { class: `area ${key}`, d: `M${x(line[0].at)},${y(0)}L${points.join("L")}L${x(line.at(-1).at)},${y(0)}Z` }),
            svg("path", { class: `line ${key}`, d: `M${points.join("L")}` }));
    }
}

function drawCursor(chart, drawn, x, y, width, height) {
    const reading = find("reading");
    const times = drawn[0].lines.flat();
    reading.hidden = cursor === null || !times.length;
    if (reading.hidden) return;
    const near = times.reduce((a, b) => (Math.abs(x(b.at) - cursor) < Math.abs(x(a.at) - cursor) ? b : a));
    chart.append(svg("line", { class: "cursor", x1: x(near.at), x2: x(near.at), y1: margin.top, y2: height - margin.bottom }));
    const values = drawn.map(({ key, label, lines }) => {
        const point = lines.flat().find((each) => each.at === near.at);
        chart.append(svg("circle", { class: `dot ${key}`, cx: x(point.at), cy: y(point.value), r: 4 }));
        return `${precise.format(point.value)} ${label}/s`;
    });
    reading.textContent = [`${Math.round(samples.at(-1).at - near.at)} s ago`, ...values].join("\n");
    const left = x(near.at) + 12;
    reading.style.left = `${left + reading.offsetWidth > width ? left - reading.offsetWidth - 24 : left}px`;
}

function drawChart() {
    const chart = find("chart");
    const { width, height } = chart.getBoundingClientRect();
    const drawn = series.map((one) => ({ ...one, lines: pieces(one.counter) }));
    const most = Math.max(1, ...drawn.flatMap(({ lines }) => lines.flat().map((point) => point.value)));
    const top = LINES * roundUp(most / LINES);
    const end = samples.length ? samples.at(-1).at : 0;
    const x = (at) => width - margin.right - ((end - at) / SHOWN_S) * (width - margin.left - margin.right);
    const y = (value) => height - margin.bottom - (value / top) * (height - margin.top - margin.bottom);
    chart.replaceChildren();
    drawGrid(chart, top, width, height, y);
    for (const one of drawn) drawSeries(chart, one, x, y);
    drawCursor(chart, drawn, x, y, width, height);
}

/* ---- Asking ---- */

/* Another server, or the same one begun anew: counters fall. */
function isAnother(before, now) {
    return before.node !== now.node || before.uptime > now.uptime ||
        series.some(({ counter }) => total(before, counter) > total(now, counter));
}

function take(stats) {
    if (samples.length && isAnother(samples.at(-1).stats, stats)) samples = [];
    const at = performance.now() / 1000;
    samples.push({ at, stats });
    samples = samples.filter((sample) => at - sample.at <= SHOWN_S);
    showHeader(stats);
    showTiles(stats);
    showWorkers(stats);
    find("breakdowns").replaceChildren(...breakdowns.map((one) => breakdown(one, stats)));
    drawChart();
}

async function ask() {
    try {
        const response = await fetch("api/stats", { cache: "no-store", signal: AbortSignal.timeout(5000) });
        if (!response.ok) throw new Error(`status ${response.status}`);
        take(await response.json());
    } catch {
        showState("lost", "no answer");
    }
}

async function poll() {
    const began = performance.now();
    if (!document.hidden) await ask();
    setTimeout(poll, Math.max(100, EVERY_MS - (performance.now() - began)));
}

find("legend").append(...series.map(({ key, label }) => element("li", key, label)));
find("chart").addEventListener("pointermove", (event) => {
    cursor = event.clientX - find("chart").getBoundingClientRect().left;
    drawChart();
});
find("chart").addEventListener("pointerleave", () => {
    cursor = null;
    drawChart();
});
new ResizeObserver(drawChart).observe(find("chart"));
poll();

/*
 * The charts: lines over the last hour or the last five minutes, drawn as SVG. A gap is left where
 * samples are missing.
 */
import { count, duration, microseconds, percent, perSecond } from "./dashboard.numbers.js";
import { growth, last, quantile, span } from "./dashboard.samples.js";

const HOLE_S = 25; /* a longer time between two samples is drawn as a gap */
const LINES = 4; /* of the grid, above the lowest */
const NARROW = 480; /* pixels: below this width only every second time is labelled */
const margin = { left: 60, right: 14, top: 10, bottom: 24 };

export const ranges = [
    { label: "last hour", seconds: 3600, step: 900 },
    { label: "last 5 minutes", seconds: 300, step: 60 },
];

/* Each line's value is computed from a sample and the one before it. */
const megabytes = (value) => `${count(value)} MB`;
const line = (key, label, value) => ({ key, label, value });
const rate = (field, factor = 1) => (from, to) => growth(field, from, to) * factor;
const charts = [
    { name: "flow", title: "Per second", format: perSecond, lines: [
        line("pushes", "pushes", rate("pushes_received")),
        line("deliveries", "deliveries", rate("pushes_delivered")),
        line("drops", "dropped", rate("pushes_dropped"))] },
    { name: "connections", title: "Connections", format: count, lines: [
        line("connections", "connections", (from, to) => to.connections)] },
    { name: "latency", title: "Latency", format: microseconds, lines: [
        line("p50", "p50", (from, to) => quantile(0.5, from, to)),
        line("p99", "p99", (from, to) => quantile(0.99, from, to))] },
    { name: "cpu", title: "CPU", format: percent, lines: [line("cpu", "of one core", rate("cpu_ms", 0.1))] },
    { name: "memory", title: "Memory", format: megabytes, lines: [
        line("memory", "resident", (from, to) => to.resident_memory_bytes / 1e6)] },
];

let range = ranges[0];
let cursor = null; /* the pointer's position in seconds before the end */

function svg(tag, attributes, text) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text !== undefined) made.textContent = text;
    return made;
}

/* The smallest of 1, 2, 5, 10, 20, 25, 50, ... that is at least the value. */
function roundUp(value) {
    const power = 10 ** Math.max(0, Math.floor(Math.log10(value)));
    return [1, 2, ...(power > 1 ? [2.5] : []), 5, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}

/* The values of a line as pieces without holes: [[{ at, value }, ...], ...]. */
function pieces(samples, value) {
    const out = [];
    let open = false;
    for (let i = 1; i < samples.length; i++) {
        const [from, to] = [samples[i - 1], samples[i]];
        const now = to.at - from.at > HOLE_S ? undefined : value(from, to);
        if (now === undefined) {
            open = false;
            continue;
        }
        if (!open) out.push([]);
        open = true;
        out.at(-1).push({ at: to.at, value: now });
    }
    return out;
}

function drawGrid(chart, view, format) {
    for (let i = 0; i <= LINES; i++) {
        const value = (view.top * i) / LINES, y = view.y(value);
        chart.append(svg("line", { class: "grid", x1: margin.left, x2: view.width - margin.right, y1: y, y2: y }),
            svg("text", { x: margin.left - 8, y: y + 4, "text-anchor": "end" }, value ? format(value) : "0"));
    }
    for (let ago = 0; ago <= range.seconds; ago += view.width < NARROW ? 2 * range.step : range.step)
        chart.append(svg("text", { x: view.x(view.end - ago), y: view.height - 6,
            "text-anchor": ago === 0 ? "end" : ago === range.seconds ? "start" : "middle" }, ago ? `−${ago / 60} min` : "now"));
}

function drawLine(chart, { key, drawn }, view) {
    for (const piece of drawn) {
        const points = piece.map((point) => `${view.x(point.at).toFixed(1)},${view.y(point.value).toFixed(1)}`);
        if (points.length === 1) points.push(points[0]);
        chart.append(
            svg("path", { class: `area ${key}`, d: `M${view.x(piece[0].at).toFixed(1)},${view.y(0)}L${points.join("L")}L${view.x(piece.at(-1).at).toFixed(1)},${view.y(0)}Z` }),
            svg("path", { class: `line ${key}`, d: `M${points.join("L")}` }));
    }
}

/* The values at the pointer. */
function drawCursor(chart, reading, lines, view, format) {
    const times = lines.flatMap(({ drawn }) => drawn.flat());
    reading.hidden = cursor === null || !times.length;
    if (reading.hidden) return;
    const wanted = view.end - cursor;
    const near = times.reduce((a, b) => (Math.abs(b.at - wanted) < Math.abs(a.at - wanted) ? b : a)).at;
    chart.append(svg("line", { class: "cursor", x1: view.x(near), x2: view.x(near), y1: margin.top, y2: view.height - margin.bottom }));
    const values = lines.map(({ key, label, drawn }) => {
        const point = drawn.flat().find(({ at }) => at === near);
        if (point) chart.append(svg("circle", { class: `dot ${key}`, cx: view.x(near), cy: view.y(point.value), r: 4 }));
        return `${label} ${point ? format(point.value) : "–"}`;
    });
    reading.textContent = [`${duration(Math.round(view.end - near))} ago`, ...values].join("\n");
    const left = view.x(near) + 12;
    reading.style.left = `${left + reading.offsetWidth > view.width ? Math.max(0, left - reading.offsetWidth - 24) : left}px`;
}

function draw({ card, title, format, lines: of }, samples) {
    const chart = card.querySelector("svg");
    const { width, height } = chart.getBoundingClientRect();
    const lines = of.map((one) => ({ ...one, drawn: pieces(samples, one.value) }));
    const most = Math.max(LINES, ...lines.flatMap(({ drawn }) => drawn.flat().map((point) => point.value)));
    const end = last()?.at ?? 0;
    const view = { width, height, end, top: LINES * roundUp(most / LINES),
        x: (at) => width - margin.right - ((end - at) / range.seconds) * (width - margin.left - margin.right),
        y: (value) => height - margin.bottom - (value / view.top) * (height - margin.top - margin.bottom) };
    chart.replaceChildren();
    chart.setAttribute("aria-label", `${title}, ${range.label}`);
    drawGrid(chart, view, format);
    for (const one of lines) drawLine(chart, one, view);
    drawCursor(chart, card.querySelector(".reading"), lines, view, format);
}

export function drawCharts() {
    const samples = span(range.seconds);
    for (const chart of charts) draw(chart, samples);
}

function follow(event) {
    const box = event.currentTarget.getBoundingClientRect();
    const share = (box.right - margin.right - event.clientX) / (box.width - margin.left - margin.right);
    cursor = Math.min(1, Math.max(0, share)) * range.seconds;
    drawCharts();
}

function makeCard(chart, element) {
    const legend = element("ul", "legend", ...chart.lines.map(({ key, label }) => element("li", key, label)));
    const reading = element("p", "reading");
    const plot = svg("svg", { role: "img" });
    chart.card = element("div", "card chart", element("div", "bar", element("h3", "", chart.title), legend), plot, reading);
    chart.card.dataset.chart = chart.name;
    reading.hidden = true;
    plot.addEventListener("pointermove", follow);
    plot.addEventListener("pointerleave", () => {
        cursor = null;
        drawCharts();
    });
    new ResizeObserver(drawCharts).observe(plot);
    return chart.card;
}

/* Puts the charts and the choice of the range into the page. */
export function openCharts(host, choice, element) {
    host.append(...charts.map((chart) => makeCard(chart, element)));
    choice.append(...ranges.map((one) => {
        const button = element("button", "", one.label);
        button.type = "button";
        button.setAttribute("aria-pressed", String(one === range));
        button.addEventListener("click", () => {
            range = one;
            for (const other of choice.children) other.setAttribute("aria-pressed", String(other === button));
            drawCharts();
        });
        return button;
    }));
}

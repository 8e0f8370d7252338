/*
 * The counters: those that are not zero, each with its meaning and its rate, and one line for all
 * that are zero.
 */
import { element, find, setChildren, setText } from "./dashboard.page.js";
import { atLeastSome, count } from "./dashboard.numbers.js";
import { meaning } from "./dashboard.words.js";

/* Counters that grow because of a fault, of this server or of another party. */
const bad = new Set(["pushes_dropped_total", "push_malformed_total", "handshakes_refused_total", "client_errors_total",
    "commands_malformed_total", "records_damaged_total", "ring_damages_total", "log_lines_lost_total", "gaps_total"]);

const rows = new Map(); /* by counter and value of its label */
let previous = null; /* the numbers a second ago, and when: { at, numbers } */

const readable = (name) => name.replace(/_total$/, "").replaceAll("_", " ");

function makeRow(name, value) {
    const row = { name, value, number: element("b"), rate: element("i"), help: element("small") };
    const title = element("span", "name", readable(name));
    if (value !== undefined) title.append(element("em", "", `: ${value.replaceAll("_", " ")}`));
    row.item = element("li", "", title, row.number, row.rate, row.help);
    row.item.dataset.counter = name;
    if (value !== undefined) row.item.dataset.value = value;
    return row;
}

/* [[counter, value of its label, number], ...] in the server's order. */
function flatten(stats) {
    const counters = { ...stats.counters, requests_total: stats.requests };
    return Object.entries(counters).flatMap(([name, counter]) => (typeof counter === "object"
        ? Object.entries(counter).map(([value, number]) => [name, value, number]) : [[name, undefined, counter]]));
}

function showRow(row, number, growing) {
    setText(row.number, atLeastSome(number));
    setText(row.rate, growing > 0 ? `${atLeastSome(growing)} / s` : "");
    setText(row.help, meaning(row.name, row.value));
    row.item.dataset.number = number;
    row.item.className = growing > 0 && bad.has(row.name) ? "now" : "";
}

export function showCounters(stats, at) {
    const numbers = new Map(), some = [], none = [];
    for (const [name, value, number] of flatten(stats)) {
        const key = `${name} ${value}`;
        if (!rows.has(key)) rows.set(key, makeRow(name, value));
        const before = previous?.numbers.get(key) ?? number;
        numbers.set(key, number);
        showRow(rows.get(key), number, previous ? (number - before) / (at - previous.at) : 0);
        (number ? some : none).push(rows.get(key).item);
    }
    previous = { at, numbers };
    setChildren(find("counters"), some);
    setChildren(find("zeros"), none);
    setText(find("zeros-title"), none.length === 1 ? "1 counter is zero" : `${count(none.length)} counters are zero`);
}

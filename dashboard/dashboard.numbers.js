/*
 * Formats numbers for people: whole, with thousands separators and a unit.
 */
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const count = (value) => whole.format(value);

/* A small value other than zero must not look like zero. */
export const atLeastSome = (value) => (value > 0 && value < 0.5 ? "< 1" : count(value));

export const perSecond = (value) => (value === undefined ? "–" : atLeastSome(value));

export const percent = (value) => (value === undefined ? "–" : `${atLeastSome(value)} %`);

export function bytes(value) {
    if (value < 10000) return `${count(value)} B`;
    return value < 1e6 ? `${count(value / 1000)} kB` : `${count(value / 1e6)} MB`;
}

export function microseconds(value) {
    if (value === undefined) return "–";
    if (value < 10000) return `${count(value)} µs`;
    return value < 1e7 ? `${count(value / 1000)} ms` : `${count(value / 1e6)} s`;
}

/* The two largest units: "3 d 4 h". */
export function duration(seconds) {
    const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
    const from = units.findIndex(([, size]) => seconds >= size);
    if (from === -1) return "0 s";
    return units.slice(from, from + 2).map(([unit, size], i) =>
        `${Math.floor((i ? seconds % units[from][1] : seconds) / size)} ${unit}`).join(" ");
}

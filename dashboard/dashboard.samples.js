/*
 * The history of the node's numbers: the last hour from /api/history, and then an answer of
 * /api/stats each second. Both hold counters that only grow, so a rate is the difference of two
 * samples over the time between them.
 *
 * A sample is { at, connections, pushes_received, ..., latency }: `at` in seconds of this browser's
 * clock, the others as in /api/history.
 */
const KEPT_S = 3620;
const FINE_S = 300; /* for this time a sample of each second is kept, then one of every ten seconds */
const COARSE_S = 10;
const LIKE_S = 0.5; /* two samples this close together count as one */

let samples = []; /* oldest first */
let bounds = []; /* of the latency's buckets, in microseconds; the last bucket has none */

const sum = (counter) => (typeof counter === "object" ? Object.values(counter).reduce((a, b) => a + b, 0) : counter ?? 0);

function fromStats(stats, at) {
    return {
        at,
        connections: stats.connections,
        pushes_received: sum(stats.counters.pushes_received_total),
        pushes_delivered: sum(stats.counters.pushes_delivered_total),
        pushes_dropped: sum(stats.counters.pushes_dropped_total),
        cpu_ms: stats.process.cpu_ms,
        resident_memory_bytes: stats.process.resident_memory_bytes,
        latency: stats.push_latency.buckets.map((bucket) => bucket.count),
    };
}

/* Drops samples that are too old, and thins out those that are shown in steps of ten seconds. */
function prune(now) {
    let kept = -Infinity;
    samples = samples.filter(({ at }) => {
        if (now - at > KEPT_S || (now - at > FINE_S && at - kept < COARSE_S - LIKE_S)) return false;
        kept = at;
        return true;
    });
}

export const last = () => samples.at(-1);

/* Seconds since the last sample: more than a few if the page was hidden or the server down, less than 0
 * if this browser's clock was set back. */
export const age = (at) => (samples.length ? at - last().at : Infinity);

export function forget() {
    samples = [];
}

export function addStats(stats, at) {
    samples = samples.filter((sample) => sample.at < at); /* the newest of the history may be as recent */
    bounds = stats.push_latency.buckets.map((bucket) => bucket.le_us).filter((bound) => bound !== undefined);
    samples.push(fromStats(stats, at));
    prune(at);
}

/* Adds the samples that are not there yet. */
export function addHistory(history, at) {
    const old = history.samples.map((sample) => ({ ...sample, at: at - (history.now_ms - sample.at_ms) / 1000 }));
    bounds = history.latency_le_us;
    samples = [...samples, ...old.filter((one) => !samples.some((other) => Math.abs(one.at - other.at) < LIKE_S))]
        .sort((a, b) => a.at - b.at);
    prune(at);
}

/* The samples of the last `seconds`; for a long time one of each ten seconds. */
export function span(seconds) {
    const end = last()?.at ?? 0;
    let kept = -Infinity;
    return samples.filter(({ at }) => {
        if (end - at > seconds || (seconds > FINE_S && at - kept < COARSE_S - LIKE_S)) return false;
        kept = at;
        return true;
    });
}

/* The newest sample that is at least `seconds` old, or the oldest. */
export function before(seconds) {
    const end = last();
    return samples.findLast(({ at }) => end.at - at >= seconds - LIKE_S) ?? samples[0];
}

/* The growth of a counter per second between two samples; undefined if they are one. */
export function growth(field, from, to) {
    return to.at > from.at ? Math.max(0, (to[field] - from[field]) / (to.at - from.at)) : undefined;
}

/* The latency that a share of the deliveries between two samples did not exceed, in microseconds, as
 * Prometheus estimates it: evenly spread within a bucket. undefined if there was no delivery. */
export function quantile(share, from, to) {
    const counts = to.latency.map((value, i) => value - (from.latency[i] ?? 0));
    const rank = share * counts.at(-1);
    if (!(counts.at(-1) > 0)) return undefined;
    const bucket = counts.findIndex((value) => value >= rank);
    if (bucket >= bounds.length) return bounds.at(-1);
    const low = bucket ? bounds[bucket - 1] : 0, below = bucket ? counts[bucket - 1] : 0;
    return low + ((bounds[bucket] - low) * (rank - below)) / (counts[bucket] - below);
}

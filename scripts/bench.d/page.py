"""docs/benchmarks.md and its plots, from the results."""

import itertools
import json
import math

import svg
from measure import AGREE, UNDISTURBED_MS, curve, figures, gap, gap_growth, median, ratio, steady
from servers import KINDS

# The comparisons: (name of the plot, mode, figure, title, note, unit, words of the table)
MEASURES = [
    ("memory", "idle", "memory_bytes", "Memory of an idle connection",
     "user memory of all processes of the server, by its growth with more connections", "bytes",
     "bytes for an idle connection"),
    ("connect", "connect", "server_us", "CPU of a new connection",
     "accept, upgrade, subscribe; server only", "µs", "CPU µs for a new connection"),
    ("unicast", "unicast", "server_us", "CPU of a push to one user",
     "to distinct users, as fast as possible; server only", "µs", "CPU µs for a push"),
    ("open", "open", "server_us", "CPU of a push to one user, at {rate:,} pushes a second",
     "server only", "µs", "CPU µs for a push at {rate:,}/s"),
    ("burst", "burst", "server_us", "CPU of a push in bursts of 16 for one user", "server only",
     "µs", "CPU µs for a push in bursts of 16"),
    ("broadcast", "broadcast", "server_us", "CPU of a delivery to everybody",
     "pushes to {connections:,} clients; server only", "µs", "CPU µs for a delivery to all"),
    ("rate", "unicast", "rate", "Pushes a second",
     "to distinct users, with Redis, the clients and the publisher on the same machine", "/s",
     "pushes a second"),
    ("latency-p99", "open", "p99_us", "Latency at {rate:,} pushes a second, 99th percentile",
     "from the time at which the push was due to its arrival at the client", "µs",
     "p99 µs at {rate:,}/s"),
]

LOGARITHMIC = {"latency-p99"}      # plots with figures that differ by powers of ten

# (mode, words of the table, of the plot, colour there, dashed)
GAP_MODES = [("steady", "nothing happens", "nothing", 5, True),
             ("crash", "worker killed", "kill", 0, False),
             ("reload", "reload", "reload", 2, False),
             ("upgrade", "upgrade", "upgrade", 3, False)]
UNDISTURBED = ["undisturbed_median_ms", "undisturbed_worst_ms"]


class Page:
    def __init__(self, results):
        self.results = results
        self.how = results["how"]
        self.compared, self.gaps = results.get("compare", []), results.get("gaps", [])
        self.names = list(dict.fromkeys(entry["server"] for entry in self.compared))
        self.plots = {}

    def _words(self, text):
        return text.format(**self.how)

    # Plots.

    def draw(self):
        for name, mode, figure, title, note, unit, _ in MEASURES:
            if any(figures(self.compared, server, mode, figure) for server in self.names):
                self.plots[name] = self._compared(svg.dots if name in LOGARITHMIC else svg.bars,
                                                  mode, figure, title, note, unit)
        if self.names:
            self.plots["latency"] = self._latency()
        if self.gaps:
            self.plots["gap"] = self._gap()
        if self.results.get("own"):
            self.plots["own"] = self._own()
        return self.plots

    def _own(self):
        rows = [(result["mode"], result["server_us"], None, None,
                 f"{svg.number(result['rate'])} /s", True)
                for result in self.results["own"] if result["server_us"] is not None]
        return svg.bars("CPU of wspushd for each delivery, by mode",
                        "of a connection, in connect; of a request, in upstream; server only",
                        rows, "µs")

    def _beside(self, name, mode, figure):
        """The text next to a median: its ratio to ours or, if the rounds do not agree, the lowest and
        the highest."""
        found = figures(self.compared, name, mode, figure)
        times = ratio(self.compared, name, "wspushd", mode, figure)
        if found and not steady(found):
            return f"{svg.number(min(found))} to {svg.number(max(found))}"
        return f"{svg.number(times)} ×" if times is not None and name != "wspushd" else ""

    def _compared(self, draw, mode, figure, title, note, unit):
        rows = []
        for name in self.names:
            found = figures(self.compared, name, mode, figure)
            if KINDS[name].login and not found:
                continue
            more = self._beside(name, mode, figure)
            more += " wspushd" if more.endswith("×") else ""
            rows.append((name, median(found), min(found, default=None), max(found, default=None),
                         more if found else "not measured", KINDS[name].ours))
        return draw(self._words(title), self._words(note) + "; line: lowest to highest "
                    f"of {self.how['rounds']} rounds", rows, unit)

    def _latency(self):
        """x: how rare, so that the last percent has its room."""
        def at(percentile):
            return min(1.0, -math.log10(max(1 - percentile / 100, 1e-4)) / 4)

        series, peers = [], 0
        for name in self.names:
            points = [(at(p), us) for p, us in curve(self.compared, name, "open")
                      if us and p < 99.995]
            peers += not KINDS[name].ours
            if points:
                series.append((name, points, 0 if KINDS[name].ours else peers,
                               name == "wspushd-2"))
        marks = [(at(p), f"{p:g} %") for p in (1, 50, 90, 99, 99.9, 99.99)]
        marks[0] = (0, "0 %")
        return svg.lines(self._words("Latency at {rate:,} pushes a second"),
                         "from the time at which a push was due to its arrival; median of the rounds",
                         series, marks, "µs", "of all pushes took at most this long")

    def _sizes(self):
        return sorted({entry["connections"] for entry in self.gaps})

    def _gap(self):
        sizes = self._sizes()
        span = math.log10(sizes[-1] / sizes[0]) or 1

        def at(size):
            return 0.04 + 0.92 * math.log10(size / sizes[0]) / span

        def points(server, mode, figure, worst):
            found = {size: gap(self.gaps, server, size, mode) or {} for size in sizes}
            return [(at(size), found[size][figure], *([found[size][worst]] if worst else []))
                    for size in sizes if found[size].get(figure)]

        known = bool(points("wspushd-2", "crash", *UNDISTURBED))
        ours = UNDISTURBED if known else ["median_ms", "worst_ms"]
        series = [(f"wspushd: {word}", points("wspushd-2", mode, *ours), colour, dashed)
                  for mode, _, word, colour, dashed in GAP_MODES]
        for mode, text, colour in [("crash", "nchan: kill", 1), ("reload", "nchan: reload", 4)]:
            series.append((text, points("nchan", mode, "back_ms", None), colour, False))
        marks = [(at(size), f"{size:,}") for size in sizes]
        return svg.lines("What a client notices of a kill, a reload and an upgrade",
                         f"wspushd: longest wait of a push{', undisturbed' if known else ''}, median and "
                         "worst, none closed; nchan: last closed client is back",
                         [one for one in series if one[1]], marks, "ms", "connections")

    # Text.

    def text(self):
        parts = [_HEAD.format(**self.how, agree=AGREE)]
        parts.append(table(["", ""], [[name, text] for name, text
                                       in self.results["machine"].items()]))
        if self.names:
            parts += [self._compared_text()]
        if self.gaps:
            parts += [self._gaps_text()]
        parts.append(_AGAIN.format(**self.how))
        return "\n".join(parts)

    def _compared_text(self):
        rows = []
        for name in self.names:
            cells = [f"**{name}**" if KINDS[name].ours else name]
            for _, mode, figure, *_ in MEASURES:
                found = median(figures(self.compared, name, mode, figure))
                beside = self._beside(name, mode, figure)
                cells.append(svg.number(found) + (f" ({beside})" if beside else ""))
            cells.append(svg.number(median(figures(self.compared, name, "open", "switches"))))
            cells.append(svg.number(median(figures(self.compared, name, "unicast", "calls"))))
            cells.append(str(int(sum(self._sum(name, figure)
                                     for figure in ("lost", "doubled", "late")))))
            rows.append(cells)
        heads = ["", *(self._words(words) for *_, words in MEASURES),
                 self._words("went to sleep for a push at {rate:,}/s"),
                 "system calls for a push", "lost, doubled or out of order"]
        servers = table(["server", ""], [[name, KINDS[name].text] for name in self.names])
        plots = "\n\n".join(f"![{self._words(title)}](benchmarks/{name}.svg)"
                            for name, _, _, title, *_ in MEASURES if name in self.plots)
        return "\n".join([_COMPARED.format(**self.how), servers, table(heads, rows), plots,
                          "\n![Latency](benchmarks/latency.svg)\n", self._caution()])

    def _sum(self, name, figure):
        return sum(result.get(figure) or 0 for entry in self.compared if entry["server"] == name
                   for result in entry["modes"].values())

    def _caution(self):
        """The share of the machine that other programs used during the measurement."""
        others = [result.get("share_others") for entry in self.compared
                  for mode, result in entry["modes"].items() if mode in ("unicast", "open")]
        found = median([share for share in others if share is not None])
        return "" if found is None else (
            "During the measurements, other programs than the server, Redis and the load generator "
            f"used {svg.number(found)} % of the machine's processors (median of the runs).\n")

    def _gaps_text(self):
        rows = []
        servers = dict.fromkeys(entry["server"] for entry in self.gaps)
        for size, name, (mode, text, *_) in itertools.product(self._sizes(), servers, GAP_MODES):
            found = gap(self.gaps, name, size, mode)
            if found is None:
                continue
            waits = KINDS[name].ours or not found["closed"]
            rows.append([name, f"{size:,}", text, str(found["times"]),
                         svg.number(found["median_ms"]) if waits else "–",
                         svg.number(found["worst_ms"]) if waits else "–",
                         str(found["undisturbed"] or "–") if waits else "–",
                         *(svg.number(found[figure]) if waits else "–" for figure in UNDISTURBED),
                         f"{found['closed']:,}", svg.number(found["back_ms"]),
                         f"{found['lost']:,}"])
        heads = ["", "connections", "", "times", "longest wait, median ms", "worst ms",
                 "undisturbed", "median ms", "worst ms", "clients closed",
                 "last one back after ms", "pushes lost"]
        return "\n".join([_GAPS.format(**self.how, undisturbed=UNDISTURBED_MS),
                          "![Gaps](benchmarks/gap.svg)\n",
                          table(heads, rows), *self._growth()])

    def _growth(self):
        """The effect of the number of connections."""
        few, many = self._sizes()[0], self._sizes()[-1]
        found = [(text, gap_growth(self.gaps, "wspushd-2", mode, few, many))
                 for mode, text, *_ in GAP_MODES]
        return [f"The undisturbed wait of wspushd's clients with {many:,} connections, divided by "
                f"that with {few:,} (medians): "
                + ", ".join(f"{text} {svg.number(times)}" for text, times in found if times) + ".\n"
                ] if few < many and any(times for _, times in found) else []


def table(heads, rows, text=False):
    """Right of the first column there are numbers, unless it is a table of two or of text."""
    right = ["---"] * len(heads) if text or len(heads) < 3 else \
        ["---"] + ["---:"] * (len(heads) - 1)
    lines = [heads, right, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


_HEAD = """# Benchmarks

This page compares wspushd with its alternatives, measured with [wspush-bench](wspush-bench.1), which ships
with it. One command repeats all measurements and writes this page:

```
scripts/bench.sh --against all --rounds {rounds} --write docs/
```

Everything ran on one machine: the server, the clients, Redis and the publisher. The number of pushes a second
therefore says little; the measure is the cost of each push to the server. Machines are noisy, so every server was
started, measured and stopped in turn in each of {rounds} rounds. The numbers are medians of the rounds, and a
ratio (× wspushd) is a server's median divided by that of wspushd. If a server's rounds differ by more than
{agree} times, the table shows its lowest and highest round instead of a ratio, because the machine, and not the
server, may have caused the difference.
"""

_COMPARED = """## Beside others

{connections:,} users with one connection each, payloads of 64 bytes. CPU is the time that the kernel's scheduler
counts for all processes of the server, divided by the number of deliveries; Redis is not included. Except at a fixed
rate, clients look at their sockets every millisecond and sleep in between. Otherwise the server would sometimes
pay for waking them and sometimes not, which clients on other machines never cause. Memory is the growth of the
proportional set size of all processes, without pages of files, from one eighth of the connections to all.
Latency counts from the time at which a push was due at the given rate, not from the time at which it was sent.
[bench/peers](../bench/peers/) has the setup of each server, tuned as its documentation advises.
"""

_GAPS = """## What a kill, a reload and an upgrade do to clients

2,000 pushes a second go to random users, while workers are killed with SIGKILL, the configuration is reloaded
(HUP), or the binary is replaced (USR2). The gap of an event is the longest delay of any push that arrived between
it and the next event. *Nothing happens* is the same without an event; it shows the effect of the machine itself. The
time for which the machine stood still is measured, too, by a process on each processor that has priority over all
others (real-time) and only naps: if it wakes late, no other process can have run there. *Undisturbed* are the
events in which no processor stood still for more than {undisturbed} ms at a time; the plot shows those. The
sizes are measured in turn, in {rounds} rounds, each with its part of the events; then nchan, twice each. nchan
closes the clients of a worker that dies or is replaced; for nchan the table shows how many, and when the last of them,
which reconnect at once, was connected again.
"""

_AGAIN = """## Measuring again

`scripts/bench.sh --help` lists the options; with `--quick` it takes a few minutes instead of thirty. The other
servers need packages, which `scripts/setup bench` installs. Every number of this page, and many more (all
percentiles, system calls, the shares of the machine's CPU), are in
[benchmarks/results.json](benchmarks/results.json).
"""


def _rounded(value):
    """Rounds figures to six digits; measurements have no more significant ones."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value


def write(results, directory):
    """Writes results, plots and page below a directory; returns the files."""
    plots = directory / "benchmarks"
    plots.mkdir(parents=True, exist_ok=True)
    results = _rounded(results)     # first, so that drawing from the file again gives the same page
    page = Page(results)
    compact = json.dumps(results, separators=(",", ":"))
    texts = {plots / "results.json": compact.replace('{"server"', '\n{"server"') + "\n"}
    texts |= {plots / f"{name}.svg": drawing for name, drawing in page.draw().items()}
    if page.names or page.gaps:
        texts[directory / "benchmarks.md"] = page.text()
    for path, text in texts.items():
        path.write_text(text)
    return list(texts)

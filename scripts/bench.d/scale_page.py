"""Writes docs/scaling.md and its plot from the results: every number on the page is measured, or
computed from measured numbers and those of the example, which are on the page, too.
"""

import json
import math
import re
import statistics

import svg
from page import table

# (constant, symbol, unit, meaning)
CONSTANTS = [
    ("Nodes", [
        ("node_user_bytes", "m_node", "bytes", "memory of a node for a connected user"),
        ("kernel_bytes", "m_kernel", "bytes", "kernel memory of it, half of that of both ends"),
        ("connect_node_us", "c_connect", "µs", "CPU of a node for a user who connects"),
        ("push_node_us", "c_push", "µs", "CPU of a node for a push to one of its users"),
        ("busiest", "", "×", "... of the busiest node, over the mean of all"),
        ("all_delivery_us", "c_all", "µs", "CPU of a node for each of its users, of a push to all"),
        ("anew_node_us", "c_anew", "µs", "CPU of a node to subscribe a user again"),
        ("idle_wakeups", "", "/s", "wake-ups of an idle node"),
        ("idle_node_us", "", "µs/s", "CPU of an idle node"),
    ]),
    ("Redis", [
        ("push_redis_us", "r_push", "µs", "CPU for a push to a user"),
        ("push_nodes", "", "", "nodes that get this push"),
        ("all_redis_us", "r_all", "µs", "CPU for a push to all"),
        ("all_copies", "", "", "nodes that get this push"),
        ("connect_redis_us", "r_connect", "µs", "CPU for a user who connects"),
        ("connect_channels", "", "", "users in each SUBSCRIBE meanwhile"),
        ("anew_redis_us", "r_anew", "µs", "CPU to subscribe a user again, after a restart"),
        ("anew_channels", "", "", "users in each SUBSCRIBE meanwhile"),
        ("anew_bytes", "b_anew", "bytes", "answers for each of these users"),
        ("anew_gone_us", "", "µs", "CPU for each user of a broken link"),
        ("redis_user_bytes", "m_redis", "bytes", "memory for a subscribed user"),
        ("redis_nodes_bytes", "", "bytes", "memory for all nodes without users, and without buffers"),
        ("link_output_most", "", "bytes", "most output waiting for a link during a resubscription"),
        ("link_output_bytes", "", "bytes", "... a moment later"),
        ("idle_commands", "", "/s", "commands of an idle node"),
        ("idle_bytes", "", "bytes/s", "bytes of these commands and their answers"),
    ]),
    ("Storms, with everything on one machine", [
        ("connect_s", "", "s", "all users connect: until the last HELLO"),
        ("connect_p99_ms", "", "ms", "... 99 % of them, from when each wanted to connect"),
        ("anew_s", "", "s", "all links are cut: until every user is subscribed again"),
    ]),
]

# The example: its load and its machines. (symbol, value, meaning)
EXAMPLE = [
    ("N", 10_000_000, "users who are connected"),
    ("P", 50_000, "pushes to users a second"),
    ("A", 1 / 60, "pushes to all a second: one a minute"),
    ("cores", 16, "cores of a node, with a worker on each"),
    ("memory", 64_000_000_000, "memory of a node in bytes"),
    ("most", 500_000, "users on a node: how many may have to come back at once when it breaks"),
    ("u", 0.5, "share of a core and of memory that may be used"),
]

USED = ["date", "processor", "memory", "system", "wspushd", "compiler", "Redis"]
LIMIT_BYTES = 32 * 2 ** 20      # client-output-buffer-limit pubsub, hard, as Redis has it by default


def _nodes(v):
    return max(v["by_memory"], v["by_pushes"], v["by_most"])


# Derived values: (symbol, formula, its function, unit, meaning). Later ones use earlier ones.
FOLLOWS = [
    ("How many nodes", [
        ("by_memory", "N · (m_node + m_kernel) / (memory · u)",
         lambda v: math.ceil(v["N"] * (v["m_node"] + v["m_kernel"]) / (v["memory"] * v["u"])), "",
         "nodes, by memory"),
        ("by_pushes", "(P · c_push + A · N · c_all) / (cores · u)",
         lambda v: math.ceil((v["P"] * v["c_push"] + v["A"] * v["N"] * v["c_all"]) / 1e6 /
                             (v["cores"] * v["u"])), "", "nodes, by pushes"),
        ("by_most", "N / most", lambda v: math.ceil(v["N"] / v["most"]), "",
         "nodes, by the acceptable loss of one"),
        ("n", "the largest of these", _nodes, "", "**nodes**"),
        ("load_nodes", "(P · c_push + A · N · c_all) / (n · cores)",
         lambda v: 100 * (v["P"] * v["c_push"] + v["A"] * v["N"] * v["c_all"]) / 1e6 /
         (v["n"] * v["cores"]), "%", "load of each core by pushes"),
        ("all_s", "N · c_all / (n · cores)",
         lambda v: v["N"] * v["c_all"] / 1e6 / (v["n"] * v["cores"]), "s",
         "time that every core spends on a push to all"),
        ("storm_nodes_s", "N · c_connect / (n · cores)",
         lambda v: v["N"] * v["c_connect"] / 1e6 / (v["n"] * v["cores"]), "s",
         "time that every core spends when all users come back"),
    ]),
    ("What Redis has to do", [
        ("load_push", "P · r_push", lambda v: 100 * v["P"] * v["r_push"] / 1e6, "% of its core",
         "pushes to users, however many nodes there are"),
        ("load_all", "A · (r_all0 + r_copy · n)",
         lambda v: 100 * v["A"] * (v["r_all0"] + v["r_copy"] * v["n"]) / 1e6, "% of its core",
         "pushes to all"),
        ("redis_bytes", "N · m_redis + n · cores · m_link",
         lambda v: (v["N"] * v["m_redis"] + v["n"] * v["cores"] * v["m_link"]) / 1e9, "GB",
         "memory"),
        ("storm_redis_s", "N · r_connect", lambda v: v["N"] * v["r_connect"] / 1e6, "s",
         "time that its core spends when all users come back: they must not come faster"),
        ("anew_redis_s", "N · r_anew", lambda v: v["N"] * v["r_anew"] / 1e6, "s",
         "time in which it subscribes all users again after a restart"),
        ("anew_node_s", "N · c_anew / (n · cores)",
         lambda v: v["N"] * v["c_anew"] / 1e6 / (v["n"] * v["cores"]), "s",
         "time that a node's cores need for this; if it is less, Redis is the bottleneck"),
        ("anew_link", "N · b_anew / (n · cores)",
         lambda v: v["N"] * v["b_anew"] / (v["n"] * v["cores"]) / 1e6, "MB",
         "answers for one link during this"),
    ]),
    ("Where one Redis ends", [
        ("most_pushes", "u / r_push", lambda v: v["u"] * 1e6 / v["r_push"], "/s",
         "pushes to users"),
        ("most_users_storm", "60 s / r_anew", lambda v: 60e6 / v["r_anew"], "",
         "users, if a restart of Redis may cost a minute"),
        ("most_users_rate", "u · N / (P · r_push)",
         lambda v: v["u"] * 1e6 * v["N"] / (v["P"] * v["r_push"]), "",
         "users, if each has as many pushes as in the example"),
        ("most_link", "32 MiB / b_anew", lambda v: LIMIT_BYTES / v["b_anew"], "",
         "users of one link whose answers cannot reach Redis's hard limit for subscribers"),
    ]),
]


def say(value):
    """Three significant digits, also of large numbers; whole numbers without decimals."""
    if value == int(value):
        return f"{int(value):,}"
    if value < 1000:
        return svg.number(value)
    return f"{round(value, 2 - math.floor(math.log10(value))):,.0f}"


def fit(points):
    """(at 0, for each) of the line nearest to the points; flat if there is only one x."""
    xs, ys = zip(*points)
    x, y = statistics.mean(xs), statistics.mean(ys)
    spread = sum((one - x) ** 2 for one in xs)
    slope = sum((a - x) * (b - y) for a, b in points) / spread if spread else 0
    return y - slope * x, slope


class Page:
    def __init__(self, results):
        self.how, self.machine, self.entries = results["how"], results["machine"], results["scale"]
        self.counts = sorted({entry["nodes"] for entry in self.entries})

    def at(self, name, count):
        """A constant with this number of nodes: the median of the rounds."""
        return statistics.median(entry[name] for entry in self.entries if entry["nodes"] == count)

    def over_all(self, name):
        return statistics.median(entry[name] for entry in self.entries)

    def values(self):
        """{symbol: value}: the constants, the example's values, and the derived values."""
        out = {symbol: value for symbol, value, _ in EXAMPLE}
        for _, rows in CONSTANTS:
            out |= {symbol: self.over_all(name) for name, symbol, _, _ in rows if symbol}
        out["r_all0"], out["r_copy"] = self._copies()
        out["m_link"] = self._line("redis_nodes_bytes")[1]
        for _, rows in FOLLOWS:
            for symbol, _, function, _, _ in rows:
                out[symbol] = function(out)
        return out

    def _line(self, name):
        return fit([(count, self.at(name, count)) for count in self.counts])

    def _copies(self):
        return self._line("all_redis_us")

    def plot(self):
        rows = [(f"{what}, {count}", self.at(name, count), *self._range(name, count), nodes,
                 name == "push_redis_us")
                for what, name in [("to a user", "push_redis_us"), ("to all", "all_redis_us")]
                for count in self.counts
                for nodes in [f"{count} node{'s' * (count > 1)}"]]
        return svg.bars("CPU of Redis for a push", "by the number of nodes; thin line: lowest to "
                        f"highest of {self.how['rounds']} rounds", rows, "µs")

    def _range(self, name, count):
        found = [entry[name] for entry in self.entries if entry["nodes"] == count]
        return min(found), max(found)

    # Text.

    def text(self):
        values = self.values()
        said = {name: say(value) for name, value in values.items()}
        said |= {f"{name}_{word}": say(of(entry[name] for entry in self.entries))
                 for name in ("redis_user_bytes", "link_output_most")
                 for word, of in (("least", min), ("most", max))}
        said |= {"users": f"{self.how['users']:,}", "rounds": self.how["rounds"],
                 "counts": ", ".join(str(count) for count in self.counts[:-1]) +
                 f" and {self.counts[-1]}" if len(self.counts) > 1 else str(self.counts[0]),
                 "others": say(self.over_all("others")), "command": self._command(),
                 "copies": self._copies_text()}
        return "\n".join([_HEAD.format(**said), *self._constants(), _MEASURED.format(**said),
                          _EXAMPLE.format(**said), self._example(), *self._follows(values),
                          _ENDS.format(**said), self._machine()])

    def _command(self):
        counts = ",".join(map(str, self.counts))
        return (f"scripts/bench.sh --scale --nodes {counts} --users {self.how['users']} "
                f"--seconds {self.how['seconds']:g} --rounds {self.how['rounds']} --write docs/")

    def _copies_text(self):
        base, each = self._copies()
        return f"{svg.number(base)} + {svg.number(each)} · nodes µs" if len(self.counts) > 1 else \
            f"{svg.number(base)} µs"

    def _constants(self):
        heads = ["", "unit", *(f"{count} node{'s' * (count > 1)}" for count in self.counts),
                 "symbol"]
        for title, rows in CONSTANTS:
            cells = [[what, unit, *(svg.number(self.at(name, count)) for count in self.counts),
                      f"`{symbol}`" if symbol else ""] for name, symbol, unit, what in rows]
            yield f"**{title}**\n\n" + table(heads, cells)

    def _example(self):
        return table(["symbol", "value", ""], [
            [f"`{symbol}`", say(value), what] for symbol, value, what in EXAMPLE], text=True)

    def _follows(self, values):
        for title, rows in FOLLOWS:
            yield f"**{title}**\n\n" + table(["", "formula", "with the numbers", "result"], [
                [what, f"`{formula}`", self._filled(formula, values),
                 f"{say(values[symbol])} {unit}".strip()]
                for symbol, formula, _, unit, what in rows], text=True)

    @staticmethod
    def _filled(formula, values):
        """The formula with the value of each symbol inserted; empty if there is none."""
        filled = re.sub(r"\w+", lambda word: say(values[word[0]]) if word[0] in values else word[0],
                        formula)
        return filled if filled != formula else ""

    def _machine(self):
        return "## Measured on\n\n" + table(["", ""], [[name, text] for name, text
                                                       in self.machine.items() if name in USED])


_HEAD = """# Scaling: several nodes on one Redis

Nodes do not know of each other. Each serves the users who happen to be connected to it, and all subscribe at the
same Redis:

```
                       ┌───────┐ push:user:42   ┌────────┐
    PUBLISH ──────────▶│ Redis ├───────────────▶│ node 1 │ 42's phone, ...
    push:user:42       │       ├──┐             └────────┘
                       │       │  │ push:all    ┌────────┐
    PUBLISH push:all ─▶│       ├──┴────────────▶│ node 2 │
                       └───────┘                └────────┘
```

- The nodes to which a user is connected subscribe to the user's channel: usually one node. A push to the user
  costs Redis the same, however many nodes there are, and no other node receives it.
- Every node that has users subscribes to `push:all`, and every node that has members of a topic subscribes to the
  topic. Redis sends each node one copy, which the node distributes.
- A load balancer may send any client to any node; sessions need not be sticky. To add a node, start it; to remove
  it, use `wspushctl drain`.
- All nodes have the same `redis` and the same `prefix`. `node` gives each its name.

## What it costs

Measured with {counts} nodes of one worker each on one Redis, {users} users on every node. One command makes the
measurements and writes this page, with its formulas filled in, and [all numbers](scaling/results.json):

```
{command}
```

CPU is the time that the kernel's scheduler counts, divided by the work done under full load. With less load each
operation costs more, because it needs a wake-up of its own, but then it matters less. Clients, nodes, Redis and
publisher shared the machine and therefore its caches. Other programs used {others} % of its processors meanwhile
(median of the runs).
"""

_MEASURED = """![CPU of Redis for a push](scaling/redis.svg)

A push to a user costs Redis {r_push} µs, whatever the number of nodes. A push to all costs it {copies},
`r_all0` and `r_copy` below: one copy for each node. A push to a topic costs the same, counting only nodes with
members. Each further node takes {m_link} bytes of Redis's memory, `m_link`; it has two connections for each
worker, and here one worker.

The numbers have these limits:

- With ten million channels, Redis's tables do not fit into the processor's caches as well as those measured here.
  Leave room, and measure with `--users` as large as your machine allows.
- `m_node` includes the growth of a node's buffers during the measurement, divided by only a few users. With more
  users it approaches the value in [counts.md](counts.md#memory).
- Redis's tables grow by doubling: `m_redis` was {redis_user_bytes_least} to {redis_user_bytes_most} bytes, depending
  on how full they were. Names count, too: users here are numbers, and a longer name adds as many bytes to its
  channel and to each answer about it.
- Payloads had 64 bytes. Large ones load the network first; on Redis's side once for each node.
- If Redis cannot write to a link fast enough, it closes the link once `client-output-buffer-limit pubsub` is
  exceeded. The node then subscribes all users of that link again, and its clients get GAP.
"""

_EXAMPLE = """## The arithmetic

This is an example; insert your own numbers. One node here has a Redis link for each core, and its constants are
those of one worker: every core has its own users and its own pushes.
"""

_ENDS = """**If Redis restarts**, every node subscribes its users again as soon as Redis answers, 1,000 channels at a time, so
that Redis serves others in between. The first try comes after 25 to 50 ms, later ones after up to 5 s. Clients stay
connected, and get GAP with the time for which they may have missed pushes. In the example, the resubscription takes
{anew_redis_s} s of Redis's core; pushes that are published meanwhile reach the users who are already subscribed.
For the other users `PUBLISH` answers 0, so backends that then send notifications by APNs or FCM will send them to
users who are connected.

**If all clients come back at once**, after a network failure for example, Redis needs {storm_redis_s} s. Clients that
follow [the protocol](protocol.md) wait for a random time first; `handshake_rate` limits the number of logins that a
node accepts. A node that is stopped spreads its users over `drain_timeout`: set it to at least `users · r_connect`.

**Set in redis.conf**

```
client-output-buffer-limit pubsub 256mb 64mb 60
maxclients 10000
```

The default, `32mb 8mb 60`, is enough for the answers of {most_link} users on one link even if the node reads nothing
meanwhile, and the example has {anew_link} MB of them. Bursts of large pushes need more. Each worker has two
connections; the rest are those of your backends. Pushes do not need persistence: a Redis that carries only pushes
needs neither RDB nor AOF.

## What to do where one Redis ends

One Redis uses one core. At {u} of it, that is {most_pushes} pushes a second; measure on your own machine.

- **First publish less.** Combine several events for one user into one push; use topics instead of a push to each
  of their members.
- **Use a separate Redis for pushes**, without the sessions and streams of your application.
- **Then distribute the users among several Redis, each with nodes of its own.** These are installations that do not
  know of each other: the load balancer sends a user to a group by a hash of their name, and backends publish to that
  group's Redis; pushes to all users go to every group. This works today and needs nothing from wspushd.
- **Redis Cluster** with sharded channels (`SSUBSCRIBE`) would do the same within one installation. wspushd does not
  support it yet; it already assigns users to workers by Cluster's own slots, so that a slot has one home. Plain
  `PUBLISH` in a Cluster goes to every member of it, so a Cluster without sharded channels does not help.
"""


def write(results, directory):
    """Writes results, plot and page below a directory; returns the files."""
    parts = directory / "scaling"
    parts.mkdir(parents=True, exist_ok=True)
    page = Page(results)
    texts = {parts / "results.json": json.dumps(results, indent=1) + "\n",
             parts / "redis.svg": page.plot(), directory / "scaling.md": page.text()}
    for path, text in texts.items():
        path.write_text(text)
    return list(texts)

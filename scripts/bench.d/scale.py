"""Several nodes on one Redis: measures the cost of a push, a user and a node.

Each number of nodes gets a new Redis, so that its tables are empty at first, and nodes with one
worker, which can use one core. The measures are CPU time divided by the work done, bytes, and
counts; elapsed time is used only for a storm on this machine, which Redis, nodes and clients share.
"""

import contextlib
import json
import re
import statistics
import tempfile
import time
from pathlib import Path

import load
from harness.process import cpu_us
from harness.redis_server import RedisServer
from harness.wait import wait_for
from servers import Stage

QUIET_S = 0.3       # for Redis's last work to settle
FEW = 4             # users of a node that make it subscribe push:all, and cost next to nothing
WINDOW = 256        # pushes to everybody under way, so that Redis is as busy as with those to users
SAMPLE_S = 0.002    # between two looks at Redis's buffers


def measure(how, directory):
    """[{"nodes", "round", constant: value}], by rounds."""
    out = []
    for turn in range(how.rounds):
        for count in how.nodes:
            load.say(f"round {turn + 1} of {how.rounds}: {count} nodes, {how.users:,} users each")
            place = Path(tempfile.mkdtemp(dir=directory))
            redis = RedisServer(place).start()
            try:
                before = quiet_memory(redis)
                with Stage(place, redis).nodes(count, how.users + FEW) as nodes:
                    found = Run(how, redis, nodes).all(before)
                out.append({"nodes": count, "round": turn, **found})
            finally:
                redis.stop()
    return out


class Run:
    """The measurements on nodes that have just been started."""

    def __init__(self, how, redis, nodes):
        self.how, self.redis, self.nodes = how, redis, nodes
        self.count, self.users = len(nodes.servers), how.users * len(nodes.servers)

    def all(self, before):
        """The order matters: Redis's memory is measured while its tables have not grown, and no
        client may be leaving when a storm of connections begins."""
        alone = quiet_memory(self.redis)
        out = {"redis_nodes_bytes": alone - before, **self._idle()}
        with self._held() as held:
            out["redis_user_bytes"] = (quiet_memory(self.redis) - alone) / self.users
            out |= self._anew() | self._buffers()
        out |= {"node_user_bytes": held["memory_bytes"], "kernel_bytes": held["kernel_bytes"] / 2}
        return out | self._connect() | self._pushes() | self._everybody()

    # No client is connected.

    def _idle(self):
        with Spent(self.redis, self.nodes) as spent:
            time.sleep(self.how.idle)
        each = spent.seconds * self.count
        return {"idle_wakeups": spent.switches / each, "idle_node_us": sum(spent.node_us) / each,
                "idle_commands": spent.commands / each, "idle_bytes": spent.bytes / each}

    # All clients are connected, and nothing is pushed.

    @contextlib.contextmanager
    def _held(self):
        """Connects all users with a wspush-bench that waits; its figures are available at the
        end."""
        figures = {}
        process = load.start(self.nodes, ["idle"], connections=self.users, seconds="60m",
                             first=max(1, self.users // 10))
        try:
            wait_for(lambda: process.poll() is not None or self._channels() >= self.users,
                     "all users to be subscribed", 120)
            if process.poll() is not None:
                raise RuntimeError("wspush-bench has ended")
            yield figures
        finally:
            process.terminate()     # makes it end and print the figures
            said, _ = process.communicate(timeout=60)
        figures.update(json.loads(said)[0])
        self._wait_empty()

    def _channels(self):
        return self.redis.client.info("stats")["pubsub_channels"]

    def _wait_empty(self):
        wait_for(lambda: not any(node.admin.connections() for node in self.nodes.servers)
                 and self._channels() < self.count * 8, "the users to be gone", 60)

    def _cut(self):
        self.redis.client.client_kill_filter(_type="pubsub")

    def _wait_up(self, look=lambda: None, every=0.01):
        """Asks the nodes first, because Redis's CPU is being measured."""
        def up():
            look()
            return all(node.admin.stats()["redis_links_up"] == 1 for node in self.nodes.servers) \
                and self._channels() >= self.users
        wait_for(up, "all links to be up", 120, every)

    def _anew(self):
        """As after a restart of Redis: every node subscribes all its users again."""
        with Spent(self.redis, self.nodes) as spent:
            before = cpu_us(self.redis.process.pid)
            self._cut()     # the nodes come back 25 ms later at the earliest
            gone = cpu_us(self.redis.process.pid) - before
            self._wait_up()
        return {"anew_redis_us": max(0, spent.redis_us - gone) / self.users,
                "anew_gone_us": gone / self.users,
                "anew_node_us": sum(spent.node_us) / self.users,
                "anew_channels": self.users / spent.subscribes,
                "anew_bytes": spent.bytes_out / self.users, "anew_s": spent.seconds}

    def _buffers(self):
        """The same once more; looking at the buffers so often costs CPU, so not in the same one."""
        most = {"omem": 0, "qbuf": 0}

        def look():
            for client in self.redis.client.client_list(_type="pubsub"):
                for name in most:
                    most[name] = max(most[name], int(client[name]))

        self._cut()
        self._wait_up(look, SAMPLE_S)
        links = self.redis.client.client_list(_type="pubsub")
        return {"links": len(links) / self.count,
                "link_output_most": most["omem"], "link_query_most": most["qbuf"],
                "link_output_bytes": max(int(link["omem"]) for link in links)}

    # Load.

    def _connect(self):
        with Spent(self.redis, self.nodes) as spent:
            [storm] = load.run(self.nodes, ["connect"], connections=self.users)
        self._wait_empty()
        return {"connect_node_us": storm["server_us"], "connect_redis_us": storm["redis_us"],
                "connect_s": storm["seconds"], "connect_p99_ms": storm["p99_us"] / 1000,
                "connect_channels": self.users / spent.subscribes}

    def _load(self, mode, users, **options):
        """A mode's figures, and how much more than the mean the busiest node had to do."""
        with Spent(self.redis, self.nodes) as spent:
            [result] = load.run(self.nodes, [mode], connections=users, **options,
                                seconds=f"{self.how.seconds}s", warmup=f"{self.how.warmup}s")
        self._wait_empty()
        if result["lost"] or result["doubled"] or result["late"]:
            raise RuntimeError(f"{mode}: pushes were lost, doubled or out of order")
        return result, max(spent.node_us) / statistics.mean(spent.node_us)

    def _pushes(self):
        # So few under way that hardly two are for one user: those would share a system call.
        one, busiest = self._load("unicast", self.users,
                                  window=max(1, min(1000, self.users // 4)))
        all_, _ = self._load("broadcast", self.users)
        return {"push_node_us": one["server_us"], "push_redis_us": one["redis_us"],
                "push_rate": one["rate"], "busiest": busiest, "others": one["share_others"],
                "push_nodes": one["counts"]["receivers"] / one["counts"]["published"],
                "all_delivery_us": all_["server_us"]}

    def _everybody(self):
        """push:all to so few users that many such pushes are possible: Redis sends one copy to each
        node, however many users are connected."""
        deliveries = FEW * self.count
        result, _ = self._load("broadcast", deliveries, window=WINDOW)
        return {"all_redis_us": result["redis_us"] * deliveries,
                "all_copies": result["counts"]["receivers"] / result["counts"]["published"]}


# Costs between two points in time.

def _memory(redis):
    """Redis's memory without the buffers for commands and short answers, which every connection
    that has just been used has for some seconds. Both are read at one moment, in a transaction."""
    used, clients = redis.client.pipeline().info("memory").client_list().execute()
    return used["used_memory"] - sum(int(client[name]) for client in clients
                                     for name in ("qbuf", "qbuf-free", "rbs"))


def quiet_memory(redis):
    """The lowest value within some time."""
    until, lowest = time.monotonic() + QUIET_S, _memory(redis)
    while time.monotonic() < until:
        lowest = min(lowest, _memory(redis))
        time.sleep(0.02)
    return lowest


def switches(pid):
    """How often its threads went to sleep, which is how often they woke."""
    return sum(int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", path.read_text(), re.M)[1])
               for path in Path(f"/proc/{pid}/task").glob("*/status"))


class Spent:
    """CPU, commands and bytes between its beginning and its end. A measurement takes two commands,
    and their cost is subtracted."""

    def __init__(self, redis, nodes):
        self._redis = redis
        self._pids = [[node.pid, *node.worker_pids()] for node in nodes.servers]

    def _look(self):
        counts = self._redis.client.info("commandstats")
        stats = self._redis.client.info("stats")
        return {"cpu": cpu_us(self._redis.process.pid),
                "subscribes": counts.get("cmdstat_subscribe", {}).get("calls", 0),
                "commands": stats["total_commands_processed"],
                "in": stats["total_net_input_bytes"], "out": stats["total_net_output_bytes"]}

    def _nodes(self):
        return [(sum(map(cpu_us, pids)), sum(map(switches, pids))) for pids in self._pids]

    def __enter__(self):
        first = self._look()
        self._from = self._look()
        self._looking = {name: self._from[name] - first[name] for name in first}
        self._nodes_from, self._began = self._nodes(), time.monotonic()
        return self

    def __exit__(self, *_):
        self.seconds, nodes, to = time.monotonic() - self._began, self._nodes(), self._look()
        grown = {name: max(0, to[name] - self._from[name] - self._looking[name]) for name in to}
        self.redis_us, self.commands = grown["cpu"], grown["commands"]
        self.subscribes, self.bytes_out = grown["subscribes"], grown["out"]
        self.bytes = grown["in"] + grown["out"]
        self.node_us = [b[0] - a[0] for a, b in zip(self._nodes_from, nodes)]
        self.switches = sum(b[1] - a[1] for a, b in zip(self._nodes_from, nodes))

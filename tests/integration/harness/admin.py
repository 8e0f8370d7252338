"""The admin interface: the only place with its JSON shapes and its metrics' names.

GET /api/stats
    {"node":"...", "version":"...", "uptime":s, "connections":n,
     "workers":[{"slot":0, "pid":..., "connections":n, "restarts":n, "link":"up"}],
     "counters":{name: value, or {label value: value}}}

GET /api/users/<id>
    {"user":"42", "connections":[{"conn":"...", "address":"127.0.0.1:50000", "worker":0,
                                  "mode":"binary", "age":12, "queue":0, "backlog":0}]}

Counters have the names of /metrics without the prefix.
"""

import re
from urllib.parse import quote

from .http import request
from .wait import TIMEOUT, wait_for

PREFIX = "wspushd_"

# shm/stats.h lists all of them.
ACCEPTED = "connections_accepted_total"
CLOSED = "connections_closed_total"       # by reason: peer, reset, protocol, slow, dirty, ...
REFUSED = "handshakes_refused_total"      # by reason: bad_request, login, origin, full, ...
MESSAGES = "messages_received_total"
RECEIVED = "pushes_received_total"        # = routed + malformed
ROUTED = "pushes_routed_total"
MALFORMED = "push_malformed_total"        # by reason: PUSH_ERRORS of proto/envelope.h, too_large
DELIVERED = "pushes_delivered_total"      # deliveries: a push for two devices makes two
QUEUED = "pushes_queued_total"
DROPPED = "pushes_dropped_total"          # by reason: slow, closed, no_connection
GAPS = "gaps_total"
TAKEOVERS = "takeovers_total"

WORKER_FIELDS = {"slot", "pid", "connections", "restarts", "link"}
CONNECTION_FIELDS = {"conn", "address", "worker", "mode", "age", "queue", "backlog"}


class Admin:
    def __init__(self, address, timeout=TIMEOUT, token=None):
        self.address, self.timeout, self.token = address, timeout, token

    def get(self, target, headers=(), **kwargs):
        if self.token:
            headers = [("Authorization", "Bearer " + self.token), *headers]
        return request(self.address, target, headers=headers, **{"timeout": self.timeout, **kwargs})

    def status(self, target):
        """Returns the status of a GET, or 0 if there is no answer."""
        try:
            return self.get(target).status
        except (OSError, AssertionError):
            return 0

    def ready(self):
        return self.status("/readyz") == 200

    def stats(self):
        response = self.get("/api/stats")
        assert response.status == 200, response
        return response.json()

    def connections(self):
        return self.stats()["connections"]

    def workers(self):
        """Returns the workers' entries by slot, once every slot has a worker. An empty slot has pid 0,
        and kill(2) with pid 0 would kill the tests themselves."""
        def all_of_them():
            workers = sorted(self.stats()["workers"], key=lambda worker: worker["slot"])
            return workers if all(worker["pid"] for worker in workers) else None

        return wait_for(all_of_them, "a worker in every slot")

    def user(self, name):
        """Returns the user's connections."""
        response = self.get("/api/users/" + quote(name, safe=""))
        assert response.status == 200, response
        answer = response.json()
        assert answer["user"] == name
        return answer["connections"]

    def metrics(self):
        response = self.get("/metrics")
        assert response.status == 200, response
        return Metrics(response.body.decode("utf-8"))

    def counter(self, name, **labels):
        return self.metrics().total(name, **labels)


_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_SAMPLE = re.compile(rf"({_NAME})(?:\{{(.*)\}})? (NaN|[+-]?Inf|[-+]?[0-9.]+(?:[eE][-+]?\d+)?)$")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)')
_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("", "_sum", "_count")}


class Metrics:
    """A strict parser of Prometheus's text format 0.0.4."""

    def __init__(self, text):
        assert text.endswith("\n"), "the last line must end"
        self.types, self.helps, self.samples = {}, {}, {}
        closed, current = set(), None
        for line in text.split("\n")[:-1]:
            if line.startswith("# HELP ") or line.startswith("# TYPE "):
                _, kind, name, rest = line.split(" ", 3)
                if name != current:
                    assert name not in closed, f"{name}: its lines are not together"
                    closed.add(current)
                    current = name
                table = self.helps if kind == "HELP" else self.types
                assert name not in table, f"{name}: two {kind} lines"
                table[name] = rest
            elif line and not line.startswith("#"):
                self._sample(line, current)
        assert set(self.helps) == set(self.types), "HELP and TYPE for every family"

    def _sample(self, line, family):
        match = _SAMPLE.match(line)
        assert match, f"not a sample: {line!r}"
        name, labels, value = match.groups()
        kind = self.types.get(family)
        assert kind in ("counter", "gauge", "histogram", "summary"), f"no TYPE before {line!r}"
        assert name in [family + suffix for suffix in _SUFFIXES.get(kind, ("",))], line
        assert kind != "counter" or name.endswith("_total"), f"{name}: a counter ends in _total"
        key = (name, tuple(sorted(self._labels(labels or "").items())))
        assert key not in self.samples, f"twice: {line!r}"
        self.samples[key] = float(value)

    @staticmethod
    def _labels(text):
        out, at = {}, 0
        while at < len(text):
            match = _LABEL.match(text, at)
            assert match, f"bad labels: {text!r}"
            assert match[1] not in out, f"label twice: {text!r}"
            out[match[1]], at = match[2], match.end()
        return out

    def total(self, name, **labels):
        """Returns the sum of a metric's samples that have these labels; `name` is without the prefix."""
        name = PREFIX + name
        assert name in self.types, f"no metric {name}; there are: {', '.join(sorted(self.types))}"
        wanted = set(labels.items())
        return sum(value for (sample, has), value in self.samples.items()
                   if sample == name and wanted <= set(has))

    def by_label(self, name, label):
        """Returns {label value: sum} for a metric."""
        out = {}
        for (sample, has), value in self.samples.items():
            if sample == PREFIX + name and label in dict(has):
                out[dict(has)[label]] = out.get(dict(has)[label], 0) + value
        return out

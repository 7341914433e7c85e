"""The figures of a node for Prometheus: a service that answers GET /metrics.

    skynet.newservice(metrics.exporter, "127.0.0.1:9100")

One idea: nothing is counted for it. When it is asked it looks at the node once, between two messages, where all
tables agree; a node that nobody asks pays nothing. Only a call that is to be timed says so: `metrics.call` in the
place of skynet.call. What is in prometheus_client's own registry comes along: the process, Python's garbage
collector, and whatever the program counts itself.

A label is the name of a service, never its address, so there are as many series as kinds of services, NAMES at
most. `contrib/grafana.json` is a dashboard of these figures.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from .. import skynet
from ..core.server import Server
from ..lualib import debug
from ..skynet import socket
from ..skynet.scheduler import Scheduler
from . import httpd

try:
    from prometheus_client import REGISTRY, Histogram
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.exposition import choose_encoder
except ImportError as e:
    raise ImportError("metrics need prometheus_client: pip install 'skynet_lite[metrics]'") from e

NAMES = 200
"""Names of services that have series of their own: those that came first. All others are OTHERS together."""
OTHERS = "(others)"
SERIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "skynet_services": ("Services that live", ("service",)),
    "skynet_messages": ("Messages dispatched", ("service",)),
    "skynet_cpu_seconds": ("CPU time of services, under the key profile", ("service",)),
    "skynet_mailbox_messages": ("Messages that wait in all mailboxes of this name", ("service",)),
    "skynet_mailbox_longest": ("Messages in the longest mailbox of this name", ("service",)),
    "skynet_tasks": ("Coroutines that wait: for an answer, a timer, a wakeup", ("service",)),
    "skynet_coroutines": ("Coroutines, those in the pool as well", ("service",)),
    "skynet_sockets": ("Sockets", ("type",)),
    "skynet_socket_unsent_bytes": ("Bytes that the other side has not taken yet", ()),
    "skynet_timers": ("Timers that have not fired yet", ()),
    "skynet_uptime_seconds": ("Time since the node began", ()),
}
"""Name → what it is, its label."""
RISING = ("skynet_messages", "skynet_cpu_seconds")
CALLS = Histogram("skynet_call_seconds", "Calls by metrics.call, until they are answered or fail", ["type"])

Values = defaultdict[str, float]  # by label
Rising = dict[str, dict[int, tuple[str, float]]]  # name of a series → handle → label, value


def call(addr: int | str, typename: str, *args: Any) -> Any:
    """skynet.call, timed by its type."""
    began = skynet.hpc()
    try:
        return skynet.call(addr, typename, *args)
    finally:
        CALLS.labels(typename).observe((skynet.hpc() - began) / 1e9)


class Figures:
    """A collector for prometheus_client. `collect` runs inside a service, and looks at its node.

    A counter must not fall when a service ends: what the last look found of it is kept under its name. What it did
    after that is lost, and so is a service that lived between two looks.
    """

    def __init__(self, *others: Any) -> None:
        self._others = others  # registries whose figures follow
        self._names: set[str] = set()
        self._rising: Rising = {name: {} for name in RISING}  # of the last look
        self._ended: dict[str, Values] = {name: defaultdict(float) for name in RISING}

    def collect(self) -> Iterator[Metric]:
        found: dict[str, Values] = debug.look(lambda node: self._look(node.server))
        for name, values in found.items():
            about, labels = SERIES[name]
            family = (CounterMetricFamily if name in RISING else GaugeMetricFamily)(name, about, labels=labels)
            for label, value in values.items():
                family.add_metric([label][: len(labels)], value)
            yield family
        for registry in self._others:
            yield from registry.collect()

    def _look(self, server: Server) -> dict[str, Values]:
        found: dict[str, Values] = {name: defaultdict(float) for name in SERIES}
        rising: Rising = {name: {} for name in RISING}
        for ctx in server.contexts.values():
            name, s = self._label(ctx.called), ctx.state
            rising["skynet_messages"][ctx.handle] = name, ctx.mailbox.popped
            rising["skynet_cpu_seconds"][ctx.handle] = name, ctx.cpu_cost
            found["skynet_services"][name] += 1
            found["skynet_mailbox_messages"][name] += len(ctx.mailbox)
            longest = found["skynet_mailbox_longest"]
            longest[name] = max(longest[name], len(ctx.mailbox))
            if isinstance(s, Scheduler):
                found["skynet_tasks"][name] += len(s.session_id_coroutine)
                found["skynet_coroutines"][name] += len(s.coroutines)
        for what in RISING if server.profile else RISING[:1]:
            found[what] = self._risen(what, rising[what])
        if not server.profile:
            del found["skynet_cpu_seconds"]
        sockets = server.socket_server.netstat()
        for row in sockets:
            found["skynet_sockets"][row["type"]] += 1
        found["skynet_socket_unsent_bytes"][""] = sum(row.get("wbuffer") or 0 for row in sockets)
        found["skynet_timers"][""] = len(server.timer)
        found["skynet_uptime_seconds"][""] = server.clock.now() / 100
        return found

    def _label(self, name: str) -> str:
        if len(self._names) < NAMES:
            self._names.add(name)
        return name if name in self._names else OTHERS

    def _risen(self, what: str, now: dict[int, tuple[str, float]]) -> Values:
        """By name: what the living have, and what those had that have ended."""
        before, self._rising[what] = self._rising[what], now
        for handle, (name, value) in before.items():
            if handle not in now:
                self._ended[what][name] += value
        sums = self._ended[what].copy()
        for name, value in now.values():
            sums[name] += value
        return sums


def exporter(addr: str = "127.0.0.1:9100") -> None:
    """The start function of the service: listen on HOST:PORT. Port 0 is a free one; the log names it."""
    figures = Figures(REGISTRY)

    def answer(request: httpd.Request) -> Any:
        if request.path != "/metrics":
            return 404, "the figures are at /metrics\n"
        if request.method not in ("GET", "HEAD"):
            return 405, "", {"Allow": "GET, HEAD"}
        encode, kind = choose_encoder(str(request.header.get("accept", "")))
        return 200, encode(figures), {"Content-Type": kind}

    listening = socket.listening(addr)
    skynet.error("metrics at http://{}:{}/metrics".format(*socket.sockname(listening)))
    socket.start(listening, lambda id, peer: httpd.serve(id, answer))

"""`/metrics` of a node, read as Prometheus would."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from contrib_harness import until_eof
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from skynet_lite import CallError, Node, skynet
from skynet_lite.contrib import metrics

DASHBOARD = Path(metrics.__file__).with_name("grafana.json")


class Scraped(dict[tuple[str, str], float]):
    """(name of a sample, its one label or "") → value."""

    def __init__(self, text: str, read: Any = text_string_to_metric_families) -> None:
        families = list(read(text))
        self.kinds = {family.name: family.type for family in families}
        for family in families:
            for sample in family.samples:
                self[sample.name, ",".join(sample.labels.values())] = sample.value

    def of(self, name: str) -> dict[str, float]:
        return {label: value for (sample, label), value in self.items() if sample == name}


class Watched:
    """A virtual node with the service, and what asks it."""

    def __init__(self, **keys: Any) -> None:
        self.node = Node(**({"clock": "virtual", "log": list} | keys))
        self.node.newservice(metrics.exporter, "127.0.0.1:0")
        (line,) = [line for line in self.node.log_lines if "metrics at" in line]
        self.port = int(re.findall(r":(\d+)/metrics$", line)[0])

    def ask(self, request: str = "GET /metrics", *header: str) -> tuple[str, str]:
        """What is above the empty line of the answer, and what below."""
        with self.node.client(self.port) as client:
            lines = [f"{request} HTTP/1.1", "Host: x", "Connection: close", *header, "", ""]
            client.send("\r\n".join(lines).encode())
            above, _, below = until_eof(client).decode().partition("\r\n\r\n")
        return above, below

    def scrape(self) -> Scraped:
        return Scraped(self.ask()[1])


Figure = dict[str, dict[str, float]]


def collected(figures: metrics.Figures) -> Figure:
    """Inside a service: name → label → value."""
    return {family.name: {",".join(s.labels.values()): s.value for s in family.samples} for family in figures.collect()}


@pytest.fixture
def watched() -> Iterator[Watched]:
    found = Watched()
    with found.node:
        yield found


def counter() -> None:
    skynet.dispatch("lua", lambda session, source, *words: skynet.retpack(len(words)))
    skynet.fork(lambda: skynet.wait("for ever"))


@pytest.mark.parametrize("keys", [{"skynet": "1.8"}, {"skynet": "1.8", "clock": "real", "thread": 2}], ids=str)
def test_a_node_of_the_other_dialect_is_scraped_as_well(keys: dict[str, Any]) -> None:
    """There `listen` returns more than the id."""
    found = Watched(**keys)
    with found.node:
        assert found.scrape()["skynet_services", "exporter"] == 1


def test_a_scrape_has_the_figures_of_each_kind_of_service(watched: Watched) -> None:
    """Two services of one name are one series: messages, tasks, services are sums, the longest mailbox is one's."""
    node = watched.node
    first, second = node.newservice(counter), node.newservice(counter)
    before = watched.scrape()
    for addr in (first, first, second):
        node.call(addr, "lua", "x")
    after = watched.scrape()
    assert after["skynet_messages_total", "counter"] - before["skynet_messages_total", "counter"] == 3
    assert after["skynet_services", "counter"] == after["skynet_tasks", "counter"] == 2
    assert after["skynet_coroutines", "counter"] >= 2
    assert after["skynet_mailbox_messages", "counter"] == after["skynet_mailbox_longest", "counter"] == 0
    assert after.of("skynet_sockets") == {"LISTEN": 1, "TCP": 1}, "the one that asks is there, too"
    assert after["skynet_socket_unsent_bytes", ""] == 0
    assert after.kinds["skynet_messages"] == "counter" and after.kinds["skynet_tasks"] == "gauge"
    assert "logger" in after.of("skynet_services") and "logger" not in after.of("skynet_tasks")


def test_uptime_and_timers_are_the_nodes_own(watched: Watched) -> None:
    """By its clock: an hour of virtual time."""

    def sleeper() -> None:
        skynet.timeout(1_000_000, lambda: None)

    watched.node.newservice(sleeper)
    before = watched.scrape()
    watched.node.advance(360_000)
    after = watched.scrape()
    assert after["skynet_uptime_seconds", ""] - before["skynet_uptime_seconds", ""] == 3600
    assert after["skynet_timers", ""] >= 1


def test_a_mailbox_that_fills_is_seen(watched: Watched) -> None:
    """The look is between two messages: what has been sent and not yet been dispatched stands there."""
    found: list[Figure] = []

    def busy() -> None:
        skynet.dispatch("lua", lambda session, source: None)

    def sends(addr: int) -> None:
        for _ in range(7):
            skynet.send(addr, "lua")
        found.append(collected(metrics.Figures()))

    watched.node.newservice(sends, watched.node.newservice(busy))
    assert found[0]["skynet_mailbox_messages"]["busy"] == found[0]["skynet_mailbox_longest"]["busy"] == 7


def test_counters_do_not_fall_when_services_end(watched: Watched) -> None:
    """What the last look has found of them stays with their name."""
    node = watched.node
    addr = node.newservice(counter)
    for _ in range(5):
        node.call(addr, "lua")
    before = watched.scrape()
    node.call(".launcher", "lua", "KILL", addr)
    after = watched.scrape()
    assert after["skynet_messages_total", "counter"] == before["skynet_messages_total", "counter"] >= 5
    assert ("skynet_services", "counter") not in after
    node.newservice(counter)
    assert watched.scrape()["skynet_messages_total", "counter"] > after["skynet_messages_total", "counter"]


def test_labels_are_bounded(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that names its services without end does not fill the memory of Prometheus."""
    names = len(watched.scrape().of("skynet_services"))
    monkeypatch.setattr(metrics, "NAMES", names + 2)
    for n in range(5):

        def service() -> None: ...

        service.__name__ = f"made_{n}"
        watched.node.newservice(service)
    found = watched.scrape().of("skynet_services")
    assert {name for name in found if name.startswith("made")} == {"made_0", "made_1"}
    assert found["(others)"] == 3


def test_cpu_is_there_where_the_node_measures_it() -> None:
    """Under the key profile; else there is no such series, rather than a line of zeros."""
    plain, measured = Watched(), Watched(profile=True, clock="real")
    with plain.node, measured.node:
        assert plain.scrape().of("skynet_cpu_seconds_total") == {}
        assert measured.scrape().of("skynet_cpu_seconds_total")["exporter"] > 0


def test_calls_are_timed_by_type_where_the_program_says_so(watched: Watched) -> None:
    """By the node's clock; a call that fails is timed as well."""

    def slow() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int, ticks: int) -> None:
            skynet.sleep(ticks)
            skynet.retpack(1 // (ticks - 200))

    def asks(addr: int) -> None:
        metrics.call(addr, "lua", 50)
        with pytest.raises(CallError):
            metrics.call(addr, "lua", 200)

    def sums() -> tuple[float, float]:
        found = watched.scrape()
        key = "skynet_call_seconds_"
        return found.get((key + "count", "lua"), 0), found.get((key + "sum", "lua"), 0)

    count, total = sums()
    watched.node.newservice(asks, watched.node.newservice(slow))
    assert sums() == (count + 2, pytest.approx(total + 2.5))


def test_what_the_process_is_like_comes_along(watched: Watched) -> None:
    """prometheus_client's own collectors: memory, descriptors, the garbage collector."""
    found = watched.scrape()
    assert found["process_resident_memory_bytes", ""] > 1e6
    assert set(found.of("python_gc_collections_total")) == {"0", "1", "2"}


def test_the_answer_is_in_the_form_that_is_asked_for(watched: Watched) -> None:
    """Prometheus asks for OpenMetrics first; a browser gets plain text."""
    above, below = watched.ask("GET /metrics", "Accept: application/openmetrics-text; version=1.0.0")
    assert "content-type: application/openmetrics-text" in above.lower()
    assert Scraped(below, openmetrics.text_string_to_metric_families)["skynet_services", "exporter"] == 1
    assert "content-type: text/plain" in watched.ask()[0].lower()


@pytest.mark.parametrize(
    ("asked", "status"),
    [("GET /", "404"), ("POST /metrics", "405"), ("HEAD /metrics", "200"), ("GET /metrics?x=1", "200")],
)
def test_other_requests(watched: Watched, asked: str, status: str) -> None:
    """Only /metrics is there, and only to be read."""
    above, below = watched.ask(asked)
    assert above.split(" ")[1] == status and (below == "") == asked.startswith(("HEAD", "POST"))


def test_with_workers_nothing_moves_meanwhile() -> None:
    """Every message that was sent is in a mailbox or dispatched, whatever the other workers do."""
    with Node(log=list, thread=4) as node:
        node.serve()
        addrs = [node.newservice(counter) for _ in range(8)]
        got: list[float] = []

        def looks() -> None:
            figures = metrics.Figures()
            for _ in range(20):
                for addr in addrs:
                    skynet.send(addr, "lua")
                found = collected(figures)
                got.append(found["skynet_messages"]["counter"] + found["skynet_mailbox_messages"]["counter"])

        node.newservice(looks)
    assert [n - got[0] for n in got] == [8 * n for n in range(20)]


def test_the_dashboard_asks_for_figures_that_are_there() -> None:
    """Each expression of grafana.json names a sample of a scrape, and labels that it has."""
    board = json.loads(DASHBOARD.read_text())
    found = Watched(profile=True)
    with found.node:

        def asks() -> None:
            metrics.call(".launcher", "lua", "LIST")

        found.node.newservice(asks)
        text = found.ask()[1]
    names = {name for name, _ in Scraped(text)}
    labels = {
        sample.name: set(sample.labels) | {"job", "instance", "le"}
        for family in text_string_to_metric_families(text) for sample in family.samples
    }  # fmt: skip
    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(expressions) > 10 and len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for expression in expressions:
        (name,) = set(re.findall(r"\b(?:skynet|process|python)_\w+", expression))
        assert name in names, expression
        wanted = {label.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(",")}
        assert wanted <= labels[name], expression


def test_without_prometheus_client_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['prometheus_client'] = None\nimport skynet_lite.contrib.metrics"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "metrics need prometheus_client: pip install 'skynet_lite[metrics]'" in done.stderr

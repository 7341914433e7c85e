"""Two dialects of one scheduler: what is told of skynet 1.1.0 elsewhere holds for `Node(skynet="1.8")`, and the 16 rules.

That the order of events is today's, test_golden.py shows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import FOLDERS, Play, assert_live, expected, watch
from test_replay import check, given_to
from test_timeline import check_readable
from test_verdicts import EXPECTED

from skynet_lite import CallError, ConfigError, Node, SkynetError, SocketError, Trace, coroutine, mark, skynet, socket
from skynet_lite.skynet.dialect import RULES
from skynet_lite.view.payload import payload
from skynet_lite.view.words import sentences

NAMES = sorted(path.stem for path in FOLDERS["1.8"].glob("*.json"))
README = (FOLDERS["1.8"] / "README.md").read_text()

TODAY = EXPECTED | {
    "kill_server": [],
    "ret_on_send": ["fault raised"],
    "ret_twice": ["fault raised"],
    "response_on_send": ["fault raised"],
    "wait_token": ["suspicion wakeup of nobody"],
}
"""The verdicts: a second answer is an error of the handler now, and one for a message that was sent is, too."""


def run(*services: Callable[..., Any], skynet: str = "1.8", **keys: Any) -> tuple[Trace, Node]:
    """Services one after the other, each told the addresses of those before it; all there is to do is done."""
    with Node(clock="virtual", log=list, skynet=skynet, **keys) as node:
        node.run_until_idle()
        with node.record() as trace:
            addresses: list[int] = []
            for service in services:
                addresses.append(node.newservice(service, *addresses, wait=False))
                node.run(timeout=10)
    return trace, node


def marks(*services: Callable[..., Any], skynet: str = "1.8") -> list[str]:
    return [e["text"] for e in run(*services, skynet=skynet)[0] if e["e"] == "mark"]


# ---- all programs of the recordings


@pytest.mark.parametrize("name", NAMES)
def test_a_run_of_today_is_as_good_as_any(name: str, tmp_path: Path) -> None:
    """Tables rebuilt at each event, replayed, told, judged, stored, and the same as the recording to `diff`."""
    play = Play(name, tmp_path, watch=watch, record=True, skynet="1.8")
    trace, recording = play.trace, Trace.load(FOLDERS["1.8"] / f"{name}.json")
    assert (trace.skynet, recording.skynet) == ("1.8", "1.8")
    assert_live(trace, play.watched)
    check(play.node.trace, *given_to(play.node))
    assert trace.verdicts().kinds() == TODAY.get(name, [])
    for told in sentences(trace) + sentences(recording):
        assert told.endswith((".", '."')) and "?" not in re.sub(r'"(\\.|[^"])*"', "", told) and "other" not in told[:8]
    ours = {a: label for label, a in play.addresses.items()}
    assert trace.diff(recording, names=ours).same
    trace.save(tmp_path / "t.json")
    again = Trace.load(tmp_path / "t.json")
    assert (again.skynet, again.text(), again.state()) == ("1.8", trace.text(), trace.state())


@pytest.mark.parametrize("name", ["call_back_nested", "select_two", "woken_raises_rest_delayed", "ret_twice_caught"])
def test_a_run_of_today_can_be_drawn(name: str, tmp_path: Path) -> None:
    """Lanes are parked, free and woken as they are with the commands of 1.1.0, which SUSPEND stands for."""
    trace = Play(name, tmp_path, skynet="1.8").trace
    check_readable(trace.timeline())
    check_readable(Trace.load(FOLDERS["1.8"] / f"{name}.json").timeline())
    assert len(payload(trace)["kinds"][1]) == len(trace)
    assert "OTHER" not in trace.describe()


def test_several_workers_speak_it_too(tmp_path: Path) -> None:
    """What one service does is the same on any number of workers."""
    play = Play("call_back_nested", tmp_path, skynet="1.8", thread=2)
    for label, events in {"A": play.data["events"], **play.data["peer_events"]}.items():
        assert play.events(label) == expected(events), label


# ---- the table of rules


def test_the_rules_are_those_of_the_recordings() -> None:
    """Number and version as the README of the recordings has them; every scenario that is named is there."""
    measured = {int(n): since for n, since in re.findall(r"^\| (\d+) \|.*?\| v([\d.]+)", README, re.MULTILINE)}
    assert {rule.number: rule.since for rule in RULES} == measured
    assert [rule.number for rule in RULES] == list(range(1, 17))
    assert {name for rule in RULES for name in rule.scenarios} <= set(NAMES)


def test_a_dialect_is_a_key_like_others(tmp_path: Path) -> None:
    """As a keyword, in a file, in the answer to getenv; what is none is refused."""
    (tmp_path / "c.toml").write_text('skynet = "1.8"\n')
    for node in (Node(skynet="1.8"), Node(tmp_path / "c.toml")):
        with node:
            assert node.config.skynet == "1.8"
    with Node(log=list, clock="virtual") as node, node.record() as trace:
        node.newservice(lambda: mark(skynet.getenv("skynet")))
    assert trace.skynet == "1.1" and "skynet" not in trace.snapshot
    assert trace[trace.find("mark")]["text"] == "1.1"
    with pytest.raises(ConfigError, match=r"'skynet' is '1\.7': use one of '1\.1', '1\.8'"):
        Node(skynet="1.7")


def test_what_changed_is_what_a_diff_shows() -> None:
    """The same program under both: two spellings of the same are no difference, a rule is one."""

    def plain() -> None:
        skynet.sleep(1)
        mark("slept")

    def twice() -> None:
        skynet.dispatch("lua", lambda session, source: mark(f"{skynet.retpack(1)}") or skynet.retpack(2))

    def asks(server: int) -> None:
        mark(f"{skynet.call(server, 'lua')}")

    old, new = run(plain, skynet="1.1")[0], run(plain)[0]
    assert old.only("plain").diff(new.only("plain")).same
    assert not old.diff(new).same, "the launcher keeps a response function"
    old, new = run(twice, asks, skynet="1.1")[0], run(twice, asks)[0]
    diff = old.only("twice").diff(new.only("twice"))
    assert not diff.same
    assert re.search(r"yield +RETURN", str(diff)) and "session_coroutine_id ret co1" in str(diff)
    assert "SLEEP" not in str(diff)


def listens(ports: list[int], accept: Callable[[int, str], Any]) -> None:
    """Listen at a free port, which is told, and hand each connection over."""
    lid = socket.listening("127.0.0.1:0")
    ports.append(socket.sockname(lid)[1])
    socket.start(lid, accept)


# ---- what no recording shows


def test_a_stale_wakeup_no_longer_ends_the_chain() -> None:
    """Rule 7: of two entries the first wakes nobody; today the second has its turn in the same dispatch."""

    def main() -> None:
        def sleeper(name: str) -> None:
            skynet.wait()
            mark(name)

        first, second = (skynet.fork(sleeper, name) for name in ("first", "second"))
        skynet.sleep(1)
        for co in (first, first, second):
            skynet.wakeup(co)
        skynet.timeout(1, lambda: mark("a tick later"))

    assert marks(main) == ["first", "second", "a tick later"]
    assert marks(main, skynet="1.1") == ["first", "a tick later", "second"]


def test_a_socket_over_its_limit_can_still_be_read() -> None:
    """Rule 12: it is closed, and what has come stays in its buffer; in v1.1.0 it is thrown away."""

    def main() -> None:
        def accept(id: int, peer: str) -> None:
            socket.start(id)
            socket.limit(id, 4)
            skynet.sleep(10)
            mark(f"read {socket.readall(id)!r}")

        listens(ports, accept)

    ports: list[int] = []
    for dialect, read in (("1.8", b"too much"), ("1.1", b"")):
        with Node(clock="virtual", log=list, skynet=dialect) as node, node.record() as trace:
            node.newservice(main)
            with node.client(ports.pop()) as client:
                client.send(b"too much")
                node.run(timeout=10)
        assert trace[trace.find("mark")]["text"] == f"read {read!r}"


def test_the_dead_refuse_one_call_at_a_time() -> None:
    """Rule 13: of two calls to a service the second is still queued when it exits, and each is told for itself."""

    def server() -> None:
        skynet.dispatch("lua", lambda session, source: skynet.exit())

    def client(address: int) -> None:
        def ask(n: int) -> None:
            with pytest.raises(CallError):
                skynet.call(address, "lua")
            mark(f"{n} has failed")

        skynet.fork(ask, 1)
        skynet.fork(ask, 2)

    for dialect, sessions in (("1.8", [3, 2]), ("1.1", [0])):
        trace, node = run(server, client, skynet=dialect)
        told = [e["session"] for e in trace if e["e"] == "message" and e["ptype"] == "error"]
        assert sorted(set(told)) == sorted({2, *sessions}), dialect
        assert sorted(e["text"] for e in trace if e["e"] == "mark") == ["1 has failed", "2 has failed"]


def test_a_token_in_use_is_refused_behind_its_session() -> None:
    """Rule 14: the number is taken, the timer set; when that fires nobody is there."""

    def main() -> None:
        skynet.fork(skynet.wait, "token")
        skynet.sleep(0)
        with pytest.raises(SkynetError, match="token duplicative: co2 sleeps with 'token' already"):
            skynet.sleep(1, "token")
        mark(f"{skynet.genid()}")
        skynet.sleep(5)
        mark(f"{skynet.wakeup('token')}")

    assert marks(main) == ["5", "True"]
    assert marks(main, skynet="1.1") == ["4", "True"]


def test_who_failed_after_the_answer_tells_nobody() -> None:
    """Rule 3: there is no second message behind the answer, neither of an error nor of an exit."""

    def server() -> None:
        @skynet.dispatch("lua")
        def dispatch(session: int, source: int, how: Callable[[], None] | str) -> None:
            skynet.retpack("answered")
            if how == "exit":
                skynet.exit()
            raise ValueError(how)

    def client(address: int) -> None:
        for how in ("raise", "exit"):
            mark(skynet.call(address, "lua", how))

    for dialect, errors in (("1.8", 0), ("1.1", 2)):
        trace, _ = run(server, client, skynet=dialect)
        assert sum(e["e"] == "send" and e["ptype"] == "error" and bool(e["session"]) for e in trace) == errors


def test_listening_waits_and_says_what_is_wrong() -> None:
    """Rule 10: id, address and port; an address that cannot be had raises before anything waits."""

    def main() -> None:
        id, host, port = socket.listen("127.0.0.1", 0)
        mark(f"{socket.sockname(id) == (host, port)}")
        with pytest.raises(SocketError, match="Listen error"):
            socket.listen(host, port)
        socket.close(id)
        mark(f"{socket.invalid(id)}")

    assert marks(main) == ["True", "True"]


def test_coroutines_of_the_user_do_as_before() -> None:
    """A command goes down from resumer to resumer to the thread, which enters itself in their stead."""

    def server() -> None:
        def answers(text: str) -> None:
            skynet.sleep(1)
            coroutine.yield_("half way")
            skynet.retpack(text)

        @skynet.dispatch("lua")
        def dispatch(session: int, source: int, text: str) -> None:
            co = coroutine.create(answers)
            mark(f"{coroutine.resume(co, text)}")
            coroutine.resume(co)

    def client(address: int) -> None:
        mark(coroutine.wrap(lambda: skynet.call(address, "lua", "the answer"))())

    for dialect in ("1.1", "1.8"):
        assert marks(server, client, skynet=dialect) == ["(True, 'half way')", "the answer"], dialect


def test_a_trace_tag_is_followed_in_both() -> None:
    """skynet.trace writes the same lines, wherever the answer is given."""

    def server() -> None:
        @skynet.dispatch("lua")
        def dispatch(session: int, source: int) -> None:
            skynet.sleep(1)
            skynet.retpack()

    def client(address: int) -> None:
        skynet.trace("here")
        skynet.call(address, "lua")

    told = [
        [
            re.sub(r"\d+ (\w+)", r"\1", line)
            for line in run(server, client, skynet=dialect)[1].log_lines
            if "TRACE" in line
        ]
        for dialect in ("1.1", "1.8")
    ]
    assert told[0] == told[1] and any(line.endswith("response") for line in told[0])


def test_more_than_the_buffer_holds_is_read_in_both() -> None:
    """A socket that is paused lets its queued messages go first today; what is read is the same."""

    def main() -> None:
        def accept(id: int, peer: str) -> None:
            socket.start(id)
            skynet.sleep(10)
            read = [len(socket.read(id) or b"") for _ in range(2)]
            mark(f"{sum(read) + len(socket.readall(id))}")

        listens(ports, accept)

    ports: list[int] = []
    for dialect in ("1.8", "1.1"):
        with Node(clock="virtual", log=list, skynet=dialect) as node, node.record() as trace:
            node.newservice(main)
            client = node.client(ports.pop())
            client.send(b"x" * 700_000)
            client.close()
            node.run(timeout=10)
        assert trace[trace.find("mark")]["text"] == "700000"

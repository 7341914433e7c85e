"""The rest of tests/golden/cluster: the functions that make frames, bare peers, and what the functions return.

A bare client and a bare server know nothing of a cluster, they send bytes. Of log lines the text counts, without who
wrote it and the place in a source file; lines that have another text with us are told in SAID.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cluster_wire import Callee, Echo, End, Member, Outcome, Wire, World, load
from harness import free_port
from recorded import raw, returned, value
from test_cluster_golden import assert_frame, connect, tags_in

from skynet_lite import CallError, SkynetError, cluster, seri, skynet
from skynet_lite.lualib import clustercore

# ---- the functions alone

LUA_TYPES = {"boolean": "bool", "table": "list"}
VECTORS = load("core_functions")["vectors"]


def frames(told: Any) -> bytes:
    return raw(told)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["id"])
def test_a_function_of_the_core(vector: dict[str, Any]) -> None:
    """The same bytes from the same values; the same values from the same bytes; the same refusals."""
    fn = vector["fn"]
    if "error" in vector:
        text = re.sub(r"it's a (\w+)", lambda found: f"it's a {LUA_TYPES[found[1]]}", vector["error"])
        with pytest.raises(SkynetError, match=f"^{re.escape(text)}"):
            made(vector)
    elif fn in ("packrequest", "packpush"):
        frame, session, parts = made(vector)
        assert (frame, session) == (raw(vector["frame"]), vector["next_session"])
        assert parts == ([raw(part) for part in vector["parts"]] if "parts" in vector else None)
    elif fn == "packtrace":
        assert made(vector) == raw(vector["frame"])
    elif fn == "packresponse":
        assert made(vector) == [raw(told) for told in vector.get("frames", [vector.get("frame")])]
    elif fn == "append*,concat":
        assert made(vector) == (None if vector["result"] is None else raw(vector["result"]))
    elif fn == "unpackrequest":
        assert made(vector) == request_of(vector)
    elif fn == "unpackresponse":
        assert made(vector) == response_of(vector)
    else:
        assert fn == "isname"
        assert made(vector) == bool(vector["returns"])


def made(vector: dict[str, Any]) -> Any:
    fn = vector["fn"]
    if fn in ("packrequest", "packpush"):
        address = value(vector["address"])
        return getattr(clustercore, fn)(address, vector["session"], raw(vector["payload"]))
    if fn == "packtrace":
        return clustercore.packtrace(value(vector["tag"]))
    if fn == "packresponse":
        return clustercore.packresponse(vector["session"], vector["ok"], raw(vector["payload"]))
    if fn == "append*,concat":
        return clustercore.concat([item(told) for told in vector["appended"]])
    if fn == "isname":
        return clustercore.isname(value(vector["arg"]))
    return getattr(clustercore, fn)(raw(vector["bytes"]))


def item(told: dict[str, Any]) -> Any:
    return raw(told["hex"]) if told["t"] == "str" else value(told)


def request_of(vector: dict[str, Any]) -> tuple[Any, ...]:
    """`(address, session, message or size, more, push)` of what skynet returns: address, session, message, size, ..."""
    told = vector["returns"]
    if len(told) == 1:
        return (value(told[0]),)
    address, session, message, size, more, push = [*told, *({"t": "nil"},) * (6 - len(told))]
    if vector.get("message_position") is not None and value(more) is None:  # small, and complete
        return value(address), value(session), item(message), False, bool(value(push))
    if value(address) is False:  # a part
        return None, value(session), item(message), value(more), None
    return value(address), value(session), value(size), True, value(push)


def response_of(vector: dict[str, Any]) -> tuple[Any, ...] | None:
    told = vector["returns"]
    if not told:
        return None
    session, ok, data, *more = told
    return value(session), value(ok), item(data) if value(ok) else value(data), bool(more and value(more[0]))


# ---- a bare client

PROBE = 30583
CLIENT = load("raw_client")
SAID = {
    "attempt to concatenate a nil value (local 'name')": "a query is for a name, not for ",
    "Invalid serialize stream 1 (line:527)": "Invalid serialize stream 1",
}


def texts(lines: list[str]) -> list[str]:
    """What log lines say that skynet wrote itself, without who and where."""
    found = []
    for line in lines:
        text = re.sub(r"^\[:\w+\] ", "", line)
        text = re.sub(r"^lua call \[.*?\] error : ", "", text)
        text = re.sub(r"\x1b\[\d*m", "", text)
        text = re.sub(r"(\./\S+:\d+: )+", "", text)
        if not text.startswith(("LAUNCH", "KILL", "<TRACE", "stack traceback", "\t")):
            found.append(SAID.get(text, text))
    return found


@pytest.fixture(scope="module")
def callee() -> Iterator[tuple[World, Callee]]:
    world = World()
    callee = Callee(["echo"])
    assert callee.handles == {"echo": CLIENT["callee_services"]["echo"]["handle"]}
    world.add(callee)
    yield world, callee
    world.close()


@pytest.mark.parametrize("case", CLIENT["cases"], ids=lambda case: case["desc"][:60])
def test_a_bare_client(case: dict[str, Any], callee: tuple[World, Callee]) -> None:
    """One connection each. A frame that makes no sense is logged and ignored: the probe behind it is answered."""
    world, node = callee
    end = connect(world, node.port)
    try:
        one_connection(case, world, node, end)
    finally:
        end.close()
        world.until(lambda: not any(kind == "connected" for kind, *_ in node.node.tables()["sockets"].values()))


def one_connection(case: dict[str, Any], world: World, node: Callee, end: End) -> None:
    node.clear()
    asleep, said = node.slept, len(node.node.log_lines)
    for segment in case["segments"]:
        end.send(raw(segment))
        world.until(lambda: not end.out)
        world.round()
    asleep += sum(raw(segment).count(b"\x2cSLEEP") for segment in case["segments"])

    def sleep() -> None:
        if node.slept == asleep and not case["closed_by_server"]:
            node.node.advance(1)

    for told in case["answers"]:
        assert_frame("s2c", world.until(lambda: end.frames, sleep, case["desc"]).pop(0), raw(told["hex"]))
    if case["half_close_after"]:
        end.sock.shutdown(1)
    if case["closed_by_server"]:
        world.until(lambda: end.eof, what="that it is closed")
    else:
        assert case["probe_ok"]
        end.send(clustercore.packrequest(11, PROBE, seri.pack("ECHO", "probe"))[0])
        answer = world.until(lambda: end.frames, what="the probe's answer").pop(0)
        assert answer == clustercore.packresponse(PROBE, True, seri.pack("probe"))[0]
    assert not end.frames
    assert node.notes() == [value(told) for told in case.get("server_notes", [])]
    log = "\n".join(node.node.log_lines[said:])
    for text in texts(case.get("server_log", [])):
        assert text in log
    assert tags_in(log.splitlines()) == tags_in(case.get("server_log", []))


# ---- a bare server


class Server:
    """A node of ours that calls a bare server, case after case, over one connection as long as it lasts."""

    def __init__(self) -> None:
        self.world, self.wire, self.node = World(), Wire(), Member()
        self.world.add(self.node, self.wire)
        self.node.do(lambda: cluster.reload({"f": f"127.0.0.1:{self.wire.port}"}))
        self.end: End | None = None
        self.session = 1

    def call(self, i: int) -> Outcome:
        self.session += 1
        return self.node.start(lambda: cluster.call("f", 7, "X", i))

    def connection(self) -> End:
        """That of the call that was just made."""
        if self.end is None or self.end.sock.fileno() < 0 or self.end.eof:
            count = len(self.wire.callers)
            self.world.until(lambda: len(self.wire.callers) > count, what="a connection")
            self.end = self.wire.callers[-1]
        return self.end

    def skip(self, session: int) -> None:
        """The recording has left cases out: calls that use their sessions up."""
        while self.session < session:
            outcome = self.call(0)
            end = self.connection()
            self.world.until(lambda end=end: end.frames).clear()
            end.send(clustercore.packresponse(self.session - 1, True, b"")[0])
            self.world.until(lambda outcome=outcome: outcome.times)

    def hang_up(self) -> None:
        if self.end is not None and self.end.sock.fileno() >= 0:
            self.end.close()
            self.world.until(lambda: not any(k == "connected" for k, *_ in self.node.node.tables()["sockets"].values()))


def test_a_bare_server() -> None:
    """Every way of answering, and of answering wrongly. What cannot be an answer costs the connection, no more."""
    server = Server()
    try:
        for case in load("raw_server")["cases"]:
            one_case(server, case)
    finally:
        server.world.close()


def one_case(server: Server, case: dict[str, Any]) -> None:
    what, world = case["desc"], server.world
    server.skip(case["sessions"][0])
    if case["new_connection"]:
        server.hang_up()
    said = len(server.node.node.log_lines)
    outcomes = []
    for i, told in enumerate(case["requests"]):
        assert server.session == case["sessions"][i], what
        outcomes.append(server.call(i))
        end = server.connection()
        assert world.until(lambda end=end: end.frames, what=what).pop(0) == raw(told), what
    for segment in case["answer_segments"]:
        end.send(raw(segment))
        world.until(lambda end=end: not end.out, what=what)
        world.round()
    if case["server_closes_after"]:
        end.close()
    results = case["results"]
    if isinstance(results[0], str):
        assert results[0].startswith("no result within")
        world.rounds()
        assert not outcomes[0].times and not end.eof, what
        end.close()
        results = case["results_after_close"]
    for outcome, told in zip(outcomes, results, strict=True):
        world.until(lambda outcome=outcome: outcome.times, what=what)
        assert outcome.times == 1
        if told["ok"]:
            assert outcome.error is None and outcome.value == returned(told["values"]), what
        else:
            assert isinstance(outcome.error, CallError) and "call failed" in str(outcome.error), what
    if case["closed_by_client"]:
        world.until(lambda: end.eof, what=what)
    elif case["closed_by_client"] is False and not case.get("then"):
        world.rounds(5)
        assert not end.eof, what
    world.rounds(5)  # a second answer comes after what it is compared with
    log = "\n".join(server.node.node.log_lines[said:])
    for text in texts(case.get("client_log", [])):
        if text != "[Error: socket]":  # with us it says which, and what became of it
            assert text in log, what


# ---- what the functions return


class Alone(Member):
    """A node that also calls itself, from the start function of its first service, which has no handler for "lua"."""

    def main(self) -> None:
        self.steps = iter(load("api_returns")["steps"])
        self.failed: AssertionError | None = None
        self.done = False
        try:
            program(self)
            assert not list(self.steps)
        except AssertionError as e:
            self.failed = e
        self.done = True

    def step(self, api: str, job: Callable[[], Any], *logged: str, fails: str = "", gives: Any = ...) -> Any:
        """`logged`: what is then in the log; `fails`: what our error says, where skynet's is "assertion failed!"."""
        told = next(self.steps)
        assert told["api"] == api
        said, got, error = len(self.node.log_lines), None, None
        try:
            got = job()
        except Exception as e:
            error = e
        result = told["result"]
        refused = not result["ok"] or (api.startswith("pcall") and value(result["values"][0]) is False)
        if refused:
            assert isinstance(error, (SkynetError, TypeError)), f"{api}: {error!r}"
            assert fails in str(error), f"{api}: {error}"
            assert api.startswith("pcall(cluster.register") or "call failed" in str(error), f"{api}: {error}"
        else:
            assert error is None, f"{api}: {error!r}"
            assert got == (returned(result["values"]) if gives is ... else gives), f"{api}: {got!r}"
        while missing := [text for text in logged if text not in "\n".join(self.node.log_lines[said:])]:
            assert skynet.now() < 100000, f"{api}: {missing} is not in the log"
            skynet.sleep(1)
        return got


def program(node: Alone) -> None:
    step, me, port, other = node.step, "127.0.0.1", free_port(), free_port()
    step("cluster.open(PORT)", lambda: cluster.open(port, host="0.0.0.0"), "LAUNCH snlua gate", gives=("0.0.0.0", port))
    step("cluster.open(PORT)", lambda: cluster.open(port, host="0.0.0.0"), fails="in use")
    step('cluster.open("me")', lambda: cluster.open("me"), "me is down", fails="me is down")
    step('cluster.reload { me = "127.0.0.1:PORT" }', lambda: cluster.reload({"me": f"{me}:{other}"}))
    step('cluster.open("me")', lambda: cluster.open("me"), f"Listen on {me}:{other}", gives="me")
    step("cluster.reload { bad = 5 }", lambda: cluster.reload({"bad": 5}), fails="bad is at 5")  # type: ignore[dict-item]
    options = {"__nowaiting": True, "x": f"{me}:{port}"}
    step(
        'cluster.reload { __nowaiting = true, x = "127.0.0.1:PORT" }', lambda: cluster.reload(options),
        "Config nowaiting = true",
    )  # fmt: skip
    e = skynet.newservice(Echo().service)
    step(
        'e = skynet.newservice "echo" return cluster.register("n1", e)', lambda: cluster.register("n1", e),
        f"Register [n1] :{e:08x}",
    )  # fmt: skip
    step('cluster.register("n1", e)', lambda: cluster.register("n1", e), fails="n1 is taken")
    step('cluster.register("n2", e)', lambda: cluster.register("n2", e), f"Register [n2] :{e:08x}")
    step("pcall(cluster.register, 5)", lambda: cluster.register(5), fails="cluster.register")  # type: ignore[arg-type]
    step(
        'pcall(cluster.register, "x", "notanumber")', lambda: cluster.register("x", "notanumber"),  # type: ignore[arg-type]
        fails="cluster.register",
    )  # fmt: skip
    step('cluster.register("self")', lambda: cluster.register("self"), "Register [self] :00000008")
    step('cluster.unregister("nothere")', lambda: cluster.unregister("nothere"))
    step('cluster.unregister("n2")', lambda: cluster.unregister("n2"), f"Unregister [n2] :{e:08x}")
    step('cluster.query("me", "self")', lambda: cluster.query("me", "self"), f"socket accept from {me}:")
    step('cluster.query("me", "n2")', lambda: cluster.query("me", "n2"), "name not found", fails="name not found")
    step('cluster.call("me", "@self", "x")', lambda: cluster.call("me", "@self", "x"), fails="no handler")
    step('cluster.send("me", "@self", "x")', lambda: cluster.send("me", "@self", "x"), "Unknown request (lua)")
    length = "name length is invalid, must be between 1 and 255 characters: "
    step(
        'pcall(cluster.call, "me", ("@"):rep(256), "x")', lambda: cluster.call("me", "@" * 256, "x"),
        length + "@" * 256, fails=length,
    )  # fmt: skip
    step('pcall(cluster.call, "me", "", "x")', lambda: cluster.call("me", "", "x"), length, fails=length.rstrip(": "))
    step(
        'pcall(cluster.call, "me", {}, "x")', lambda: cluster.call("me", [], "x"),  # type: ignore[arg-type]
        fails="name is not a string, it's a list",
    )  # fmt: skip
    step('pcall(cluster.call, "me", -1, "x")', lambda: cluster.call("me", -1, "x"))
    step('pcall(cluster.call, "me", 1.5, "x")', lambda: cluster.call("me", 1.5, "x"), fails="name not found")  # type: ignore[arg-type]
    step('type(cluster.get_sender("me"))', lambda: type(cluster.get_sender("me")), gives=int)
    step(
        'local a = cluster.proxy("me", "@self") local b = cluster.proxy("me@self") return a == b, type(a)',
        lambda: (cluster.proxy("me", "@self") == (handle := cluster.proxy("me@self")), type(handle)),
        "LAUNCH snlua clusterproxy me @self", gives=(True, int),
    )  # fmt: skip
    step('pcall(cluster.proxy, "noat")', lambda: cluster.proxy("noat"), "Invalid name", fails="Invalid name")
    step(
        '#core.nodename() > 0, core.nodename():match("^[^%d]+")',
        lambda: (len(clustercore.nodename()) > 0, re.match(r"[^\d\s]+", clustercore.nodename()) is not None),
        gives=(True, True),
    )


def test_what_the_functions_return() -> None:
    """Where skynet has an assertion, we say what is wrong; all else is the same, call for call."""
    world, node = World(), Alone()
    world.add(node)
    try:
        world.until(lambda: node.done, lambda: node.node.advance(1), "the program")
        if node.failed is not None:
            raise node.failed
    finally:
        world.close()

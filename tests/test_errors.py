"""What is told of errors: who is told that a service has gone, what a failed call says, and what the log says."""

from __future__ import annotations

import gc
import io
import logging
import pickle
import weakref
from pathlib import Path
from typing import Any

import pytest

from skynet_lite import CallError, Node, mark, skynet

THREADS = pytest.mark.parametrize("thread", [1, 4])


def waits_for_ever() -> None:
    @skynet.dispatch("lua")
    def handler(session: int, source: int, *args: Any) -> None:
        skynet.wait()


def quiet() -> None:
    skynet.dispatch("lua", lambda session, source, *args: None)


def asks(said: list[Any], victim: int, *args: Any) -> None:
    try:
        said.append(skynet.call(victim, "lua", *args))
    except CallError as e:
        said.append(e)


# ---- the truth about the dead (drop_message in skynet_server.c of v1.1.0)


@THREADS
def test_a_send_left_in_the_mailbox_of_the_dead_fails_the_calls_of_its_sender(thread: int) -> None:
    """Whatever lies there, its sender is told by an error with session 0: so the call that was being served fails."""
    said: list[Any] = []

    def main(victim: int) -> None:
        skynet.fork(asks, said, victim)
        for _ in range(5):
            skynet.sleep(1)
        skynet.send(victim, "lua", "never read")
        skynet.kill(victim)

    with Node(clock="virtual", log=list, thread=thread) as node:
        victim = node.newservice(waits_for_ever)
        node.newservice(main, victim)
        node.run()
    assert [type(e) for e in said] == [CallError]


@pytest.mark.parametrize("left", ["request", "send", "answer", "error", "debug"])
def test_what_is_left_in_the_mailbox_of_the_dead(left: str) -> None:
    """One error with session 0 for each message, of whatever type: also for an answer that came too late."""

    def main() -> None:
        @skynet.dispatch("lua")
        def handler(session: int, source: int) -> None:
            skynet.ignoreret() if left not in ("answer", "error") else None
            {
                "request": lambda: skynet.fork(asks, [], source),
                "send": lambda: skynet.send(source, "lua"),
                "answer": skynet.retpack,
                "error": lambda: skynet.response()(False),
                "debug": lambda: skynet.send(source, "debug", "GC"),
            }[left]()
            skynet.fork(skynet.kill, source)

    def victim(main: int) -> None:
        skynet.fork(skynet.call, main, "lua")

    with Node(clock="virtual", log=list) as node:
        addr = node.newservice(main)
        with node.record() as trace:
            dead = node.newservice(victim, addr)
            node.run()
    told = [(e["ptype"], e["session"]) for e in trace if e["e"] == "push" and e["by"] == "drop"]
    assert told == [("error", 0)]
    (message,) = [e for e in trace if e["e"] == "message" and e["ptype"] == "error"]
    assert (message["service"], message["session"], message["source"]) == (f":{addr:08x}", 0, f":{dead:08x}")
    push = trace[message["cause"]]
    assert trace[push["cause"]]["e"] == "exit", "and the recording knows why"


def test_the_dead_are_told_of_in_their_turn() -> None:
    """The errors come when it is the turn of the mailbox that is left, behind those that waited before it."""

    def main(victim: int) -> None:
        def ask() -> None:
            asks([], victim)
            mark("failed")

        def after() -> None:
            skynet.yield_()
            mark("a message to oneself, sent before the kill")

        skynet.fork(ask)
        skynet.fork(after)
        skynet.fork(skynet.kill, victim)

    with Node(clock="virtual", log=list) as node:
        victim = node.newservice(quiet)
        with node.record() as trace:
            node.newservice(main, victim)
            node.run()
    marks = [e["text"] for e in trace if e["e"] == "mark"]
    assert marks == ["a message to oneself, sent before the kill", "failed"]


@pytest.mark.parametrize("sent", [False, True])
def test_calls_from_outside_to_a_service_that_dies(sent: bool) -> None:
    """The outside is a sender as any other: what it has left there fails its calls, also that which is being served."""

    with Node(clock="virtual", log=list) as node:
        victim = node.newservice(waits_for_ever)
        first = node.server.call(victim, skynet.PTYPE_LUA, ())
        node.run_until_idle()
        if sent:
            node.server.call(victim, skynet.PTYPE_LUA, (), waits=False)
        node.server.kill(0, victim)
        node.run_until_idle()
        assert first.done.is_set() is sent and not first.ok


def test_a_replay_tells_of_the_dead_again() -> None:
    """What was dropped, and who was told, is in the recording, and comes again in a replay."""

    def main(victim: int) -> None:
        skynet.fork(asks, [], victim)
        skynet.yield_()
        skynet.send(victim, "lua", "never read")
        skynet.kill(victim)

    with Node(clock="virtual", log=list, record=True) as node:
        victim = node.newservice(waits_for_ever)
        node.newservice(main, victim)
        node.run()
    assert any(e.get("by") == "drop" for e in node.trace)
    assert Node.replay(node.trace, waits_for_ever, main).same


def test_a_logged_service_that_goes_leaves_a_whole_log(tmp_path: Path) -> None:
    """Messages that are dropped were never dispatched: they are in no message log, and break none."""

    def main() -> None:
        skynet.send(skynet.self(), "lua", "left behind")
        skynet.exit()

    with Node(clock="virtual", log=list, env={"logpath": str(tmp_path)}) as node:
        node.call(".launcher", "lua", "LOGLAUNCH", "snlua", node.service_name(main))
        node.run_until_idle()
    (log,) = tmp_path.iterdir()
    assert len(log.read_text().splitlines()) == 3, "opened, the code, the start"


# ---- what a failed call says


class Seat(ValueError):
    """An error of a program's own."""


def room() -> None:
    @skynet.dispatch("lua")
    def handler(session: int, source: int, what: str = "raise") -> None:
        if what == "raise":
            raise Seat("bad seat\nsecond line")
        if what == "exit":
            skynet.exit()
        if what == "refuse":
            skynet.response()(False)
        if what == "refuse, and say why":
            skynet.response()(False, "no seats")
        if what == "killthread":
            skynet.fork(skynet.killthread, skynet.running())
            skynet.wait()
        if what == "chain":
            skynet.call(skynet.self(), "lua", "raise")


FAILURES = {
    "raise": ("raised Seat: bad seat", Seat),
    "exit": ("exited", None),
    "refuse": ("refused", None),
    "refuse, and say why": ("refused: no seats", None),
    "killthread": ("killed the coroutine that served it", None),
    "chain": ("raised CallError: call failed: :{0:08x} room raised Seat: bad seat", CallError),
}


@THREADS
@pytest.mark.parametrize("what", FAILURES)
def test_a_failed_call_says_who_and_why(what: str, thread: int) -> None:
    """Inside a service and outside: address, name and reason, and as its cause what was raised there."""
    said: list[Any] = []
    with Node(clock="virtual", log=list, thread=thread) as node:
        addr = node.newservice(room)
        if what != "exit":
            with pytest.raises(CallError) as outside:
                node.call(addr, "lua", what)
            said.append(outside.value)
        node.newservice(lambda: asks(said, addr, what))
        node.run()
    reason, cause = FAILURES[what]
    reason = reason.format(addr)
    assert len(said) == 2 - (what == "exit")
    for e in said:
        assert (e.service, e.type, e.reason) == (addr, "lua", reason) and e.session > 0
        assert str(e) == f"call failed: :{addr:08x} room {reason}"
        assert type(e.__cause__) is (cause or type(None))
    if what == "chain":
        assert type(said[0].__cause__.__cause__) is Seat


def test_a_call_to_what_dies_says_how() -> None:
    """Killed, or gone by itself, while the request lay in the mailbox; given up by skynet.term."""
    said: list[Any] = []

    def main(killed: int, gone: int, given_up: int) -> None:
        for victim in (killed, gone, given_up):
            skynet.fork(asks, said, victim, "exit")
            skynet.fork(asks, said, victim)
        skynet.fork(skynet.kill, killed)
        skynet.timeout(1, lambda: skynet.term(given_up))

    with Node(clock="virtual", log=list) as node:
        node.newservice(main, node.newservice(room), node.newservice(room), node.newservice(waits_for_ever))
        node.run()
    assert [e.reason for e in said] == ["was killed"] * 2 + ["exited"] * 2 + ["given up by skynet.term"] * 2


@THREADS
def test_a_start_that_fails_says_why(thread: int) -> None:
    """Whatever comes in between: each caller of newservice gets the reason of its own service, with the exception."""
    said: list[Any] = []

    def bad(n: int) -> None:
        skynet.sleep(2 - n)
        raise Seat(f"number {n}")

    def start(n: int) -> None:
        try:
            skynet.newservice(bad, n)
        except CallError as e:
            said.append((n, e.reason, type(e.__cause__)))

    with Node(clock="virtual", log=list, thread=thread) as node:
        name = node.service_name(bad)
        node.newservice(lambda: [skynet.fork(start, n) for n in range(2)])
        node.run()
        assert sorted(said) == [(n, f"did not start: Seat: number {n}", Seat) for n in range(2)]
        with pytest.raises(CallError, match=rf"call failed: :\w{{8}} {name} did not start: Seat: number 0"):
            node.newservice(bad, 0)
    with Node(clock="virtual", log=list, thread=thread, bootstrap=False) as node:
        with pytest.raises(CallError, match=r"call failed: :\w{8} bad did not start: Seat: number 0") as e:
            node.newservice(bad, 0)
        assert type(e.value.__cause__) is Seat


def test_a_type_that_nobody_handles_is_told_once_with_what_to_do() -> None:
    """Of each type and each source one line; the caller gets the same words."""
    said: list[Any] = []

    def deaf() -> None: ...

    def main(addr: int) -> None:
        skynet.register_protocol(name="mine", id=200, pack=lambda *args: b"")
        for _ in range(2):
            asks(said, addr)
            try:
                skynet.call(addr, "mine")
            except CallError as e:
                said.append(e)

    with Node(clock="virtual", log=list) as node:
        addr = node.newservice(deaf)
        one, two = (node.newservice(lambda: main(addr)) for _ in range(2))
        node.run()
        lines = [line for line in node.log_lines if "no handler" in line]
    assert [e.reason for e in said] == ['no handler for "lua" in deaf', 'no handler for "200" in deaf'] * 4
    assert str(said[0]) == f'call failed: :{addr:08x}: no handler for "lua" in deaf'
    register = "register_protocol(name=..., id=200, dispatch=f)"
    assert lines == [
        f'[:{addr:08x}] no handler for "{name}" in deaf: a call from :{source:08x} fails; set one with skynet.{remedy}'
        for source in (one, two)
        for name, remedy in (("lua", 'dispatch("lua", f)'), ("200", register))
    ]


def test_select_says_why() -> None:
    """`asked.error` of each call that failed."""
    said: list[Any] = []

    def main(addr: int) -> None:
        said.extend(asked.error for asked, _ in skynet.select((addr, "lua", "raise"), (addr, "lua", "refuse")))

    with Node(clock="virtual", log=list) as node:
        node.newservice(main, node.newservice(room))
        node.run()
    assert [(e.reason, e.type, e.session > 0) for e in said] == [
        ("raised Seat: bad seat", "lua", True),
        ("refused", "lua", True),
    ]


def test_an_error_message_of_a_programs_own_says_nothing() -> None:
    """PTYPE_ERROR sent by hand, as in skynet: the call fails without a reason."""
    said: list[Any] = []

    def rude() -> None:
        @skynet.dispatch("lua")
        def handler(session: int, source: int) -> None:
            skynet.redirect(source, 0, "error", session, b"") if session else None
            skynet.ignoreret()

    with Node(clock="virtual", log=list) as node:
        addr = node.newservice(rude)
        node.newservice(lambda: asks(said, addr))
        node.run()
    assert [(str(e), e.service, e.reason, e.type) for e in said] == [("call failed", 0, "", "lua")]


def test_a_handler_for_errors_may_be_one_of_skynets() -> None:
    """There it takes session and source; who takes a third gets the failure. Either may be set after the other."""
    heard: list[Any] = []

    def two(session: int, source: int) -> None:
        heard.append(("two", session))

    def three(session: int, source: int, failure: Any) -> None:
        heard.append(("three", failure.reason))

    def any_number(*args: Any) -> None:
        heard.append(("any", len(args)))

    def killed() -> None:
        pass

    def main() -> None:
        for handler in (two, three, lambda session, source: two(session, source), any_number):
            before = skynet.dispatch("error", handler)
            assert not heard or before in (two, three) or before.__name__ == "<lambda>"
            addr = skynet.newservice(killed)
            skynet.send(addr, "lua")
            skynet.kill(addr)
            skynet.sleep(1)

    with Node(clock="virtual", log=list) as node:
        node.newservice(main)
        node.run()
    assert heard == [("two", 0), ("three", "was killed"), ("two", 0), ("any", 3)]
    assert not [line for line in node.log_lines if "Traceback" in line]


def test_what_nobody_takes_is_shown_in_short() -> None:
    """A list that shares its parts would be endless where all of it is written into the log."""
    shared: Any = [1]
    for _ in range(50):
        shared = [shared, shared]

    def main() -> None:
        skynet.error("here is", shared)
        skynet.send(skynet.self(), "lua", shared)

    with Node(clock="virtual", log=list) as node:
        node.newservice(main)
        node.run()
    assert len([line for line in node.log_lines if "[[[" in line and len(line) < 1000]) == 2


def wicked(how: str) -> Any:
    """An exception whose text, or whose class's name, cannot be had."""

    def raises(self: Any) -> str:
        raise RuntimeError("no")

    if how == "class":
        return type("Nameless", (type,), {"__name__": property(raises)})("Wicked", (Exception,), {})
    return type("Wicked", (Exception,), {"__str__": raises if how == "raises" else lambda self: None})


@pytest.mark.parametrize("how", ["raises", "None", "class"])
def test_exceptions_that_cannot_be_shown(how: str) -> None:
    """A text or a class that raises costs the service nothing, and the caller hears of the failure."""
    error = wicked(how)

    def main() -> None:
        @skynet.dispatch("lua")
        def handler(session: int, source: int, good: bool) -> None:
            if not good:
                raise error("x")
            skynet.retpack("well")

    with Node(clock="virtual", log=list) as node:
        addr = node.newservice(main)
        with pytest.raises(CallError, match="raised Wicked: (x|<its text cannot be told)"):
            node.call(addr, "lua", False)
        assert node.call(addr, "lua", True) == "well"
        with node.record():
            with pytest.raises(CallError):
                node.call(addr, "lua", False)
            assert node.call(addr, "lua", True) == "well"


def test_a_recording_says_why_a_call_fails_and_keeps_no_exception() -> None:
    """The message of type error has the reason, in the text and in a file; a replay gives the same."""
    said: list[Any] = []

    def main(addr: int) -> None:
        asks(said, addr, "chain")
        said.clear()

    with Node(clock="virtual", log=list, record=True) as node:
        node.newservice(main, node.newservice(room))
        node.run()
        trace = node.trace
    reasons = [e["reason"] for e in trace if e["e"] == "message" and e["ptype"] == "error"]
    assert reasons[0] == "raised Seat: bad seat" and reasons[1].startswith("raised CallError: call failed: ")
    assert ": raised Seat: bad seat" in trace.text()
    assert Node.replay(trace, room, main).same
    gc.collect()
    assert not [x for x in gc.get_objects() if type(x) is Seat]


def test_a_call_error_travels_by_pickle() -> None:
    """With its fields, as any exception; the cause stays behind."""

    def asked() -> CallError:
        with Node(clock="virtual", log=list) as node, pytest.raises(CallError) as e:
            node.call(node.newservice(room), "lua")
        return e.value

    e = asked()
    other = pickle.loads(pickle.dumps(e))
    assert (str(other), other.reason, other.session, other.type) == (str(e), e.reason, e.session, "lua")


# ---- what the log says


def seats() -> None:
    @skynet.dispatch("lua")
    def handler(session: int, source: int, what: str) -> None:
        if what == "cause":
            try:
                {}["seat"]
            except KeyError as e:
                raise Seat("bad seat") from e
        if what == "note":
            error = Seat("bad seat")
            error.add_note("seat 5 of room 3")
            raise error
        if what == "group":
            raise ExceptionGroup("two seats", [Seat("one"), TypeError("two")])
        if what == "call":
            skynet.call(skynet.self(), "lua", "note")
        if what == "two":
            skynet.fork(lambda: 1 / 0)
            raise Seat("first")


def logged(what: str, **log: Any) -> Node:
    """A node, closed, on which a handler has failed."""
    with Node(clock="virtual", **log) as node, pytest.raises(CallError):
        node.call(node.newservice(seats), "lua", what)
    return node


LINE = seats.__code__.co_firstlineno


@pytest.mark.parametrize("what", ["cause", "note", "group", "call", "two"])
def test_a_logged_traceback_is_what_python_shows(what: str, tmp_path: Path) -> None:
    """Paths, lines, causes, notes, members of groups; a run of the runtime's own frames is one line."""
    out = io.StringIO()
    logged(what, log=out)
    lines = out.getvalue().splitlines()
    told = [line.strip(" |+-") for line in lines[lines.index("[:00000008] LAUNCH snlua seats") + 1 :]]
    place = f'File "{__file__}", line {{}}, in handler'
    ours = [line for line in told if line.startswith("[skynet_lite")]
    assert all(".py:" in line for line in ours) and not any("skynet_lite/skynet" in line for line in told)
    expected = {
        "cause": ["KeyError: 'seat'", place.format(LINE + 7), "test_errors.Seat: bad seat"],
        "note": [place.format(LINE + 11), "test_errors.Seat: bad seat", "seat 5 of room 3"],
        "group": ["ExceptionGroup: two seats (2 sub-exceptions)", "test_errors.Seat: one", "TypeError: two"],
        "call": [
            "test_errors.Seat: bad seat", "seat 5 of room 3",
            "The above exception was the direct cause of the following exception:", place.format(LINE + 15),
            "skynet_lite.core.errors.CallError: call failed: :00000008 seats raised Seat: bad seat",
        ],
        "two": ["test_errors.Seat: first", "ZeroDivisionError: division by zero"],
    }[what]  # fmt: skip
    rest = iter(told)
    assert all(line in rest for line in expected), told


def test_a_list_gets_short_places() -> None:
    """What a notebook prints reads the same on every machine; so does a recording."""
    node = logged("cause", log=list)
    (line,) = (line for line in node.log_lines if "lua call" in line)
    assert line == (
        "[:00000008] lua call [0 to :8 : 2] error : Traceback (most recent call last):\n"
        f'  test_errors:{LINE + 7} in handler\n    raise Seat("bad seat") from e\n'
        "Seat: bad seat"
    ).replace("test_errors:", "seats:")
    assert type(line) is str


def test_a_file_and_a_function_get_whole_tracebacks(tmp_path: Path) -> None:
    """As stderr does; nobody shows them in a notebook."""
    lines: list[str] = []
    logged("cause", log=lines.append)
    logged("cause", log=None, logger=str(tmp_path / "log.txt"))
    (line,) = (line for line in lines if "lua call" in line)
    assert f'File "{__file__}", line {LINE + 7}, in handler' in line and "KeyError: 'seat'" in line
    assert (tmp_path / "log.txt").read_text().splitlines()[8:] == "\n".join(lines[8:]).splitlines()


def test_a_logging_logger_gets_levels_exceptions_and_whose_they_are(caplog: pytest.LogCaptureFixture) -> None:
    """A record for each exception, with exc_info; `address` and `service` as extra, also of one that has gone."""

    def bad() -> None:
        raise Seat("no luck")

    log = logging.getLogger("skynet_lite.test")
    with caplog.at_level(logging.INFO, log.name):
        logged("two", log=log)
        records = list(caplog.records)
        caplog.clear()
        with Node(clock="virtual", log=log) as node:
            with pytest.raises(CallError):
                node.newservice(bad)
            node.newservice(lambda: skynet.dispatch("lua", lambda session, source: None))
            node.server.warn(0, "look at this")
        later = list(caplog.records)
    told = [(r.levelname, r.address, r.service, r.exc_info[0]) for r in records if r.exc_info]  # type: ignore[attr-defined]
    assert told == [("ERROR", ":00000008", "seats", kind) for kind in (Seat, ZeroDivisionError)]
    assert {r.getMessage() for r in records if r.exc_info} == {"[:00000008] lua call [0 to :8 : 2] error"}
    assert {r.levelname for r in records if not r.exc_info} == {"INFO"}
    (failed,) = (r for r in later if r.exc_info)
    assert (failed.service, failed.getMessage()) == ("bad", "[:00000008] init service failed")  # type: ignore[attr-defined]
    assert [r.getMessage() for r in later if r.levelname == "WARNING"] == ["[:00000000] look at this"]


@THREADS
@pytest.mark.parametrize("serve", [False, True])
def test_what_failed_is_in_the_log_before_the_caller_outside_hears_of_it(thread: int, serve: bool) -> None:
    """node.call and node.newservice raise when the traceback is written."""

    def bad() -> None:
        raise Seat("no luck")

    with Node(clock="virtual", log=list, thread=thread) as node:
        if serve:
            node.serve()
        addr = node.newservice(seats)
        for n in range(1, 20):
            with pytest.raises(CallError):
                node.call(addr, "lua", "note")
            assert sum("lua call" in line for line in node.log_lines) == n
            with pytest.raises(CallError):
                node.newservice(bad)
            assert sum("init service failed" in line for line in node.log_lines) == n


@pytest.mark.parametrize("how", ["raises", "None", "class"])
def test_a_traceback_that_cannot_be_made_is_a_line(how: str) -> None:
    """Whatever the class of an exception does when it is asked: the log has a word of it, and goes on."""
    out = io.StringIO()

    def main() -> None:
        skynet.fork(lambda: skynet.error("after"))
        raise wicked(how)("x")

    with Node(clock="virtual", log=out) as node:
        with pytest.raises(CallError):
            node.newservice(main)
        node.run_until_idle()
    assert "init service failed" in out.getvalue() and "Wicked" in out.getvalue()


def test_exceptions_go_when_they_are_told() -> None:
    """Neither the node nor the log keeps one: with the caller's own it is gone, without the garbage collector."""
    with Node(clock="virtual", log=list) as node:
        addr = node.newservice(seats)
        gc.collect()
        gc.disable()
        try:
            for what in ("cause", "group", "two"):
                try:
                    node.call(addr, "lua", what)
                except CallError as e:
                    gone = weakref.ref(e.__cause__)  # type: ignore[type-var]
                assert gone() is None, what
        finally:
            gc.enable()


def test_a_verdict_says_why_a_call_failed() -> None:
    """Who dies of a failed call is found with the reason, which is that of the log and of the error itself."""

    def caller(addr: int) -> None:
        skynet.fork(skynet.call, addr, "lua", "note")

    with Node(clock="virtual", log=list) as node:
        addr = node.newservice(seats)
        with node.record() as trace:
            node.newservice(caller, addr)
            node.run()
    first, second = (v.text for v in trace.verdicts())
    assert "bad seat" in first and f"call failed: :{addr:08x} seats raised Seat: bad seat" in second


@THREADS
def test_an_aborted_node_fails_calls_from_other_threads(thread: int) -> None:
    """Who waits for an answer in another thread is not left waiting when skynet.abort ends the node."""

    def main() -> None:
        @skynet.dispatch("lua")
        def handler(session: int, source: int) -> None:
            skynet.timeout(1, skynet.abort)
            skynet.wait()

    with Node(clock="virtual", log=list, thread=thread) as node:
        node.serve()
        with pytest.raises(CallError, match="call failed"):
            node.call(node.newservice(main), "lua", timeout=10)

"""The floor below the coroutines: handles, names, mailboxes, timer, messages, configuration."""

from __future__ import annotations

import gc
import json
import logging
import sys
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Flag, IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from skynet_lite import ConfigError, Node, PackError, datacenter, multicast, skynet
from skynet_lite.core.clock import RealClock
from skynet_lite.core.context import MAX_SESSION, Context, sessions
from skynet_lite.core.errors import AddressError, SkynetError
from skynet_lite.core.handle import HandleStorage
from skynet_lite.core.message import pack, unpack
from skynet_lite.core.mq import OVERLOAD, MessageQueue
from skynet_lite.core.timer import Timer

HANDLES = json.loads((Path(__file__).parent / "golden" / "handles.json").read_text())


# ---- handles


def test_handles_are_given_out_as_skynet_does() -> None:
    """A launch takes the next number whose slot is free: after kills they are not consecutive."""
    storage = HandleStorage()

    def launch() -> int:
        return storage.register(Context("snlua", "x", (), MessageQueue(deque())))

    boot = [launch() for _ in range(8)]
    storage.retire(2)
    assert boot == [1, 2, 3, 4, 5, 6, 7, 8]
    for i, op in enumerate(HANDLES["allocation"]["ops"]):
        if op["op"] == "launch":
            assert launch() == op["handle"], i
        else:
            assert storage.retire(op["handle"]) is not None


def test_boot_order_and_log_are_those_of_skynet() -> None:
    """Seven services come before the program's first, which is :00000008."""
    with Node(clock="virtual", log=list) as node:
        node.run_until_idle()
        first = node.newservice(lambda: None)
        assert first == 8
        # Bootstrap has gone, so its slot is free again, but 9 would share the logger's.
        assert node.newservice(lambda: None) == 10
        log = [line.replace("lambda", "<start>") for line in node.log_lines[:8]]
        assert sorted(log) == sorted(HANDLES["boot_harbor0"]["log_start"])
        assert log[:6] == HANDLES["boot_harbor0"]["log_start"][:6]
        assert {"." + name: h for name, h in node.handles.names.items()} == HANDLES["boot_harbor0"]["local_names"]


def test_start_service_is_launched_by_the_bootstrap(tmp_path: Path) -> None:
    """With `start` in the configuration the log reads exactly as the real one."""
    (tmp_path / "main.py").write_text("from skynet_lite import skynet\nskynet.start(lambda: None)\n")
    with Node(clock="virtual", log=list, luaservice=str(tmp_path / "?.py"), start="main") as node:
        node.run_until_idle()
        assert [line.replace("main", "<start>") for line in node.log_lines] == HANDLES["boot_harbor0"]["log_start"]


def test_address_forms() -> None:
    """Wherever an address is expected: number, ":hex", ".name", or digits as text."""
    with Node(clock="virtual", log=list) as node:
        node.run_until_idle()
        for addr in (3, ":3", ":00000003", ".launcher", "3", "0x3"):
            assert node.call(addr, "lua", "nosuch") == ["Unknown command"]
    assert skynet.address(8) == ":00000008"
    assert skynet.address(0xDEADBEEF) == ":deadbeef"
    assert skynet.address(".name") == ".name"


def test_names_are_first_come_and_go_with_their_service() -> None:
    """A taken name stays as it is; all names of a service vanish with it."""
    with Node(clock="virtual", log=list) as node:
        a = node.newservice(lambda: skynet.register(".a"))
        b = node.newservice(lambda: skynet.register(".a"))
        assert node.server.resolve(".a") == a
        node.newservice(lambda: skynet.kill(a))
        assert node.server.resolve(".a") == 0
        node.newservice(lambda: skynet.name(".a", b))
        assert node.server.resolve(".a") == b


def test_global_names_wait_for_their_service() -> None:
    """A message to a global name that does not exist yet is kept until it does."""
    got: list[Any] = []

    def early() -> None:
        assert skynet.send("LATER", "lua", "early") == 0

    def late() -> None:
        skynet.dispatch("lua", lambda session, source, what: got.append(what))
        skynet.register("LATER")

    with Node(clock="virtual", log=list) as node:
        node.newservice(early)
        node.run_until_idle()
        assert got == []
        node.newservice(late)
        node.run_until_idle()
        assert got == ["early"]


@pytest.mark.parametrize("name", ["sixteen_chars_xx", "123", "0x1f", ":8"])
def test_bad_global_names_are_refused(name: str) -> None:
    """At most 15 characters, no number in any notation, no colon."""

    def main() -> None:
        with pytest.raises(SkynetError, match="global name"):
            skynet.name(name, 8)

    with Node(clock="virtual", log=list) as node:
        node.newservice(main)


def test_message_to_another_harbor_is_dropped_with_a_word() -> None:
    """A handle with a top byte is remote; a single node has nobody to hand it to."""

    def main() -> None:
        assert skynet.send(0x05000003, "lua", "x") == 0
        with pytest.raises(skynet.CallError):
            skynet.call(0x05000003, "lua", "x")

    with Node(clock="virtual", log=list) as node:
        node.newservice(main)
        assert "[:00000005] Drop message to harbor 5 from 8 to 5000003 (session = 0)" in node.log_lines


# ---- mailboxes


def test_overload_is_told_once_for_each_doubling() -> None:
    """1024 messages behind the one being dispatched are news, then 2048, 4096, ..."""

    def slow() -> None:
        skynet.dispatch("lua", lambda *request: None)

    def flood(to: int, n: int) -> None:
        for _ in range(n):
            skynet.send(to, "lua")

    with Node(clock="virtual", log=list) as node:
        to = node.newservice(slow)
        node.newservice(flood, to, OVERLOAD + 1)
        node.run_until_idle()
        assert not [line for line in node.log_lines if "overload" in line]
        node.newservice(flood, to, 5000)
        node.run_until_idle()
        assert [line for line in node.log_lines if "overload" in line] == [
            "[:00000008] error: May overload, message queue length = 4999",
        ]


def test_messages_between_two_services_keep_their_order() -> None:
    """First in, first out, whatever else runs in between."""
    got: list[int] = []

    def sink() -> None:
        skynet.dispatch("lua", lambda session, source, n: got.append(n))

    def source(to: int) -> None:
        for n in range(100):
            skynet.send(to, "lua", n)
            if n % 7 == 0:
                skynet.yield_()

    with Node(clock="virtual", log=list) as node:
        node.newservice(source, node.newservice(sink))
        node.run_until_idle()
    assert got == list(range(100))


# ---- sessions


def test_session_numbers_wrap_and_skip_those_in_use() -> None:
    """After 2**31-1 comes 1, or the next number that nobody waits for."""
    in_use = {1, 2, 5}
    numbers = sessions(in_use.__contains__, MAX_SESSION - 1)
    assert [next(numbers) for _ in range(6)] == [MAX_SESSION - 1, MAX_SESSION, 3, 4, 6, 7]


def test_a_service_survives_the_wrap() -> None:
    """A parked coroutine keeps its session through the wrap; nobody else gets it."""
    seen = []

    def main() -> None:
        skynet.fork(skynet.wait)
        skynet.yield_()  # the fork waits with session 3 now
        service = skynet.running().service
        service.sessions = sessions(service.session_id_coroutine.__contains__, MAX_SESSION)
        for _ in range(4):
            seen.append(skynet.genid())

    with Node(clock="virtual", log=list) as node:
        node.newservice(main)
    assert seen == [MAX_SESSION, 1, 2, 4]


# ---- timer and clocks


def test_equal_deadlines_are_first_in_first_out() -> None:
    """Timers of one tick come out in the order in which they were set."""
    timer = Timer()
    for session in range(5):
        timer.add(7, 1, session)
    timer.add(3, 1, 9)
    assert [s for _, _, s in timer.expire(10)] == [9, 0, 1, 2, 3, 4]
    assert timer.next_deadline() is None


def test_late_timers_come_in_order_after_a_jump() -> None:
    """A clock that was suspended finds many ticks due at once; they still come tick by tick."""
    timer = Timer()
    for deadline in (50, 10, 30, 20, 40):
        timer.add(deadline, 1, deadline)
    assert [tick for tick, _, _ in timer.expire(1000)] == [10, 20, 30, 40, 50]


def test_a_real_clock_never_goes_back() -> None:
    """What the outside says may jump; ticks do not go backwards."""
    clock = RealClock(iter([0, 50_000_000, 20_000_000, 70_000_000]).__next__, lambda: 0.0)
    assert [clock.now() for _ in range(3)] == [5, 5, 7]


def test_pending_timers_cost_nothing_until_they_are_due() -> None:
    """100,000 timers in the future: a tick looks at the due ones alone."""
    timer = Timer()
    for i in range(100_000):
        timer.add(1000 + i % 500, 1, i)
    timer.add(1, 1, 1)
    assert list(timer.expire(10)) == [(1, 1, 1)]
    assert len(timer) == 100_000
    assert len(timer._ticks) == 500


# ---- messages


@pytest.mark.parametrize(
    "values",
    [
        (),
        (1, "x", b"y", 1.5, True, None),
        ((1, ("a",)),),
        ([1, [2]], {"k": [3], 4: (5,)}),
        (2**100, "\udcff"),
        ([],),
        ({},),
    ],
)
def test_values_arrive_exactly_as_they_were(values: tuple[Any, ...]) -> None:
    """Types and values survive, at every depth."""
    got = unpack(pack(values))
    assert got == values
    assert repr(got) == repr(values)


def test_receivers_never_hold_the_senders_object() -> None:
    """Lists and dicts are copied for each receiver."""
    box = {"list": [1]}
    payload = pack((box,))
    box["list"].append(2)
    first, second = unpack(payload)[0], unpack(payload)[0]
    assert first == second == {"list": [1]}
    first["list"].append(9)
    assert second == {"list": [1]}


class Odd(dict):  # type: ignore[type-arg]
    pass


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (print, "argument 1: a builtins.builtin_function_or_method"),
        ([{"k": {1}}], "argument 1[0]['k']: a builtins.set"),
        (bytearray(b"x"), "builtins.bytearray"),
        (Odd(), "test_core.Odd"),
        ({(1, frozenset()): 1}, "a key of argument 1"),
    ],
)
def test_what_may_not_travel_is_named_at_the_sender(value: Any, text: str) -> None:
    """The type and its place are in the error; it is a TypeError too."""
    with pytest.raises(PackError) as error:
        pack((value,))
    assert text in str(error.value)
    assert isinstance(error.value, TypeError)


def test_a_value_that_contains_itself_is_refused() -> None:
    """No crash and no endless loop."""
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(PackError, match="does it contain itself"):
        pack((loop,))


@pytest.mark.parametrize("bottom", [1, {1}])
def test_what_stands_in_many_places_is_looked_at_once(bottom: Any) -> None:
    """2 ** 150 ways lead to the innermost value: it goes through, or is refused, at once."""
    value: Any = [bottom]
    for _ in range(150):
        value = [value, value]
    if bottom == 1:
        (got,) = unpack(pack((value,)))
        assert got[0] is got[1] is not value
        return
    with pytest.raises(PackError, match=r"argument 1\[0\]\[0\].*builtins.set") as error:
        pack((value,))
    assert len(str(error.value)) < 500


def test_a_list_costs_what_marshal_needs() -> None:
    """Nothing of Python runs for each item: ten thousand are looked at by as many calls as ten."""

    def calls(n: int) -> int:
        counted = 0

        def count(frame: Any, event: str, arg: Any) -> None:
            nonlocal counted
            counted += 1

        values = (list(range(n)), dict.fromkeys(range(n)), (1.5,) * n)
        gc.disable()  # whoever is told of a collection would be counted
        sys.setprofile(count)
        try:
            pack(values)
        finally:
            sys.setprofile(None)
            gc.enable()
        return counted

    assert calls(10) == calls(10_000)


def test_a_refusal_is_short() -> None:
    """Whatever the value is: keys of megabytes, numbers too long to be written, a place far down."""
    for key in ("x" * 10**7, b"x" * 10**7, 1 << 100_000, ("x" * 10**7,) * 50):
        with pytest.raises(PackError) as error:
            pack(({key: {1}},))
        assert len(str(error.value)) < 500


# ---- values of classes


class Color(IntEnum):
    RED = 1
    BLUE = 2


class Rights(Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    tags: list[Any]


@dataclass(frozen=True)
class Hero:
    name: str
    at: Point
    color: Color = Color.RED
    made: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "made", True)


@pytest.mark.parametrize(
    ("value", "name"),
    [(Color.RED, "Color"), (Rights.READ, "Rights"), (Point(1, []), "Point"), (Hero("ann", Point(1, [])), "Hero")],
)
def test_the_error_of_a_class_names_it_and_the_remedy(value: Any, name: str) -> None:
    """Type, place in the value, and what makes it travel."""
    with pytest.raises(PackError, match=rf"argument 2\['k'\]\[1\]: a test_core.{name} may not .*skynet.register_type"):
        pack((1, {"k": [0, value]}))


def test_values_of_a_class_that_is_known_arrive_as_they_were() -> None:
    """Enum, Flag, NamedTuple, dataclass; nested in one another, as keys, and shared in one message."""

    @skynet.register_type
    class Suit(IntEnum):
        HEART = 1
        SPADE = 2

    @skynet.register_type
    class Mode(Flag):
        READ = 1
        WRITE = 2

    @skynet.register_type
    class Card(NamedTuple):
        suit: Suit
        marks: list[Any]

    @skynet.register_type
    @dataclass(frozen=True)
    class Hand:
        cards: tuple[Card, ...]
        mode: Mode
        seen: dict[Any, Any]

    card = Card(Suit.SPADE, [1])
    hand = Hand((card, card), Mode.READ | Mode.WRITE, {Suit.HEART: [card]})
    (got,) = unpack(pack((hand,)))
    assert got == hand and type(got) is Hand and type(got.cards[0]) is Card and got.cards[0].suit is Suit.SPADE
    assert got is not hand and got.cards[0].marks is not card.marks, "the sender's lists are its own"
    assert got.cards[0] is got.cards[1] is got.seen[Suit.HEART][0]
    assert unpack(pack((Suit.HEART, [Mode.WRITE]))) == (Suit.HEART, [Mode.WRITE])

    class Special(Card):
        pass

    with pytest.raises(PackError, match="Special may not travel"):
        pack((Special(Suit.HEART, []),))
    with pytest.raises(PackError, match="a Suit cannot be kept as bytes"):
        skynet.packstring(card)
    with pytest.raises(PackError, match="contain itself"):
        card.marks.append(card)
        pack((card,))


def test_a_class_of_any_kind_may_travel_by_functions_of_its_own() -> None:
    """Also one that is written in C; without `unpack` the receiver gets what has travelled."""
    skynet.register_type(Fraction, lambda f: f.as_integer_ratio(), lambda pair: Fraction(*pair))
    skynet.register_type(timedelta, timedelta.total_seconds)
    assert unpack(pack(([Fraction(1, 3)], timedelta(minutes=1)))) == ([Fraction(1, 3)], 60.0)
    with pytest.raises(SkynetError, match=r"give pack\(value\); object is no Enum"):
        skynet.register_type(object)


def test_what_is_known_goes_every_way_a_message_goes() -> None:
    """call and its answer, response, redirect, datacenter, multicast, from outside and back; a trace shows it."""

    @skynet.register_type
    class Word(NamedTuple):
        text: str

    heard: list[Any] = []

    def server() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int, word: Any) -> None:
            assert type(word) is Word
            skynet.response()(True, [word])

    def main() -> None:
        addr = skynet.newservice(server)
        assert skynet.call(addr, "lua", Word("a")) == [Word("a")]
        datacenter.set("word", {"it": Word("b")})
        assert datacenter.get("word", "it") == Word("b") and type(datacenter.get("word", "it")) is Word
        channel = multicast.new(dispatch=lambda channel, source, *words: heard.extend(words))
        channel.subscribe()
        channel.publish(Word("c"), [Word("d")])
        skynet.dispatch("lua", lambda session, source, *words: skynet.retpack(*words))

    with Node(clock="virtual", log=list) as node, node.record() as trace:
        addr = node.newservice(main)
        assert node.call(addr, "lua", Word("e")) == Word("e")
    assert heard == [Word("c"), [Word("d")]]
    assert any(e.get("body") == [["Ellipsis", 0, ["e"]]] for e in trace.events)


def test_a_trace_shows_a_part_of_what_has_no_end() -> None:
    """A list that shares its parts is as long as all its ways; the message goes through, and its picture is cut."""

    def main() -> None:
        skynet.dispatch("lua", lambda session, source, value: skynet.retpack(len(value)))

    value: Any = [1]
    for _ in range(60):
        value = [value, value]
    with Node(clock="virtual", log=list) as node, node.record() as trace:
        assert node.call(node.newservice(main), "lua", value) == 2
    (body,) = [e["body"] for e in trace.events if "…" in str(e.get("body", ""))]
    assert len(str(body)) < 3_000_000


def test_a_message_log_does_not_write_what_has_no_end(tmp_path: Path) -> None:
    """Of a list that shares its parts it holds a mark; what comes next is logged as ever."""

    def main() -> None:
        skynet.dispatch("lua", lambda session, source, value: skynet.retpack(len(value)))

    value: Any = [1]
    for _ in range(60):
        value = [value, value]
    with Node(clock="virtual", log=list, logpath=str(tmp_path)) as node:
        addr = node.newservice(main)
        node.look(lambda: node.server.logon(addr, addr))
        assert (node.call(addr, "lua", value), node.call(addr, "lua", [5])) == (2, 1)
    _, first, second = (tmp_path / f"{addr:08x}.log").read_text().splitlines()
    assert bytes.fromhex(first.split(" ")[-1]) == b"\x1c" + "…".encode()  # a string of three bytes
    assert bytes.fromhex(second.split(" ")[-1]) == b"\x0e\x0a\x05\0"


# ---- logger


def test_log_goes_to_list_logging_file_and_function(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The same lines, wherever they go, in the order in which the services spoke."""

    def main() -> None:
        skynet.error("one", 2)
        skynet.error("three")

    expected = ["[:00000002] one 2", "[:00000002] three"]

    def run(**where: Any) -> list[str]:
        with Node(clock="virtual", bootstrap=False, **where) as node:
            node.newservice(main)
        return node.log_lines

    assert run(log=list)[1:] == expected
    mine: list[str] = []
    run(log=mine)
    assert mine[1:] == expected
    called: list[str] = []
    run(log=called.append)
    assert called[1:] == expected
    with caplog.at_level(logging.INFO):
        run(log=logging.getLogger("skynet"))
    assert [r.message for r in caplog.records][1:] == expected
    run(logger=str(tmp_path / "log.txt"))
    assert (tmp_path / "log.txt").read_text().splitlines()[1:] == expected


def test_log_to_stderr_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing said: lines go to the terminal."""
    with Node(clock="virtual", bootstrap=False) as node:
        node.newservice(lambda: skynet.error("hello"))
    assert capsys.readouterr().err.splitlines()[-1] == "[:00000002] hello"


# ---- configuration


def test_configuration_from_file_environment_and_keywords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keywords win over the environment, the environment over the file; [env] reaches getenv."""
    path = tmp_path / "config.toml"
    path.write_text('clock = "real"\nluaservice = "a/?.py"\nbootstrap = false\n[env]\nport = 8001\n')
    monkeypatch.setenv("SKYNET_LITE_CLOCK", "virtual")
    with Node(str(path), log=list, luaservice="b/?.py") as node:
        assert (node.config.clock, node.config.luaservice, node.config.bootstrap) == ("virtual", "b/?.py", False)
        assert node.env.get("port") == "8001"


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"clok": "virtual"}, "did you mean 'clock'"),
        ({"zzz": 1}, "known keys"),
        ({"clock": "fast"}, '"real" or "virtual"'),
        ({"thread": 0}, "1 or more"),
        ({"thread": 257}, "help nobody"),
        ({"harbor": 1}, "use harbor=0"),
        ({"luaservice": 3}, "a string"),
        ({"log": 3}, "no place for lines"),
    ],
)
def test_bad_configuration_names_key_and_remedy(keys: dict[str, Any], text: str) -> None:
    """A typing error must not be found at night."""
    with pytest.raises(ConfigError) as error:
        Node(**keys)
    assert text in str(error.value)


def test_bad_environment_and_file_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable or the file is in the message."""
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        Node(str(tmp_path / "none.toml"))
    bad = tmp_path / "bad.toml"
    bad.write_text("clock = ")
    with pytest.raises(ConfigError, match="not valid TOML"):
        Node(str(bad))
    monkeypatch.setenv("SKYNET_LITE_THRED", "2")
    with pytest.raises(ConfigError, match="did you mean 'thread'"):
        Node()


def test_setenv_sets_once() -> None:
    """An environment that changes under a running service would be no configuration."""

    def main() -> None:
        skynet.setenv("k", 1)
        assert skynet.getenv("k") == "1"
        assert skynet.getenv("none") is None
        with pytest.raises(SkynetError, match="exist key"):
            skynet.setenv("k", 2)

    with Node(clock="virtual", log=list) as node:
        node.newservice(main)


def test_bad_addresses_are_refused_with_their_type() -> None:
    """As skynet does: what is no number and no string is no address."""

    def main() -> None:
        for addr in (True, None, [], {}):
            with pytest.raises(AddressError, match="must be a string or number"):
                skynet.send(addr, "lua")  # type: ignore[arg-type]
        with pytest.raises(AddressError, match="Invalid service address 0"):
            skynet.call(0, "lua")
        with pytest.raises(AddressError, match="call to invalid address :00000077"):
            skynet.call(0x77, "lua")
        with pytest.raises(AddressError, match=r"call to invalid address \.none"):
            skynet.call(".none", "lua")
        assert skynet.send(0x77, "lua") is None
        assert skynet.send(".none", "lua") is None

    with Node(clock="virtual", log=list) as node:
        node.newservice(main)

"""Several calls at once: skynet.request and select."""

from __future__ import annotations

from typing import Any

import pytest
from test_skynet import marks

from skynet_lite import AddressError, CallError, Node, SkynetError, mark, skynet


def say(*words: Any) -> None:
    mark(" ".join(map(str, words)))


def slave() -> None:
    """What test/testselect.lua of skynet asks."""

    def handle(session: int, source: int, cmd: str, ticks: int = 0, text: str = "") -> None:
        if cmd == "error":
            raise ValueError("ERROR")
        if cmd == "exit":
            skynet.exit()
        skynet.sleep(ticks)
        skynet.retpack(*text)

    skynet.dispatch("lua", handle)


def test_answers_come_in_the_order_of_arrival() -> None:
    """All are sent before the first is waited for; the slowest does not hold up the others."""

    def main() -> None:
        addr = skynet.newservice(slave)
        for asked, answer in skynet.select(*[(addr, "lua", "ping", n, str(n)) for n in (3, 1, 2)]):
            say(asked[3], answer, skynet.now())
        say(skynet.task())

    assert marks(main) == ["1 1 1", "2 2 2", "3 3 3", "0"]


def test_an_answer_is_what_call_would_return() -> None:
    """One rule for both: None, the value, or a tuple of several."""

    def main() -> None:
        addr = skynet.newservice(slave)
        for words in ((), ("a",), ("ab",)):
            ask = (addr, "lua", "ping", 0, *words)
            ((_, answer),) = skynet.select(ask)
            say(answer == skynet.call(*ask), repr(answer))

    assert marks(main) == ["True None", "True 'a'", "True ('a', 'b')"]


def test_requests_are_added_with_fields_of_the_askers_own() -> None:
    """As `token` in skynet: what is given back is what was added."""

    def main() -> None:
        addr = skynet.newservice(slave)
        with skynet.request() as request:
            request.add((addr, "lua", "ping", 0, "ab"), token=7)((addr, "lua", "ping", 0), token=8)
            for asked, answer in request.select():
                say(asked == (addr, "lua", "ping", 0, "ab"), asked.token, answer)
            with pytest.raises(SkynetError, match="has been sent"):
                request.add((addr, "lua", "ping"))
            with pytest.raises(SkynetError, match="has been sent"):
                request.select()

    assert marks(main) == ["True 7 ('a', 'b')", "False 8 None"]


def test_each_request_fails_for_itself() -> None:
    """A handler that raises, a service that ends, an address that is none: answer None, the reason in `error`."""

    def main() -> None:
        a, b = skynet.newservice(slave), skynet.newservice(slave)
        asks = [
            (a, "lua", "error"),
            (0x99, "lua", "ping"),
            (a, "lua", "ping", 5),
            (b, "lua", "ping", 9),
            (b, "lua", "exit"),
        ]
        for asked, answer in skynet.select(*asks):
            say(asked[2], answer, type(asked.error).__name__)

    assert marks(main) == [
        "ping None AddressError", "error None CallError", "ping None CallError", "exit None CallError", "ping None NoneType",
    ]  # fmt: skip
    assert issubclass(AddressError, SkynetError) and issubclass(CallError, SkynetError)


def test_the_timeout_abandons_the_rest_quietly() -> None:
    """After so many ticks it is over; what comes later is thrown away without a word."""

    def main() -> None:
        addr = skynet.newservice(slave)
        request = skynet.request(*[(addr, "lua", "ping", n * 10, str(n)) for n in range(1, 10)])
        got = [answer for _, answer in request.select(35)]
        say(got, request.timeout, skynet.now(), skynet.task())
        skynet.sleep(100)

    with Node(clock="virtual", log=list) as node:
        with node.record() as trace:
            addr = node.newservice(main)
            node.run()
        assert [e["text"] for e in trace if e["e"] == "mark"] == ["['1', '2', '3'] True 35 0"]
        s = node.service(addr)
        assert (s.session_id_coroutine, s.watching_session) == ({}, {})
        assert [co.n for co in s.coroutines.values()] == [1]
        assert trace.state(-1) == node.tables()
    assert not [line for line in node.log_lines if "Unknown" in line]


def test_a_break_out_of_the_loop_closes_it() -> None:
    """The rest is abandoned, also answers that fail later; the timer too."""

    def main() -> None:
        addr = skynet.newservice(slave)
        asks = [(addr, "lua", "ping", n, str(n)) for n in range(5)] + [(addr, "lua", "exit")]
        for _, answer in skynet.select(*asks[:-1], timeout=90):
            say(answer)
            break
        say(skynet.task())
        with skynet.request(*asks) as request:
            request.select()  # sent, and not waited for
        say(skynet.task(), sorted(set(skynet.running().service.session_id_coroutine.values())))
        skynet.sleep(200)
        say(skynet.running().service.session_id_coroutine)

    assert marks(main) == ["0", "0", "0 ['BREAK']", "{}"]


def test_calls_inside_the_loop() -> None:
    """Answers that come while the loop waits elsewhere are kept."""

    def main() -> None:
        addr = skynet.newservice(slave)
        for _, answer in skynet.select((addr, "lua", "ping", 20, "b"), (addr, "lua", "ping", 10, "a")):
            say(skynet.call(addr, "lua", "ping", 0, answer), skynet.now())
            skynet.sleep(50)

    assert marks(main) == ["a 10", "b 60"]


def test_one_coroutine_waits_for_all_sessions() -> None:
    """As in skynet: the table names it once for each request, and each answer resumes it."""

    def main() -> None:
        addr = skynet.newservice(slave)
        answers = skynet.select((addr, "lua", "ping", 1), (addr, "lua", "ping", 2))
        say(sorted(co.label for co in skynet.running().service.session_id_coroutine.values()))
        say(len(list(answers)))

    with Node(clock="virtual", log=list) as node:
        with node.record() as trace:
            node.newservice(main)
            node.run()
    assert [e["text"] for e in trace if e["e"] == "mark"] == ["['co2', 'co2']", "2"]
    own = [e for e in trace if e.get("co") == "co2" and e.get("service") == ":00000008"]
    told = [(e["e"], e.get("by") or e.get("command") or e.get("for")) for e in own if e["e"] != "table"]
    assert told == [
        ("co_create", "request"), ("resume", "raw_dispatch_message"), ("yield", "SUSPEND"),
        ("resume", "raw_dispatch_message"), ("yield", "SUSPEND"), ("kill", None),
    ]  # fmt: skip


def test_a_service_that_ends_in_a_select() -> None:
    """exit and kill close the coroutine of the request, too."""

    def main() -> None:
        addr = skynet.newservice(slave)
        skynet.timeout(2, skynet.exit)
        try:
            for _ in skynet.select((addr, "lua", "ping", 9)):
                say("never")
        finally:
            ended.append(skynet.now())

    ended: list[int] = []
    with Node(clock="virtual", log=list) as node:
        node.newservice(main, wait=False)
        node.run()
    assert ended == [2]
    assert not [line for line in node.log_lines if "Traceback" in line or "failed" in line.replace("call failed", "")]


def test_a_killed_asker_abandons_its_request() -> None:
    """killthread closes the loop from outside."""

    def main() -> None:
        addr = skynet.newservice(slave)
        co = skynet.fork(lambda: list(skynet.select((addr, "lua", "ping", 9))))
        skynet.sleep(1)
        skynet.killthread(co)
        say(skynet.task(), len(skynet.running().service.coroutines))
        skynet.sleep(20)

    assert marks(main) == ["0 1"]


def test_wrong_requests_are_refused_before_anything_is_sent() -> None:
    """An unknown type, a value that cannot travel, a thing that is no request."""

    def main() -> None:
        addr = skynet.newservice(slave)
        for wrong, text in (
            ((addr, "nosuch"), "unknown protocol"),
            ((addr, "lua", object()), "cannot send"),
            (addr, "a request is"),
        ):
            with pytest.raises(SkynetError, match=text):
                skynet.select((addr, "lua", "ping"), wrong)
        say(skynet.task(), skynet.genid())

    assert marks(main) == ["0 3"]

"""What only some services do: skynet.manager, and what a service can ask about itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from skynet_lite.manager import kill, launch
from test_skynet import marks

from skynet_lite import CallError, Node, PackError, SkynetError, mark, skynet, socket
from skynet_lite.core.context import MAX_SESSION, sessions


def say(*words: Any) -> None:
    mark(" ".join(map(str, words)))


def echo() -> None:
    skynet.dispatch("lua", lambda session, source, *values: skynet.retpack(*values))


def test_manager_is_a_module_and_a_part_of_skynet() -> None:
    """As after require "skynet.manager"."""
    assert skynet.kill is kill and skynet.launch is launch
    for first in ("manager as m; m.register", "request as m; m.select", "skynet as m; m.dispatch"):
        subprocess.run([sys.executable, "-c", f"import skynet_lite.{first}"], check=True)  # whichever comes first


def test_what_every_program_calls_is_found_fast() -> None:
    """With a __getattr__ in the module, CPython would look up every `skynet.f` the slow way."""
    assert not hasattr(skynet, "__getattr__")


def test_the_monitor_is_told_of_every_exit() -> None:
    """A message of type client, whose source is the handle that has gone: exit, kill and a failed start."""

    def watcher() -> None:
        skynet.register_protocol(
            name="client", id=skynet.PTYPE_CLIENT, dispatch=lambda session, source: say("gone", session, source)
        )

    def leaver() -> None:
        skynet.timeout(1, skynet.exit)

    def broken() -> None:
        raise ValueError

    def main() -> None:
        addr = skynet.monitor(watcher)
        say(addr == skynet.monitor("watcher", True) == skynet.uniqueservice(True, "watcher"))
        first, second = skynet.newservice(leaver), skynet.newservice(echo)
        skynet.kill(second)
        skynet.sleep(3)
        with pytest.raises(CallError):
            skynet.newservice(broken)
        say(first, second)

    assert marks(main) == ["True", "gone 0 12", "gone 0 11", "gone 0 13", "11 12"]


def test_forward_type_hands_a_request_on_unopened() -> None:
    """A proxy: requests of type lua come as another type, packed, and go on as they are."""

    def proxy(target: int) -> None:
        def handle(session: int, source: int, message: Any) -> None:
            say(message)
            skynet.ret(skynet.rawcall(target, "lua", message))

        skynet.register_protocol(name="forwarded", id=100, dispatch=handle)
        skynet.forward_type({skynet.PTYPE_LUA: 100, skynet.PTYPE_RESPONSE: skynet.PTYPE_RESPONSE})

    def main() -> None:
        through = skynet.newservice(proxy, skynet.newservice(echo))
        say(skynet.call(through, "lua", "a", [1, {"b": 2}]), skynet.call(through, "lua"))

    assert marks(main) == ["Packed('a', [1, {'b': 2}])", "Packed()", "('a', [1, {'b': 2}]) None"]


FRONTED = """
from skynet_lite import skynet

def front(ptype, session, source, message):
    if ptype == skynet.PTYPE_TEXT:
        ptype, message = skynet.PTYPE_LUA, ("as lua", message)
    return None if message == ("drop",) else (ptype, session, source, message)

@skynet.dispatch("lua")
def handle(session, source, *values):
    skynet.error(values)

skynet.filter(front, lambda name: skynet.error("started", name, skynet.sleep(1)))
"""


def test_a_filter_changes_or_drops_what_comes(tmp_path: Path) -> None:
    """skynet.filter in a service file: a function in front of dispatch sees every message, timers too."""

    def main() -> None:
        addr = skynet.newservice("fronted", "x")
        skynet.register_protocol(name="text", id=skynet.PTYPE_TEXT)
        skynet.rawsend(addr, "text", "words")
        skynet.send(addr, "lua", "drop")
        skynet.send(addr, "lua", "plain")

    (tmp_path / "fronted.py").write_text(FRONTED)
    with Node(clock="virtual", log=list, luaservice=str(tmp_path / "?.py")) as node:
        node.newservice(main)
        node.run()
    told = [line.split("] ")[1] for line in node.log_lines if line.startswith("[:0000000a]")][1:]
    assert told == ["started x None", "('as lua', 'words')", "('plain',)"]


def test_packstring_keeps_and_unpack_opens() -> None:
    """Bytes that can be stored; the same types come out."""

    def main() -> None:
        kept = skynet.packstring(1, "two", [3.5, None, {"k": b"v"}])
        say(type(kept).__name__, skynet.unpack(kept), skynet.unpack(skynet.packstring(1)), skynet.trash(kept))
        with pytest.raises(PackError):
            skynet.packstring(object())

    assert marks(main) == ["bytes (1, 'two', [3.5, None, {'k': b'v'}]) (1,) None"]


def test_what_a_service_knows_of_itself() -> None:
    """stat and its kin, under skynet's names; figures of time are 0.0 unless `profile` is on."""

    def main() -> None:
        skynet.send(skynet.self(), "lua")
        say(skynet.mqlen(), skynet.stat("mqlen"), skynet.stat("message"), skynet.stat("cpu"), skynet.stat("time"))
        say(skynet.harbor(skynet.self()), skynet.harbor(0x02000009))
        skynet.running().service.ctx.endless = True
        say(skynet.endless(), skynet.endless(), skynet.stat("endless"))
        with pytest.raises(SkynetError, match="ask for mqlen"):
            skynet.stat("weight")
        with pytest.raises(SkynetError, match="limit the process"):
            skynet.memlimit(1 << 20)

        @skynet.info_func
        def info(*args: Any) -> Any:
            return args

        say(skynet.running().service.libs["info_func"](1))
        skynet.dispatch("lua", lambda *request: None)

    assert marks(main) == ["1 1 2 0.0 0.0", "(0, False) (2, True)", "True False 0", "(1,)"]


# ---- sessions at the end of their range


def test_sessions_wrap_and_skip_those_in_use() -> None:
    """Behind 2**31-1 comes 1 again, unless somebody still waits for it: calls, sleeps and timers go on."""

    def main() -> None:
        s = skynet.running().service
        addr = skynet.newservice(echo)
        woken: list[int] = []
        skynet.fork(skynet.wait, "early")  # takes a low session, and keeps it
        skynet.yield_()
        low = sorted(s.session_id_coroutine)
        s.sessions = sessions(s.in_use, MAX_SESSION - 2)
        skynet.timeout(5, lambda: woken.append(skynet.now()))  # 2**31-3
        skynet.fork(lambda: woken.append(skynet.sleep(7) or skynet.now()))
        skynet.yield_()  # 2**31-2; the fork then takes 2**31-1
        say(low, [n - MAX_SESSION for n in sorted(s.session_id_coroutine)[1:]])
        numbers = [skynet.genid() for _ in range(3)]
        say(numbers, [skynet.call(addr, "lua", n) for n in range(5)])
        for asked, answer in skynet.select((addr, "lua", "x"), (addr, "lua", "y")):
            say(asked[2], answer)
        skynet.sleep(9)
        say(woken, skynet.wakeup("early"))

    told = marks(main)
    assert told[0].endswith("[-2, 0]")
    held = eval(told[0].split("]")[0] + "]")[0]
    assert held not in eval(told[1].split("]")[0] + "]")
    assert told[1].endswith("[0, 1, 2, 3, 4]")
    assert told[2:] == ["x x", "y y", "[5, 7] True"]


def test_a_reader_that_waits_keeps_its_session_over_the_wrap() -> None:
    """A socket's coroutine sleeps on a session as all do: a low one that is in use is not given out again."""
    ports: list[int] = []

    def main() -> None:
        s = skynet.running().service

        def accept(id: int, peer: str) -> None:
            socket.start(id)
            say(socket.readline(id), sorted(n for n in s.session_id_coroutine if n < 100))

        lid = socket.listen("127.0.0.1:0")
        ports.append(socket.sockname(lid)[1])
        socket.start(lid, accept)

    with Node(clock="virtual", log=list) as node, node.record() as trace:
        s = node.service(node.newservice(main))
        node.run_until_idle()
        client = node.client(ports[0])
        node.run_until_idle()
        (low,) = s.session_id_coroutine
        s.sessions = sessions(s.in_use, MAX_SESSION)
        taken = [next(s.sessions) for _ in range(low + 1)]
        client.send(b"line\n")
        node.run_until_idle()
    assert taken == [MAX_SESSION, *range(1, low), low + 1]
    assert [e["text"] for e in trace if e["e"] == "mark"] == ["b'line' []"]


def test_the_parts_of_start_stand_alone() -> None:
    """init_service and dispatch_message, for a service that sets its own callback."""

    def main() -> None:
        skynet.dispatch("lua", lambda session, source, word: say(word, session, source))
        skynet.init(lambda: say("init"))
        skynet.timeout(0, lambda: skynet.init_service(lambda: say("started")))
        skynet.dispatch_unknown_response(
            lambda session, source, message: skynet.dispatch_message(skynet.PTYPE_LUA, 0, 7, ("redone",))
        )
        skynet.redirect(skynet.self(), 9, "response", 99, skynet.pack("late"))

    assert marks(main) == ["init", "started", "redone 0 7"]


def test_a_token_is_held_by_one_sleeper_only() -> None:
    """A second one gets an error and goes on; the first keeps the token, and frees it when it wakes."""

    def main() -> None:
        skynet.fork(lambda: say("woken", skynet.sleep(50, ("any", "hashable")), skynet.now()))
        skynet.sleep(1)
        with pytest.raises(SkynetError, match="token duplicative: co2 sleeps"):
            skynet.wait(("any", "hashable"))
        say(skynet.wakeup(("any", "hashable")), skynet.wakeup("nobody"))
        skynet.yield_()
        say(skynet.wakeup(("any", "hashable")), skynet.sleep(2, ("any", "hashable")))

    assert marks(main) == ["True False", "woken BREAK 1", "False None"]

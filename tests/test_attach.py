"""`skynet-lite attach`: a node that hangs, ours or a real skynet's, as one page, from what its debug console says."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from console import Recorded, served
from harness import free_port, until
from real_skynet import Real, real

from skynet_lite import skynet
from skynet_lite.attach import run
from skynet_lite.attach.asking import STAT, Answers, collect
from skynet_lite.attach.look import Look, look
from skynet_lite.attach.page import page
from skynet_lite.cli import main
from skynet_lite.course.console import Connection
from skynet_lite.top.answers import Service, parked

HERE = Path(__file__).parent
LUA = HERE / "data" / "attach"  # game/*.lua and tail/*.lua, the services of the recordings
VERSIONS = ("v1.1.0", "today")
LIMIT = 300  # seconds, for an answer that does come
READS = {"help", "list", "stat", "mem", "netstat", "service", "task", "uniqtask", "info", "waits", "verdicts"}


def stored(version: str) -> dict[str, list[str]]:
    """What the console of a real skynet has answered; to what is not in it, it has not."""
    answers: dict[str, list[str]] = json.loads((HERE / "golden" / "attach" / f"{version}.json").read_text())["answers"]
    return answers


@contextmanager
def console(answers: dict[str, list[str]]) -> Iterator[Recorded]:
    recorded = Recorded(0, answers)
    try:
        yield recorded
    finally:
        recorded.close()


def to(port: int, kind: type[Connection] = Connection) -> Callable[[Callable[[str], Any]], Connection]:
    return partial(kind, "127.0.0.1", port, trusted=False)


def ask(answers: dict[str, list[str]], kind: type[Connection] = Connection) -> tuple[Answers, list[str]]:
    """Ask a recorded console; who will not answer is not waited for. And what it was asked."""
    with console(answers) as recorded:
        patience = {"stat": -STAT + 0.01} | dict.fromkeys(answers, LIMIT)
        return collect(to(recorded.port, kind), lambda said: patience.get(said, 0.01)), recorded.asked


def seen(version: str, folder: Path = LUA) -> Look:
    return look(ask(stored(version))[0], folder)


def waits(found: Look) -> dict[str, str]:
    """Who waits → for what, without the addresses."""
    short = {found.waits.label(w.who): w.on for w in found.waits}
    return {re.sub(r" :\w{8}", "", who): re.sub(r" :\w{8}", "", on) for who, on in short.items()}


# --------------------------------------------------------------------------- a real skynet, recorded


@pytest.mark.parametrize("version", VERSIONS)
def test_the_circle_in_a_real_skynet_is_found_and_said_to_be_a_guess(version: str) -> None:
    """hall calls room inside a critical section, room calls agent, agent calls hall: nobody can go on. The stacks give
    the section; whom each calls is read from its line, and who serves it from the function that the call names."""
    found = seen(version)
    (circle,) = (finding for finding in found.findings if "circle" in finding)
    assert circle.startswith("suspicion:") and "guessed" in circle
    assert [name in circle for name in ("hall", "room", "agent", "sleeper")] == [True, True, True, False]
    told = waits(found)
    assert told["#4 of hall"] == "a critical section, #3 is inside"
    assert told["#3 of hall"] == "its call to room, served by #3"
    assert told["#3 of room"] == "its call to agent, served by #2"
    assert told["#2 of agent"] == "its call to hall, served by #4"
    guesses = {w.place: w.guess for w in found.waits}
    assert guesses["game/hall.lua:10"].endswith("#3 is in a function join") and not guesses["game/hall.lua:24"]
    assert guesses["game/agent.lua:5"].endswith("no other is left that could serve it")


def test_a_circle_is_found_whose_handlers_have_left_no_frame() -> None:
    """`return section(...)` is a tail call: no stack says any more who is in the function that a call names."""
    found = seen("circle")
    (circle,) = found.findings
    assert circle.startswith("suspicion: a circle of waits, in which none can continue") and "guessed" in circle
    assert all(name in circle for name in ("hall", "room", "desk")) and "guest" not in circle
    assert waits(found)["#2 of desk"] == "its call to hall, served by #4 and 1 more", "#2 has asked for it: it cannot"
    assert [len(ring) for ring in found.waits.circles()] == [4]


def test_two_sections_in_opposite_order_are_a_suspicion() -> None:
    """Whoever is inside a section waits for another; no call is part of it, so no circle of calls is there."""
    found = seen("crossed")
    (jam,) = found.findings
    assert jam.startswith("suspicion: nobody in the critical sections of hall :0000000a can go on")
    assert "#4 (at tail/hall.lua:36), #5 (at tail/hall.lua:36)" in jam
    assert [w.on for w in found.waits if w.kind == "queue"] == ["a critical section"] * 2
    assert waits(found)["#2 of guest"] == "its call to hall, served by one of #4, #5"
    assert found.waits.circles() == []
    drawn = found.waits.draw(title="")
    assert {"a critical section", "the timer"} & {text.get_text() for text in drawn.axes[0].texts} == {
        "a critical section"
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_a_service_that_does_not_answer_is_a_finding_and_holds_up_nobody(version: str) -> None:
    """An endless loop: today `stat` says TIMEOUT; 1.1.0's stat hangs on it, and so the service is asked by itself."""
    found = seen(version)
    assert any(f.startswith("suspicion: spin :0000000f does not answer") for f in found.findings)
    assert waits(found)["#5 of client"] == "its call to spin, which does not answer"
    silent = {"stat", "mem", "task :0000000f"} if version == "v1.1.0" else set()
    assert set(found.missing) == silent | {"whom 1 calls ask"}, "a service of skynet's own, whose file is not here"
    assert "#2 of sleeper" in waits(found), "those behind it in the list were asked all the same"


@pytest.mark.parametrize("version", VERSIONS)
def test_what_else_is_parked(version: str) -> None:
    """Starts that have not ended, a wakeup that may never come, timers (twelve in one row), sockets."""
    found = seen(version)
    told = waits(found)
    assert told["#10 of main"] == "its call to .launcher, which starts slowstart"
    assert told["#11 of main"] == told["#12 of main"] == "its call to .service, which starts slowunique"
    assert sum("still starting" in finding for finding in found.findings) == 2
    assert told["#2 of sleeper"] == told["#2 of slowstart"] == "a wakeup"
    assert [on for who, on in told.items() if "and 11 more of crowd" in who] == ["its timer"]
    assert told["#3 of backend"] == ("a socket, in readline" if version == "v1.1.0" else "socket 3, in readline")
    assert told["#3 of client"] == "a call; its stack does not say to whom", "a tail call leaves no line"


def test_without_the_files_nothing_is_guessed(tmp_path: Path) -> None:
    """What the stacks prove stays, and one line says what would tell more."""
    found = seen("today", tmp_path)
    told = waits(found)
    assert told["#4 of hall"] == "a critical section, #3 is inside"
    assert told["#3 of hall"] == told["#2 of agent"] == "a call; its stack does not say to whom"
    assert not any("circle" in finding for finding in found.findings)
    assert "--source FOLDER" in found.summary()


CALL = ["[C]: in upvalue 'coroutine_yield'", "./lualib/skynet.lua:717: in upvalue 'yield_call'"]
CALL += ["./lualib/skynet.lua:737: in field 'call'"]
WAIT = ["[C]: in upvalue 'coroutine_yield'", "./lualib/skynet.lua:538: in field 'wait'"]
QUEUE = "./lualib/skynet/queue.lua:28: in function <./lualib/skynet/queue.lua:24>"


def made(services: dict[str, list[list[str]]], folder: Path, **files: str) -> dict[str, tuple[str, str]]:
    """A skynet with these services, named, and their stacks → coroutine: what it waits for, and the guess."""
    for name, text in files.items():
        (folder / f"{name}.lua").write_text(text)
    answers = Answers({"help": [], "list": []})
    for n, (name, stacks) in enumerate(services.items(), 10):
        answers.lines["list"].append(f":{n:08x}\tsnlua {name}")
        task = [f"thread: 0x{k} session: {k}\tstack traceback:\n\t" + "\n\t".join(s) for k, s in enumerate(stacks, 1)]
        answers.lines[f"task :{n:08x}"] = "\n".join(task).splitlines()
    found = look(answers, folder)
    return {
        f"{w.co} {found.waits.names[w.service]}": (re.sub(r"(?<!one of)(?<!,) :\w{8}", "", w.on), w.guess)
        for w in found.waits
    }


def test_what_has_two_meanings_is_not_guessed(tmp_path: Path) -> None:
    """Two services of that name, two coroutines inside of sections, two that may serve a call."""
    there = "./x.lua:1: in upvalue 'f'"
    inside = [*WAIT, there, "[C]: in upvalue 'xpcall'", QUEUE, "./x.lua:2: in upvalue 'f'"]
    line = 'skynet.call(shop, "lua", "buy")\n'
    told = made({"shop 1": [], "shop 2": [], "x": [[*CALL, there]]}, tmp_path, x=line)
    assert told["#1 x"][0] == "its call to shop, one of :0000000a, :0000000b"
    assert told["#1 x"][1] == "its line says call(shop, ...), and 2 services are called so"
    told = made({"x": [inside, [*WAIT, QUEUE, there]]}, tmp_path)
    assert told["#2 x"] == ("a critical section, #1 is inside", "")
    told = made({"x": [inside, [*inside, there], [*WAIT, QUEUE, there]]}, tmp_path)
    assert told["#3 x"] == ("a critical section", "")
    one, two = ([*WAIT, f"./shop.lua:{k}: in upvalue 'f'"] for k in (1, 2))
    told = made({"shop": [one, two], "x": [[*CALL, there]]}, tmp_path, x=line, shop="-- \n-- \n")
    assert told["#1 x"][0] == "its call to shop, served by one of #1, #2"
    told = made({"shop": [one], "x": [[*CALL, there], [*CALL, "./x.lua:2: in upvalue 'f'"]]}, tmp_path, x=line * 2)
    assert [told[f"#{k} x"][0] for k in (1, 2)] == ["its call to shop, served by #1", "its call to shop"]


def test_a_circle_needs_every_candidate(tmp_path: Path) -> None:
    """Two coroutines may serve the call of room: if both wait for the section that #1 is in, it is a circle whichever
    does; if one of them sleeps, nothing is claimed, and both are named."""
    lines = {"x": 'skynet.call(room, "lua", "a")\n-- 2\n-- 3\n', "room": 'skynet.call(x, "lua", "b")\n'}
    inside = [*CALL, "./x.lua:1: in upvalue 'f'", "[C]: in upvalue 'xpcall'", QUEUE]
    outside = [[*WAIT, QUEUE, f"./x.lua:{k}: in upvalue 'f'"] for k in (2, 3)]
    asks = [*CALL, "./room.lua:1: in upvalue 'f'"]
    told = made({"x": [inside, *outside], "room": [asks]}, tmp_path, **lines)
    assert told["#1 room"][0] == "its call to x, served by one of #2, #3"
    assert told["#1 room"][1].endswith("whichever of them serves it waits for #1 itself, so it is a circle")
    asleep = [*WAIT, "./x.lua:3: in upvalue 'f'"]
    told = made({"x": [inside, outside[0], asleep], "room": [asks]}, tmp_path, **lines)
    assert told["#1 room"][0] == "its call to x, served by one of #2, #3"
    assert "circle" not in told["#1 room"][1]


def test_two_calls_for_one_coroutine_in_that_function_are_not_guessed(tmp_path: Path) -> None:
    """Another may have left the function by a tail call: either of the calls may be the one that is served there."""
    ask = [[*CALL, f"./x.lua:{k}: in upvalue 'f'"] for k in (1, 2)]
    shop = [[*WAIT, f"./shop.lua:{k}: in upvalue 'f'"] for k in (2, 4)]
    text = "local function buy()\n\tskynet.wait()\nend\nskynet.wait()\n"
    told = made({"shop": shop, "x": ask}, tmp_path, x='skynet.call(shop, "lua", "buy")\n' * 2, shop=text)
    assert [told[f"#{k} x"][0] for k in (1, 2)] == ["its call to shop, served by one of #1, #2"] * 2


def test_the_function_that_a_call_names_tells_who_serves_it(tmp_path: Path) -> None:
    """Even where its line does not tell the service; an address in the line is one, too."""
    shop = (
        "function CMD.sell()\n\tif x then\n\t\tskynet.wait()\n\tend\nend\nlocal function buy()\n\tskynet.wait()\nend\n"
    )
    stacks = [[*WAIT, f"./shop.lua:{k}: in upvalue 'f'"] for k in (3, 7)]
    asks = [[*CALL, f"./x.lua:{k}: in upvalue 'f'"] for k in (1, 2)]
    lines = """skynet.call(self.where[1], 'lua', 'sell')\nlocal x <const> = skynet.call(":0000000a", "lua", "buy")\n"""
    told = made({"shop": stacks, "x": asks}, tmp_path, x=lines, shop=shop)
    assert told["#1 x"] == ("its call to shop, served by #1", "#1 is in a function sell")
    assert told["#2 x"][0] == "its call to shop, served by #2"


def test_versions_between_them_are_read_by_the_same_lines() -> None:
    """1.2 has no name of a coroutine, 1.3 uniqtask; a stale session is no task."""
    stack = "\tstack traceback:\n\t[C]: in function 'yield'\n\t./x.lua:1: in upvalue 'f'"
    (old,) = parked(f"7{stack}".splitlines())
    (many,) = parked(f"12\tsessions:[3,4,5,6,7,8,9,10,11...]\n{stack}".splitlines())
    (new,) = parked(f"thread: 0x1 session: 7{stack}".splitlines())
    assert old.stack == many.stack == new.stack and len(old.stack) == 2
    assert (old.sessions, many.sessions[:2], many.more, new.names) == ([7], [3, 4], 3, ["0x1"])
    found = look(
        Answers({"help": ["netstat\t"], "list": [":0000000a\tsnlua x"], "task :0000000a": ["BREAK session: 3\tBREAK"]}),
        LUA,
    )
    assert (found.node, list(found.waits)) == ("skynet 1.2", [])


def test_only_commands_that_look_are_said() -> None:
    """It is meant for production: nothing is launched, ended, injected, logged, and no token is given away."""
    for version in VERSIONS:
        assert {line.split()[0] for line in ask(stored(version))[1]} <= READS


# --------------------------------------------------------------------------- what can go wrong


class Breaks(Connection):
    """The node goes away in the middle."""

    def say(self, line: str, seconds: float | None = None) -> bool:
        if line.startswith("task :0000000c"):
            self.close()
        return super().say(line, seconds)


def test_a_connection_that_ends_in_the_middle_leaves_what_came(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page says what is there and what is not, and the status is 1."""
    file = tmp_path / "x.html"
    with console(stored("today")) as recorded:
        assert run(to(recorded.port, Breaks), "there", str(file), "text", str(LUA), LIMIT) == 1
    said = capsys.readouterr().out
    assert "closed the connection: what follows is what came before" in said
    assert "not known: service (not asked: the connection was lost)" in said
    assert "#3 of room :0000000b" in said and "#2 of agent" not in said
    assert "closed the connection" in file.read_text() and "game/room.lua:6" in file.read_text()


def test_nobody_there_or_no_console(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """One line each, and status 2."""

    def hang_up() -> None:
        with suppress(OSError):
            while True:
                other.accept()[0].close()

    with socket.create_server(("127.0.0.1", 0)) as other, socket.create_server(("127.0.0.1", 0)) as closed:
        port, free = other.getsockname()[1], closed.getsockname()[1]
        closed.close()
        threading.Thread(target=hang_up, daemon=True).start()
        for words, said in (
            ([str(free)], f"cannot attach to {free}: Connection refused"),
            ([str(port)], "what listens there does not answer as a debug console does"),
            (["nowhere"], "'nowhere' is no address"),
            ([str(free), "--wait", "0"], "--wait 0.0: give 0.1 to 600 seconds"),
            ([str(free), "--source", "/nowhere"], "--source /nowhere: no such folder"),
        ):
            assert main(["attach", *words]) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert said in line
        other.shutdown(socket.SHUT_RDWR)
    with console(stored("today")) as recorded:
        assert main(["attach", str(recorded.port), "--out", str(tmp_path / "no" / "x.html")]) == 2
    assert "cannot write" in capsys.readouterr().err


# --------------------------------------------------------------------------- the page


def test_the_page_is_whole_by_itself() -> None:
    """Picture, waits with their lines and guesses, services, stacks, sockets; nothing is fetched, nothing is markup."""
    found = seen("today")
    found.services.append(Service(":000000ff", "<script>alert(1)</script>", silent="TIMEOUT"))
    text = page(found, "a & b")
    assert "<title>a &amp; b</title>" in text and "<script" not in text
    assert not re.search(r"""(src|href|srcset)=["'](?!data:)""", text)
    assert "TIMEOUT" not in text.split("<h2>Services</h2>")[1] and "spin (does not answer)" in text
    for words in ("local seat = skynet.call(room", "call(room, ...)", "127.0.0.1:", "12 × crowd", "Init as :00000014"):
        assert words in text.replace("&quot;", '"'), words
    assert text.count("data:image/png;base64,") == 2, "light and dark"


def test_nothing_found_is_no_alarm() -> None:
    """It is not red, and says what there is to look at."""
    idle = look(Answers({"help": [], "list": [":0000000a\tsnlua x"]}), LUA)
    assert idle.summary().splitlines()[1] == "nothing found: no coroutine is parked"
    stack = "\tstack traceback:\n\t[C]: in upvalue 'coroutine_yield'\n\t./x.lua:1: in upvalue 'f'\n"
    idle = look(
        Answers({"help": [], "list": [":0000000a\tsnlua x"], "task :0000000a": f"3{stack}4{stack}".splitlines()}), LUA
    )
    assert "<p>nothing found: 2 coroutines are parked, see below</p>" in page(idle, "")
    assert 'class="findings"' not in page(idle, "") and idle.data()["findings"] == []


def test_without_matplotlib_the_page_has_no_picture() -> None:
    """Where a node hangs there may be no more than this package."""
    script = (
        "import sys; sys.modules['matplotlib'] = None; sys.path.insert(0, 'tests')\n"
        "import test_attach as t; text = t.page(t.seen('today'), ''); print('with matplotlib' in text, '<img' in text)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=HERE.parent, check=True)
    assert done.stdout.split() == ["True", "False"]


# --------------------------------------------------------------------------- a node of ours


def hall() -> None:
    skynet.register(".hall")
    section = skynet.queue()

    @skynet.dispatch("lua")
    def enter(session: int, source: int) -> None:
        section(lambda: skynet.call(".room", "lua"))
        skynet.retpack()


def room() -> None:
    skynet.register(".room")
    skynet.dispatch("lua", lambda session, source: skynet.retpack(skynet.call(".hall", "lua")))


def guest() -> None:
    skynet.fork(lambda: skynet.call(".hall", "lua"))


def test_a_circle_in_a_node_of_ours_is_proved_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Our console tells the graph, so there is nothing to guess; --text and --json print it, the page draws it."""
    with served(hall, room, guest) as port:
        files = [tmp_path / name for name in ("a.html", "b.html")]
        assert main(["attach", str(port), "--out", str(files[0])]) == 0
        first = capsys.readouterr().out.splitlines()
        assert first[0].startswith("a node of skynet_lite") and first[-1] == str(files[0])
        (circle,) = (line for line in first if line.startswith("fault: a circle of waits, in which none can continue"))
        assert "hall" in circle and "room" in circle
        assert main(["attach", str(port), "--text"]) == 0
        assert "critical section 1, co1 is inside" in capsys.readouterr().out
        assert main(["attach", str(port), "--json", "--out", str(files[1])]) == 0
        data = json.loads(capsys.readouterr().out)
    by = {(wait["service"], wait["co"]): wait for wait in data["waits"]}
    assert {wait["kind"] for wait in by.values()} == {"call", "queue"} and not any(w["guess"] for w in by.values())
    assert sum(tuple(wait["target"]) in by for wait in by.values()) == len(by) == 4
    assert data["findings"] == [circle] and not data["missing"]
    assert all(file.read_text().count("data:image/png") == 2 for file in files)


# --------------------------------------------------------------------------- a real skynet, live


@real
def test_a_real_skynet_that_hangs(tmp_path: Path) -> None:
    """The services of the recordings in a skynet of today: the same circle."""

    def hung() -> Look | None:
        found = look(collect(to(node.console), lambda said: 3), tmp_path)
        return found if any("does not answer" in finding for finding in found.findings) else None

    with Real(tmp_path, LUA / "game", tcp=free_port()).running() as node:
        until(lambda: "slowunique" in node.log.read_text())
        (circle,) = (finding for finding in until(hung).findings if "circle" in finding)  # spin begins a little later
        assert all(name in circle for name in ("hall", "room", "agent"))

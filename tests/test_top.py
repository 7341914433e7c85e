"""`skynet-lite top`: a table of a running node, ours or a real skynet's, by what its debug console says."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import harness
import pytest
from console import ANSWERS, Recorded, served

from skynet_lite.course.console import Connection
from skynet_lite.lualib.console import rows
from skynet_lite.top.answers import of_runtime, parked, services
from skynet_lite.top.app import Top, Within
from skynet_lite.top.watch import Console, Looks, Refused

sys.path.insert(0, str(Path(__file__).parent.parent / "docs"))

import screens  # noqa: E402
from screens import until  # noqa: E402

LIMIT = 300  # seconds, for a machine that has much else to do; what is waited for takes far less


def lines(command: str, n: int = 0) -> list[str]:
    """The n-th recorded answer without its last line."""
    return ANSWERS[command][n].splitlines()[:-1]


@contextmanager
def recorded(answers: dict[str, list[str]] = ANSWERS, port: int = 0, ever: bool = True) -> Iterator[Recorded]:
    console = Recorded(port, answers, ever)
    try:
        yield console
    finally:
        console.close()


def watch(port: int, script: Callable[[Top], Awaitable[None]], every: float = 0.1) -> None:
    """Run the app against a console, without a terminal, and do what the script says."""
    app = Top(lambda show: Connection("127.0.0.1", port, show), f"127.0.0.1:{port}", every, retry=0.01)

    async def main() -> None:
        async with app.run_test(size=(120, 40)) as pilot:
            await script(app)
            await pilot.pause()  # a key that is still on its way through the widgets would find no screen

    asyncio.run(asyncio.wait_for(main(), LIMIT))
    # Threads of its own end when their connection does.
    harness.until(lambda: not any(t.name in ("top", "console") for t in threading.enumerate()), LIMIT)


async def press(app: Top, *keys: str) -> None:
    """Keys, as from the terminal, each when what the one before has done is there."""
    for key in keys:
        done: Callable[[], Any] = lambda: app.chosen()  # noqa: E731
        if key in ("enter", "escape"):
            done = lambda: app.screen  # noqa: E731
        elif key.isdigit():
            done = lambda: (app.column, app.falling)  # noqa: E731
        if key == "enter":
            await until(lambda: app.table.has_focus)  # after Escape it has to come back
        before = done()
        app.simulate_key(key)
        await until(lambda: done() != before)


def shown(app: Top) -> list[list[str]]:
    """The rows of the table, as text."""
    return [[cell.plain for cell in app.table.get_row_at(n)] for n in range(app.table.row_count)]


def column(app: Top, n: int) -> list[str]:
    return [row[n] for row in shown(app)]


def inside(app: Top) -> Within | None:
    """The service that is looked into, once its answers are there."""
    return app.screen if isinstance(app.screen, Within) and not isinstance(app.screen.inside, str) else None


def head(app: Top) -> str:
    return str((app.screen if isinstance(app.screen, Within) else app).head.render())


def said(app: Top) -> str:
    """What is seen of a service inside."""
    assert isinstance(app.screen, Within)
    return str(app.screen.text.render())


# --------------------------------------------------------------------------- what a console answers


def test_the_answers_of_a_real_skynet_become_rows() -> None:
    """list, stat, netstat and mem, put together by address."""
    found = {s.name: s for s in services(lines("list"), lines("stat 50"), lines("netstat"), lines("mem 50"))}
    assert list(found)[3:7] == ["debug_console 16000", "lobby", "store", "agent 1"]
    lobby, stuck, listener = found["lobby"], found["stuck"], found["listener 16001"]
    assert (lobby.address, lobby.messages, lobby.cpu, lobby.mailbox, lobby.tasks) == (":0000000a", 268, 0.004093, 0, 3)
    assert (lobby.memory, lobby.sockets, lobby.silent) == (56.31, 0, "")
    assert listener.sockets == 2, "one that listens, and its client"
    assert (stuck.silent, stuck.messages, stuck.mailbox, stuck.memory) == ("TIMEOUT", None, None, None)


def test_figures_that_an_old_skynet_does_not_give_are_not_known() -> None:
    """v1.1.0 said no more than mqlen and task, say; what is not there is no zero."""
    (service,) = services([":00000009\tsnlua x"], [":00000009\tmqlen:7\ttask:2"], [], [])
    assert (service.mailbox, service.tasks, service.messages, service.cpu) == (7, 2, None, None)


def test_parked_coroutines_with_the_same_stack_are_one_group() -> None:
    """However many they are, the screen shows their lines once; skynet's own are told from the program's."""
    (group,) = parked(lines("task :0000000a"))
    assert group.sessions == [194, 195, 196] and len(set(group.names)) == 3
    assert [line.strip() for line in group.stack if not of_runtime(line)] == ["./game/lobby.lua:3: in upvalue 'f'"]
    assert [len(group.stack) for group in parked(lines("task :0000000c"))] == [5, 5]
    assert parked(lines("task :0000000b")) == []
    (ours,) = parked(["co2 session: 5\tstack traceback:", "  main:3 in f", "    skynet.wait()"])
    assert (ours.names, ours.sessions, ours.stack) == (["co2"], [5], ("  main:3 in f", "    skynet.wait()"))


def test_rates_come_from_two_looks_and_are_without_the_looks_themselves() -> None:
    """A service that nobody but we have asked has done nothing, however often we look."""
    with recorded() as console:
        asked = Console(lambda show: Connection("127.0.0.1", console.port, show))
        looks = Looks(asked)
        first, second = looks(), looks()
        asked.close()
    assert not second.ours and second.sockets == 4
    assert {s.rate for s in first.services} == {None}
    rates = {s.name: s.rate for s in second.services}
    assert rates["cdummy"] == rates["datacenterd"] == 0, "84 → 86 messages: stat and mem"
    assert rates["stuck"] is None
    by_rate = sorted((name for name, rate in rates.items() if rate), key=lambda name: -(rates[name] or 0))
    assert by_rate[:4] == ["store", "agent 1", "agent 2", "agent 3"]
    loads = {s.name: s.load for s in second.services}
    assert loads["store"] and loads["store"] > (loads["cdummy"] or 0) > 0


def test_an_answer_that_is_an_error_is_refused_and_the_next_is_not_mixed_up_with_it() -> None:
    """The connection stays good."""
    with recorded() as console:
        asked = Console(lambda show: Connection("127.0.0.1", console.port, show))
        with pytest.raises(Refused, match="call to invalid address :000000ff"):
            asked.ask("task :000000ff")
        assert dict(rows(asked.ask("info :0000000a"))) == {"rooms": "3", "words": ""}
        console.close()
        with pytest.raises(ConnectionError, match="closed the connection"):
            asked.ask("list")
        asked.close()


class ByteByByte(Connection):
    """Bytes arrive in the smallest parts there can be."""

    rest = b""

    def _receive(self) -> bytes:
        self.rest = self.rest or super()._receive()
        one, self.rest = self.rest[:1], self.rest[1:]
        return one


def test_a_line_that_comes_in_parts_is_no_prompt_of_the_debugger() -> None:
    """skynet writes a line and its end apart, and a stack of Lua ends like a prompt: <./lualib/skynet.lua:374>."""
    with recorded() as console:
        asked = Console(lambda show: ByteByByte("127.0.0.1", console.port, show))
        assert asked.ask("task :0000000c") == lines("task :0000000c")
        asked.close()


# --------------------------------------------------------------------------- a node of ours


def test_a_node_of_ours_is_watched_sorted_and_looked_into() -> None:
    """The table with rates and verdicts; digits sort; Enter shows the coroutines with their lines, t the trace."""

    async def script(app: Top) -> None:
        await until(lambda: app.look is not None and any(s.rate for s in app.look.services))
        await until(lambda: len(column(app, 0)) == len(app.look.services))
        assert "is skynet_lite" in head(app) and "MiB" in head(app)
        assert len(shown(app)[0]) == 8, "no memory of a service: Python objects belong to all of them"
        assert column(app, 2) == sorted(column(app, 2), key=lambda rate: -float(rate.replace("–", "-1")))
        assert "which nobody can answer any more" in str(app.below.render())
        await press(app, "1")
        addresses = column(app, 0)
        assert addresses == sorted(addresses)
        await press(app, "1")
        assert column(app, 0) == addresses[::-1]
        await press(app, "6")
        assert column(app, 1)[0] == "lobby" and column(app, 5)[0] == "3"
        await press(app, "enter")
        await until(lambda: inside(app))
        assert all(words in said(app) for words in ("rooms", "parked coroutines: 3", "skynet.sleep(300)"))
        assert re.search(r"co\d+ session \d+, co\d+ session \d+, co\d+ session \d+", said(app))
        await press(app, "escape")
        await press(app, "3")
        await until(lambda: column(app, 1)[0] == "store")
        await press(app, "enter")
        app.simulate_key("t")
        log = app.screen.lines
        await until(lambda: any("message" in line.text for line in log.lines))
        assert all("token" not in line.text for line in log.lines)
        app.simulate_key("t")
        await until(lambda: any("trace is off" in line.text for line in log.lines))

    with served(screens.play) as port:
        watch(port, script)


def test_a_service_that_is_blamed_is_red_and_says_why_inside() -> None:
    """The sentence stands below the table, and in the service."""

    async def script(app: Top) -> None:
        await until(lambda: app.look is not None and app.look.verdicts)
        await until(lambda: shown(app))
        await press(app, "2", "2")
        table = app.table
        styles = {table.get_row_at(n)[1].plain: table.get_row_at(n)[1].style for n in range(table.row_count)}
        red = {name for name, style in styles.items() if style}
        assert {name.split()[0] for name in red} == {"asks", "forgets"}
        while not column(app, 1)[table.cursor_row].startswith("asks"):
            await press(app, "down")
        await press(app, "enter")
        await until(lambda: isinstance(app.screen, Within) and "parked" in said(app))
        assert said(app).startswith("fault: co2 of asks")

    with served(screens.play) as port:
        watch(port, script)


def test_without_the_key_profile_the_head_says_how_to_measure() -> None:
    """A column of zeros would be a lie."""

    async def script(app: Top) -> None:
        await until(lambda: app.look is not None and "CPU" in head(app))
        assert "CPU is not measured (profile = true does)" in head(app)

    with served(lambda: None) as port:
        watch(port, script)


# --------------------------------------------------------------------------- a real skynet


def test_a_real_skynet_is_shown_with_the_memory_of_each_service() -> None:
    """The same table from its console's own answers; who does not answer in time comes first, and says so."""

    async def script(app: Top) -> None:
        await until(lambda: app.look is not None and any(s.rate for s in app.look.services))
        await until(lambda: column(app, 1)[:2] == ["stuck (TIMEOUT)", "store"])
        assert re.search(r"is skynet · 14 services · [\d,.]+ msg/s · 4 sockets$", head(app)), head(app)
        assert [row[8] for row in shown(app)][:2] == ["–", "47 K"]
        assert shown(app)[-1][2] == "0"
        await press(app, "9")
        assert column(app, 1)[1] == "debug_console 16000"
        await press(app, "6", "down")
        assert column(app, 1)[1] == "lobby"
        await press(app, "enter")
        await until(lambda: inside(app))
        assert "./game/lobby.lua:3: in upvalue 'f'" in said(app) and "rooms" in said(app)
        assert "memory 56 K" in head(app)

    with recorded(ever=False) as console:
        watch(console.port, script)


def test_skynets_trace_is_turned_on_and_when_one_leaves_off() -> None:
    """It goes into the log of the node, as its console has it; what was turned on does not stay so."""

    async def script(app: Top) -> None:
        await until(lambda: len(shown(app)) == 14)
        await press(app, "6", "down", "enter")
        app.simulate_key("t")
        await until(lambda: "trace :0000000a on" in console.asked)
        log = app.screen.lines
        await until(lambda: any("into the log of the node" in line.text for line in log.lines))

    with recorded() as console:
        watch(console.port, script)
        harness.until(lambda: "trace :0000000a off" in console.asked, LIMIT)


def test_a_service_that_never_answers_holds_nobody_up() -> None:
    """Inside it says so; the table goes on behind it, Escape and q work."""

    async def script(app: Top) -> None:
        await until(lambda: column(app, 1)[:1] == ["stuck (TIMEOUT)"])
        await press(app, "enter")
        await until(lambda: "task :00000012" in console.asked)
        looks = console.asked.count("list")
        await until(lambda: console.asked.count("list") > looks + 2)
        assert said(app) == "asking; no answer yet"
        await press(app, "escape")
        assert not isinstance(app.screen, Within)

    with recorded() as console:
        watch(console.port, script)


# --------------------------------------------------------------------------- when it goes wrong


def test_a_lost_connection_is_said_and_tried_again() -> None:
    """What was seen last stays; a node that comes back is watched on, with rates from its own two looks."""

    async def script(app: Top) -> None:
        await until(lambda: len(shown(app)) == 14)
        console.close()
        await until(lambda: "trying again" in head(app))
        assert "lost" in app.head.classes and len(shown(app)) == 14
        await until(lambda: "refused" in head(app))
        with recorded(port=console.port) as again:
            await until(lambda: again.asked.count("list") > 2 and not app.lost)
            await until(lambda: "lost" not in app.head.classes)

    with recorded() as console:
        watch(console.port, script)


def test_nobody_there_is_no_reason_to_end() -> None:
    """A node may be started after its top."""
    with recorded() as gone:
        port = gone.port

    async def script(app: Top) -> None:
        await until(lambda: "refused; trying again" in head(app))
        with recorded(port=port):
            await until(lambda: len(shown(app)) == 14)

    watch(port, script)


def test_a_cursor_that_was_moved_stays_on_its_service() -> None:
    """The order may turn under it at each look."""

    async def script(app: Top) -> None:
        await until(lambda: len(shown(app)) == 14)
        await press(app, "1", "down", "down", "down")
        assert app.chosen() == ":00000009"
        await press(app, "1")
        assert app.chosen() == ":00000009" and app.table.cursor_row == 10

    with recorded() as console:
        watch(console.port, script)


def test_what_a_service_is_called_is_text_and_nothing_else() -> None:
    """Brackets are no markup, and what would steer a terminal is made visible."""
    answers = {
        **{command: ["<CMD OK>\n"] for command in ("help", "netstat", "cmem", "mem 50")},
        "list": [":00000009\tsnlua [red]x[/] \x1b[31m\n<CMD OK>\n"],
        "stat 50": [":00000009\tcpu:0\tmessage:1\tmqlen:0\ttask:0\n<CMD OK>\n"],
        "task :00000009": ["t session: 1\tstack traceback:\n\t[/bold]\n<CMD OK>\n"], "info :00000009": ["[b]\t[/b]\n<CMD OK>\n"],
    }  # fmt: skip

    async def script(app: Top) -> None:
        await until(lambda: shown(app))
        assert column(app, 1) == [r"[red]x[/] \x1b[31m"]
        await press(app, "enter")
        await until(lambda: isinstance(app.screen, Within) and "[/bold]" in said(app))
        assert "[b]" in said(app)

    with recorded(answers) as console:
        watch(console.port, script)


def test_of_very_many_services_the_first_are_shown() -> None:
    """The table stays quick; another order brings up others."""
    answers = {
        **{command: ["<CMD OK>\n"] for command in ("help", "netstat", "cmem", "mem 50")},
        "list": ["".join(f":{n:08x}\tsnlua agent {n}\n" for n in range(210)) + "<CMD OK>\n"],
        "stat 50": ["".join(f":{n:08x}\tcpu:0\tmessage:{n}\tmqlen:0\ttask:0\n" for n in range(210)) + "<CMD OK>\n"],
    }

    async def script(app: Top) -> None:
        await until(lambda: len(shown(app)) == 200)
        assert "210 services, 200 shown" in head(app)
        await press(app, "8")
        assert column(app, 1)[0] == "agent 209"

    with recorded(answers) as console:
        watch(console.port, script)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [("<CMD Error>", "Permission"), ("<CMD OK>", "invalid literal")],
)
def test_an_answer_that_cannot_be_read_is_said(wrong: str, words: str) -> None:
    """A refusal, or something else that speaks at this port: the head says what it said, and the app goes on."""
    answers = ANSWERS | {"stat 50": [f":0000000a\tmessage:Permission\n{wrong}\n"]}

    async def script(app: Top) -> None:
        await until(lambda: words in head(app))
        assert "trying again" not in head(app)

    with recorded(answers) as console:
        watch(console.port, script)


# --------------------------------------------------------------------------- the command


def test_the_command_in_a_terminal() -> None:
    """A terminal of its own (pty): the table appears, q ends it, with status 0."""
    with served(screens.play) as port:
        ours, its = pty.openpty()
        command = [sys.executable, "-m", "skynet_lite", "top", str(port)]
        env = os.environ | {"TERM": "xterm-256color", "LINES": "40", "COLUMNS": "120"}
        with harness.Process(command, stdin=its, stdout=its, stderr=its, env=env) as process:
            os.close(its)
            seen = b""
            with suppress(OSError):  # the terminal has gone with the process
                while data := os.read(ours, 65536):
                    seen += data
                    if b"lobby" in seen and b"asks" in seen:
                        os.write(ours, b"q")
            assert process.wait(LIMIT) == 0, seen[-2000:]
        os.close(ours)
    assert b"is skynet_lite" in seen


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["127.0.0.1:1"], "skynet-lite: top needs a terminal; skynet-lite console speaks in a pipe, too\n"),
        (["nowhere"], "skynet-lite: 'nowhere' is no address: give HOST:PORT, or PORT of this machine\n"),
        (["1", "--every", "0"], "skynet-lite: --every 0.0: give 0.1 to 3600 seconds\n"),
    ],
)
def test_what_is_wrong_on_the_command_line_is_one_line(args: list[str], words: str) -> None:
    """And status 2, as with the other commands."""
    command = [sys.executable, "-m", "skynet_lite", "top", *args]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", words)


def test_without_textual_it_says_what_to_install() -> None:
    """The extra is named."""
    code = "import sys; sys.modules['textual'] = sys.modules['textual.app'] = None\nfrom skynet_lite.cli import main; sys.exit(main(['top', '1']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert re.fullmatch(r"skynet-lite: top needs textual[.\w]*: pip install 'skynet_lite\[top\]'\n", done.stderr)

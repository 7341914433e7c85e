"""The debug console: every command, answered as the real skynet does, and what is ours alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from console import DATA, Asking, console_node, port_of

from skynet_lite import CallError, Node, SkynetError, Trace, skynet, socket

GOLDEN = json.loads((Path(__file__).parent / "golden" / "debug_console.json").read_text())
EXCHANGES = GOLDEN["exchanges"]
TASK = "task .demo\n"
INVALID = "Invalid command, type help for command list\n\n<CMD Error>\n"


def need(program: str) -> str:
    """The path of an external program; skips where there is none, and fails where nothing may be skipped."""
    path = shutil.which(program)
    if path is None and os.environ.get("BROWSER_TESTS") == "required":
        pytest.fail(f"{program} is not installed: apt-get install netcat-openbsd telnet curl")
    if path is None:
        pytest.skip(f"no {program} here: apt-get install netcat-openbsd telnet curl, and this test runs")
    return path


@pytest.fixture
def node() -> Iterator[Node]:
    with console_node() as node:
        yield node


@pytest.fixture
def console(node: Node) -> Asking:
    return Asking(node)


# --------------------------------------------------------------------------- the recording


OURS = {
    # A text of Lua, or of a place in its source: what ours says there.
    "ping\n": "ping needs address: ping address : the way there and back, in ticks",
    "getenv\n": "getenv needs name: getenv name : skynet.getenv(name)",
    "setenv onlykey\n": "setenv needs value: setenv name value : skynet.setenv(name, value)",
    "setenv newkey again\n": "Can't setenv exist key : newkey (it is 'some'; choose another name)",
    "call .demo nosuchvar.x\n": "nothing is called 'nosuchvar' here: give literals, as \"ADD\", 1, 2",
}
FIGURES = {  # true ones of Python where the recorded build, without jemalloc, has none
    "cmem\n": r"block\t[1-9]\d+\ntotal\t[1-9]\d+\n<CMD OK>\n",
    "profactive on\n": r"heap profilling is active\n<CMD OK>\n",
}


def comparable(text: str) -> str:
    """An answer without what varies from run to run, or from Lua to Python."""
    text = re.sub(r"^\S+\.(?:lua|py):\d+: ", "", text, flags=re.MULTILINE)  # where it was raised
    text = re.sub(r"\bPORT\b|(?<=debug_console )0$|(?<=127\.0\.0\.1:)\w+", "N", text, flags=re.MULTILINE)
    text = re.sub(r":[0-9a-f]{8}", ":HANDLE", text)
    text = re.sub(r"\b(cpu|message|mqlen|task)([:\t])[\d.e-]+", r"\1\2N", text)
    text = re.sub(r"[\d.]+ Kb", "N Kb", text)
    text = re.sub(r"table: 0x[0-9a-f]+|\[1, 2, 3\]", "TABLE", text)
    text = re.sub(r"^(thread|harbor)\t\d$", r"\1\tN", text, flags=re.MULTILINE)
    # Parked coroutines: one entry each, with its session; the stack is another language's.
    text = re.sub(r"^(?:thread: 0x\w+|co\d+) session: (\d+)\t.*(?:\n[\t ].*)+", r"thread \1", text, flags=re.MULTILINE)
    text = re.sub(r"^(\d+)\tsessions:(\[[\d,]+\])(?:\n[\t ].*)+", r"\1 sessions \2", text, flags=re.MULTILINE)
    # A socket: its name stays, counters and ages go.
    return re.sub(r"\b(read|write|rtime|wtime|id|accept):[\d.]+[KMs]?\b", r"\1:N", text)


def said_by(exchange: dict[str, Any]) -> str:
    return str(exchange["request"]).replace(".lua", ".py").replace("./dc", f"{DATA}/dc")


def test_the_recording_of_a_real_console_is_answered_the_same(tmp_path: Path) -> None:
    """Every command once or more, with success and failure: byte for byte, but for what must vary.

    What differs on purpose stands in OURS and FIGURES; help, netstat, the debugger and HTTP have
    tests of their own below.
    """
    different = {}
    with console_node(env={"logpath": str(tmp_path)}) as node:
        console = Asking(node)
        for exchange in EXCHANGES[2:102]:
            said, expected = said_by(exchange), exchange["response"]
            if exchange.get("new_connection"):
                console = Asking(node)
            said, expected = prepared(node, console, said, expected)
            got = console.ask(said, 50 if said in ("stat 30\n", "mem 30\n") else 0)
            if exchange.get("connection_closed"):
                console.client.expect_eof()
            if said in FIGURES:
                assert re.fullmatch(FIGURES[said], got), (said, got)
            elif said in OURS:
                assert got == OURS[said] + "\n<CMD Error>\n"
            elif not said.startswith("netstat") and comparable(got) != comparable(expected):
                different[said] = (got, expected)
    assert different == {}


def prepared(node: Node, console: Asking, said: str, expected: str) -> tuple[str, str]:
    """What happens besides on the recorded node, before a request."""
    if said == "stat 30\n" and "TIMEOUT" in expected:  # a busy service; see DEAF
        busy = node.newservice("dcsvc")
        node.call(busy, "lua", "DEAF")
        node.handles.name("busy", busy)
    elif said == "stat 30\n":  # it is busy no more
        s = node.service(".busy")
        s.proto["debug"].dispatch = node.service(".demo").proto["debug"].dispatch
    elif said == "kill 30\n":
        victim = node.newservice("dcsvc")
        return f"kill {victim:x}\n", expected
    elif said.startswith("killtask .demo 0x"):
        return f"killtask .demo {console.ask(TASK).split()[0]}\n", expected
    elif said.startswith("signal .busy") and "1" not in said:
        return said, "one worker: while it runs this command no service can be in a loop; with thread=2 signal breaks one\n" + expected
    return said, expected

"""The debug console: every command, answered as the real skynet does, and what is ours alone."""

from __future__ import annotations

import contextlib
import json
import re
import socket as pysocket
import subprocess
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from console import DATA, Asking, console_node, port_of, served, token_of
from harness import needs

from skynet_lite import CallError, Node, Trace, debug, skynet
from skynet_lite.core.outside import secret_file

GOLDEN = json.loads((Path(__file__).parent / "golden" / "debug_console.json").read_text())
EXCHANGES = GOLDEN["exchanges"]
WELCOME = "Welcome to skynet console\n"
INVALID = "Invalid command, type help for command list\n\n<CMD Error>\n"
TASK = "task .demo\n"


@pytest.fixture(params=[1, 4], ids=["one worker", "four workers"])
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    with console_node(thread=request.param) as node:
        yield node


@pytest.fixture
def console(node: Node) -> Asking:
    return Asking(node)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Files that commands write go into a folder of the test, and no heap profile is left running."""
    monkeypatch.chdir(tmp_path)
    yield
    tracemalloc.stop()


# --------------------------------------------------------------------------- the recording


OURS = {
    # A text of Lua: what ours says there.
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
ONE_WORKER = "one worker: while it runs this command no service can be in a loop; with thread=2 signal breaks one\n"


def comparable(text: str) -> str:
    """An answer without what varies from run to run, or from Lua to Python."""
    text = re.sub(r"Traceback .*\n(?: +.*\n)*\w+: ", "", text)
    text = re.sub(r"^\S+\.(?:lua|py):\d+: ", "", text, flags=re.MULTILINE)  # where it was raised
    text = re.sub(r"(call failed): .*", r"\1", text)  # skynet says no more
    text = re.sub(r"\bPORT\b|(?<=debug_console )0\b|(?<=127\.0\.0\.1:)\w+", "N", text)
    text = re.sub(r":[0-9a-f]{8}", ":HANDLE", text)
    text = re.sub(r"\b(cpu|message|mqlen|task)([:\t])[\d.e-]+", r"\1\2N", text)
    text = re.sub(r"[\d.]+ Kb", "N Kb", text)
    text = re.sub(r"table: 0x[0-9a-f]+|\[1, 2, 3\]", "TABLE", text)
    text = re.sub(r"^(thread|harbor)\t\d$", r"\1\tN", text, flags=re.MULTILINE)
    text = text.replace("True", "true").replace(".lua", ".py")
    # Parked coroutines: one entry each, with its session; the stack is another language's.
    text = re.sub(r"^(?:thread: 0x\w+|co\d+) session: (\d+)\t.*(?:\n[\t ].*)+", r"thread \1", text, flags=re.MULTILINE)
    text = re.sub(r"^(\d+)\tsessions:(\[[\d,]+\])(?:\n[\t ].*)+", r"\1 sessions \2", text, flags=re.MULTILINE)
    # A socket: its fields stay, counters and ages go.
    return re.sub(r"\b(read|write|rtime|wtime|id|accept):[\d.]+[KMs]?\b", r"\1:N", text)


def said_by(exchange: dict[str, Any]) -> str:
    return str(exchange["request"]).replace(".lua", ".py").replace("./dc", f"{DATA}/dc")


@pytest.mark.parametrize("thread", [1, 4])
def test_the_recording_of_a_real_console_is_answered_the_same(tmp_path: Path, thread: int) -> None:
    """Every command once or more, with success and failure: byte for byte, but for what must vary.

    What differs on purpose stands in OURS and FIGURES; help, the debugger and HTTP have tests of
    their own below.
    """
    different = {}
    with console_node(logpath=str(tmp_path), thread=thread) as node:
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
            elif comparable(got) != comparable(expected):
                different[said] = (got, expected)
    assert different == {}


def prepared(node: Node, console: Asking, said: str, expected: str) -> tuple[str, str]:
    """What happened besides on the recorded node, before a request."""
    if said == "stat 30\n" and "TIMEOUT" in expected:  # a busy service; see DEAF
        busy = node.newservice("dcsvc")
        node.call(busy, "lua", "DEAF")
        node.handles.name("busy", busy)
    elif said == "stat 30\n":  # it is busy no more
        node.service(".busy").proto["debug"].dispatch = node.service(".demo").proto["debug"].dispatch
    elif said == "kill 30\n":
        return f"kill {node.newservice('dcsvc'):x}\n", expected
    elif said.startswith("killtask .demo 0x"):
        return f"killtask .demo {console.ask(TASK).split()[0]}\n", expected
    elif said == "signal .busy\n":
        return said, (ONE_WORKER if node.config.thread == 1 else "") + expected
    elif said == "netstat\n":  # the recorded node had a connection of its driver besides
        rows = expected.splitlines()
        return said, "\n".join([rows[0], "2" + rows[3][1:], rows[4]]) + "\n"
    return said, expected


@pytest.mark.parametrize("thread", [1, 4])
def test_the_log_tells_what_the_recorded_one_does(tmp_path: Path, thread: int) -> None:
    """Who connects and goes, message logs opened and closed, traces turned on, tasks killed."""
    kinds = (
        "connected",
        "disconnect",
        "Open log file",
        "Close log file",
        "Turn trace log",
        "Kill ",
        "KILL :",
        "recv a",
    )
    with console_node(logpath=".", thread=thread) as node:
        console = Asking(node)
        for said in ("trace .demo on", "trace .demo lua off", "trace .demo nosuchproto on", "trace .demo", "logon .demo",
                     "logoff .demo", "logoff .demo", "killtask .demo nosuchthread", "signal .demo", "kill 77"):  # fmt: skip
            console.ask(said + "\n")
        console.client.close()
        node.run_until_idle()
        ours = [re.sub(r"(?<=0.1:)\d+", "CLIENTPORT", line) for line in node.log_lines]
    wanted = [
        "[:00000009] 127.0.0.1:CLIENTPORT connected", "[:0000000a] Turn trace log true for lua",
        "[:0000000a] Turn trace log false for lua", "[:0000000a] Turn trace log true for nosuchproto",
        "[:0000000a] Turn trace log nil for lua", "[:00000009] Open log file ./0000000a.log",
        "[:00000009] Close log file :0000000a", "[:0000000a] Kill nosuchthread : Not found", "[:0000000a] recv a signal 0",
        "[:00000003] KILL :77", "[:00000009] 127.0.0.1:CLIENTPORT disconnect",
    ]  # fmt: skip
    assert [line for line in ours if any(kind in line for kind in kinds)] == wanted
    recorded = {line for exchange in EXCHANGES for line in exchange.get("node_log", ())}
    assert set(wanted) - recorded == {"[:0000000a] recv a signal 0"}, "each is one of the recorded lines; .busy was :22"


@pytest.mark.parametrize("thread", [1, 4])
def test_message_logs_have_the_bytes_of_the_recorded_ones(tmp_path: Path, thread: int) -> None:
    """A line for each message, its payload as lua-seri packs it; also of the one that launches the service."""
    with console_node(logpath=str(tmp_path), thread=thread) as node:
        console = Asking(node)
        console.ask('logon .demo\ncall .demo "ADD", 5, 6\nlogoff .demo\n')
        started = console.ask("log dcsvc\n")[1:9]
        for said in ("stat 50\n", "mem 50\n", "stat 50\n"):
            console.ask(said)

    def lines(text: str) -> list[str]:
        """Without times, dates and sessions."""
        text = re.sub(r"^(open|close) time: .*", r"\1", text, flags=re.MULTILINE)
        return re.sub(r"^(:\w+ \d+) (\d+) \d+ ", r"\1 ", text, flags=re.MULTILINE).splitlines()

    recorded = GOLDEN["log_files"]
    assert lines((tmp_path / "0000000a.log").read_text()) == lines(recorded["0000000a.log"])
    ours = (tmp_path / f"{started}.log").read_text().replace(started, "0000001f")
    assert lines(ours) == lines(recorded["0000001f.log"])


def test_help_names_every_command(console: Asking) -> None:
    """The recorded ones and ours, sorted, a line each; the words are ours."""
    recorded = [line.split("\t")[0] for line in EXCHANGES[1]["response"].splitlines()[:-1]]
    rows = console.rows("help")
    assert list(rows) == sorted([*recorded, "token", "waits", "verdicts", "timeline", "record", "flight"])
    assert all(rows.values())


# --------------------------------------------------------------------------- HTTP


@pytest.mark.parametrize("n", range(116, 129))
def test_http_as_recorded(n: int, node: Node) -> None:
    """A request line makes it HTTP: the plain answer, no header, and the connection is closed."""
    exchange = EXCHANGES[n]
    if "list" in exchange["request"]:
        exchange = {**exchange, "response": re.sub(r":000000(0c|0d|1e|1f|32)\t.*\n", "", exchange["response"])}
    with node.client(port_of(node)) as client:
        said = exchange["request"]
        if "call" in said:  # what runs code asks for the token
            said = said.replace("HTTP/1.1\r\n", f"HTTP/1.1\r\nAuthorization: token {token_of(port_of(node))}\r\n")
        client.send(said.encode())
        node.run_until_idle()
        if not exchange["connection_closed"]:
            assert client.recv_until(lambda: True).decode() == exchange["response"]
            return
        if n == 128:
            client.shutdown()
        got = client.recv(len(WELCOME)).decode()
        while True:
            try:
                client.expect_eof()
                break
            except AssertionError:
                got += client.recv(1).decode()
        assert comparable(got) == comparable(exchange["response"])


def test_a_header_or_body_that_is_too_long_ends_the_connection(node: Node) -> None:
    """8192 bytes each, as skynet's console allows."""
    for request in (b"GET /list HTTP/1.1\r\n" + b"X: y\r\n" * 2000, b"POST / HTTP/1.1\r\nContent-Length: 9000\r\n\r\n"):
        client = node.client(port_of(node))
        client.send(request)
        client.expect(WELCOME.encode())
        client.expect_eof()
    assert sum("8192 are allowed" in line or "more than 8192" in line for line in node.log_lines) == 2


# --------------------------------------------------------------------------- who may do what

RUN = b"setenv run yes"
CHROME = b"User-Agent: Mozilla/5.0\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
BROWSERS = {  # what a page in a browser can make it send to a port of this machine, and a few that no browser sends
    "an image": b"GET /setenv/run/yes HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n" + CHROME
    + b"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n\r\n",
    "an image in an old browser": b"GET /setenv/run/yes HTTP/1.1\r\nHost: localhost:8000\r\n" + CHROME + b"\r\n",
    "fetch no-cors": b"POST / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nContent-Length: 14\r\nContent-Type: text/plain;"
    b"charset=UTF-8\r\nOrigin: http://evil.test\r\nSec-Fetch-Mode: no-cors\r\n\r\n" + RUN,
    "a form": b"POST / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nContent-Length: 18\r\nOrigin: null\r\nContent-Type: "
    b"text/plain\r\n\r\n" + RUN + b"=\r\n",
    "a form in an old browser": b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 14\r\nContent-Type: "
    b"application/x-www-form-urlencoded\r\n\r\n" + RUN,
    "a form with files": b"POST / HTTP/1.1\r\nHost: [::1]:8000\r\nContent-Length: 14\r\ncontent-type:multipart/form-data; "
    b"boundary=x\r\n\r\n" + RUN,
    "a form with lines": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 33\r\n\r\n"
    b"x=\r\n" + RUN + b"\r\n" + RUN + b"\r\n",
    "lines behind the body": b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nlist\n" + RUN + b"\n" + RUN + b"\n",
    "DNS rebinding": b"GET /list HTTP/1.1\r\nHost: evil.test:8000\r\nAccept: */*\r\n\r\n",
    "a name that only looks like ours": b"GET /list HTTP/1.1\r\nHost: localhost.evil.test\r\n\r\n",
    "an address that only looks like ours": b"GET /list HTTP/1.1\r\nHost: 127.0.0.1.evil.test:8000\r\n\r\n",
    "another address of this machine": b"GET /list HTTP/1.1\r\nHost: 0.0.0.0:8000\r\n\r\n",
    "a read with an origin": b"GET /list HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.test\r\n\r\n",
    "a read from a page": b"GET /list HTTP/1.1\r\nHost: localhost\r\nReferer: http://evil.test/\r\n\r\n",
    "a preflight": b"OPTIONS / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nAccess-Control-Request-Method: PUT\r\n\r\n",
    "a PUT after rebinding": b"PUT / HTTP/1.1\r\nHost: evil.test:8000\r\nContent-Length: 15\r\n\r\n" + RUN + b"\n",
    "a HEAD": b"HEAD /list HTTP/1.1\r\nhost: 127.0.0.1:8000\r\n\r\n" + RUN + b"\n",
    "a WebSocket": b"GET /setenv/run/yes HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nConnection: Upgrade\r\nUpgrade: websocket"
    b"\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    "a POST without a word of where it is from": b"POST / HTTP/1.1\r\nContent-Length: 14\r\n\r\n" + RUN,
    "a wrong token": b"POST / HTTP/1.1\r\nAuthorization: token x\r\nContent-Length: 4\r\n\r\nlist",
    "a wrong token that is no ASCII": b"GET /list HTTP/1.1\r\nAuthorization: token \xff\x1b[31m\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("what", BROWSERS)
def test_a_page_in_a_browser_runs_nothing(node: Node, what: str) -> None:
    """It is answered 403 and one line in the log, the connection is closed, and nothing has happened.

    The page could send these without being asked; whether it may read the answer is another question.
    """
    with node.client(port_of(node)) as client:
        client.send(BROWSERS[what])
        node.run_until_idle()
        got = client.recv_until(lambda: client._eof).decode()
    assert node.env.get("run") is None
    if what == "lines behind the body":  # no browser's, so the first command, which only looks, is carried out
        assert got.count("<CMD OK>") == 1 and "Error" not in got
        return
    assert got.startswith(WELCOME) and got.count("HTTP/1.1 403 Forbidden\r\n") == 1 and "<CMD OK>" not in got
    refusals = [line for line in node.log_lines if " is refused: " in line]
    assert len(refusals) == 1 and re.match(r"\[:00000009\] 127\.0\.0\.1:\d+ is refused: .", refusals[0])
    assert refusals[0].isprintable()


def test_all_that_does_not_only_look_asks_for_the_token(node: Node) -> None:
    """For each command of the list, so that a new one cannot be forgotten: by a line, and by HTTP."""
    free = "cmem gc getenv help info jmem list mem netstat ping service stat task token uniqtask verdicts waits".split()
    stranger = Asking(node, trusted=False)
    names = Asking(node).rows("help")
    assert {"inject", "call", "debug", "start", "snax", "dbgcmd", "setenv", "kill", "timeline", "record"} <= set(
        names
    ) - set(free)
    for name in set(names) - set(free):
        answer = stranger.ask(f"{name} .demo x y\n")
        assert answer.startswith(f"{name} needs the token") and answer.endswith("<CMD Error>\n")
        with node.client(port_of(node)) as client:
            client.send(f"GET /{name}/.demo HTTP/1.1\r\n\r\n".encode())
            node.run_until_idle()
            assert b"403 Forbidden" in client.recv_until(lambda: client._eof)
    for name in set(free) - {"token"}:
        assert "needs the token" not in stranger.ask(f"{name} .demo\n")
    assert stranger.ask("task .demo\nping .demo\n").count("<CMD OK>") == 2, "nothing has become of it"


def test_the_token_is_said_once_for_a_connection(node: Node) -> None:
    """A wrong one is none; the right one holds for this connection, and for no other."""
    stranger, right = Asking(node, trusted=False), token_of(port_of(node))
    for wrong in ("", "x", right[:-1], right + "x", right.upper(), "\xff", "None"):
        assert stranger.ask(f"token {wrong}\n").endswith("<CMD Error>\n")
    assert stranger.ask("setenv a 1\n").endswith("<CMD Error>\n")
    assert stranger.ask(f"token {right}\nsetenv a 1\nsetenv b 2\n") == "<CMD OK>\n" * 3
    assert Asking(node, trusted=False).ask("setenv c 3\n").endswith("<CMD Error>\n")
    assert right not in "".join(node.log_lines)


def test_the_token_lies_in_a_file_that_only_its_user_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mode 0600, whatever lay there before; another one for each console; gone with its node."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with console_node() as node:
        path = Path(secret_file(f"console-{port_of(node)}"))
        assert path.is_relative_to(tmp_path) and f"the token from {path}" in "".join(node.log_lines)
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        other, victim = tmp_path / "skynet_lite" / "runtime" / "x", tmp_path / "victim"
        victim.write_text("of somebody")
        other.symlink_to(victim)
        where, text = node.server.outside.secret("x")
        assert (Path(where), other.is_symlink(), other.read_text()) == (other, False, text)
        assert victim.read_text() == "of somebody" and other.stat().st_mode & 0o777 == 0o600
        assert text != path.read_text() and len(text) >= 32
    assert not path.exists() and not other.exists()


def test_where_no_file_can_be_written_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The console starts, answers what only looks, and says why it refuses the rest."""
    monkeypatch.setenv("XDG_DATA_HOME", "/dev/null")
    with console_node() as node:
        assert "no file: none could be written" in "".join(node.log_lines)
        stranger = Asking(node, trusted=False)
        assert stranger.ask("getenv thread\n") == "thread\t1\n<CMD OK>\n"
        for word in ("", "x", "None"):
            assert stranger.ask(f"token {word}\n").endswith("<CMD Error>\n")
        assert "none could be written" in stranger.ask("setenv a 1\n")


def test_what_a_terminal_takes_for_orders_is_shown(node: Node, console: Asking) -> None:
    """Whatever services say of themselves: in a trace, in an answer, in an error."""

    def hostile() -> None:
        skynet.dispatch("lua", lambda session, source, *words: skynet.retpack("\x1b]0;title\x07\x9b31m\rover"))
        skynet.info_func(lambda *args: {"\x1b[2J": "\x7f\x00"})

    handle = node.newservice(hostile)
    console.ask(f"trace on {handle:x}\n")
    text = console.ask(f"call {handle:x} '\\x1b[31m'\ninfo {handle:x}\ntrace off\n")
    assert "1\t\\x1b]0;title\\x07\\x9b31m\\x0dover\n" in text and "\\x1b[2J\t\\x7f\\x00\n" in text
    text += console.ask(f"debug {handle:x}\nprint('\\x1b[31m')\ncont\n")
    assert "\\x1b[31m\t\n" in text
    assert [c for c in text if not c.isprintable() and c not in "\t\n"] == []


# --------------------------------------------------------------------------- real clients


@needs("nc", "telnet", "curl")
def test_nc_and_telnet_and_curl_are_clients() -> None:
    """What is at hand on any machine talks to it; several at once."""
    with served() as port:
        waiting = pysocket.create_connection(("127.0.0.1", port))
        with waiting:
            done = subprocess.run(
                ["nc", "-q", "1", "127.0.0.1", str(port)],
                input="getenv thread\n",
                capture_output=True,
                text=True,
                timeout=20,
            )
            assert done.stdout == WELCOME + "thread\t1\n<CMD OK>\n"
            process = subprocess.Popen(
                ["telnet", "127.0.0.1", str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write("getenv harbor\n")
            process.stdin.flush()
            lines = []
            while "<CMD OK>\n" not in lines:
                lines.append(process.stdout.readline())
            process.stdin.close()
            process.wait(20)
            process.stdout.close()
            assert lines[-2] == "harbor\t0\n"
            done = subprocess.run(
                ["curl", "-s", "--http0.9", f"http://127.0.0.1:{port}/getenv/thread"],
                capture_output=True,
                text=True,
                timeout=20,
            )
            assert done.stdout == WELCOME + "thread\t1\n<CMD OK>\n"
            ask = ["curl", "-s", "--http0.9", f"http://localhost:{port}/", "-d", "setenv curl 7"]
            done = subprocess.run(ask, capture_output=True, text=True, timeout=20)
            assert "403 Forbidden" in done.stdout, "as a form would be"
            ask += ["-H", "Content-Type:", "-H", f"Authorization: token {token_of(port)}"]
            done = subprocess.run(ask, capture_output=True, text=True, timeout=20)
            assert done.stdout == WELCOME + "<CMD OK>\n"


def test_one_who_sends_without_end_is_disconnected() -> None:
    """10 MB without a line feed: the node keeps 64 KB of it at most, and serves the others."""
    with served() as port:
        flood = pysocket.create_connection(("127.0.0.1", port))
        with flood, contextlib.suppress(ConnectionError):
            flood.sendall(b"x" * 10_000_000)
            flood.shutdown(pysocket.SHUT_WR)
            while flood.recv(65536):
                pass
        with pysocket.create_connection(("127.0.0.1", port)) as other:
            other.sendall(b"getenv thread\n")
            other.shutdown(pysocket.SHUT_WR)
            assert other.makefile().read().endswith("thread\t1\n<CMD OK>\n")


def test_one_who_never_reads_is_disconnected() -> None:
    """Its answers pile up to a megabyte; then the node would rather lose the client."""
    with served() as port, pysocket.socket() as stalled:
        stalled.setsockopt(pysocket.SOL_SOCKET, pysocket.SO_RCVBUF, 4096)
        stalled.connect(("127.0.0.1", port))
        with pytest.raises(ConnectionError):
            for _ in range(100_000):
                stalled.sendall(b"help\n" * 100)


def test_only_so_many_are_let_in(node: Node) -> None:
    """When there are 64, the 65th takes the place of who has said no token for longest. If all have said it, it is told,
    and goes; when one leaves there is room again."""
    right = (Path(secret_file(f"console-{port_of(node)}"))).read_bytes()
    silent = [node.client(port_of(node)) for _ in range(64)]
    node.run_until_idle()
    clients = []
    for gone in silent:
        clients.append(node.client(port_of(node)))
        clients[-1].send(b"token " + right + b"\n")
        clients[-1].expect(b"Welcome to skynet console\n<CMD OK>\n")
        gone.expect(b"Welcome to skynet console\n")
        gone.expect_eof()
    late = node.client(port_of(node))
    late.expect(b"64 clients are connected already: close one\n")
    late.expect_eof()
    clients[0].close()
    node.run_until_idle()
    assert Asking(node).ask("getenv thread\n").startswith("thread")


def test_it_listens_on_this_machine_only_unless_told(node: Node) -> None:
    """And where it is told otherwise, the log says what that means."""
    assert node.socket_server.sockname(1)[0] == "127.0.0.1"
    node.newservice("debug_console", "0.0.0.0", 0)
    node.run_until_idle()  # the logger may be on another worker
    assert "who hears the token can run any code in this node" in node.log_lines[-1]
    with pytest.raises(CallError, match=r"debug_console takes \[ip,\] port"):
        node.newservice("debug_console")


# --------------------------------------------------------------------------- inject


def test_what_is_no_number_is_named(node: Node, console: Asking) -> None:
    """Wherever one is asked for."""
    for line in ("stat x", "timeline a.html x", "signal .demo x", "trace on .demo x"):
        assert console.ask(line + "\n") == "'x' is no number\n<CMD Error>\n"


def test_a_service_may_have_debug_commands_of_its_own() -> None:
    """reg_debugcmd: others do not know them, as each Lua VM of skynet has its own table."""

    def counter() -> None:
        debug.reg_debugcmd("DOUBLE", lambda n: skynet.retpack(2 * n))

    def main() -> None:
        with_it, without = skynet.newservice(counter), skynet.newservice("cdummy")
        assert skynet.call(with_it, "debug", "DOUBLE", 21) == 42
        with pytest.raises(CallError):
            skynet.call(without, "debug", "DOUBLE", 21)

    with Node(clock="virtual", log=list) as node:
        node.newservice(main)
        assert "DOUBLE: no such debug command" in "\n".join(node.log_lines)


def test_a_handler_is_replaced_and_its_state_is_kept(console: Asking, tmp_path: Path) -> None:
    """Hot patch: a file that defines a function again takes its place in the running service."""
    console.ask('call .demo "ADD", 1, 2\n')
    (tmp_path / "patch.py").write_text(
        "def ADD(a, b):\n    return a * b\ncommands['ADD'] = ADD\nprint('calls so far', calls)\n"
    )
    assert console.ask("inject .demo patch.py\n") == "calls so far\t1\n<CMD OK>\n"
    assert console.ask('call .demo "ADD", 6, 7\n') == "1\t42\nn\t1\n<CMD OK>\n"
    (tmp_path / "look.py").write_text("print(calls, 'print' in globals())\n")
    assert console.ask("inject .demo look.py\n") == "2\tTrue\n<CMD OK>\n"
    assert "print" not in (console.node.service(".demo").namespace or {}), "what inject gives is taken away again"


def test_variables_of_a_start_function_can_be_set(node: Node, console: Asking, tmp_path: Path) -> None:
    """A service that is a function keeps its state in closures: _P names them by message type."""

    def counter() -> None:
        total, secret = 5, "no part of the handler"

        @skynet.dispatch("lua")
        def add(session: int, source: int, n: int) -> None:
            nonlocal total
            total += n
            skynet.retpack(total)

        skynet.error(secret)

    handle = node.newservice(counter)
    (tmp_path / "set.py").write_text("print(dict(_P['lua']))\n_P['lua']['total'] = 100\n_P['lua']['secret'] = 1\n")
    answer = console.ask(f"inject {handle:x} set.py\n")
    assert answer.startswith("{'total': 5}\n") and answer.endswith("<CMD Error>\n")
    assert "no variable of this handler; it has total" in answer
    assert node.call(handle, "lua", 1) == 101


def test_a_function_is_replaced_for_all_who_hold_it(console: Asking, tmp_path: Path) -> None:
    """A table of commands holds the function itself: it keeps the object, and gets the new code."""
    (tmp_path / "patch.py").write_text("def ADD(a, b=5):\n    return a * b\n")
    assert console.ask("inject .demo patch.py\n") == "\n<CMD OK>\n"
    assert console.ask('call .demo "ADD", 6, 7\n').startswith("1\t42\n")
    assert console.ask('call .demo "ADD", 6\n').startswith("1\t30\n")


STUBBORN = """\
from functools import lru_cache, wraps
from skynet_lite import skynet

def loud(f):
    @wraps(f)
    def wrapper(*args):
        return f(*args)
    return wrapper

class Room:
    size = 1

@lru_cache
def price(n):
    return n

def plain(n):
    return n

@skynet.start
def main():
    @skynet.dispatch("lua")
    @loud
    def handle(session, source):
        skynet.retpack(Room.size, price(1), plain(1))
"""


@pytest.mark.parametrize(
    ("source", "told", "then"),
    [
        ("def plain(n): return 2", "", (1, 1, 2)),
        ("@loud\ndef plain(n): return 2", "plain: replaced by its name only", (1, 1, 2)),
        ("class Room: size = 2", "Room: replaced by its name only", (2, 1, 1)),
        ("def price(n): return 2", "price: replaced by its name only", (1, 2, 1)),
        ("def handle(session, source): skynet.retpack(5)", "handle: a handler holds the old one", (1, 1, 1)),
        ("from math import floor\nx = Room()\ndef new(): pass", "", (1, 1, 1)),
    ],
)  # fmt: skip
def test_inject_says_what_it_has_not_replaced(source: str, told: str, then: Any, tmp_path: Path) -> None:
    """Never a success that is none: a class or a decorated function is held by others, who keep the old one."""
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    with Node(clock="virtual", log=list, luaservice=str(tmp_path / "?.py")) as node:
        addr = node.newservice("stubborn")

        def main() -> None:
            ok, output = skynet.call(addr, "debug", "RUN", source, "patch")
            assert (ok, bool(output)) == (not told, bool(told)) and told in output

        node.newservice(main)
        assert node.call(addr, "lua") == then


def test_a_handler_that_is_set_anew_is_a_success() -> None:
    """Of the same name as before, in a start function: it has taken the place, whatever became of the old one."""

    def main() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int) -> None:
            skynet.retpack(1)

        source = "from skynet_lite import skynet\n@skynet.dispatch('lua')\ndef handle(session, source):\n    skynet.retpack(2)"
        assert skynet.call(skynet.self(), "debug", "RUN", source, "patch") == (True, "")

    with Node(clock="virtual", log=list) as node:
        addr = node.newservice(main)
        assert node.call(addr, "lua") == 2


def test_inject_says_what_a_start_function_does_not_see() -> None:
    """Its globals are those of its module, which others share: a copy is given, and nothing in it is replaced."""

    def main() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int) -> None:
            skynet.retpack(demo.__name__)

        for source, told in (
            ("def demo(): pass", "demo: not replaced; the service finds it in its module"),
            ("def handle(session, source): pass", "handle: a handler holds the old one"),
        ):
            ok, output = skynet.call(skynet.self(), "debug", "RUN", source, "patch")
            assert not ok and told in output

    def demo() -> None: ...

    globals()["demo"] = demo
    try:
        with Node(clock="virtual", log=list) as node:
            node.newservice(main)
    finally:
        del globals()["demo"]


def test_injected_code_may_block(console: Asking, tmp_path: Path) -> None:
    """It runs in a coroutine of the service, as any of its code; the service goes on meanwhile."""
    (tmp_path / "slow.py").write_text(
        "from skynet_lite import skynet\nprint('before')\nskynet.sleep(10)\nprint('after')\n"
    )
    console.client.send(b"inject .demo slow.py\n")
    console.node.run_until_idle()
    other = Asking(console.node)
    assert other.ask('call .demo "ADD", 1, 2\n') == "1\t3\nn\t1\n<CMD OK>\n"
    console.node.advance(10)
    assert console.client.recv_until(lambda: True) == b"before\nafter\n<CMD OK>\n"


# --------------------------------------------------------------------------- debug


def debugged(console: Asking, service: str = ".demo") -> str:
    prompt = console.ask(f"debug {service}\n")
    assert re.fullmatch(r":[0-9a-f]{8}>", prompt)
    return prompt


def test_the_debugger_as_recorded(node: Node, console: Asking) -> None:
    """Expressions, statements, then one message followed line by line; the recorded session, in Python."""
    prompt = debugged(console)
    assert console.ask("1 + 2\n") == "3\t\n" + prompt
    assert console.ask("x = 5\n") == "\n" + prompt
    assert console.ask("x\n") == "5\t\n" + prompt
    assert console.ask("return_nothing()\n") == "NameError: name 'return_nothing' is not defined\t\n" + prompt
    assert console.ask('watch("lua")\n') == "\n" + prompt
    answers: list[Any] = []
    asker = threading_call(node, answers)
    lines = (DATA / "dcsvc.py").read_text().splitlines()
    at = {text.strip(): n for n, text in enumerate(lines, 1)}
    first, second = f"dcsvc({at['calls += 1']})>", f"dcsvc({at['result = commands[cmd](*args)']})>"
    inner = f"dcsvc({at['return a + b']})>"
    assert console.ask("\n") == first + first, "what came since, and the prompt again"
    assert console.ask("args\n") == "(20, 22)\t\n" + first
    assert console.ask("n\n") == second
    assert console.ask("s\n") == inner
    assert console.ask("a = 21\n") == "\n" + inner
    assert node.call(".demo", "lua", "ADD", 1, 1) == 2, "the service is not stopped, only one coroutine is"
    assert console.ask("c\n") == prompt
    node.run_until_idle()
    assert node.service(asker).start_state == "ok" and answers == [43]
    assert console.ask("cont\n") == "<CMD OK>\n"
    assert console.ask("getenv thread\n").startswith("thread")
    demo = [line for line in node.log_lines if "debug mode" in line]
    assert demo == ["[:0000000a] Enter debug mode", "[:0000000a] Leave debug mode"]


def threading_call(node: Node, answers: list[Any]) -> int:
    """A service that calls .demo and keeps the answer."""

    def asker() -> None:
        skynet.fork(lambda: answers.append(skynet.call(".demo", "lua", "ADD", 20, 22)))

    handle = node.newservice(asker)
    node.run_until_idle()
    return handle


def test_lines_are_followed_through_calls_of_others(node: Node, console: Asking) -> None:
    """While the coroutine that is followed is parked, the others run untraced; then it is at its next line."""
    prompt = debugged(console)
    console.ask('watch("lua", lambda session, source, cmd, *args: cmd == "SLEEP")\n')
    assert node.call(".demo", "lua", "ADD", 1, 1) == 2, "the condition does not hold: nothing stops"

    def sleeper() -> None:
        skynet.fork(lambda: skynet.call(".demo", "lua", "SLEEP", 5))

    node.newservice(sleeper)
    node.run_until_idle()
    assert console.ask("n\n").count(">") == 2  # the prompt of the stop, and that of the next line
    assert console.ask("n\n") == "", "it sleeps"
    assert node.call(".demo", "lua", "ADD", 2, 2) == 4
    node.advance(5)
    assert re.fullmatch(r"dcsvc\(\d+\)>", console.ask("\n")[: len("dcsvc(38)>")])
    assert console.ask("c\n") == prompt


def test_who_leaves_the_debugger_without_a_word(node: Node, console: Asking) -> None:
    """The stopped coroutine runs on, and the next may debug; meanwhile a second one is refused."""
    debugged(console)
    console.ask('watch("lua")\n')
    answers: list[Any] = []
    threading_call(node, answers)
    assert "call failed" in Asking(node).ask("debug .demo\n")
    assert answers == []
    console.client.close()
    node.run_until_idle()
    assert answers == [42]
    debugged(Asking(node))


def test_a_service_that_ends_under_the_debugger(node: Node, console: Asking) -> None:
    """Whoever debugs it is told at the next line, and has the console again."""
    debugged(console)
    console.ask('watch("lua")\n')
    threading_call(node, [])
    Asking(node).ask("kill .demo\n")
    console.client.recv_until(lambda: True)
    assert console.ask("1\n") == "call to invalid address :0000000a\n<CMD Error>\n"
    assert console.ask("debug .demo\n") == "Not a valid name\n<CMD Error>\n"


# --------------------------------------------------------------------------- ours


def test_waits_and_verdicts_of_a_live_node(node: Node, console: Asking) -> None:
    """The same text as node.waits() and node.verdicts() give."""

    def deadlocked() -> None:
        section = skynet.queue()
        skynet.dispatch("lua", lambda session, source: section(skynet.call, skynet.self(), "lua"))
        skynet.fork(lambda: skynet.call(skynet.self(), "lua"))

    handle = node.newservice(deadlocked)
    node.run_until_idle()
    waits = console.ask("waits\n")
    assert f"co2 of deadlocked :{handle:08x}" in waits and waits.endswith("<CMD OK>\n")
    assert console.ask("verdicts\n") == f"{node.verdicts()}\n<CMD OK>\n"


def trace_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if re.match(r" *\d+ :", line)]


def test_a_trace_is_streamed(node: Node, console: Asking) -> None:
    """Canonical lines of one service, in the order of a recording, between the answers."""
    assert console.ask("trace on .demo\n") == "<CMD OK>\n"
    with node.record() as trace:
        text = console.ask('call .demo "ADD", 1, 2\n')
    recorded = [line[4:] for line in trace.text(service=0x0A).splitlines()]
    assert [line[4:] for line in trace_lines(text)] == recorded
    assert "1\t3\nn\t1\n<CMD OK>\n" in text  # with four workers the last lines come behind it
    assert console.ask("trace off .demo\n") == f"--- trace of :0000000a ends: {len(recorded)} lines\n<CMD OK>\n"
    assert trace_lines(console.ask('call .demo "ADD", 1, 2\n')) == []
    assert console.node.recording._sinks == [], "nothing listens any more"


def test_traces_end_by_time_and_with_their_connection(node: Node, console: Asking) -> None:
    """Two at once; one has a second, the other goes with its client."""
    other = Asking(node)
    other.ask("trace on .demo\ntrace on b\n")
    console.ask("trace on .demo 1\n")
    assert len(node.recording._sinks) == 3
    node.advance(99)
    assert trace_lines(console.ask("ping .demo\n")) != []
    node.advance(1)
    assert console.client.recv_until(lambda: True).startswith(b"--- trace of :0000000a ends: ")
    assert trace_lines(other.ask("ping .demo\n")) != []
    other.client.close()
    node.run_until_idle()
    assert node.recording._sinks == []


def test_a_trace_that_cannot_be(console: Asking) -> None:
    """Of the console itself each line would make others; of nobody there is none. The tags of skynet stay."""
    assert "cannot trace itself" in console.ask("trace on 9\n")
    assert console.ask("trace on 77\n") == "no service has the address :00000077\n<CMD Error>\n"
    for _ in range(16):
        console.ask("trace on .demo\n")
    assert "16 traces run in this connection already" in console.ask("trace on .demo\n")


def test_a_console_that_ends_takes_its_traces_along(node: Node, console: Asking) -> None:
    """Nobody is left to take the lines."""
    console.ask("trace on .demo\n")
    console.client.send(b"kill 9\n")
    node.run_until_idle()
    assert node.recording._sinks == []


def test_timeline_writes_the_page(console: Asking, tmp_path: Path) -> None:
    """A recording of the time given; the file's place is the answer."""
    console.client.send(b"timeline run.html 0.5\n")
    console.node.run_until_idle()
    console.node.call(".demo", "lua", "ADD", 1, 2)
    console.node.advance(50)
    path, count = console.client.recv_until(lambda: True).decode().splitlines()[0].split("\t")
    assert Path(path) == tmp_path / "run.html" and int(count.split()[0]) > 20
    assert "<title>" in Path(path).read_text()[:2000]
    assert "Node(record=True)" in console.ask("timeline run.html 0\n")


def test_a_recording_begins_and_ends_when_it_is_told(node: Node, console: Asking, tmp_path: Path) -> None:
    """What happens between two lines of one connection; a trace that can be loaded, with the messages of others."""
    assert console.ask("record run.json\n") == "nothing is being recorded: record alone begins it\n<CMD Error>\n"
    assert console.ask("record\n") == "<CMD OK>\n"
    assert "records already" in console.ask("record\n")
    assert "The suffix decides" in console.ask("record run.xyz\n"), "and it goes on"
    other = Asking(node)
    other.ask("record\n")
    assert node.call(".demo", "lua", "ADD", 1, 2) == 3
    path, count = console.ask("record run.json\n").splitlines()[0].split("\t")
    trace = Trace.load(path)
    assert Path(path) == tmp_path / "run.json" and count == f"{len(trace)} events"
    assert trace.find("message", service=":0000000a") > 0
    assert len(node.recording._sinks) == 1
    other.client.close()
    node.run_until_idle()
    assert node.recording._sinks == [], "a recording goes with its connection"


def test_a_heap_profile_can_be_written(console: Asking, tmp_path: Path) -> None:
    """tracemalloc in the place of jemalloc's profile."""
    console.ask("dumpheap\n")
    assert "profactive on begins one" in console.node.log_lines[-1]
    console.ask("profactive on\n")
    console.ask("dumpheap heap.txt\n")
    assert re.match(r"\d+\t\d+\t", (tmp_path / "heap.txt").read_text())
    assert console.ask("profactive off\n") == "heap profilling is deactive\n<CMD OK>\n"


def test_the_size_of_a_service_is_what_it_alone_holds(node: Node, console: Asking) -> None:
    """A megabyte in a handler's variable is seen, once; modules and the runtime are not."""

    def fat() -> None:
        held = [bytes(1_000_000)]
        skynet.dispatch("lua", lambda session, source: skynet.retpack(len(held)))

    handle = node.newservice(fat)
    sizes = {address: float(text.split(" ")[0]) for address, text in console.rows("mem").items()}
    assert 976 < sizes.pop(f":{handle:08x}") < 1100
    assert max(sizes.values()) < 200


def test_a_run_with_a_console_is_replayed() -> None:
    """What the console looks at and prints comes from the run alone: the same events again, with no network."""

    def shop() -> None:
        skynet.register(".shop")
        skynet.dispatch("lua", lambda session, source, *words: skynet.retpack(len(words)))

    def main() -> None:
        skynet.newservice("debug_console", 0)

    with Node(clock="virtual", log=list, record=True) as node:
        node.newservice(shop)
        node.newservice(main)
        console = Asking(node)
        for said in ("waits", "stat", "trace on .shop", "call .shop 1, 2", "trace off", "debug .shop", "1 + 1", "cont"):
            console.ask(said + "\n")
        trace = node.trace
    again = Node.replay(trace, shop, main)
    assert trace.diff(again.trace).same

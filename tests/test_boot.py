"""How a node comes up: names and addresses as in a real skynet, configuration, preload, daemon."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from harness import EXAMPLES, until
from hypothesis import HealthCheck, given, settings, strategies as st
from recorded import returned as as_returned

from skynet_lite import AddressError, CallError, ConfigError, Node, SkynetError, harbor, service, skynet
from skynet_lite.cli import USAGE_ERROR, main
from skynet_lite.node.config import load
from skynet_lite.node.daemon import check_pid, daemon_exit, write_pid
from skynet_lite.node.keys import Keys

GOLDEN = json.loads((Path(__file__).parent / "golden" / "handles.json").read_text())

ECHO = """\
from skynet_lite import skynet

notes = []

@skynet.start
def main():
    @skynet.dispatch("lua")
    def handle(session, source, cmd, *args):
        if cmd == "NOTE":
            notes.append(args[0])
        elif cmd == "NOTES":
            skynet.retpack(notes)
"""

# ---- the recording of a real skynet, expression by expression

e = 0  # the echo service that the recording calls e


def echo_twice_named() -> tuple[bool, bool]:
    global e
    e = skynet.newservice("echo")
    skynet.name(".e1", e)
    skynet.name(".e2", e)
    return skynet.localname(".e1") == e, skynet.localname(".e2") == e


def named_dead() -> int | None:
    skynet.name(".dead", 0x7777)
    return skynet.localname(".dead")


def killed() -> Any:
    skynet.kill(e)
    return skynet.localname(".e1") or skynet.localname(".e2")


def later() -> Any:
    s = skynet.newservice("echo")
    skynet.send("LATER", "lua", "NOTE", "early")
    skynet.name("LATER", s)
    skynet.sleep(5)
    return skynet.call("LATER", "lua", "NOTES")


def registered() -> Any:
    skynet.register("SELFNAME")
    return harbor.queryname("SELFNAME")


def fifteen() -> tuple[None, Any]:
    skynet.name("fifteen_chars_x", skynet.self())
    return None, harbor.queryname("fifteen_chars_x")


# What the recording asks in a way that Python has, too, with a spelling of its own.
SPELT: dict[str, Callable[[], Any]] = {
    'e = skynet.newservice("echo") skynet.name(".e1", e) skynet.name(".e2", e) return skynet.localname ".e1" == e, skynet.localname ".e2" == e': echo_twice_named,
    'skynet.localname(".e1") == e': lambda: skynet.localname(".e1") == e,
    'skynet.kill(e) return skynet.localname(".e1"), skynet.localname ".e2"': killed,
    'skynet.name(".dead", 0x7777) return skynet.localname(".dead")': named_dead,
    'skynet.name("fifteen_chars_x", skynet.self()), harbor.queryname("fifteen_chars_x")': fifteen,
    'skynet.register("SELFNAME") return harbor.queryname("SELFNAME")': registered,
    'local s = skynet.newservice("echo") skynet.send("LATER", "lua", "NOTE", "early") skynet.name("LATER", s) skynet.sleep(5) return skynet.call("LATER", "lua", "NOTES")': later,
    # The text commands of the C level, by the functions that stand on them.
    'c.command("LAUNCH", "snlua echo")': lambda: skynet.launch("snlua", "echo"),
    'c.command("LAUNCH", "nosuchmodule x")': lambda: skynet.launch("nosuchmodule", "x"),
    'c.command("NAME", ".e1 :8")': lambda: skynet.name(".e1", 8),
    'c.command("NAME", ".e9 :8")': lambda: skynet.name(".e9", 8),
    'c.command("REG", ".me")': lambda: skynet.register(".me"),
}  # fmt: skip

NOT_OURS = {
    "skynet.address(nil)": "None is no address in Python",
    "skynet.address(3.0)": "a float is no handle in Python",
    "skynet.address(1.5)": "a float is no handle in Python",
    'c.command("REG")': "text commands: skynet.self() gives the number",
    'c.command("QUERY", ".launcher")': "text commands: skynet.localname gives the number",
    'c.command("QUERY", ".nosuch")': "text commands: skynet.localname gives the number",
    'c.command("QUERY", "DATACENTER")': "text commands: skynet.localname gives the number",
    'c.command("NAME", ".e8 8")': "text commands: skynet.name takes a number",
    'c.command("NAME", "GLOB :8")': "text commands: skynet.name makes a global name",
    'c.command("REG", "GLOB")': "text commands: skynet.register makes a global name",
}
RETURNS_OF_C = {
    'c.command("LAUNCH", "snlua echo")': 10,
    'c.command("NAME", ".e9 :8")': None,
    'c.command("REG", ".me")': None,
}
LUA = {"true": "True", "{}": "[]", "nil": "None"}


def asked(call: str) -> Callable[[], Any]:
    """The expression in Python; most read the same."""
    if call in SPELT:
        return SPELT[call]
    text = re.sub(r"(?<=\()(true|\{\}|nil)", lambda m: LUA[m[1]], call)
    return lambda: eval(text, {"skynet": skynet, "harbor": harbor})


def logged(line: str) -> str:
    """As far as it is the same for Lua and Python: no sizes of messages, no places in files."""
    line = re.sub(r",? msgsz = \d+", "", line)
    line = re.sub(r"(error :|failed :).*", r"\1", line.split("\n")[0])
    return line.removeprefix("[:00000008] ") if " try open " in line else line  # there it goes to stderr, past the log


def test_every_expression_of_the_recording_gives_the_same(tmp_path: Path) -> None:
    """Addresses, names, sends and calls to what is not there, log lines: in the order of the recording, in one node."""
    (tmp_path / "echo.py").write_text(ECHO)
    wrong: list[str] = []
    counted = {"same": 0, "not ours": 0}

    def start() -> None:
        lines = skynet.running().service.server.node.log_lines
        for entry in GOLDEN["formats"]:
            call = entry["call"]
            if call in NOT_OURS:
                counted["not ours"] += 1
                continue
            counted["same"] += 1
            before = len(lines)
            returned: Any
            try:
                returned = asked(call)()
            except SkynetError as error:
                returned = str(error)
            skynet.sleep(1)
            if "error_stable" in entry:
                good = entry["error_stable"] == "assertion failed!" or entry["error_stable"] == returned
                if "dest address type" in entry["error_stable"]:
                    good = re.sub(r"\(\w+\)", "", entry["error_stable"]) == re.sub(r"\(\w+\)", "", returned)
                good = good and isinstance(returned, str)
            else:
                good = returned == RETURNS_OF_C.get(call, as_returned(entry["returns"]))
            told = [logged(line) for line in lines[before:]]
            if not good or told != [logged(line) for line in entry.get("log", ())]:
                wrong.append(f"{call}: {returned!r} {told}")

    with Node(clock="virtual", log=list, luaservice=str(tmp_path / "?.py")) as node:
        node.service_name(start)
        node.newservice(start)
    assert "\n".join(wrong) == ""
    assert counted == {"same": len(GOLDEN["formats"]) - len(NOT_OURS), "not ours": len(NOT_OURS)}


def test_launches_and_kills_give_the_recorded_handles() -> None:
    """120 launches and kills by a service, after a real boot: `allocation` of the recording."""

    def start() -> None:
        for n, op in enumerate(GOLDEN["allocation"]["ops"]):
            if op["op"] == "launch":
                assert skynet.newservice("idle") == op["handle"], n
            else:
                skynet.kill(op["handle"])

    def idle() -> None:
        pass

    with Node(clock="virtual", log=list) as node:
        node.run_until_idle()
        node.service_name(idle)
        # The recording's own service is the first, as here; its bootstrap has gone by then.
        assert node.newservice(start) == 8


# ---- configuration


def config(tmp_path: Path, text: str, name: str = "config.toml") -> str:
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def test_every_key_is_readable_with_getenv(tmp_path: Path) -> None:
    """As in skynet, where the configuration is the environment; setenv adds to it, once."""
    (tmp_path / "pre.py").write_text("")
    text = 'luaservice = "./?.py"\nclock = "virtual"\nsnax = "./x/?.py"\npreload = "pre.py"\nprofile = true\n[env]\nport = 8001\non = true\n'

    def main() -> None:
        keys = (
            "luaservice",
            "snax",
            "preload",
            "thread",
            "harbor",
            "bootstrap",
            "profile",
            "port",
            "on",
            "logpath",
            "daemon",
        )
        skynet.setenv("mine", 5)
        with pytest.raises(SkynetError, match="Can't setenv exist key : thread"):
            skynet.setenv("thread", 2)
        skynet.error(" ".join(str(skynet.getenv(key)) for key in (*keys, "mine", "standalone")))

    with Node(config(tmp_path, text), log=list) as node:
        node.newservice(main)
        node.run_until_idle()
    assert node.log_lines[-1][12:] == "./?.py ./x/?.py pre.py 1 0 snlua bootstrap true 8001 true . None 5 true"


def test_variables_stand_in_the_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """$NAME in strings, also nested, also for numbers and truth; one that is not set is named."""
    monkeypatch.setenv("WHERE", "/srv")
    monkeypatch.setenv("COUNT", "1")
    monkeypatch.setenv("OFF", "false")
    text = 'luaservice = "$WHERE/?.py"\nthread = "$COUNT"\nbootstrap = "$OFF"\n[env]\nlist = ["a$COUNT", 2]\ncost = "5 $"\n'
    found = load(config(tmp_path, text), {})
    assert (found.luaservice, found.thread, found.bootstrap) == ("/srv/?.py", 1, False)
    assert found.env == {"list": ["a1", 2], "cost": "5 $"}
    with pytest.raises(ConfigError, match=r"os.getenv\(\) failed: NOSUCH \(the value of start names"):
        load(config(tmp_path, 'start = "$NOSUCH"'), {})
    with pytest.raises(ConfigError, match="thread = '\\$WHERE'='/srv': a whole number is needed"):
        load(config(tmp_path, 'thread = "$WHERE"'), {})


def test_a_file_may_include_others(tmp_path: Path) -> None:
    """What they say is overridden by who includes them; paths are relative to the includer."""
    (tmp_path / "sub").mkdir()
    config(tmp_path, 'luaservice = "a/?.py"\nstart = "main"\ninclude = "more.toml"\n', "sub/path.toml")
    config(tmp_path, 'logpath = "logs"\n', "sub/more.toml")
    found = load(config(tmp_path, 'include = ["sub/path.toml"]\nstart = "other"\n'), {})
    assert (found.luaservice, found.start, found.logpath) == ("a/?.py", "other", "logs")
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*nosuch\.toml"):
        load(config(tmp_path, 'include = "nosuch.toml"'), {})


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("standalone", "joined by cluster, not by harbor"), ("address", "joined by cluster"),
        ("cpath", "see luaservice"), ("lualoader", "see luaservice"), ("logservice", "log= of your own"),
        ("demon", "did you mean 'daemon'"),
    ],
)  # fmt: skip
def test_keys_of_skynet_that_mean_nothing_here_say_why(tmp_path: Path, key: str, text: str) -> None:
    """A known key of skynet is no typing error: the text says what it would mean, and why it cannot here."""
    with pytest.raises(ConfigError, match=text):
        load(config(tmp_path, f'{key} = "x"'), {})


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('include = "config.toml"', r"config\.toml includes .*config\.toml, and that includes it"),
        ('include = ["./other.toml"]', r"other\.toml includes .*config\.toml, and that includes it"),
        ("include = 3", "include is 3: the name of a file is needed, or a list of names"),
        ("include = [3]", "include is .3.: the name of a file is needed"),
        ("include = {a = 1}", "the name of a file is needed"),
        ('include = "."', "cannot read the configuration .*: Is a directory"),
        ('include = "\\u0000"', "cannot read the configuration .*: a NUL character has no place in a name"),
        ('logger = "a\\u0000b"', "configuration key 'logger' is .*: a NUL character has no place in it"),
        ("poller = []", r"configuration key 'poller' is \[\]: a string is needed"),
        ("clock = {}", "configuration key 'clock' is {}: a string is needed"),
        ("thread = 1.0", "configuration key 'thread' is 1.0: a number of worker threads is needed"),
        ("harbor = false", "configuration key 'harbor' is False: nodes are joined by cluster, not by harbor"),
        ("profile = 1", "configuration key 'profile' is 1: use true or false"),
        ("env = 3", "configuration key 'env' is 3: a table of the program's own values is needed"),
        ("thread = " + "9" * 5000, "is not valid TOML"),
        ("thread = 0x" + "f" * 5000, "'thread' is <its text cannot be told: ValueError>: more than 256"),
        ("a = " + "[" * 5000, "is not valid TOML"),
        ("[env]\n" + "x." * 3000 + "y = 1", "is not valid TOML"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_line(tmp_path: Path, text: str, error: str) -> None:
    """Whatever a key is and a file includes: a ConfigError with the key or the file, never a traceback. The command
    says the same."""
    config(tmp_path, 'include = "config.toml"', "other.toml")
    path = config(tmp_path, text)
    with pytest.raises(ConfigError, match=error):
        load(path, {})
    assert main(["run", path]) == USAGE_ERROR


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates()
    | st.sampled_from(["$PATH", "$NOSUCH", "config.toml", "./?.py", "epoll", "virtual", "\ud800", "\0", "/"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from([*Keys.__annotations__, "include", "folder", "treads"]), ODD, max_size=4), st.data()
)
def test_any_configuration_is_taken_or_refused(tmp_path: Path, values: dict[str, Any], data: st.DataObject) -> None:
    """Keys with values of any kind, as keywords and in a file, the file damaged or not: a Config or a ConfigError.
    FUZZ=100000 in the environment makes a long run of it."""

    def toml(value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(map(toml, value)) + "]"
        return (
            hex(value)
            if type(value) is int and value > 0
            else str(value)
            if isinstance(value, date)
            else json.dumps(value)
        )

    with suppress(ConfigError):
        load(None, values)
    raw = "".join(f"{key} = {toml(value)}\n" for key, value in values.items()).encode()
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(raw)))
        raw = raw[:at] + data.draw(st.binary(max_size=3)) + raw[at + data.draw(st.integers(0, 3)) :]
    path = tmp_path / "config.toml"
    path.write_bytes(raw)
    with suppress(ConfigError):
        load(path, {})


# ---- preload


def test_preload_is_run_before_the_code_of_each_service(tmp_path: Path) -> None:
    """In its namespace: each has the names for itself. Boot services and functions see what it does, too."""
    (tmp_path / "pre.py").write_text(
        "from skynet_lite import skynet\nseen = []\ndef greet(): return 'hello'\nskynet.init(lambda: skynet.error('pre ' + __name__))\n"
    )
    (tmp_path / "one.py").write_text(
        "seen.append(1)\n@skynet.start\ndef main():\n    skynet.error(f'{greet()} {seen} {__name__}')\n"
    )

    def function() -> None:
        assert "greet" not in globals()

    with Node(clock="virtual", log=list, luaservice=str(tmp_path / "?.py"), preload=str(tmp_path / "pre.py")) as node:
        node.newservice("one")
        node.newservice("one")
        node.newservice(function)
        node.run_until_idle()
    said = [line[12:] for line in node.log_lines]
    assert said.count("hello [1] one") == 2
    assert [word for word in said if word.startswith("pre ")] == [
        f"pre {name}" for name in ("bootstrap", "launcher", "cdummy", "datacenterd", "service_mgr", "one", "one", "function")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "error"), [(None, "preload: cannot read .*pre.py: No such file"), ("1 +", "is no Python")]
)
def test_a_preload_file_that_cannot_be_used_is_named(tmp_path: Path, text: str | None, error: str) -> None:
    """When the node is made, not in the log of each service."""
    if text is not None:
        (tmp_path / "pre.py").write_text(text)
    with pytest.raises(ConfigError, match=error):
        Node(log=list, preload=str(tmp_path / "pre.py"))


def test_a_preload_file_that_fails_fails_its_service(tmp_path: Path) -> None:
    """As any error in its code: the start fails, and says where."""
    (tmp_path / "pre.py").write_text("if __name__ == 'one': 1 / 0\n")
    (tmp_path / "one.py").write_text("from skynet_lite import skynet\nskynet.start(lambda: None)\n")
    with Node(clock="virtual", log=list, luaservice=str(tmp_path / "?.py"), preload=str(tmp_path / "pre.py")) as node:
        with pytest.raises(CallError, match="ZeroDivisionError"):
            node.newservice("one")
        with pytest.raises(AddressError):
            node.call(99, "lua")
        node.run_until_idle()
    assert any("pre:1 in <module>" in line for line in node.log_lines)


# ---- in the background


SERVER = """\
import os
from skynet_lite import skynet

@skynet.start
def main():
    skynet.error("up", os.getpid())
    def alive():
        skynet.timeout(5, alive)
    alive()
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Any:
    """A folder with a server that goes to the background; whatever came up is ended."""
    (tmp_path / "server.py").write_text(SERVER)
    config(tmp_path, 'start = "server"\nluaservice = "./?.py"\ndaemon = "./skynet.pid"\nlogger = "node.log"\n')
    yield tmp_path
    if check_pid(str(tmp_path / "skynet.pid")):
        os.kill(int((tmp_path / "skynet.pid").read_text()), signal.SIGKILL)


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "skynet_lite", "run", "config.toml"],
        capture_output=True, text=True, timeout=60, cwd=folder,
    )  # fmt: skip


def read(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_daemon_from_its_start_to_its_end(daemon: Path) -> None:
    """The command returns at once; the file holds the number; a second one is refused; SIGHUP opens the log file anew;
    SIGTERM ends it and takes the file away."""
    done = run(daemon)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pid = int(until(lambda: read(daemon / "skynet.pid").endswith("\n") and read(daemon / "skynet.pid")))
    until(lambda: f"[:00000008] up {pid}\n" in read(daemon / "node.log"))
    assert os.getsid(pid) not in (pid, os.getsid(0))  # a session of its own, which it does not lead
    second = run(daemon)
    assert (second.returncode, second.stderr) == (2, f"skynet-lite: Skynet is already running, pid = {pid}.\n")
    (daemon / "node.log").rename(daemon / "old.log")
    os.kill(pid, signal.SIGHUP)
    until(lambda: (daemon / "node.log").exists())
    os.kill(pid, signal.SIGTERM)
    until(lambda: not (daemon / "skynet.pid").exists())
    until(lambda: not _alive(pid))
    assert "up" not in read(daemon / "node.log")
    assert run(daemon).returncode == 0  # and again
    again = int(until(lambda: read(daemon / "skynet.pid").endswith("\n") and read(daemon / "skynet.pid")))
    until(lambda: f"up {again}\n" in read(daemon / "node.log"))
    os.kill(again, signal.SIGTERM)
    until(lambda: not _alive(again))


def _alive(pid: int) -> bool:
    return read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()[:1] not in ([], ["Z"])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_mistakes_are_told_before_it_goes_to_the_background(daemon: Path) -> None:
    """Where somebody still reads them."""
    config(daemon, 'daemon = "./skynet.pid"\n')
    done = run(daemon)
    assert (done.returncode, "names no service to start" in done.stderr) == (2, True)
    config(daemon, 'start = "server"\nluaservice = "./?.py"\ndaemon = "./nowhere/skynet.pid"\n')
    done = run(daemon)
    assert "Can't create pidfile" in done.stderr and done.stderr.count("\n") == 1
    assert not (daemon / "skynet.pid").exists()


def test_the_pid_file(tmp_path: Path) -> None:
    """Stale ones are taken over, wholly; a locked one is refused with its holder; only one's own is taken away."""
    path = str(tmp_path / "x.pid")
    assert check_pid(path) == 0
    for text in ("", "nonsense", "0", "-5", f"{os.getpid()}", f"{2**22 + 1}", f"{2**80}"):
        (tmp_path / "x.pid").write_text(text)
        assert check_pid(path) == 0, text
    (tmp_path / "x.pid").write_text("1\n")
    assert check_pid(path) == 1  # alive, and not ours to signal unless we are root
    (tmp_path / "x.pid").write_text("123456789\n")
    file = write_pid(path)
    assert read(tmp_path / "x.pid") == f"{os.getpid()}\n"
    with pytest.raises(ConfigError, match=rf"Can't lock pidfile, lock is held by pid {os.getpid()}\."):
        write_pid(path)
    os.unlink(path)
    (tmp_path / "x.pid").write_text("somebody else's\n")
    daemon_exit(path, file)
    assert read(tmp_path / "x.pid") == "somebody else's\n"
    file = write_pid(path)
    daemon_exit(path, file)
    assert not (tmp_path / "x.pid").exists()


def test_a_system_without_fork_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows: a clear text instead of a traceback."""
    from skynet_lite.node.daemon import daemon_init

    monkeypatch.delattr(os, "fork")
    with pytest.raises(ConfigError, match="this system has no fork"):
        daemon_init(str(tmp_path / "x.pid"))


def test_the_log_file_is_opened_anew(tmp_path: Path) -> None:
    """Node.reopen_log, which SIGHUP calls: lines go on in a new file; if it cannot be made, in the old one."""
    (tmp_path / "logs").mkdir()
    path = tmp_path / "logs" / "node.log"
    with Node(clock="virtual", logger=str(path)) as node:
        node.newservice(lambda: skynet.error("one"))
        node.run_until_idle()
        path.rename(tmp_path / "old.log")
        node.reopen_log()
        node.newservice(lambda: skynet.error("two"))
        node.run_until_idle()
        path.unlink()
        (tmp_path / "logs").rmdir()
        node.reopen_log()
        node.newservice(lambda: skynet.error("three"))
        node.run_until_idle()
    assert "one" in read(tmp_path / "old.log") and "two" not in read(tmp_path / "old.log")


def test_services_of_the_node_are_known_to_service_new_after_the_boot() -> None:
    """The boot itself starts none of them: a node that uses no library has the seven services of skynet's."""
    with Node(clock="virtual", log=list) as node:
        node.run_until_idle()
        assert sorted(node.handles.contexts) == [1, 3, 4, 5, 6, 7]
        node.newservice(lambda: service.new("x", skynet.yield_))
        assert len(node.handles.contexts) == 9


HERO = """\
from __future__ import annotations
from dataclasses import dataclass, fields
from typing import ClassVar
import {name}
from skynet_lite import skynet
there = {name}.__dict__ is globals()
@dataclass
class Hero:
    count: {quote}ClassVar[int]{quote} = 0
    name: str = "anna"
@skynet.start
def main():
    skynet.dispatch("lua", lambda session, source: skynet.retpack([f.name for f in fields(Hero)], Hero.__module__, there))
"""


@pytest.mark.parametrize("quote", ["", "'"])
def test_a_service_file_may_have_dataclasses_with_annotations_as_text(tmp_path: Path, quote: str) -> None:
    """dataclasses look for ClassVar in the module of a class: it can be found while the file is run, not after."""
    text = HERO.format(name="hero", quote=quote)
    (tmp_path / "hero.py").write_text(text if not quote else text.partition("\n")[2])
    for thread in (1, 4):
        with Node(log=list, luaservice=f"{tmp_path}/?.py", thread=thread) as node:
            made = [node.newservice("hero") for _ in range(5)]
            assert [node.call(h, "lua") for h in made] == [(["name"], "hero", True)] * 5
            assert "hero" not in sys.modules


def test_a_service_file_does_not_hide_a_module_of_its_name(tmp_path: Path) -> None:
    """A service called uuid may import the module uuid."""
    text = HERO.format(name="uuid", quote="").replace("ClassVar[int]", "int")
    (tmp_path / "uuid.py").write_text(text.partition("\n")[2])
    before = sys.modules.pop("uuid", None)
    try:
        with Node(log=list, luaservice=f"{tmp_path}/?.py") as node:
            assert node.call(node.newservice("uuid"), "lua") == (["count", "name"], "uuid", False)
            assert hasattr(sys.modules["uuid"], "uuid4")
    finally:
        if before is not None:
            sys.modules["uuid"] = before


def test_a_configuration_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    """As some editors on Windows write it; three bytes that nobody sees are no reason to refuse a file."""
    path = config(tmp_path, "")
    Path(path).write_bytes(b'\xef\xbb\xbf[env]\nkey = "found"\n')
    with Node(path, log=list) as node:
        assert node.env.get("key") == "found"


def test_a_pid_file_that_cannot_be_written(tmp_path: Path) -> None:
    """A device that has no end is not read to its end, and what writing to it raises is one clear line."""
    done = subprocess.run(
        [sys.executable, "-m", "skynet_lite", "run", config(tmp_path, 'daemon = "/dev/full"\nstart = "x"')],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "skynet-lite: Can't write pidfile [/dev/full]" in done.stderr and done.stderr.count("\n") == 1

"""The page "Running it": its program runs, its files are valid, its tables are true."""

from __future__ import annotations

import configparser
import os
import re
import signal
import socket
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

import pytest
import yaml
from harness import LIMIT, Process, needs
from prometheus_client.parser import text_string_to_metric_families

from skynet_lite import Node, cluster
from skynet_lite.contrib import metrics
from skynet_lite.node.config import Config, load, nodes_of

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "running.md").read_text()


def block(language: str, n: int = 0) -> str:
    """A block of code in this language, counted from 0."""
    return str(re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[n])


@pytest.fixture
def lobby(tmp_path: Path) -> Path:
    """The two files of the page; their ports are free ones."""
    (tmp_path / "lobby.toml").write_text(re.sub(r"(:|console = )\d{4}", r"\g<1>0", block("toml")))
    (tmp_path / "main.py").write_text(block("python"))
    return tmp_path / "lobby.toml"


def test_the_program_of_the_page_runs_is_scraped_and_stops_at_sigterm(lobby: Path) -> None:
    """`skynet-lite run`, in a process of its own: the log names both ports, SIGTERM ends it with status 0."""
    command = [sys.executable, "-m", "skynet_lite", "run", str(lobby)]
    with Process(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}) as node:
        assert node.stderr is not None
        said = ""
        while "Start debug console at 127.0.0.1:" not in said:
            assert (line := node.stderr.readline()), said
            said += line
        (where,) = re.findall(r"metrics at (\S+)", said)
        with urllib.request.urlopen(where, timeout=60) as answer:
            text = answer.read().decode()
        node.send_signal(signal.SIGTERM)
        assert node.wait(60) == 0
    samples = {(s.name, s.labels.get("service")) for f in text_string_to_metric_families(text) for s in f.samples}
    assert {("skynet_services", "debug_console"), ("skynet_cpu_seconds_total", "main")} <= samples


def test_the_keys_of_the_page_are_keys() -> None:
    """Those in its configuration, and those that it names."""
    assert set(tomllib.loads(block("toml"))) <= set(Config.__dataclass_fields__)
    assert len(re.findall("^```toml", PAGE, re.MULTILINE)) == 3
    named = set(re.findall(r"the key `(\w+)`", PAGE)) | set(re.findall(r"`(\w+) = ", PAGE))
    assert {"logger", "memory", "thread", "daemon", "profile"} <= named <= set(Config.__dataclass_fields__)
    assert Config.memory == 1024, "as the page says"


def test_the_table_of_metrics_is_whole() -> None:
    """Every series, with its label, and none that is not there."""
    rows = re.findall(r"^\| (`skynet_.*?) \| (\w*) ?\|", PAGE, re.MULTILINE)
    told = {name: label for names, label in rows for name in re.findall(r"`(\w+)`", names)}
    true = {name + "_total" * (name in metrics.RISING): "".join(labels) for name, (_, labels) in metrics.SERIES.items()}
    assert told == true | {"skynet_call_seconds": "type"}


UNITS = {0: ("lobby.service", "lobby.service"), 1: ("skynet-lite@.service", "skynet-lite@room1.service")}
"""The blocks: what the file is called, and what is started."""


@pytest.mark.parametrize(("n", "words"), [(0, "lobby.toml"), (1, "cluster.toml --node %i")])
def test_the_units_of_systemd_are_whole(n: int, words: str) -> None:
    """Their sections, and the command."""
    unit = configparser.ConfigParser(strict=True, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # names have capitals
    unit.read_string(block("ini", n))
    assert unit.sections() == ["Unit", "Service", "Install"]
    program, rest = unit["Service"]["ExecStart"].split(" ", 1)
    assert Path(program).name == "skynet-lite" and rest == f"run /srv/lobby/{words}"


@needs("systemd-analyze")
@pytest.mark.parametrize("n", UNITS)
def test_systemd_has_no_complaint_about_a_unit(n: int, tmp_path: Path) -> None:
    """With a program and a user that this machine has."""
    unit = re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", block("ini", n), flags=re.MULTILINE)
    name, started = UNITS[n]
    (tmp_path / name).write_text(unit.replace("User=lobby", "User=root"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / started)], capture_output=True, text=True, timeout=60
    )
    complaints = [line for line in done.stderr.splitlines() if name in line or started in line]
    assert done.returncode == 0 and complaints == [], done.stderr


# --------------------------------------------------------------------------- several nodes


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """The files of the page, with free ports."""
    (tmp_path / "cluster.toml").write_text(re.sub(r":\d{4}", ":0", block("toml", 1)))
    (tmp_path / "containers.toml").write_text(block("toml", 2))
    for n, name in enumerate(("room.py", "front.py"), 1):
        (tmp_path / name).write_text(block("python", n))
    return tmp_path / "cluster.toml"


def test_the_nodes_of_the_page_run(several: Path, tmp_path: Path) -> None:
    """`cluster up`; and what a client of the front is answered by both rooms."""
    with (several.parent / "front.py").open("a") as front:
        front.write("    print('port', socket.sockname(1)[1])\n")  # which one was free
    command = [sys.executable, "-m", "skynet_lite", "cluster", "up", str(several)]
    env = os.environ | {"PYTHONPATH": str(ROOT), "XDG_DATA_HOME": str(tmp_path)}
    with Process(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env) as nodes:
        assert nodes.stdout is not None
        try:
            said: list[str] = []
            while sum("Start debug console" in line for line in said) < 3:
                said.append(nodes.stdout.readline())
                assert said[-1], said
            (port,) = (line.split()[-1] for line in said if "| port" in line)
            with socket.create_connection(("127.0.0.1", int(port)), LIMIT) as client, client.makefile("rwb") as lines:
                lines.write(b"ann\nbert\n")
                lines.flush()
                assert [lines.readline(), lines.readline()] == [b"ann is in room2\n", b"bert is in room1\n"]
        finally:
            nodes.terminate()
            nodes.communicate(timeout=LIMIT)
    assert nodes.returncode == 0


def test_each_container_is_a_node(several: Path) -> None:
    """The commands name the nodes of the file, and each is found by the name of its service."""
    services = yaml.safe_load(block("yaml"))["services"]
    assert list(services) == nodes_of(several) == list(tomllib.loads(block("toml", 2)))
    for name, service in services.items():
        assert service["command"] == ["skynet-lite", "run", "cluster.toml", "--node", name]
        assert service["environment"] == {"SKYNET_LITE_CLUSTER": "containers.toml"}
    assert {where.partition(":")[0] for where in tomllib.loads(block("toml", 2)).values()} == set(services)


def test_the_environment_says_where_containers_are(several: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SKYNET_LITE_CLUSTER stands over the table of the file."""
    monkeypatch.setenv("SKYNET_LITE_CLUSTER", "containers.toml")
    assert load(several, {"node": "room2"}).cluster == "containers.toml"
    with Node(several, node="room2", log=list) as node:
        node.newservice(lambda: cluster.reload())
    assert not [line for line in node.log_lines if "cannot" in line]


def test_the_page_shows_pictures_that_are_there() -> None:
    """Ours and a real skynet's, which are not fetched from anywhere."""
    pictures = re.findall(r"!\[[^]]+\]\((images/[\w-]+\.svg)\)", PAGE)
    assert len(pictures) == 4
    for picture in pictures:
        svg = (ROOT / "docs" / picture).read_text()
        assert not re.findall(r"url\(\"?http|href=\"http", svg), picture
        assert ("skynet_lite" in svg) == (picture == "images/top.svg")

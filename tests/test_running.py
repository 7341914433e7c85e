"""The page "Running it": its program runs, its files are valid, its tables are true."""

from __future__ import annotations

import configparser
import os
import re
import signal
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

import pytest
from harness import needs
from prometheus_client.parser import text_string_to_metric_families

from skynet_lite.contrib import metrics
from skynet_lite.node.config import Config

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "running.md").read_text()


def block(language: str) -> str:
    """The one block of code in this language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture
def lobby(tmp_path: Path) -> Path:
    """The two files of the page; their ports are free ones."""
    (tmp_path / "lobby.toml").write_text(re.sub(r":\d{4}", ":0", block("toml")))
    (tmp_path / "main.py").write_text(block("python"))
    return tmp_path / "lobby.toml"


def test_the_program_of_the_page_runs_is_scraped_and_stops_at_sigterm(lobby: Path) -> None:
    """`skynet-lite run`, in a process of its own: the log names both ports, SIGTERM ends it with status 0."""
    command = [sys.executable, "-m", "skynet_lite", "run", str(lobby)]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    ) as node:
        assert node.stderr is not None
        said = []
        for line in node.stderr:
            said.append(line)
            if "metrics at" in line:
                break
        assert any("Start debug console at 127.0.0.1:" in line for line in said), said
        with urllib.request.urlopen(said[-1].split()[-1], timeout=60) as answer:
            text = answer.read().decode()
        node.send_signal(signal.SIGTERM)
        assert node.wait(60) == 0
    samples = {(s.name, s.labels.get("service")) for f in text_string_to_metric_families(text) for s in f.samples}
    assert {("skynet_services", "debug_console"), ("skynet_cpu_seconds_total", "main")} <= samples


def test_the_keys_of_the_page_are_keys() -> None:
    """Those in its configuration, and those that it names."""
    assert set(tomllib.loads(block("toml"))) <= set(Config.__dataclass_fields__)
    named = set(re.findall(r"the key `(\w+)`", PAGE)) | set(re.findall(r"`(\w+) = ", PAGE))
    assert {"logger", "memory", "thread", "daemon", "profile"} <= named <= set(Config.__dataclass_fields__)
    assert Config.memory == 1024, "as the page says"


def test_the_table_of_metrics_is_whole() -> None:
    """Every series, with its label, and none that is not there."""
    rows = re.findall(r"^\| (`skynet_.*?) \| (\w*) ?\|", PAGE, re.MULTILINE)
    told = {name: label for names, label in rows for name in re.findall(r"`(\w+)`", names)}
    true = {name + "_total" * (name in metrics.RISING): "".join(labels) for name, (_, labels) in metrics.SERIES.items()}
    assert told == true | {"skynet_call_seconds": "type"}


def test_the_unit_of_systemd_is_whole() -> None:
    """Its sections, and the command."""
    unit = configparser.ConfigParser(strict=True, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # names have capitals
    unit.read_string(block("ini"))
    assert unit.sections() == ["Unit", "Service", "Install"]
    program, *words = unit["Service"]["ExecStart"].split()
    assert Path(program).name == "skynet-lite" and words == ["run", "/srv/lobby/lobby.toml"]


@needs("systemd-analyze")
def test_systemd_has_no_complaint_about_the_unit(tmp_path: Path) -> None:
    """With a program and a user that this machine has."""
    unit = re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", block("ini"), flags=re.MULTILINE)
    file = tmp_path / "lobby.service"
    file.write_text(unit.replace("User=lobby", "User=root"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(file)], capture_output=True, text=True, timeout=60
    )
    complaints = [line for line in done.stderr.splitlines() if file.name in line]
    assert done.returncode == 0 and complaints == [], done.stderr


def test_the_page_shows_pictures_that_are_there() -> None:
    """Ours and a real skynet's, which are not fetched from anywhere."""
    pictures = re.findall(r"!\[[^]]+\]\((images/[\w-]+\.svg)\)", PAGE)
    assert len(pictures) == 4
    for picture in pictures:
        svg = (ROOT / "docs" / picture).read_text()
        assert not re.findall(r"url\(\"?http|href=\"http", svg), picture
        assert ("skynet_lite" in svg) == (picture == "images/top.svg")

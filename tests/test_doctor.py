"""skynet-lite learn --doctor: each fault is made for real, is seen, and its remedy is a command that fits."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import venv
import webbrowser
from pathlib import Path

import pytest

from skynet_lite.course import doctor
from skynet_lite.course.doctor import Finding

ROOT = Path(__file__).parent.parent
SITE_PACKAGES = next(path for path in sys.path if path.endswith("site-packages"))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python of its own with no package at all."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False)
    return folder


def only(findings: object) -> Finding:
    (finding,) = findings  # type: ignore[misc]
    return finding


def rows(text: str) -> dict[str, tuple[str, str]]:
    """name → (grade, the rest of its line)."""
    found = re.findall(r"^(ok|warning|missing) +(\S(?:\S| (?! ))*) *(.*)$", text, re.MULTILINE)
    return {name: (grade, rest) for grade, name, rest in found}


def test_a_complete_set_up() -> None:
    """Here everything is there: a line for each check, and nothing missing. This starts a real kernel."""
    done = subprocess.run(
        [sys.executable, "-m", "skynet_lite", "learn", "--doctor"],
        capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    table = rows(done.stdout)
    assert {name for name, (grade, _) in table.items() if grade == "missing"} == set(), done.stdout
    assert (done.returncode, done.stderr) == (0, "")
    assert {"Python", *doctor.PACKAGES, "TCP on loopback", "UDP on loopback", "kernel python3", "notebooks"} <= set(
        table
    )
    assert table["kernel python3"][1] == "starts, answers, and is this Python"
    assert table["notebooks"][1] == f"{len(list((ROOT / 'notebooks').glob('[0-9]*.ipynb')))} in {ROOT / 'notebooks'}"
    assert done.stdout.splitlines()[-1] == "nothing is missing: skynet-lite learn"


def test_a_bare_python_is_told_what_it_lacks(bare: Path, tmp_path: Path) -> None:
    """With the least versions of the installed metadata: as from a wheel without its dependencies."""
    info = tmp_path / "skynet_lite-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: skynet_lite\nVersion: 0\nRequires-Python: >=3.11\n"
        'Requires-Dist: greenlet>=3.0\nRequires-Dist: jupyterlab>=4.2; extra == "notebooks"\n'
    )
    python = bare / "bin" / "python"
    done = subprocess.run(
        [python, "-m", "skynet_lite", "learn", "--doctor"], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])},
    )  # fmt: skip
    table = rows(done.stdout)
    assert (done.returncode, done.stderr) == (1, "")
    for name in doctor.PACKAGES:
        grade, rest = table[name]
        assert grade == "missing" and rest.startswith("not installed")
    assert table["greenlet"][1] == f"not installed  → {python} -m pip install 'greenlet>=3.0'"
    assert table["jupyterlab"][1] == f"not installed  → {python} -m pip install 'jupyterlab>=4.2'"
    assert table["kernel python3"] == (
        "missing", f"cannot be started: no jupyter_client  → {python} -m pip install ipykernel",
    )  # fmt: skip
    assert table["font for Chinese"][0] == "warning"
    assert (table["Python"][0], table["TCP on loopback"][0], table["notebooks"][0]) == ("ok", "ok", "ok")
    missing = sum(grade == "missing" for grade, _ in table.values())
    assert done.stdout.splitlines()[-1] == f"{missing} missing: the set-up is not complete"


def test_without_metadata_nothing_is_invented(bare: Path) -> None:
    """A folder on the path is no installation: least versions are not known, and the remedy is to install it."""
    done = subprocess.run(
        [bare / "bin" / "python", "-c", "from skynet_lite.course.doctor import *; print(needed(), *packages(), sep='\\n')"],
        capture_output=True, text=True, timeout=60, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    none, first, *_ = done.stdout.splitlines()
    assert none == "{}"
    assert "runs from a folder" in first and f"pip install -e '{ROOT}[notebooks]'" in first


def test_old_versions_are_named(tmp_path: Path) -> None:
    """A package that is older than what is asked for, and a Python that is."""
    for name, version, requires in (
        ("skynet_lite", "0", 'Requires-Python: >=3.11\nRequires-Dist: anywidget>=0.9.18; extra == "notebooks"\n'),
        ("anywidget", "0.9.3", ""),
    ):
        info = tmp_path / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}")
    code = "from skynet_lite.course.doctor import *; print(*packages(['anywidget']), *python('3.10.14'), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])},
    )  # fmt: skip
    package, python = done.stdout.splitlines()
    assert "0.9.3, older than 0.9.18" in package and "pip install --upgrade 'anywidget>=0.9.18'" in package
    assert "3.10.14, older than 3.11" in python and "python3.11 -m venv .venv" in python


def test_every_bound_of_ours_is_understood() -> None:
    """What pyproject.toml asks for has the one form that is read."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["notebooks"]]
    assert all(re.fullmatch(r"[\w.-]+>=[\d.]+", line) for line in asked)
    assert re.fullmatch(r">=3\.\d+", project["requires-python"])
    assert set(doctor.needed()) >= {"python", "greenlet", "jupyterlab", "ipywidgets", "matplotlib"}


def test_a_loopback_that_is_not_there() -> None:
    """An address of no interface here: what a machine without 127.0.0.1 answers."""
    tcp, udp = only(doctor.tcp("192.0.2.1")), only(doctor.udp("192.0.2.1"))
    assert (tcp.grade, udp.grade) == ("missing", "warning")
    assert "192.0.2.1: " in tcp.found and "127.0.0.1" in tcp.remedy and tcp.remedy == udp.remedy


def kernelspec(folder: Path, argv: list[str], env: dict[str, str]) -> None:
    spec = folder / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "x", "language": "python", "env": env}))


def test_kernels_that_do_not_do(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that dies, one that never answers, one whose program is gone, one that is another Python."""
    mute = [sys.executable, "-c", "import signal; signal.pause()"]
    other = [str(bare / "bin" / "python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    for name, argv, limit, found, remedy in (
        (
            "dead",
            [sys.executable, "-c", "raise SystemExit(3)"],
            60,
            "does not answer: Kernel died",
            "--force-reinstall",
        ),
        ("mute", mute, 0.5, "does not answer: Kernel didn't respond", "--force-reinstall"),
        ("gone", ["/nowhere/python"], 60, "does not answer: ", "--force-reinstall"),
        ("other", other, 60, f"is another Python: {bare}", "-m ipykernel install --sys-prefix"),
    ):
        kernelspec(tmp_path / name, argv, {"PYTHONPATH": SITE_PACKAGES})
        monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / name))
        finding = only(doctor.kernel(limit))
        assert finding.grade == "missing"
        assert finding.found.startswith(found), (name, finding)
        assert remedy in finding.remedy and sys.executable in finding.remedy


def test_the_halves_of_widgets_that_live_in_the_page(tmp_path: Path) -> None:
    """An extension that is absent; one that was disabled. JupyterLab is asked as it asks itself."""
    absent = {finding.name: finding for finding in doctor.front_ends([str(tmp_path)])}
    assert absent["page: anywidget"].grade == "missing"
    assert absent["page: anywidget"].remedy.endswith("-m pip install --force-reinstall --no-deps anywidget")
    assert "jupyterlab_widgets" in absent["page: jupyterlab_widgets"].remedy
    for name in doctor.FRONT_ENDS:
        (tmp_path / name).mkdir(parents=True)
        package = {"name": name, "version": "1.2.3", "jupyterlab": {"_build": {"load": "x.js", "extension": "./x"}}}
        (tmp_path / name / "package.json").write_text(json.dumps(package))
    assert [finding.grade for finding in doctor.front_ends([str(tmp_path)])] == ["ok", "ok"]


def test_a_disabled_extension(tmp_path: Path) -> None:
    """Switched off by `jupyter labextension disable`, in a prefix of its own."""
    config = tmp_path / "config"
    (config / "labconfig").mkdir(parents=True)
    (config / "labconfig" / "page_config.json").write_text('{"disabledExtensions": {"anywidget": true}}')
    code = "from skynet_lite.course.doctor import *; print(*front_ends(), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), "JUPYTER_CONFIG_DIR": str(config)},
    )  # fmt: skip
    first, second = done.stdout.splitlines()
    assert "the extension is disabled" in first and "-m jupyterlab.labextensions enable anywidget" in first
    assert "grade='ok'" in second


def test_notebooks_that_are_not_there(tmp_path: Path) -> None:
    finding = only(doctor.notebooks(tmp_path))
    assert (finding.grade, finding.found) == ("missing", f"none in {tmp_path}")
    assert finding.remedy.endswith(" checkout .")


def test_what_the_course_can_do_without() -> None:
    """No Chinese font, no browser: warnings, each with its remedy, and the status stays 0."""

    def none() -> None:
        raise webbrowser.Error("could not locate runnable browser")

    font, browser = only(doctor.font(lambda: None)), only(doctor.browser(none))
    assert (font.grade, browser.grade) == ("warning", "warning")
    assert "fonts-noto-cjk" in font.remedy and browser.remedy == "skynet-lite learn --no-browser"
    assert doctor.doctor([lambda: [font], lambda: [browser]]) == 0


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each check, in columns, the remedy last; status 1 for what is missing."""
    findings = [Finding("ok", "a", "1.0"), Finding("missing", "b b", "gone", "mend b")]
    assert doctor.doctor([lambda: findings]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "ok       a                        1.0",
        "missing  b b                      gone  → mend b",
        "1 missing: the set-up is not complete",
    ]

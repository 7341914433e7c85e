"""skynet-lite grade: whatever a student's copy does, its rows are right and nobody else's are lost."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import nbformat
import pytest

from skynet_lite.cli import main
from skynet_lite.course.grade import exercises
from skynet_lite.course.learn import course, student

nbf: Any = nbformat
NAME = "02_socket_start.ipynb"
RIGHT = {
    "02.1": "answer = 3\n",
    "02.2": 'answer = ["start", "connect", "suspend", "wait", "coroutine_yield"]\n',
    "02.3": 'answer = "skynet.suspend"\n',
}


def copy(folder: Path, name: str, answers: dict[str, str], first: str = "", leave_out: str = "") -> None:
    """A copy of notebook 02 without the cells that no exercise needs: `answers` stand before the checks."""
    original = course() / NAME
    notebook: Any = student(nbf.read(original, as_version=4))
    tasks = {task.id: task for task in exercises(original)}
    setup = next(cell for cell in notebook.cells if "language" in cell.metadata.get("tags", []))
    asked = [cell for cell in notebook.cells if cell.id in tasks and tasks[cell.id].number != leave_out]
    for cell in asked:
        task = tasks[cell.id]
        if task.number in answers:
            cell.source = f'{answers[task.number]}check("{task.number}", {task.name})'
    notebook.cells = [setup, *([nbf.v4.new_code_cell(first)] if first else []), *asked]
    (folder / name).mkdir(parents=True)
    nbf.write(notebook, folder / name / NAME)


def graded(folder: Path, *options: str) -> tuple[int, dict[str, dict[str, list[str]]]]:
    out = folder.parent / "grades.csv"
    status = main(["grade", str(folder), "--csv", str(out), *options])
    found: dict[str, dict[str, list[str]]] = {}
    with out.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["student"], {})[row["exercise"]] = [row["passed"], row["said"]]
    return status, found


def test_a_class_is_graded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each kind of copy once, side by side."""
    folder = tmp_path / "class"
    copy(folder, "right", RIGHT)
    copy(folder, "empty", {})
    copy(folder, "endless", {**RIGHT, "02.2": "while True: pass\n"})
    copy(folder, "dead", {**RIGHT, "02.2": "import os\nos._exit(1)\n"})
    wrong = "from skynet_lite.check import engine\nengine.judge = lambda *a: (True, 'right')\n"
    copy(folder, "cheater", {"02.1": "answer = 4\n"}, f"{wrong}check = lambda *a: print('02.1 · right')")
    copy(folder, "missing", RIGHT, leave_out="02.2")
    copy(folder, "leaver", {**RIGHT, "02.2": "import sys\nsys.exit()\n"})
    noise = "import threading, time\nthreading.Thread(target=time.sleep, args=(999,)).start()\nprint('x' * 30_000_000)"
    copy(folder, "noisy", {**RIGHT, "02.3": "answer = 1 / 0\n"}, noise)
    status, found = graded(folder, "--timeout", "8")
    passed = {name: [rows[f"02.{k}"][0] for k in range(1, 6)] for name, rows in found.items()}
    rest = ["not answered"] * 2
    assert passed == {
        "right": ["yes", "yes", "yes", *rest],
        "empty": ["not answered"] * 5,
        "endless": ["yes", "no", "yes", *rest],
        "dead": ["yes", "no", "yes", *rest],
        "cheater": ["no", *["not answered"] * 4],
        "missing": ["yes", "not answered", "yes", *rest],
        "leaver": ["yes", "no", "yes", *rest],
        "noisy": ["yes", "yes", "no", *rest],
    }
    assert found["endless"]["02.2"][1] == "the cell took longer than 8 s"
    assert found["dead"]["02.2"][1] == "the cell ended the kernel"
    assert found["missing"]["02.2"][1] == "its cell is missing"
    assert "ZeroDivisionError" in found["noisy"]["02.3"][1]
    assert status == 0
    assert "right: 3 of 5 passed, 2 not answered\n" in capsys.readouterr().err


def test_a_copy_that_cannot_be_read_costs_only_itself(tmp_path: Path) -> None:
    """Status 1, and the other student has all rows."""
    folder = tmp_path / "class"
    copy(folder, "ann", {})
    (folder / "bob").mkdir()
    (folder / "bob" / NAME).write_text("{ no notebook")
    status, found = graded(folder)
    assert status == 1
    assert found["bob"][""][0] == "not graded"
    assert [passed for passed, _ in found["ann"].values()] == ["not answered"] * 5


def test_the_edition_that_was_answered_is_graded(tmp_path: Path) -> None:
    """A student hands in the whole course, and has worked in Chinese."""
    folder = tmp_path / "class"
    copy(folder, "li", {})
    notebook = student(nbf.read(course() / "zh" / NAME, as_version=4))
    cell = next(cell for cell in notebook.cells if 'check("02.1"' in cell.source)
    cell.source = 'answer = 3\ncheck("02.1", answer)'
    notebook.cells = [cell]
    (folder / "li" / "zh").mkdir()
    nbf.write(notebook, folder / "li" / "zh" / NAME)
    status, found = graded(folder)
    assert (status, found["li"]["02.1"][0]) == (0, "yes")


def test_a_folder_without_copies_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, status 2."""
    assert main(["grade", str(tmp_path)]) == 2
    assert "has no copies" in capsys.readouterr().err

"""The exercises are real: a right answer passes, and each plausible wrong one is told where to look."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import nbformat
import pytest

from skynet_lite import language
from skynet_lite.check import check, exercises, judge
from skynet_lite.check.engine import HERE, choices, texts

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
WRONG: dict[str, list[tuple[Any, str]]] = {}
RIGHT: dict[str, list[Any]] = {}
for _path in sorted((ROOT / "tests" / "answers").glob("a[0-9][0-9].py")):
    _answers = import_module(f"answers.{_path.stem}")
    WRONG |= _answers.WRONG
    RIGHT |= getattr(_answers, "RIGHT", {})


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    yield
    language("en")


def test_every_exercise_of_a_notebook_is_checked_and_the_other_way_round() -> None:
    """The numbers in the notebooks are those of the checks; each has a cell for the reader and a solution."""
    asked, solved = set(), set()
    for path in NOTEBOOKS:
        for cell in nbformat.read(path, as_version=4).cells:
            found = set(re.findall(r'check\("(\d\d\.\d)"', cell.source)) if cell.cell_type == "code" else set()
            tags = cell.metadata.get("tags", [])
            asked |= found if "exercise" in tags else set()
            solved |= found if "solution" in tags else set()
            assert not found or {"exercise", "solution"} & set(tags), cell.source
            assert all(number.startswith(path.name[:2]) for number in found)
    assert asked == solved == set(exercises())
    for path in NOTEBOOKS:
        assert sum(number.startswith(path.name[:2]) for number in asked) >= 4, path.name


@pytest.mark.parametrize(
    "path", [*NOTEBOOKS, *sorted(ROOT.glob("notebooks/zh/[0-9]*.ipynb"))], ids=lambda p: f"{p.parent.name}/{p.stem}"
)
def test_the_solution_is_right_and_no_answer_is_neither(path: Path) -> None:
    """What the stored notebook prints below a solution, and below an exercise that nobody has answered."""
    for cell in nbformat.read(path, as_version=4).cells:
        printed = "".join(output.get("text", "") for output in cell.get("outputs", []))
        if "solution" in cell.metadata.get("tags", []) and "check(" in cell.source:
            assert re.search(r"^\d\d\.\d · (right: |正确：)", printed, re.MULTILINE), printed
            assert "not yet" not in printed and "还不对" not in printed
        if "exercise" in cell.metadata.get("tags", []):
            assert "waits for your answer" in printed or "请把省略号换成你的答案" in printed


@pytest.mark.parametrize(
    "path", [*NOTEBOOKS, *sorted(ROOT.glob("notebooks/zh/[0-9]*.ipynb"))], ids=lambda p: f"{p.parent.name}/{p.stem}"
)
def test_predictions_have_choices_a_check_and_a_folded_answer(path: Path) -> None:
    """The reader chooses a letter before he sees; each choice is answered, and the answer can be read without a kernel."""
    cells, number = nbformat.read(path, as_version=4).cells, path.name[:2]
    predict = "**Predict:**" if path.parent.name == "notebooks" else "**预测"
    asked = [cell for cell in cells if cell.cell_type == "markdown" and predict in cell.source]
    checks = {re.findall(r'^check\("(.+)", \.\.\.\)$', cell.source)[0] for cell in cells if "prediction" in _tags(cell)}
    data = {name: section for name, section in texts(number).items() if ".P" in name}
    assert sorted(checks) == sorted(data) == [f"{number}.P{k}" for k in range(1, len(asked) + 1)]
    for k, cell in enumerate(asked, 1):
        after = next(c for c in cells[cells.index(cell) :] if "today" not in _tags(c) and c is not cell)
        assert cell.source.count(predict) == 1 and after.source == f'check("{number}.P{k}", ...)', cell.source
        question, *folded = re.split(
            r"<details><summary>(?:Answer|答案)</summary>", cell.source[cell.source.index(predict) :]
        )
        section = data[f"{number}.P{k}"]
        assert sorted(set(re.findall(r"\(([a-z])\)", question))) == choices(section), cell.source
        assert len(choices(section)) in (2, 3), section
        assert len(folded) == 1 and folded[0].strip().startswith(f"({section['answer']})"), cell.source
        for letter in choices(section):
            right, said = judge(f"{number}.P{k}", f"({letter.upper()})")
            assert right == (letter == section["answer"]) and len(said) > 10
        assert not judge(f"{number}.P{k}", "z")[0]


def _tags(cell: Any) -> list[str]:
    tags: list[str] = cell.metadata.get("tags", [])
    return tags


@pytest.mark.parametrize("number", sorted(exercises()))
def test_wrong_answers_are_told_where_to_look(number: str) -> None:
    """At least three each; the hint is of this very answer, in both languages."""
    assert len(WRONG[number]) >= 3
    hints = set()
    for answer, word in WRONG[number]:
        language("en")
        right, english = judge(number, answer)
        assert not right, f"{answer!r} passes"
        assert word in english, english
        language("zh")
        right, chinese = judge(number, answer)
        assert not right
        assert re.search("[一-鿿]", chinese), chinese
        hints.add(english)
    assert len(hints) >= 2, "every wrong answer gets the same hint"


@pytest.mark.parametrize("number", sorted(RIGHT))
def test_right_answers_may_have_another_shape(number: str) -> None:
    """What an exercise asks for counts, not how the solution does it."""
    for answer in RIGHT[number]:
        right, text = judge(number, answer)
        assert right, f"{answer!r}: {text}"


def test_what_is_no_exercise_is_named() -> None:
    """A wrong number lists those there are."""
    with pytest.raises(KeyError, match=r"no exercise '99\.1'; there are .*05\.1"):
        check("99.1", 1)


def test_an_answer_of_another_form_is_no_crash(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is handed in, the reader gets a sentence."""
    for number in exercises():
        for answer in (None, 3.5, "", object(), [object()], {}, print, lambda: 1 / 0, b"x"):
            check(number, answer)
    assert "not yet" in capsys.readouterr().out


def _fields(text: str) -> set[str]:
    return {field for _, field, _, _ in string.Formatter().parse(text) if field is not None}


@pytest.mark.parametrize("path", sorted(HERE.glob("ex*.py")), ids=lambda path: path.stem)
def test_every_text_is_used_and_every_hint_has_one(path: Path) -> None:
    """A text that nobody names, a name without a text, a field that one language lacks: none of them waits for a reader."""
    tree, sections = ast.parse(path.read_text(encoding="utf-8")), texts(path.stem[2:])
    constants = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    known = {
        **texts("common")["common"],
        **{name: text for section in sections.values() for name, text in section.items()},
    }
    for number, section in sections.items():
        assert number == "shared" or "right" in section
        for name, text in section.items():
            if ".P" in number and name == "answer":
                continue
            assert _fields(text["en"]) == _fields(text["zh"]), (number, name)
            assert name in constants | {"right", "form"} or len(name) == 1 or name.isdigit(), (number, name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Yield) and isinstance(node.value, ast.BoolOp):
            last = node.value.values[-1]
            assert not isinstance(last, ast.Constant) or last.value in known, ast.unparse(node)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "hint" and isinstance(node.args[0], ast.Constant):
            given = {keyword.arg for keyword in node.keywords}
            named = [section[node.args[0].value] for section in (*sections.values(), texts("common")["common"])
                     if node.args[0].value in section]  # fmt: skip
            assert any(_fields(text["en"]) == given for text in named), ast.unparse(node)

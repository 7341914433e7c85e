"""What the documents say of the code is true; and what the site is made of, before Sphinx sees it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from skynet_lite.trace.export import kind_of
from skynet_lite.trace.files import VERSION, dumps
from skynet_lite.trace.kinds import COMMON, KINDS
from skynet_lite.trace.shapes import NODE, SERVICE
from skynet_lite.trace.trace import Trace
from skynet_lite.view.page import standalone
from skynet_lite.view.payload import pack, payload, unpack

ROOT = Path(__file__).parent.parent
FORMAT = (ROOT / "docs" / "trace_format.md").read_text()
sys.path.insert(0, str(ROOT / "docs"))

import gather  # noqa: E402


def rows(heading: str) -> dict[str, list[str]]:
    """The tables below a heading of the trace format: first column → the others."""
    part = FORMAT.split(f"## {heading}\n")[1].split("\n## ")[0]
    fields = [
        [field.strip() for field in row[1:-1].split("|")] for row in re.findall(r"^\| `.*\|$", part, re.MULTILINE)
    ]
    return {first: rest for first, *rest in fields}


def names(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_every_kind_of_event_is_described_with_its_fields() -> None:
    """Neither a kind nor a field is missing, too many, or wrongly said to be always there."""
    described = {**rows("Events of the scheduler"), **rows("Events of the node"), **rows("Events of a real skynet")}
    common = {field.strip("`") for field in rows("Fields that all events have")}
    assert common == {field.name + "?" for field in COMMON}
    told = {kind.strip("`"): set(names(fields)) for kind, (fields, _) in described.items()}
    true = {
        kind.name: {field.name + "?" * field.optional for field in kind.fields if field.name != "service"}
        for kind in KINDS.values()
    }
    assert told == true


def test_every_table_is_described() -> None:
    """Those of the node and those of a service, in the order in which they are shown."""
    told = [name.strip("`") for name in rows("Tables")]
    assert told == [*NODE, *SERVICE]


def test_the_file_is_described() -> None:
    """Every key of a stored trace, the version, and every suffix that can be saved to."""
    told = rows("The file")
    assert {key.strip("`") for key in told} == set(json.loads(dumps(Trace([], missing=1))))
    assert told["`version`"][0].startswith(f"`{VERSION}`")
    suffixes = [suffix for cell in rows("Exports") for suffix in names(cell)]
    assert all(kind_of("x" + suffix) == suffix for suffix in suffixes)
    with pytest.raises(ValueError) as error:
        kind_of("x.unknown")
    assert all(
        suffix in suffixes for suffix in re.findall(r"\.[a-z.]+[a-z]", str(error.value).partition("known are")[2])
    )


def test_every_module_of_the_reference_is_there_and_the_public_ones_are_in_it() -> None:
    text = "".join(page.read_text() for page in (ROOT / "docs" / "api").glob("*.md"))
    told = re.findall(r"automodule:: ([\w.]+)", text)
    assert len(told) == len(set(told))
    for module in told:
        path = ROOT / Path(*module.split("."))
        assert path.with_suffix(".py").exists() or (path / "__init__.py").exists(), module
    import skynet_lite

    homes = {home for home in skynet_lite._HOME.values() if home not in ("core", "trace", "view")}
    public = homes | {"check.engine", "course.lab", "course.learn", "trace.trace", "trace.diff", "trace.files"}
    public |= {f"skynet.{name}" for name in ("calls", "waits", "services", "queue", "socket")}
    assert {"skynet_lite." + home.replace("skynet_lite.", "") for home in public - {"trace"}} <= set(told)


# --------------------------------------------------------------------------- what the site is made of


def md(source: str) -> Any:
    return nbformat.v4.new_markdown_cell(source)


def course(root: Path, **notebooks: list[Any]) -> Path:
    """A repository with these notebooks, and a `docs` to gather into."""
    (root / "docs" / "api").mkdir(parents=True)
    (root / "docs" / "api" / "x.md").write_text("```{eval-rst}\n.. automodule:: skynet_lite.skynet\n```\n")
    for name, cells in notebooks.items():
        path = root / "notebooks" / (name.replace("__", "/", 1) + ".ipynb" if name[:2] == "zh" else name[1:] + ".ipynb")
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return root / "docs"


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def test_links_find_their_files_on_the_site(tmp_path: Path) -> None:
    """To other notebooks, to code, to the README, to other files; code spans and addresses stay."""
    (tmp_path / "skynet_lite").mkdir()
    (tmp_path / "skynet_lite" / "skynet.py").touch()
    (tmp_path / "README.md").write_text("# x\n\n[tour](notebooks/00_a.ipynb), [code](skynet_lite/skynet.py#L3)\n")
    text = (
        "# 00 · A\n\n[b](01_b.ipynb#there) [zh](zh/00_a.ipynb) [s](../skynet_lite/skynet.py) [r](../README.md) "
        "[p](../docs/performance.md) [t](../tests/x.py) [w](https://a.b/c) [here](#here) `a[0](b.c)` ![m](images/m.svg)"
    )
    docs = course(tmp_path, _00_a=[md(text)], _01_b=[md("# 01")], zh__00_a=[md("# 00\n\n[x](../../README.md)")])
    gather.gather(tmp_path, docs)
    assert read(docs / "course" / "00_a.ipynb").cells[0].source.split("\n\n")[1] == (
        "[b](01_b.ipynb#there) [zh](zh/00_a.ipynb) {py:mod}`s <skynet_lite.skynet>` [r](../project/readme.md) "
        "[p](../performance.md) [t](../../tests/x.py) [w](https://a.b/c) [here](#here) `a[0](b.c)` ![m](images/m.svg)"
    )
    assert read(docs / "course" / "zh" / "00_a.ipynb").cells[0].source.endswith("[x](../../project/readme.md)")
    assert (docs / "project" / "readme.md").read_text() == (
        "# x\n\n[tour](../course/00_a.ipynb), {py:mod}`code <skynet_lite.skynet>`\n"
    )


def test_the_table_of_contents_is_that_of_the_folder(tmp_path: Path) -> None:
    """With an index it is added to the copy; without one there is a page of it. What has gone goes here, too."""
    docs = course(tmp_path, _00_a=[md("# 00")], _01_b=[md("# 01")], zh__index=[md("# 目录")], zh__00_a=[md("# 00")])
    gather.gather(tmp_path, docs)
    assert "\n00_a\n01_b\nzh/index\n" in (docs / "course" / "index.md").read_text()
    assert read(docs / "course" / "zh" / "index.ipynb").cells[-1].source == "```{toctree}\n:hidden:\n\n00_a\n```\n"
    nbformat.write(nbformat.v4.new_notebook(cells=[md("# Map")]), tmp_path / "notebooks" / "index.ipynb")
    (tmp_path / "notebooks" / "01_b.ipynb").unlink()
    (tmp_path / "notebooks" / "zh" / "index.ipynb").unlink()
    gather.gather(tmp_path, docs)
    assert not (docs / "course" / "index.md").exists() and not (docs / "course" / "01_b.ipynb").exists()
    assert read(docs / "course" / "index.ipynb").cells[-1].source == "```{toctree}\n:hidden:\n\n00_a\nzh/index\n```\n"
    assert len(read(tmp_path / "notebooks" / "index.ipynb").cells) == 1
    assert (docs / "course" / "zh" / "index.md").read_text() == "# 课程\n\n```{toctree}\n\n00_a\n```\n"


def test_the_terms_are_collected(tmp_path: Path) -> None:
    """A term of two notebooks is there once, in both languages, with both; sorted in English, and in Chinese by sound."""
    theirs = "# {} · T\n\n| 术语 | 含义 |\n| --- | --- |\n"
    head = "# {} · T\n\n| term | meaning |\n| --- | --- |\n"
    rows = "| wakeup queue | who waits |\n| session | a `number` |\n"
    docs = course(
        tmp_path,
        _00_a=[md(head.format("00") + rows)],
        _01_b=[md(head.format("01") + "| session | another text |\n| Actor | it acts |\n")],
        zh__00_a=[md(theirs.format("00") + "| 唤醒队列 | 谁在等 |\n| 会话 | 一个号码 |\n")],
        zh__01_b=[md(theirs.format("01") + "| 会话 | 另一句 |\n| 参与者 | 它行动 |\n")],
    )  # fmt: skip
    gather.gather(tmp_path, docs)
    text = (docs / "glossary.md").read_text()
    assert re.findall(r"^(\S.*)\n  ", text, re.MULTILINE) == ["Actor", "session", "wakeup queue"]
    assert (
        "session\n  a `number`\n\n  **会话**：一个号码\n\n  [00](course/00_a.ipynb), [01](course/01_b.ipynb)\n" in text
    )
    assert re.findall(r"^\| (\S+) \| \{term\}", text, re.MULTILINE) == ["参与者", "唤醒队列", "会话"]


def test_a_stored_stepper_becomes_a_viewer(tmp_path: Path) -> None:
    """From the data in its output's metadata alone; the picture stays as a way out."""
    trace = Trace([{"e": "mark", "co": "main", "text": "</script>"}])
    data = payload(trace, title='a "title"')
    stepper = nbformat.v4.new_output(
        "execute_result", {"text/plain": "stepper: 1 events", "image/png": "iVBORw0K"},
        metadata={"skynet_lite": {"stepper": pack(json.dumps(data)), "step": 0, "theme": ""}},
    )  # fmt: skip
    cells = [md("# 00"), nbformat.v4.new_code_cell("trace.stepper()", outputs=[stepper])]
    docs = course(tmp_path, _00_a=cells, zh__00_a=cells)
    gather.gather(tmp_path, docs)
    (output,) = read(docs / "course" / "00_a.ipynb").cells[1].outputs
    shown = output.data["text/html"]
    assert set(output.data) == {"text/html"}
    assert '<iframe src="../steppers/00_a-1.html#step=0" title="a &quot;title&quot;"' in shown
    assert '<a href="../steppers/00_a-1.png">' in shown
    assert 'src="../../steppers/zh-00_a-1.html#step=0"' in read(docs / "course" / "zh" / "00_a.ipynb").cells[1].outputs[
        0
    ].data["text/html"]  # fmt: skip
    page = (docs / "viewers" / "steppers" / "00_a-1.html").read_text()
    assert page == standalone(json.loads(json.dumps(data)))
    (kept,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert json.loads(kept)["traces"] == [json.loads(json.dumps(data))]


def test_a_solution_is_folded_with_its_output(tmp_path: Path) -> None:
    """The output would give it away."""
    told = nbformat.v4.new_output("stream", text="05.1 · right")
    cell = nbformat.v4.new_code_cell("check()", metadata={"tags": ["hide-input", "solution"]}, outputs=[told])
    docs = course(tmp_path, _00_a=[md("# 00"), cell])
    gather.gather(tmp_path, docs)
    shown = read(docs / "course" / "00_a.ipynb").cells[1]
    assert shown.metadata["tags"] == ["hide-cell"] and shown.outputs == [told]
    assert shown.metadata["mystnb"]["code_prompt_show"] == "Show the solution"


def test_packed_data_come_back_or_are_refused() -> None:
    data = {"title": "中文", "say": ["x"] * 500}
    packed = pack(json.dumps(data))
    assert unpack(packed) == data and len(packed) < 300
    for damaged in (packed[:-8], "x" + packed, "not base64!", pack("[1]"), pack("nonsense")):
        with pytest.raises(ValueError):
            unpack(damaged)

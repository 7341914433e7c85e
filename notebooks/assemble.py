"""What is generated around the notebooks: navigation, boxes, the index with its map, the Chinese course.

One idea: a notebook says once what it is (its first cell: title, minutes, what comes
before it, question), and everything that leads there is made from that.

A Chinese notebook holds prose alone that is its own. Its code is the English one but
for the cell that sets the language, and each cell of prose stores a hash of the
English cell that it renders: when that one changes, the Chinese cell is stale.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from skynet_lite.skynet.dialect import RULES, Rule

FOLDER = Path(__file__).parent
CHINESE = FOLDER / "zh"
NUMBERED = "[0-9][0-9]_*.ipynb"
NAVIGATION, TODAY, TABLE = "navigation", "today", "rules"
GENERATED = {NAVIGATION, TODAY}
BOX = {
    "en": '> **Today** (since {since}): {said} `Node(skynet="1.8")` does the same.',
    "zh": '> **现在的 skynet**（自 {since} 起）：{said}`Node(skynet="1.8")` 也是这样。',
}
RULES_ZH = {  # each with the digest of the English
    1: ("712aa44049783840", "要等待的协程先自己登记到各张表里，再让出 `SUSPEND`。"),
    2: ("6dad5ee578770b0e", "`ret` 和 `response` 就在协程里立即完成，不发生切换。"),
    3: (
        "e52a62499c07d614",
        "`ret`、`response` 之后请求即告了结：再答一次会在处理函数里抛错，可以捕获；其后出错或 `exit` 不再通知请求方。",
    ),
    4: (
        "eadb847ba1508ec9",
        "对 send 来的消息，`response` 给出的函数什么也不做。"
        "对 call，`TEST` 在给出响应、或收到请求方退出的通知之前为真。",
    ),
    5: (
        "09bac7e72b9c8bb7",
        "一个协程抛出错误之后，调度器 fork 一个空函数；它一结束，还在等的唤醒和失败的调用就在同一次派发里继续。",
    ),
    6: (
        "cb3d6822f6d64a02",
        "服务退出之后不再有记录：给它的响应照样发出，只是没有人收；收到它退出的通知时，为它保留的响应函数被去掉。",
    ),
    7: ("70f556abc4a7937c", "唤醒队列一直处理到空：过期的唤醒被丢掉，接着取下一个；队列空了，才轮到下一个失败的调用。"),
    8: ("6eb96d5ab0dd3e9f", "fork 先进先出，排队期间新加的也一样。"),
    9: ("0f5329a37251289c", "协程被恢复时，会得知是哪个 session 结束了它的等待。"),
    10: (
        "16fb4ce01549f30a",
        "`socket.listen` 要等 CONNECT 消息，返回 id、地址和端口；`socket.start` 再等第二个 CONNECT。",
    ),
    11: ("3cf26b42037b19f2", "网络线程已经丢弃的 socket，再去关闭也不会有 CLOSE 消息。"),
    12: ("ec7ea3630f0fddec", "超过上限的 socket 会被关闭，但已经收到的数据仍可读出。"),
    13: ("dcbaaf28933df0ab", "服务结束时，每个还在排队的请求，其请求方收到带该 session 的错误：只有这一次调用失败。"),
    14: (
        "ad89d2d9463c1adb",
        "`sleep` 和 `wait` 可以带 token。正在使用的 token 会被拒绝，但要等 session 分配之后才拒绝。",
    ),
    15: ("0c229d4bc315a0c9", "`request` 和 `select`：立即启动一个专用的协程，由它等待所有响应。"),
    16: (
        "9f46ce4ca8254e33",
        "`killthread`：被终止的调用，其响应被吞掉；被终止的睡眠，其定时器到点后成为没有人认得的响应。",
    ),
}
RULES_HEAD = {"en": "| | since | today | shown in |", "zh": "| | 始于 | 现在的 skynet | 见 |"}
FOLDED = "# solution\n"
TALKS = ("00", "06")
PICTURE = re.compile(r"\b(?:where|cycle|frozen|timeline|stepper)\(")
NOT_SHOWN = re.compile("## (Where to find|Exercises|Questions to check|Further|每一步在哪里|练习|自测|延伸)")

WORDS = {
    "en": ("contents", "中文", "reading", "exercises", "minutes"),
    "zh": ("目录", "English", "阅读", "练习", "分钟"),
}


@dataclass(frozen=True)
class About:
    """What a notebook says of itself in its first cell."""

    path: Path
    title: str
    reading: int
    exercising: int
    before: tuple[str, ...]
    question: str

    @property
    def number(self) -> str:
        return self.path.name[:2]


def about(path: Path, notebook: Any) -> About:
    """Read the first cell. Raises ValueError that says what is missing in it."""
    text = notebook.cells[0].source if notebook.cells else ""
    title = re.match(r"# (.+)", text)
    minutes = re.search(r"^\*(?:Reading|阅读)[:：]\s*(\d+).*?(?:exercises|练习)[:：]\s*(\d+).*\*$", text, re.MULTILINE)
    question = re.search(r"^\*\*(?:The question|问题)[:：]\*\*\s*(.+)$", text, re.MULTILINE)
    for name, found in (("# title", title), ("*Reading: N minutes · exercises: N minutes · ...*", minutes),
                        ("**The question:** ...", question)):  # fmt: skip
        if found is None:
            raise ValueError(f"{path.name}: the first cell has no line of the form {name!r}")
    assert title and minutes and question
    before = tuple(re.findall(r"\((\d\d)_\w+\.ipynb\)", minutes[0]))
    return About(path, title[1], int(minutes[1]), int(minutes[2]), before, question[1])


def course(folder: Path) -> list[Path]:
    return sorted(folder.glob(NUMBERED))


# --------------------------------------------------------------------------- navigation


def navigation(path: Path, names: list[Path], titles: dict[str, str], lang: str) -> str:
    """previous | contents | next | the other language."""
    contents, other, *_ = WORDS[lang]
    k = names.index(path)
    parts = []
    if k > 0:
        parts.append(f"[← {titles[names[k - 1].name]}]({names[k - 1].name})")
    parts.append(f"[{contents}](index.ipynb)")
    if k + 1 < len(names):
        parts.append(f"[{titles[names[k + 1].name]} →]({names[k + 1].name})")
    twin = (CHINESE if lang == "en" else FOLDER) / path.name
    if twin.exists():
        parts.append(f"[{other}]({'zh' if lang == 'en' else '..'}/{path.name})")
    return " | ".join(parts)


def navigate(notebook: Any, bar: str, lang: str, boxes: dict[int, list[str]]) -> None:
    """The bar stands below the first cell and at the end, a box behind each cell that shows what has changed since.

    All that has changed is a table behind the cell with the tag `rules`; `boxes` says where each rule has a box.
    """
    cells: list[Any] = []
    for cell in notebook.cells:
        if not is_generated(cell):
            cells += [cell, *(_generated(TODAY, today(rule, lang)) for rule in rules_of(cell))]
            if TABLE in cell.metadata.get("tags", []):
                cells.append(_generated(TODAY, table(lang, boxes)))
    notebook.cells = [cells[0], _generated(NAVIGATION, bar), *cells[1:], _generated(NAVIGATION, bar)]


def is_generated(cell: Any) -> bool:
    return not GENERATED.isdisjoint(cell.metadata.get("tags", []))


def rules_of(cell: Any) -> list[int]:
    """The numbers of the rules that a cell wants a box of."""
    return [int(tag[6:]) for tag in cell.metadata.get("tags", []) if tag.startswith("today-")]


def boxes(notebooks: dict[str, Any]) -> dict[int, list[str]]:
    """By rule, the notebooks (of file name → notebook) in which it has a box."""
    found: dict[int, list[str]] = {}
    for name, notebook in notebooks.items():
        for number in sorted({rule for cell in notebook.cells for rule in rules_of(cell)}):
            found.setdefault(number, []).append(name)
    return found


def today(number: int, lang: str) -> str:
    """What a rule of the two dialects says of today's skynet, in a box. Raises ValueError if that is not known."""
    rule = next((rule for rule in RULES if rule.number == number), None)
    if rule is None:
        raise ValueError(f"today-{number}: there is no such rule in skynet/dialect.py")
    return BOX[lang].format(since=rule.since, said=_said(rule, lang))


def table(lang: str, boxes: dict[int, list[str]]) -> str:
    """All rules: number, release, what is so today, and the notebooks that have a box of it."""
    rows = [RULES_HEAD[lang], "| ---: | --- | --- | --- |"]
    for rule in RULES:
        names = boxes.get(rule.number, [])
        folders = ["../" if lang == "zh" and not (CHINESE / name).exists() else "" for name in names]
        links = [f"[{name[:2]}]({folder}{name})" for name, folder in zip(names, folders, strict=True)]
        rows.append(f"| {rule.number} | {rule.since} | {_said(rule, lang)} | {', '.join(links) or '–'} |")
    return "\n".join(rows)


def _said(rule: Rule, lang: str) -> str:
    if lang == "en":
        return rule.today
    of, said = RULES_ZH.get(rule.number, ("", ""))
    if of != digest(rule.today):
        raise ValueError(f"today-{rule.number}: RULES_ZH does not say what the rule says now ({digest(rule.today)})")
    return said


def _generated(tag: str, text: str) -> Any:
    return nbformat.v4.new_markdown_cell(text, metadata={"tags": [tag]})


def fold(notebook: Any) -> None:
    """A folded cell shows its first line, which must not be the solution."""
    for cell in notebook.cells:
        solution = cell.cell_type == "code" and "solution" in cell.metadata.get("tags", [])
        if solution and not cell.source.startswith(FOLDED):
            cell.source = FOLDED + cell.source


def slides(notebook: Any) -> None:
    """Say what each cell is in a talk: a heading begins a slide, code has one below, other prose is the speaker's."""
    skipped, before = False, ""
    for cell in notebook.cells:
        code, tags = cell.cell_type == "code", cell.metadata.get("tags", [])
        if cell.source.startswith("## "):
            skipped = NOT_SHOWN.match(cell.source) is not None
        if (
            skipped
            or cell.source == "node.close()"
            or {NAVIGATION, TODAY, "language", "prediction", "exercise", "solution"}.intersection(tags)
        ):
            kind = "skip"
        elif not code and cell.source.startswith("#"):
            kind = "slide"
        elif code or "<details>" in cell.source:
            kind = "-" if code and before == "slide" and not PICTURE.search(cell.source) else "subslide"
        else:
            kind = "notes"
        before = before if kind == "skip" else kind
        cell.metadata["slideshow"] = {"slide_type": kind}


# --------------------------------------------------------------------------- Chinese


def digest(source: str) -> str:
    """The hash of an English cell of prose that its Chinese cell stores."""
    return hashlib.sha256(source.strip().encode()).hexdigest()[:16]


def in_chinese(english: Any, chinese: Any) -> tuple[Any, list[str]]:
    """The Chinese notebook anew, and what is stale in it: English code, Chinese prose by hash.

    Prose whose English has changed keeps its place (and its old hash), prose that is
    not there yet is English; both are named in the list.
    """
    english_cells = [c for c in english.cells if not is_generated(c)]
    prose = [c for c in chinese.cells if c.cell_type == "markdown" and not is_generated(c)]
    by_hash = {c.metadata.get("renders", ""): c for c in prose}
    places = {c.metadata.get("renders", ""): k for k, c in enumerate(prose)}
    cells, stale, k = [], [], 0
    for cell in english_cells:
        tags = list(cell.metadata.get("tags", []))
        if cell.cell_type == "code":
            copy = nbformat.v4.new_code_cell(chinese_code(cell), metadata=dict(cell.metadata))
            cells.append(copy)
            continue
        wanted = digest(cell.source)
        found = by_hash.get(wanted)
        if found is None:
            stale.append(cell.source.strip().splitlines()[0][:70])
            # The cell that stands where this one should: its English was changed.
            orphan = prose[k] if k < len(prose) and not _renders(prose[k], english_cells) else None
            source = orphan.source if orphan is not None else cell.source
            renders = orphan.metadata.get("renders", "") if orphan is not None else ""
            k += orphan is not None
        else:
            source, renders, k = found.source, wanted, places[wanted] + 1
        cells.append(nbformat.v4.new_markdown_cell(source, metadata={"renders": renders, "tags": tags}))
    made = nbformat.from_dict({**chinese, "cells": cells})
    return made, stale


def chinese_code(cell: Any) -> str:
    """The code of a cell in the Chinese course: it speaks Chinese, and so do titles and marks (strings_zh.toml)."""
    source: str = cell.source
    if "language" in cell.metadata.get("tags", []):
        source = source.replace('language("en")', 'language("zh")')
    return re.sub(r'"([^"\\\n]+)"', lambda found: f'"{_STRINGS.get(found[1], found[1])}"', source)


_STRINGS: dict[str, str] = tomllib.loads((FOLDER / "strings_zh.toml").read_text(encoding="utf-8"))


def _renders(cell: Any, english: list[Any]) -> bool:
    return cell.metadata.get("renders") in {digest(c.source) for c in english if c.cell_type == "markdown"}


def stamp(english: Any, chinese: Any) -> None:
    """Say that the Chinese prose renders the English as it is now: cell by cell, in order.

    Raises ValueError if one has more cells of prose than the other.
    """
    ours, theirs = (
        [c for c in nb.cells if c.cell_type == "markdown" and not is_generated(c)] for nb in (english, chinese)
    )
    if len(ours) != len(theirs):
        raise ValueError(f"{len(theirs)} cells of Chinese prose for {len(ours)} English ones")
    for cell, rendering in zip(ours, theirs, strict=True):
        rendering.metadata["renders"] = digest(cell.source)


# --------------------------------------------------------------------------- the index


def index(abouts: list[About], lang: str, preface: str) -> Any:
    """The notebook of contents: a preface, the map, a table of all notebooks."""
    _, other, reading, exercises, minutes = WORDS[lang]
    twin = "zh/index.ipynb" if lang == "en" else "../index.ipynb"
    images = "images" if lang == "en" else "../images"
    alt = {"en": "Map of the course: which notebook comes before which", "zh": "课程地图：各章的先后关系"}[lang]
    head = {
        "en": f"| | the question | {reading} | {exercises} |",
        "zh": f"| | 问题 | {reading} | {exercises} |",
    }[lang]
    rows = [f"| [{a.title}]({a.path.name}) | {a.question} | {a.reading} | {a.exercising} |" for a in abouts]
    total = f"{sum(a.reading for a in abouts)} + {sum(a.exercising for a in abouts)} {minutes}"
    table = "\n".join([head, "| --- | --- | ---: | ---: |", *rows])
    cells = [
        nbformat.v4.new_markdown_cell(preface),
        _generated(NAVIGATION, f"[{other}]({twin})"),
        _generated(NAVIGATION, f"![{alt}]({images}/map.{lang}.svg)"),
        _generated(NAVIGATION, f"{table}\n\n*{reading} + {exercises}: {total}*"),
    ]
    return nbformat.v4.new_notebook(cells=cells)


NAME = 23  # characters that a box of the map can hold


def map_svg(abouts: list[About], lang: str) -> str:
    """The map: a box for each notebook, a line from each to those that build on it.

    Its row is how many notebooks have to be read before it; a line that another way
    implies is left out. It brings its own ground, so that it can be read in a dark theme.
    """
    needs = {a.number: {b for b in a.before if any(b == c.number for c in abouts)} for a in abouts}
    all_before: dict[str, set[str]] = {}
    for a in abouts:  # in the order of their numbers: what comes before has been seen
        all_before[a.number] = needs[a.number].union(*(all_before[b] for b in needs[a.number]))
    depth: dict[str, int] = {}
    for a in abouts:
        depth[a.number] = max((depth[b] + 1 for b in needs[a.number]), default=0)
    rows: dict[int, list[str]] = {}
    for number, row in depth.items():
        rows.setdefault(row, []).append(number)
    width, height, gap_x, gap_y = 176, 42, 24, 26
    total_w = max(len(row) for row in rows.values()) * (width + gap_x) + gap_x
    total_h = len(rows) * (height + gap_y) + gap_y
    place = {}
    for row, numbers in rows.items():
        left = (total_w - len(numbers) * (width + gap_x) + gap_x) / 2
        for column, number in enumerate(numbers):
            place[number] = (left + column * (width + gap_x), gap_y + row * (height + gap_y))
    lines, boxes = [], []
    for a in abouts:
        x, y = place[a.number]
        for b in sorted(needs[a.number]):
            if any(b in all_before[c] for c in needs[a.number]):
                continue
            x0, y0, x1 = place[b][0] + width / 2, place[b][1] + height, x + width / 2
            mid = (y0 + y) / 2
            lines.append(f'<path d="M{x0:g} {y0:g} C{x0:g} {mid:g} {x1:g} {mid:g} {x1:g} {y:g}"/>')
        name = re.sub(r"^\d\d · ", "", a.title).partition(":")[0].partition("：")[0]
        if len(name) > NAME:
            raise SystemExit(
                f"{a.path.name}: {name!r} is too long for a box of the map; put a colon before its second half"
            )
        boxes.append(
            f'<a href="{a.path.name}"><rect x="{x:g}" y="{y:g}" width="{width}" height="{height}" rx="7"/>'
            f'<text x="{x + 10:g}" y="{y + 17:g}" class="n">{a.number}</text>'
            f'<text x="{x + 10:g}" y="{y + 33:g}">{_xml(name)}</text></a>'
        )
    title = {"en": "Map of the course", "zh": "课程地图"}[lang]
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total_w} {total_h}" width="{total_w}" '
        f'height="{total_h}" role="img" aria-label="{title}">',
        f"<title>{title}</title>",
        "<style>rect{fill:#fff;stroke:#5b6470}text{font:13px system-ui,sans-serif;fill:#1c2128}"
        ".n{font-size:11px;fill:#5b6470}path{fill:none;stroke:#8a94a2;stroke-width:1.5}</style>",
        f'<rect x="0" y="0" width="{total_w}" height="{total_h}" rx="10" style="fill:#f4f6f8;stroke:none"/>',
        *lines, *boxes, "</svg>", "",
    ])  # fmt: skip


def _xml(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("`", "")

"""One step as a picture: what a stored notebook shows where no widget can run.

One idea: the shapes are worked out once, from the events alone, and drawn twice: as SVG,
which follows the reader's dark or light ground, and as PNG, where SVG is not trusted.
"""

from __future__ import annotations

import re
import textwrap
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from ..trace.kinds import runtimes
from ..trace.language import language, speaking
from ..trace.text import cells, line, printable
from .forms import word
from .lanes import selected
from .payload import _coroutine
from .words import plain, sentences

if TYPE_CHECKING:
    from ..trace import Trace

WIDTH, LINE, SIZE, LETTER = 880, 20, 13, 7.85
_SIDE, _AROUND, _ROWS = 16, 3, 6
_SANS = "system-ui,'Segoe UI','PingFang SC','Microsoft YaHei','Noto Sans CJK SC',sans-serif"
_MONO = "ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace"
_COLOURS = {  # on a light ground, on a dark one
    "page": ("#ffffff", "#14171c"), "ink": ("#1c2128", "#e6e9ee"), "soft": ("#5b6470", "#98a2b0"),
    "here": ("#dbe9fb", "#24405f"), "new": ("#d9f2e3", "#1d4a35"), "rule": ("#c4cad1", "#39414c"),
}  # fmt: skip


class Shape(NamedTuple):
    """A box with a width and a height, or, with neither, a text whose base line begins at x, y."""

    kind: str
    x: float
    y: float
    width: float = 0
    height: float = 0
    text: str = ""
    mono: bool = True


class Frame(NamedTuple):
    """A step: its event, its sentence, the lines of code around it, the rows of its tables, and the picture."""

    event: int
    sentence: str
    code: list[tuple[int, str, bool]]  # number, text, whether it runs
    tables: list[tuple[str, str, bool]]  # name, row, whether this event has changed it
    shapes: list[Shape]
    height: int
    alt: str
    lang: str

    @property
    def svg(self) -> str:
        """Colours are attributes, so that they outlive whoever takes the style out."""
        dark = "".join(f".f .{kind}{{fill:{tones[1]}}}" for kind, tones in _COLOURS.items())
        told = [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="f" viewBox="0 0 {WIDTH} {self.height}" width="{WIDTH}" '
            f'height="{self.height}" role="img" lang="{self.lang}">\n<title>{escape(self.alt)}</title>',
            f"<style>@media (prefers-color-scheme:dark){{{dark}}}</style>",
        ]
        for s in self.shapes:
            look = f'class="{s.kind}" fill="{_COLOURS[s.kind][0]}"'
            if s.text:
                font = f'font-family="{_MONO if s.mono else _SANS}" font-size="{SIZE}" xml:space="preserve"'
                told.append(f'<text x="{s.x:g}" y="{s.y:g}" {font} {look}>{escape(s.text)}</text>')
            else:
                told.append(f'<rect x="{s.x:g}" y="{s.y:g}" width="{s.width:g}" height="{s.height:g}" {look}/>')
        return "\n".join([*told, "</svg>", ""])

    def png(self) -> bytes:
        """The same in the fonts of matplotlib. Raises ImportError without it."""
        from .figure import LIGHT, Page, clean, rectangle

        page = Page(WIDTH, self.height, LIGHT)
        page.axes.set_ylim(self.height, 0)
        for n, s in enumerate(self.shapes):
            colour = _COLOURS[s.kind][0]
            if s.text:
                box = (s.x, s.y - 10, s.x, s.y + 1)
                page.text(box, clean(s.text, s.mono, 140), colour, mono=s.mono, size=SIZE * 0.95, align="left")
            else:
                page.polygons([rectangle(s.x, s.y, s.x + s.width, s.y + s.height)], colour, n / 1000)
        return page.figure.png(144)


def frame(
    trace: Trace, step: int | None = None, *, services: Any = None, title: str | None = None, lang: str | None = None
) -> Frame:
    """The step at event `step` (its number in the whole), or at the first wakeup, or resume, of what is shown."""
    with speaking(lang):
        return _frame(trace, _chosen(trace, services) if step is None else step, title or "")


def _chosen(trace: Trace, services: Any) -> int:
    shown = selected(trace, services)
    for kind in ("wakeup", "resume"):
        for i, e in trace.numbered():
            if e["e"] == kind and e.get("service") in shown:
                return i
    return trace.numbers[0]


def _frame(trace: Trace, i: int, title: str) -> Frame:
    whole = trace.whole
    event = whole.events[i]
    service = event.get("service", "")
    sentence = plain(sentences(whole[i : i + 1])[0])
    code, place = _code(whole, i)
    rows = _rows(whole, i, service)
    head = f"{word('viewer.step.n', n=i)} · {whole.names().get(service, '')} {service}".rstrip(" ·")
    shapes: list[Shape] = []
    y = 26.0

    def write(text: str, kind: str = "ink", mono: bool = True, ground: str = "", x: float = _SIDE) -> None:
        nonlocal y
        if ground:
            shapes.append(Shape(ground, _SIDE - 6, y - 14.5, WIDTH - 2 * _SIDE + 12, LINE))
        shapes.append(
            Shape(kind, x, y, text=_cut(text, int((WIDTH - x - _SIDE) / LETTER)) if mono else text, mono=mono)
        )
        y += LINE

    def rule() -> None:
        nonlocal y
        shapes.append(Shape("rule", _SIDE, y - 10, WIDTH - 2 * _SIDE, 1))
        y += 12

    write(" · ".join(filter(None, (printable(title), head))), "soft", False)
    for part in _wrapped(sentence):
        write(part, mono=False)
    rule()
    near = [k for k in range(i - _AROUND, i + _AROUND + 1) if trace.numbers[0] <= k <= trace.numbers[-1]]
    for k in near:
        here = k == i
        write(("▶ " if here else "  ") + f"{k:>5} " + line(whole.events[k]), "ink" if here else "soft",
              ground="here" if here else "")  # fmt: skip
    if code:
        rule()
        write(place, "soft")
        for number, text, here in code:
            write(f"{'▶' if here else ' '} {number:>4}  {text}", ground="here" if here else "")
    if rows:
        rule()
        wide = max(len(name) for name, _, _ in rows) + 2
        last = ""
        for name, row, new in rows:
            write(f"{name if name != last else '':<{wide}}{row}", ground="new" if new else "")
            last = name
    height = round(y)
    shapes.insert(0, Shape("page", 0, 0, WIDTH, height))
    return Frame(i, sentence, code, rows, shapes, height, f"{head}. {sentence}", language())


def _code(whole: Trace, i: int) -> tuple[list[tuple[int, str, bool]], str]:
    """The user's line that runs or ran last in the coroutine; if it has none, that of the coroutine it acts on."""
    e = whole.events[i]
    found = [_lines(whole, i, (e.get("service"), co)) for co in (_coroutine(e), e.get("co")) if co]
    return next((one for one in found if one[0]), ([], ""))


def _lines(whole: Trace, i: int, who: tuple[Any, Any]) -> tuple[list[tuple[int, str, bool]], str]:
    for k in range(i, -1, -1):
        one = whole.events[k]
        if (one.get("service"), _coroutine(one)) != who:
            continue
        stack = one["stack"] if "stack" in one else [one["runs"]] if "runs" in one else []
        place = next((p for p in stack if not runtimes(p)), None)
        if place:
            label, _, number = place.rpartition(":")
            lines, n = whole.sources.get(label, "").expandtabs(4).splitlines(), int(number)
            shown = range(max(1, n - 2), min(len(lines), n + 2) + 1)
            return [(k, printable(lines[k - 1]), k == n) for k in shown], place
        if one["e"] == "co_create":
            break
    return [], ""


def _rows(whole: Trace, i: int, service: str) -> list[tuple[str, str, bool]]:
    """What is in the tables of the service after the event, and what it has just taken out."""
    after = whole.state(i)["services"].get(service, {})
    before = (whole.state(i - 1) if i else whole.tables().view())["services"].get(service, {})
    rows: list[tuple[str, str, bool]] = []
    for name, table in after.items():
        new, old = _entries(table), _entries(before.get(name, {}))
        told = [(name, row, row not in old) for row in new]
        gone = [(name, f"− {row}", True) for row in old if row not in new]
        if (more := len(told) - _ROWS) > 0:
            told = [*sorted(told, key=lambda row: not row[2])[:_ROWS], (name, f"… + {more}", False)]
        rows += told + gone[:_ROWS]
    return rows


def _entries(table: Any) -> list[str]:
    if isinstance(table, dict):
        return [printable(f"{key} → {value}") for key, value in table.items()]
    if isinstance(table, list | tuple):
        return [printable(str(value)) for value in table]
    return []


def _wrapped(sentence: str) -> list[str]:
    if cells(sentence) == len(sentence):
        return textwrap.wrap(sentence, 112)
    parts = [""]
    for piece in re.findall(r"[!-~]+|.", sentence):  # a name is not taken apart
        if cells(parts[-1] + piece) > 120 and piece not in "，。：；）":
            parts.append("")
        parts[-1] += piece
    return parts


def _cut(text: str, limit: int) -> str:
    if cells(text) <= limit:
        return text
    while cells(text) >= limit:
        text = text[:-1]
    return text + "…"

"""The bytes of a message, to be pointed at: a picture, and a decoder for the notebook on seri.

One idea: `seri.walk` says where each value lies. What is told here of a byte is its part's
tag, the byte's own role in it, and the place of the value in the tables around it.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import SeriError
from ..lualib import seri
from ..trace.files import to_json
from ..trace.language import say, speaking
from ..trace.text import cells
from ..view.figure import LIGHT, SMALL, Page, Timeline, clean, fit, legible, rectangle

try:
    import anywidget
    import traitlets
except ImportError as e:  # pragma: no cover
    raise ImportError(f"the decoder is an anywidget ({e}): pip install 'skynet_lite[notebooks]'") from None

MOST = 2048
"""Bytes that are shown."""
WIDE = 16  # bytes in a row
CELL, TALL, LEFT = 42.0, 20.0, 40.0  # points
COLOURS = {
    "nil": "#d5dae0", "end": "#d5dae0", "boolean": "#d9c2ec", "integer": "#a9cbee", "float": "#8fd0d6",
    "lightuserdata": "#e9b9cc", "string": "#b5dfbc", "table": "#f5cd92", "?": "#f2a7a0",
}  # fmt: skip


@dataclass(frozen=True)
class Placed:
    """A part, and where its value is: `value 2["items"][1]`. What cannot be read is one of kind "?"."""

    at: int
    size: int
    head: int  # its first bytes that are tag and length
    depth: int
    kind: str
    shown: str
    place: str
    says: str


def placed(data: bytes) -> list[Placed]:
    """All parts up to the first error, and that."""
    found: list[Placed] = []
    tables: list[list[str]] = []  # of each that is open: its place, the key whose value is to come
    end = 0
    try:
        for part in seri.walk(data):
            at, size, depth, kind, value, role = part
            tag = data[at]
            head = 1
            if kind == "string" and tag & 7 == seri.LONG_STRING:
                head += tag >> 3
            elif kind == "table":
                head = size
            shown = _shown(kind, value)
            if kind == "end":
                place = say("the end of ", "结束：") + tables.pop()[0]
            elif not tables:
                place = say(f"value {role}", f"第 {role} 个值")
            elif role == "key":
                tables[-1][1] = shown
                place = say("a key of ", "键：") + tables[-1][0]
            else:
                place = f"{tables[-1][0]}[{tables[-1][1] if role == 'value' else role}]"
            if kind == "table":
                tables.append([place, ""])
            found.append(Placed(at, size, head, depth, kind, shown, place, _says(kind, tag)))
            end = at + size
    except SeriError as e:
        found.append(Placed(end, len(data) - end, 1, len(tables), "?", "?", "", str(e)))
    return found


def _shown(kind: str, value: Any) -> str:
    """A value as Lua would write it, in short."""
    if kind == "string":
        return '"' + clean(value.decode("utf-8", "surrogateescape"), limit=24) + '"'
    if kind in ("table", "end"):
        return "}" if kind == "end" else f"{{ {value}" if value else "{"
    if kind == "lightuserdata":
        return f"{value.address:016x}"
    return (
        {None: "nil", True: "true", False: "false"}.get(value, repr(value))
        if kind in ("nil", "boolean")
        else repr(value)
    )


def _says(kind: str, tag: int) -> str:
    """What a tag says: its type, and what the cookie means there."""
    cookie = tag >> 3
    if kind == "integer":
        signed = say("signed", "有符号") if cookie > 2 else say("unsigned", "无符号")
        size = {1: 1, 2: 2, 4: 4, 6: 8}.get(cookie, 0)
        return (
            say(f"integer; {size} bytes follow, {signed}", f"整数，后面是 {size} 个字节，{signed}") if size
            else say("the integer 0, no body", "整数 0，没有后续字节")
        )  # fmt: skip
    if kind == "table":
        return (
            say("table; the number of its items follows as an integer", "表，数组部分的项数作为整数写在后面")
            if cookie == 31
            else say(f"table of {cookie} items", f"表，数组部分有 {cookie} 项")
        )  # fmt: skip
    if kind == "string":
        return (
            say(f"string of {cookie} bytes", f"字符串，{cookie} 个字节") if tag & 7 == seri.SHORT_STRING
            else say(f"string; its length follows in {cookie} bytes", f"字符串，后面先用 {cookie} 个字节写长度")
        )  # fmt: skip
    words = {
        "nil": ("nil", "nil"), "end": ("nil where a key should be: the table ends", "在键的位置出现 nil：表结束"),
        "boolean": ("boolean; the cookie is its value", "布尔值，cookie 就是它的值"),
        "float": ("float; eight bytes follow, an IEEE double", "浮点数，后面是 8 个字节的 IEEE double"),
        "lightuserdata": ("light userdata; eight bytes follow, a pointer", "light userdata，后面是 8 个字节的指针"),
    }  # fmt: skip
    return say(*words[kind])


def listing(data: bytes) -> str:
    """One line for each part: where it begins, its bytes, what they are."""
    lines = []
    for part in placed(data):
        digits = data[part.at : part.at + part.size].hex(" ")
        digits = digits if len(digits) <= 29 else digits[:26] + "..."
        lines.append(f"{part.at:4}  {digits:29}  {'  ' * part.depth}{part.says if part.kind == '?' else part.shown}")
    return "\n".join(lines)


def picture(data: bytes, title: str = "") -> Timeline:
    """The bytes in rows, each value in the colour of its type, with what it means below."""
    with speaking(legible(say("en", "zh"))):
        parts = _few(data)
        deepest = max((part.depth for part in parts), default=0)
        rows = max(1, -(-len(data) // WIDE))
        pitch = TALL + 36.0 + 3.0 * deepest  # so that a line is near to its own bytes
        top = 34.0 if title else 12.0
        wrong = bool(parts) and parts[-1].kind == "?"
        page = Page(LEFT + WIDE * CELL + 16, max(110.0, top + rows * pitch + (48 if wrong else 30)), LIGHT)
        height = page.height
        if title:
            page.fixed(LEFT, height - 18, clean(title), LIGHT.ink, "left", bold=True, size=11)

        def corner(i: int) -> tuple[float, float]:
            return LEFT + i % WIDE * CELL, height - top - i // WIDE * pitch - TALL

        for row in range(rows):
            page.fixed(LEFT - 8, corner(row * WIDE)[1] + TALL / 2, str(row * WIDE), LIGHT.faint, "right", size=SMALL)
        for part in parts:
            for i in range(part.at, part.at + part.size):
                x, y = corner(i)
                tag = i < part.at + part.head
                shape = rectangle(x + 1, y, x + CELL - (1 if i == part.at + part.size - 1 else -1), y + TALL)
                page.polygons([shape], COLOURS[part.kind] if tag else COLOURS[part.kind] + "80")
                page.text((x, y, x + CELL, y + TALL), f"{data[i]:02x}", LIGHT.ink, mono=True, bold=i == part.at)
            x, y = corner(part.at)
            room = CELL * min(part.size, WIDE - part.at % WIDE)
            if part.shown and part.size:
                text = fit(clean(part.shown), room - 2)
                page.text((x + 2, y - 13, x + room, y - 1), text, LIGHT.ink, size=SMALL, align="left")
        _nesting(page, parts, corner, len(data))
        _legend(page, parts)
        if wrong:
            page.fixed(LEFT, 32, clean(parts[-1].says, limit=100), LIGHT.stop, "left")
        figure = page.figure
        values = sum(part.depth == 0 and part.kind not in ("end", "?") for part in parts)
        figure.summary = f"bytes: {len(data)}, values: {values}"
        figure.description = (
            say("The bytes of a message, value by value:", "一条消息的字节，逐个值：") + "\n" + listing(data)
        )
        figure.tale = lambda: listing(data)
        return figure


def _few(data: bytes) -> list[Placed]:
    if len(data) > MOST:
        raise ValueError(f"{len(data)} bytes are too many to be looked at: {MOST} are shown at most")
    return placed(data)


def _nesting(page: Page, parts: list[Placed], corner: Any, end: int) -> None:
    """A line below all bytes of a table, the inner ones above the outer."""
    opened: list[Placed] = []
    deepest = max((part.depth for part in parts), default=0)
    spans = []
    for part in parts:
        if part.kind == "table":
            opened.append(part)
        elif part.kind == "end":
            spans.append((opened.pop(), part.at + 1))
    spans += [(part, end) for part in opened]
    lines = []
    for part, stop in spans:
        for row in range(part.at // WIDE, (stop - 1) // WIDE + 1):
            first, last = max(part.at, row * WIDE), min(stop, (row + 1) * WIDE) - 1
            y = corner(first)[1] - 16 - 3.0 * (deepest - part.depth)
            lines.append([(corner(first)[0] + 2, y), (corner(last)[0] + CELL - 2, y)])
    page.segments(lines, "#c98a2b", 1.6)


def _legend(page: Page, parts: list[Placed]) -> None:
    names = {
        "nil": say("nil, end of a table", "nil、表的结尾"), "boolean": say("boolean", "布尔"),
        "integer": say("integer", "整数"), "float": say("float", "浮点数"),
        "string": say("string", "字符串"), "table": say("table", "表"), "lightuserdata": "light userdata",
        "?": say("cannot be read", "无法读取"),
    }  # fmt: skip
    x = LEFT
    kinds = {"nil" if part.kind == "end" else part.kind for part in parts if part.size}
    for kind in [kind for kind in names if kind in kinds]:
        page.polygons([rectangle(x, 8, x + 12, 18)], COLOURS[kind])
        page.text((x + 16, 6, x + 160, 20), names[kind], LIGHT.faint, size=SMALL, align="left")
        x += 34 + 7.5 * cells(names[kind])


class Decoder(anywidget.AnyWidget):
    """What `decoder` returns. `at`: the byte that is pointed at; set it to go there."""

    _esm = (Path(__file__).parent / "wire.js").read_text(encoding="utf-8")
    payload = traitlets.Unicode().tag(sync=True)
    at = traitlets.Int(0).tag(sync=True)

    def __init__(self, data: bytes, *, at: int = 0, title: str = "") -> None:
        if not 0 <= at < max(1, len(data)):
            raise ValueError(f"no byte {at} here: there are {len(data)}")
        parts = _few(data)
        shown = [
            (f"{data[i]:02x}", n, _told(data, i, part))
            for n, part in enumerate(parts)
            for i in range(part.at, part.at + part.size)
        ]
        label = say("Bytes of a message; arrow keys move", "一条消息的字节，用方向键移动")
        colours = [{"colour": COLOURS[part.kind], "body": part.at + part.head} for part in parts]
        super().__init__(payload=to_json({"label": label, "bytes": shown, "parts": colours}), at=at)
        self.told = [text for _, _, text in shown]
        """What is said of each byte."""
        self._picture = picture(data, title)
        self._listing = listing(data)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget, a text that is the same on every machine, and the picture for where no widget can be."""
        shown = super()._repr_mimebundle_(**kwargs)
        data, metadata = shown if isinstance(shown, tuple) else (shown, {})
        data = {**(data or {}), "text/plain": self._listing}
        data["image/png"] = base64.b64encode(self._picture.png()).decode("ascii")
        return data, {**metadata, "image/png": {"alt": self._picture.alt}}


def _told(data: bytes, i: int, part: Placed) -> str:
    """What there is to say of byte `i`."""
    byte, inside = data[i], i - part.at
    head = say(f"byte {i}: ", f"字节 {i}：") + f"{byte:02x}"
    if part.kind == "?":
        return f"{head}\n{part.says}"
    if inside == 0:
        head += f" = {byte >> 3:05b} {byte & 7:03b}" + say(
            f"    cookie {byte >> 3}, type {byte & 7}", f"    cookie {byte >> 3}，类型 {byte & 7}"
        )
        role = part.says
    elif inside < part.head:
        role = say("a byte of the length", "长度的一个字节")
    elif part.kind == "string":
        role = say(
            f"byte {inside - part.head + 1} of {part.size - part.head}",
            f"第 {inside - part.head + 1} 个字节，共 {part.size - part.head} 个",
        )
        head += f" = {chr(byte)!r}" if 32 < byte < 127 else ""
    else:
        role = say(
            f"byte {inside} of {part.size - 1}, the lowest first",
            f"第 {inside} 个字节，共 {part.size - 1} 个，低位在前",
        )
    span = data[part.at : part.at + part.size].hex(" ")
    span = span if len(span) <= 60 else span[:57] + "..."
    return f"{head}\n{role}\n\n{part.place}\n{span}  →  {part.shown}"


def decoder(data: bytes, *, at: int = 0, title: str = "") -> Decoder:
    """A message to be pointed at: click a byte, or move with the arrow keys.

    Where there is no kernel, the picture is left. Raises ValueError for more bytes than can be looked at.
    """
    return Decoder(data, at=at, title=title)

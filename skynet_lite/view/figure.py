"""The page a picture is drawn on: a matplotlib figure in points, its colours, its letters, its files.

One idea: one unit of the axes is 1/72 inch, and how wide a text is follows from its
letters alone. So the place of everything is known before anything is drawn, and the
same trace gives the same bytes each time.
"""

from __future__ import annotations

import base64
import io
import os
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..trace.text import cells, printable
from .forms import LANGUAGES
from .labels import Box, Placer

try:
    import matplotlib
    from matplotlib import font_manager
    from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
    from matplotlib.collections import LineCollection, PolyCollection
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties
    from matplotlib.ticker import MaxNLocator as MaxNLocator
except ImportError as e:  # pragma: no cover  # tested in a process of its own
    raise ImportError(
        f"timelines are drawn with matplotlib, which is not installed ({e}): pip install 'skynet_lite[notebooks]'"
    ) from None

SIZE, SMALL, TITLE = 8.5, 7.5, 12.0
_COLUMN = 900  # pixels that a notebook has for an output
_SANS, _MONO = "DejaVu Sans", "DejaVu Sans Mono"  # they come with matplotlib: the same everywhere
_WIDER = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "Microsoft YaHei", "SimHei", "PingFang SC", "Hiragino Sans GB", "Heiti SC", "Noto Sans CJK JP",
    "Droid Sans Fallback", "Arial Unicode MS",
)  # fmt: skip
"""Fonts for what those two have no glyphs for, the first that is installed."""

_FILES: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "skynet_lite", "pdf.fonttype": 42, "pdf.compression": 6,
    "font.sans-serif": [_SANS, "Verdana"], "font.monospace": [_MONO, "Menlo", "Consolas"], "savefig.bbox": None,
    "savefig.facecolor": "auto", "savefig.transparent": False,
}  # fmt: skip
"""Text stays text, and no setting of the reader's changes what is written."""


@dataclass(frozen=True)
class Theme:
    """Tones that stay apart for the colour-blind; shapes and dashes say the same again."""

    page: str
    band: str
    ink: str
    faint: str
    rule: str
    run: str
    resume: str
    stop: str
    wakeup: str
    socket: str
    failed: str


LIGHT = Theme(
    page="#ffffff", band="#f4f6f8", ink="#1c2128", faint="#68707c", rule="#d5dae0", run="#8fb3d9", resume="#00875a",
    stop="#c9281c", wakeup="#7b3fa0", socket="#e08a1e", failed="#b5476a",
)  # fmt: skip
DARK = Theme(
    page="#14171c", band="#1b2027", ink="#e6e9ee", faint="#98a2b0", rule="#39414c", run="#3f6ea3", resume="#2fc48d",
    stop="#ff6f5e", wakeup="#c792ea", socket="#f0a64a", failed="#f08aa9",
)  # fmt: skip


class Timeline(Figure):
    """A matplotlib figure that shows itself in a notebook as a picture with a description.

    It belongs to no pyplot state: nothing is to be closed, and it is shown once.
    `summary` is one line, the same on every machine; `description` says what is to be
    seen, and `tale`, told when it is asked for, what it means: together they are the alt text.
    """

    description: str = ""
    summary: str = ""
    tale: Callable[[], str] = staticmethod(lambda: "")

    @property
    def alt(self) -> str:
        """The picture for those who cannot see it."""
        return "\n".join(filter(None, (printable(self.description), self.tale())))

    def png(self, dpi: float = 144) -> bytes:
        """The picture as PNG, without date and version."""
        return self._bytes("png", {"Software": None}, dpi)

    def write(self, path: str | os.PathLike[str], dpi: float = 144) -> None:
        """Store the picture: .png, .svg or .pdf, where text stays text. The same bytes each time.

        Raises ValueError for another suffix, OSError if it cannot be written.
        """
        suffix = Path(path).suffix.lower()
        if suffix == ".png":
            data = self.png(dpi)
        elif suffix == ".svg":
            told = {"Title": self.summary, "Description": self.alt}
            data = self._bytes("svg", {"Date": None, "Creator": None, **told}, 72)
        elif suffix == ".pdf":
            told = {"Title": self.summary, "Subject": self.alt}
            data = self._bytes("pdf", {"CreationDate": None, "Producer": None, "Creator": None, **told}, 72)
        else:
            raise ValueError(f"no picture format for {Path(path).name!r}: let it end in .png, .svg or .pdf")
        Path(path).write_bytes(data)

    def _bytes(self, kind: str, metadata: dict[str, str | None], dpi: float) -> bytes:
        buffer = io.BytesIO()
        with matplotlib.rc_context(_FILES):
            self.savefig(buffer, format=kind, dpi=dpi, metadata=metadata)
        return buffer.getvalue()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, str], dict[str, Any]]:
        width, height = self.get_size_inches()
        data = {"image/png": base64.b64encode(self.png()).decode("ascii"), "text/plain": self.summary}
        scale = 80 * max(1.0, min(1.2, _COLUMN / 80 / width))  # a small one is shown as wide as there is room
        shown = {"alt": self.alt, "width": round(width * scale), "height": round(height * scale)}
        return data, {"image/png": shown}


# --------------------------------------------------------------------------- letters


@cache
def wider_font() -> str | None:
    """The installed font for letters that matplotlib's own have not, Chinese ones first of all, or None."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return next((name for name in _WIDER if name in installed), None)


@cache
def _font(families: tuple[str, ...], bold: bool, size: float) -> FontProperties:
    return FontProperties(family=list(families), weight="bold" if bold else "normal", size=size)


@cache
def _glyphs(family: str) -> frozenset[int]:
    return frozenset(font_manager.get_font(font_manager.findfont(_font((family,), False, SIZE))).get_charmap())


@cache
def _renderers() -> list[tuple[RendererAgg, float]]:
    """At the resolutions of screens, each with its pixels to the point: hinting makes widths differ."""
    return [(RendererAgg(8, 8, dpi), dpi / 72) for dpi in (72, 100, 144)]  # type: ignore[no-untyped-call]


@cache
def _letter(c: str, mono: bool, bold: bool, size: float) -> tuple[float, float]:
    """Width and height in points that a letter does not exceed at any usual resolution."""
    family, wider = _MONO if mono else _SANS, wider_font()
    if wider is not None and ord(c) not in _glyphs(family):
        family = wider
    font = _font((family,), bold, size)
    # A mark that combines takes no step; alone, it is as wide as a letter all the same.
    width, height = size if unicodedata.category(c).startswith("M") else 0.0, 0.0
    # Arabic and its like have other forms alone, at the ends and in the middle of a word.
    counts = (1, 2, 3, 4) if "\u0590" <= c < "\u2000" and unicodedata.category(c).startswith("L") else (4,)
    for renderer, scale in _renderers():
        measure: Callable[..., tuple[float, float, float]] = renderer.get_text_width_height_descent
        # Several of them: what hinting rounds is the step from one letter to the next.
        for count in counts:
            w, h, _ = measure(c * count, font, False)
            width, height = max(width, w / scale / count), max(height, h / scale)
    return width, height


@cache
def extent(text: str, mono: bool = False, bold: bool = False, size: float = SIZE) -> tuple[float, float]:
    """Width and height in points that a text, of one line or more, does not exceed."""
    lines, width, height = text.split("\n"), 0.0, _letter("(", mono, bold, size)[1]
    for line in lines:
        letters = [_letter(c, mono, bold, size) for c in line]
        width = max(width, sum(w for w, _ in letters))
        height = max(height, *(h for _, h in letters), 0.0)
    return width * 1.01 + 2.0, height * (1 + 1.2 * (len(lines) - 1)) + 2.0


def clean(text: str, mono: bool = False, limit: int = 44) -> str:
    """One line that a font here can draw, no longer than `limit` letters; a Chinese one counts for two.

    What no font has a glyph for is written as Python escapes it.
    """
    shown = "".join(
        c if _drawable(c, mono) else c.encode("unicode_escape", "backslashreplace").decode() for c in text[: limit + 1]
    )
    if max(len(shown), cells(shown)) <= limit:
        return shown
    shown = shown[: limit - 1]
    while cells(shown) >= limit:
        shown = shown[:-1]
    return shown + "…"


def legible(lang: str) -> str:
    """`lang`, if the fonts here have all letters in which figures speak it; else "en"."""
    words = "".join(text for key, text in LANGUAGES[lang].items() if key.startswith("fig."))
    return lang if all(_drawable(c) for c in set(words)) else "en"


def _drawable(c: str, mono: bool = False) -> bool:
    wider = wider_font()
    known = ord(c) in _glyphs(_MONO if mono else _SANS) or (wider is not None and ord(c) in _glyphs(wider))
    return known and c.isprintable()


def fit(text: str, width: float, bold: bool = False, size: float = SMALL) -> str:
    """`text`, cut until it is no wider than `width`."""
    while len(text) > 1 and extent(text, False, bold, size)[0] > width:
        text = text[:-2] + "…"
    return text


# --------------------------------------------------------------------------- the page


class Page:
    """`width` × `height` points, and what can be drawn there; `placer` knows which places are taken."""

    def __init__(self, width: float, height: float, theme: Theme) -> None:
        self.width, self.height, self.theme = width, height, theme
        self.placer = Placer(width, height)
        self.figure = Timeline(figsize=(width / 72, height / 72), facecolor=theme.page)
        FigureCanvasAgg(self.figure)
        self.axes = self.figure.add_axes((0.0, 0.0, 1.0, 1.0))
        self.axes.set_xlim(0, width)
        self.axes.set_ylim(0, height)
        self.axes.set_axis_off()

    def text(
        self, box: Box, text: str, colour: str, *, mono: bool = False, bold: bool = False, size: float = SIZE,
        align: str = "center",
    ) -> None:  # fmt: skip
        """Text within its box, which is a little wider than the text: in its middle, or at one side."""
        x = {"left": box[0], "right": box[2], "center": (box[0] + box[2]) / 2}[align]
        family, wider = _MONO if mono else _SANS, wider_font()
        plain = wider is None or all(ord(c) in _glyphs(family) for c in text if c != "\n")
        generic = "monospace" if mono else "sans-serif"  # for an SVG on a machine without these fonts
        families = (family, generic) if plain or wider is None else (family, wider, generic)
        self.axes.text(
            x, (box[1] + box[3]) / 2, text, color=colour, fontproperties=_font(families, bold, size),
            ha=align, va="center", linespacing=1.05, parse_math=False, usetex=False, zorder=6, clip_on=False,
        )  # fmt: skip

    def fixed(self, x: float, y: float, text: str, colour: str, align: str = "center", **style: Any) -> bool:
        """Text whose place is not up for search: there, or nowhere (False)."""
        width, height = extent(text, style.get("mono", False), style.get("bold", False), style.get("size", SIZE))
        left = {"left": x, "right": x - width, "center": x - width / 2}[align]
        box = (left, y - height / 2, left + width, y + height / 2)
        if not self.placer.free(box):
            return False
        self.placer.take(box)
        self.text(box, text, colour, align=align, **style)
        return True

    def segments(self, lines: list[Any], colour: str, width: float, dash: Any = "solid", zorder: float = 2) -> None:
        if lines:
            self.axes.add_collection(
                LineCollection(lines, colors=colour, linewidths=width, linestyles=[dash], zorder=zorder)
            )

    def polygons(self, shapes: list[Any], colour: str, zorder: float = 2.5) -> None:
        if shapes:
            self.axes.add_collection(PolyCollection(shapes, facecolors=colour, edgecolors="none", zorder=zorder))

    def markers(
        self, points: list[tuple[float, float]], shape: str, colour: str, size: float, hollow: bool = False
    ) -> None:
        if points:
            self.axes.scatter(
                [p[0] for p in points], [p[1] for p in points], s=size * size, marker=shape, zorder=5,
                facecolors=self.theme.page if hollow else colour, edgecolors=colour if hollow else self.theme.page,
                linewidths=1.1 if hollow else min(0.7, size / 8), clip_on=False,
            )  # fmt: skip


def rectangle(x0: float, y0: float, x1: float, y1: float) -> list[tuple[float, float]]:
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]

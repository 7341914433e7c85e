"""A trace as one page of its own: the viewer, its data and nothing from anywhere else.

It can be mailed, put on a site, and opened offline; `#step=43` in its address leads
to a step.
"""

from __future__ import annotations

import html
import json
import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..trace.files import to_json
from ..trace.language import speaking
from .forms import forms, word
from .payload import pack, payload

if TYPE_CHECKING:
    from ..trace import Trace
    from ..trace.diff import Diff

_ROWS = 400  # of a comparison that are shown at once
_LONG = 1 << 20  # letters of data from which on they are packed; below, whoever opens the file can read them


@cache
def _beside(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def script() -> str:
    """The front end."""
    return _beside("viewer.js")


def page(
    trace: Trace, *, beside: Trace | None = None, diff: Diff | None = None, title: str | None = None, **options: Any
) -> str:
    """The page as text; options as in `payload`.

    `beside`: a second run, or a recording of the real skynet, compared with the first
    (`diff`, if that was done already). It goes along step by step.
    """
    with speaking(options.pop("lang", None)):
        return _page(trace, beside, diff, title, options)


def _page(trace: Trace, beside: Trace | None, diff: Diff | None, title: str | None, options: dict[str, Any]) -> str:
    traces = [payload(trace, title=title, **options)]
    rows, compared = None, ""
    if beside is not None:
        traces.append(payload(beside, **options))
        if traces[1]["title"] == traces[0]["title"]:
            for run, which in zip(traces, ("first", "second"), strict=True):
                run["title"] = word(f"page.{which}", title=run["title"])
        diff = diff or trace.diff(beside)
        rows = diff.rows
        compared = _compared(diff)
    return _filled(traces, trace.describe(limit=200), rows, compared)


def _filled(traces: list[dict[str, Any]], words: str, rows: Any = None, compared: str = "") -> str:
    data = to_json({"traces": traces, "rows": rows, "words": forms("page.")})
    long = len(data) > _LONG
    parts = {
        "type": "text/plain" if long else "application/json",
        "title": html.escape(traces[0]["title"] or word("page.title")),
        "lang": traces[0]["lang"],
        "noscript": word("page.noscript"),
        "words": html.escape(words),
        "compared": compared,
        # `</script>` in a string of the program must not end the element it stands in.
        "data": pack(data, 6) if long else data.replace("<", "\\u003c"),
        "script": script().replace("</script", "<\\/script"),
    }
    return re.sub("@([a-z]+)@", lambda m: parts[m[1]], _beside("page.html"))


def _compared(diff: Diff) -> str:
    """The aligned rows of two runs, each a way to its events."""
    shown, more = diff.folded(limit=_ROWS)
    lines = []
    for left, mark, right, k in shown:
        style = ' class="part"' if mark in "|<>" else ""
        if k is not None:
            left = f'<button aria-label="{word("page.row", n=k)}">{html.escape(left) or " "}</button>'
            style += f' data-row="{k}"'
        else:
            left = html.escape(left)
        lines.append(f"<tr{style}><td>{left}</td><td>{html.escape(mark)}</td><td>{html.escape(right)}</td></tr>")
    hint = "" if diff.same else "\n" + word("page.keys")
    rest = f"<p>{word('page.more', n=more)}</p>" if more else ""
    return (
        f'<section class="diff" aria-label="{word("page.compared")}"><p>{html.escape(diff.summary())}{hint}</p>'
        f"<div><table>{''.join(lines)}</table></div>{rest}</section>"
    )


def write(trace: Trace, path: str | os.PathLike[str], **options: Any) -> None:
    """Write the page into a file. Raises OSError, and ValueError as `payload` does."""
    Path(path).write_text(page(trace, **options), encoding="utf-8", errors="backslashreplace")


def standalone(data: dict[str, Any]) -> str:
    """The page of a payload (payload.py): of a stepper whose trace is not at hand any more. It keeps its language."""
    piece = data["events"][0]
    said = (json.loads(piece) if isinstance(piece, str) else piece)["say"]
    with speaking(data["lang"]):
        return _filled([data], "\n".join(said))

"""Which file a trace becomes: the suffix decides.

.json and .jsonl can be loaded again; the others are for readers: .txt the canonical
text, .mmd a Mermaid sequence diagram, .chrome.json (or .perfetto.json) for Perfetto,
.html the stand-alone viewer, .png, .svg and .pdf the timeline.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .files import dump_lines, dumps, to_json


def chrome_json(trace: Any) -> str:
    """One event a line, for those who look inside."""
    data = trace.to_chrome()
    rows = ",\n".join(map(to_json, data.pop("traceEvents")))
    return f'{{"traceEvents":[\n{rows}\n],{json.dumps(data)[1:]}\n'


PICTURES = (".png", ".svg", ".pdf")
_TEXTS: dict[str, Callable[[Any], str]] = {
    ".chrome.json": chrome_json, ".perfetto.json": chrome_json, ".json": dumps, ".jsonl": dump_lines,
    ".txt": lambda trace: trace.text() + "\n", ".mmd": lambda trace: trace.to_mermaid(),
}  # fmt: skip


def kind_of(path: str | os.PathLike[str]) -> str:
    """The suffix that decides. Raises ValueError if it is none that is known."""
    name = Path(path).name
    known = (*_TEXTS, ".html", *PICTURES)
    for suffix in known:
        if name.lower().endswith(suffix):
            return suffix
    raise ValueError(f"{name}: what is it to be? The suffix decides; known are {', '.join(known)}")


def save(trace: Any, path: str | os.PathLike[str], kind: str | None = None, **options: Any) -> None:
    """Write a trace to `path`. `kind`: a suffix, to decide instead of that of `path`; `options` go to what draws."""
    kind = kind or kind_of(path)
    if kind in _TEXTS:
        Path(path).write_text(_TEXTS[kind](trace), encoding="utf-8")
    elif kind == ".html":
        trace.to_html(path, **options)
    else:
        trace.timeline(**options).write(path)

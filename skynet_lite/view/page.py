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

from ..trace.language import speaking
from .forms import forms, word
from .payload import payload

if TYPE_CHECKING:
    from ..trace import Trace
    from ..trace.diff import Diff

_ROWS = 400  # of a comparison that are shown at once

_PAGE = """<!doctype html>
<html lang="@lang@">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>@title@</title>
<style>
:root { color-scheme: light dark; }
body { margin: 0; padding: 12px; background: #fff; color: #1c2128; font: 13px/1.5 system-ui, sans-serif; }
main { max-width: 1500px; margin: 0 auto; display: grid; gap: 12px; grid-template-columns: minmax(0, 1fr); }
main.two { max-width: none; }
noscript { white-space: pre-wrap; }
.diff { margin: 0 auto 12px; }
.diff p { white-space: pre-wrap; margin: 0 0 8px; }
.diff div { max-height: 24vh; overflow: auto; position: relative; border: 1px solid #8886; border-radius: 8px; }
.diff table { border-collapse: collapse; width: 100%; font: 11.5px/18px ui-monospace, Menlo, Consolas, monospace; }
.diff td { white-space: pre; padding: 0 8px; overflow: hidden; text-overflow: ellipsis; max-width: 46vw; }
.diff .part { background: #e8a02026; }
.diff .here { outline: 2px solid #1f6feb; outline-offset: -2px; }
.diff button { all: unset; cursor: pointer; }
.diff button:focus-visible { outline: 2px solid #1f6feb; }
@media (min-width: 1200px) { main.two { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
@media (prefers-color-scheme: dark) { body { background: #0e1013; color: #e6e9ee; } }
</style>
@compared@<main id="viewers"></main>
<noscript>@noscript@

@words@</noscript>
<script type="application/json" id="data">@data@</script>
<script type="module">
@script@
{ // names of its own
const data = JSON.parse(document.getElementById("data").textContent);
const wanted = () => { const m = /step=(\\d+)/.exec(location.hash); return m ? +m[1] : undefined; };
const home = document.getElementById("viewers");
const viewers = [];
let due, now = -1; // the row that both stand in
data.traces.forEach((trace, k) => {
  const box = document.createElement("section");
  home.append(box);
  viewers.push(mount(box, trace, {
    step: k === 0 ? wanted() : undefined,
    link: (n) => location.href.split("#")[0] + "#step=" + n,
    onstep: (n) => {
      follow(k, n);
      // Once stepping rests: browsers refuse an address that changes too often.
      clearTimeout(due);
      due = setTimeout(() => history.replaceState(null, "", "#step=" + (viewers[0].step + data.traces[0].first)), 150);
    },
  }));
});

// Two runs side by side: the other one goes to the event that stands in the same row, or to the last one before.
const rows = data.rows ?? [], words = data.words;
const sides = [0, 1].map((k) => rows.filter((row) => row[k] !== null).sort((a, b) => a[k] - b[k]));
const partings = rows.flatMap((row, i) => (!row[2] && (i === 0 || rows[i - 1][2]) ? [i] : []));
function follow(k, n) {
  if (!data.rows) return;
  const row = sides[k].findLast((row) => row[k] <= n);
  const pair = row?.[1 - k] === null ? sides[k].findLast((row) => row[k] <= n && row[1 - k] !== null) : row;
  const other = viewers[1 - k];
  if (pair) other.goto(pair[1 - k] - other.data.first, true);
  const here = row?.[k] === n && !row[2];
  stand(rows.indexOf(row));
  viewers[k].note(!here ? "" : row[1 - k] === null ? words.only : words.differ);
  other.note(!here ? "" : row[1 - k] === null ? words.missing : words.differ);
}
/** The row that both stand in, marked in the list if that shows it. */
function stand(k) {
  now = k;
  const list = document.querySelector(".diff div"), shown = list.querySelector(`[data-row="${k}"]`);
  list.querySelector(".here")?.classList.remove("here");
  if (!shown) return;
  shown.classList.add("here");
  const { offsetTop: top, offsetHeight: height } = shown, seen = list.scrollTop;
  if (top < seen || top + height > seen + list.clientHeight) list.scrollTop = top - list.clientHeight / 2;
}
function go(i) {
  const k = rows[i]?.[0] === null ? 1 : 0;
  if (rows[i]) viewers[k].goto(rows[i][k] - data.traces[k].first);
}
if (data.rows) {
  home.classList.add("two");
  document.querySelector(".diff").addEventListener("click", (e) => {
    const row = e.target.closest("tr[data-row]");
    if (row) go(+row.dataset.row);
  });
  addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.type === "search") return;
    if (e.key === "d") go(partings.find((i) => i > now));
    if (e.key === "D") go(partings.findLast((i) => i < now));
  });
  follow(0, viewers[0].step + data.traces[0].first);
}
addEventListener("hashchange", () => {
  const n = wanted();
  if (n !== undefined) viewers[0].goto(viewers[0].nearest(n - viewers[0].data.first), true);
});
window.viewers = viewers;
if (window === top) viewers[0].root.focus({preventScroll: true}); // in a frame the page around it keeps the keyboard
}
</script>
</html>
"""


@cache
def script() -> str:
    """The front end."""
    return (Path(__file__).parent / "viewer.js").read_text(encoding="utf-8")


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
    data = json.dumps(
        {"traces": traces, "rows": rows, "words": forms("page.")}, ensure_ascii=True, separators=(",", ":")
    )
    parts = {
        "title": html.escape(traces[0]["title"] or word("page.title")),
        "lang": traces[0]["lang"],
        "noscript": word("page.noscript"),
        "words": html.escape(words),
        "compared": compared,
        # `</script>` in a string of the program must not end the element it stands in.
        "data": data.replace("<", "\\u003c"),
        "script": script().replace("</script", "<\\/script"),
    }
    return re.sub("@(title|lang|noscript|words|compared|data|script)@", lambda m: parts[m[1]], _PAGE)


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
    Path(path).write_text(page(trace, **options), encoding="utf-8")


def standalone(data: dict[str, Any]) -> str:
    """The page of a payload (payload.py): of a stepper whose trace is not at hand any more. It keeps its language."""
    with speaking(data["lang"]):
        return _filled([data], "\n".join(data["say"]))

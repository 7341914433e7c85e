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

from .payload import payload

if TYPE_CHECKING:
    from ..trace import Trace

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>@title@</title>
<style>
:root { color-scheme: light dark; }
body { margin: 0; padding: 12px; background: #fff; color: #1c2128; font: 13px/1.5 system-ui, sans-serif; }
main { max-width: 1500px; margin: 0 auto; display: grid; gap: 12px; grid-template-columns: minmax(0, 1fr); }
main.two { max-width: none; }
main > header { display: flex; flex-wrap: wrap; gap: 6px; align-items: center; grid-column: 1 / -1; }
main > header p { margin: 0 auto 0 0; white-space: pre-wrap; }
main > header button { font: inherit; color: inherit; background: none; border: 1px solid #98a2b0; border-radius: 6px;
  padding: 3px 8px; min-height: 28px; cursor: pointer; }
noscript { white-space: pre-wrap; }
@media (min-width: 1200px) { main.two { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
@media (prefers-color-scheme: dark) { body { background: #0e1013; color: #e6e9ee; } }
</style>
<main id="viewers"></main>
<noscript>This page steps through a trace with JavaScript. In words:

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
const rows = data.diff?.rows ?? [];
const sides = [0, 1].map((k) => rows.filter((row) => row[k] !== null).sort((a, b) => a[k] - b[k]));
const partings = rows.flatMap((row, i) => (!row[2] && (i === 0 || rows[i - 1][2]) ? [i] : []));
function follow(k, n) {
  if (!data.diff) return;
  const row = sides[k].findLast((row) => row[k] <= n);
  const pair = row?.[1 - k] === null ? sides[k].findLast((row) => row[k] <= n && row[1 - k] !== null) : row;
  const other = viewers[1 - k];
  if (pair) other.goto(pair[1 - k] - other.data.first, true);
  const here = row?.[k] === n && !row[2];
  now = rows.indexOf(row);
  viewers[k].note(!here ? "" : row[1 - k] === null ? "only in this run" : "the runs differ here");
  other.note(!here ? "" : row[1 - k] === null ? "nothing like it in this run" : "the runs differ here");
}
function part(way) {
  const row = rows[way > 0 ? partings.find((i) => i > now) : partings.findLast((i) => i < now)];
  const k = row?.[0] === null ? 1 : 0;
  if (row) viewers[k].goto(row[k] - data.traces[k].first);
}
if (data.diff) {
  home.classList.add("two");
  const header = document.createElement("header"), said = document.createElement("p");
  said.textContent = data.diff.said;
  header.append(said);
  for (const [way, text] of [[-1, "previous difference (D)"], [1, "next difference (d)"]]) {
    const button = document.createElement("button");
    button.textContent = text;
    button.onclick = () => part(way);
    if (partings.length) header.append(button);
  }
  home.prepend(header);
  addEventListener("keydown", (e) => {
    if ((e.key === "d" || e.key === "D") && !e.ctrlKey && !e.metaKey && !e.altKey && e.target.type !== "search")
      part(e.key === "d" ? 1 : -1);
  });
  follow(0, viewers[0].step + data.traces[0].first);
}
addEventListener("hashchange", () => {
  const n = wanted();
  if (n !== undefined) viewers[0].goto(viewers[0].nearest(n - viewers[0].data.first), true);
});
window.viewers = viewers;
viewers[0].root.focus({preventScroll: true});
}
</script>
</html>
"""


@cache
def script() -> str:
    """The front end."""
    return (Path(__file__).parent / "viewer.js").read_text(encoding="utf-8")


def page(trace: Trace, *, beside: Trace | None = None, title: str | None = None, **options: Any) -> str:
    """The page as text; options as in `payload`.

    `beside`: a second run, or a recording of the real skynet. It goes along step by step,
    and the page leads to where they differ (`Trace.diff`).
    """
    traces, diff = [payload(trace, title=title, **options)], None
    if beside is not None:
        traces.append(payload(beside, **options))
        if traces[1]["title"] == traces[0]["title"]:
            for run, which in zip(traces, ("first", "second"), strict=True):
                run["title"] += f", the {which} run"
        found = trace.diff(beside)
        diff = {"rows": found.rows, "said": found.summary()}
    data = json.dumps({"traces": traces, "diff": diff}, ensure_ascii=True, separators=(",", ":"))
    parts = {
        "title": html.escape(traces[0]["title"] or "a trace"),
        "words": html.escape(trace.describe(limit=200)),
        # `</script>` in a string of the program must not end the element it stands in.
        "data": data.replace("<", "\\u003c"),
        "script": script().replace("</script", "<\\/script"),
    }
    return re.sub("@(title|words|data|script)@", lambda m: parts[m[1]], _PAGE)


def write(trace: Trace, path: str | os.PathLike[str], **options: Any) -> None:
    """Write the page into a file. Raises OSError, and ValueError as `payload` does."""
    Path(path).write_text(page(trace, **options), encoding="utf-8")

"""A trace as one page of its own: the viewer, its data and nothing from anywhere else.

It can be mailed, put on a site, and opened offline; `#step=43` in its address leads
to a step.
"""

from __future__ import annotations

import html
import json
import os
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
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 0; padding: 12px; background: #fff; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #0e1013; }} }}
main {{ max-width: 1500px; margin: 0 auto; display: grid; gap: 12px; grid-template-columns: minmax(0, 1fr); }}
noscript, .fallback {{ font: 13px/1.5 system-ui, sans-serif; white-space: pre-wrap; }}
</style>
<main id="viewers"></main>
<noscript>This page steps through a trace with JavaScript. In words:

{words}</noscript>
<script type="application/json" id="data">{data}</script>
<script type="module">
{script}
const data = JSON.parse(document.getElementById("data").textContent);
const wanted = () => {{ const m = /step=(\\d+)/.exec(location.hash); return m ? +m[1] : undefined; }};
const home = document.getElementById("viewers");
const viewers = [];
let due;
data.traces.forEach((trace, k) => {{
  const box = document.createElement("section");
  home.append(box);
  viewers.push(mount(box, trace, {{
    step: k === 0 ? wanted() : undefined,
    link: (n) => location.href.split("#")[0] + "#step=" + n,
    onstep: (n) => {{
      // Once stepping rests: browsers refuse an address that changes too often.
      clearTimeout(due);
      if (k === 0) due = setTimeout(() => history.replaceState(null, "", "#step=" + n), 150);
      follow(k, n);
    }},
  }}));
}});
// Two traces side by side: the other one goes to the event that stands in the same row.
function follow(k, n) {{
  const other = viewers[1 - k];
  if (!other || !data.rows) return;
  const row = data.rows.findLast((r) => r[k] !== null && r[k] <= n && r[1 - k] !== null);
  if (row) other.goto(other.nearest(row[1 - k] - other.data.first), true);
}}
addEventListener("hashchange", () => {{
  const n = wanted();
  if (n !== undefined) viewers[0].goto(viewers[0].nearest(n - viewers[0].data.first), true);
}});
window.viewers = viewers;
viewers[0]?.root.focus();
</script>
</html>
"""


@cache
def script() -> str:
    """The front end."""
    return (Path(__file__).parent / "viewer.js").read_text(encoding="utf-8")


def page(trace: Trace, *, beside: Trace | None = None, title: str | None = None, **options: Any) -> str:
    """The page as text. `beside`: a second trace, which goes along step by step; options as in `payload`."""
    traces = [payload(trace, title=title, **options)]
    rows = None
    if beside is not None:
        traces.append(payload(beside, **options))
        rows = [[i, j] for i, j, _ in trace.diff(beside).rows]
    data = json.dumps({"traces": traces, "rows": rows}, ensure_ascii=True, separators=(",", ":"))
    return _PAGE.format(
        title=html.escape(traces[0]["title"] or "a trace"),
        words=html.escape(trace.describe(limit=200)),
        # `</script>` in a string of the program must not end the element it stands in.
        data=data.replace("<", "\\u003c"),
        script=script().replace("</script", "<\\/script"),
    )


def write(trace: Trace, path: str | os.PathLike[str], **options: Any) -> None:
    """Write the page into a file. Raises OSError, and ValueError as `payload` does."""
    Path(path).write_text(page(trace, **options), encoding="utf-8")

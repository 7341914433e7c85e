"""Two runs side by side: where they part, and what is in one and not in the other.

One idea: what two runs have in common from the start is found in one pass, and only
the rest is aligned: by the events that are unique on both sides, as patience diff
does it, and between those by difflib in windows of bounded size. So the price grows
with the length of the runs, never with its square.

Compared is what was done, not where in the text it stands: `at`, `stack`, `runs` are
left out, and so is `cause`, a number that shifts with every event before it.

A recording of the real skynet knows less than a trace of ours. Against one, both
sides are brought to its form, service by service (golden.py), without the text of
ERROR messages, which is the system's, and without the pair of switches by which
v1.1.0 hands a pooled coroutine its new function.
"""

from __future__ import annotations

import html
import json
import os
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import dropwhile, groupby, pairwise
from typing import Any

from ..doors import door
from .film import Film
from .golden import BOOT, golden
from .kinds import Event, command, full_address
from .language import told
from .text import fit, line, printable

Row = tuple[int | None, int | None, bool]
"""An event on the left, an event on the right (by their numbers in the whole traces), whether they are equal."""

_UNCOMPARED = frozenset(("at", "stack", "runs", "cause"))
_WINDOW = 256  # events on each side that difflib gets at once
_SHOWN = 200  # rows that `str` and a notebook show
_MARKS = {"=": "", "|": "rgba(240,180,0,.25)", "<": "rgba(220,60,40,.22)", ">": "rgba(0,150,90,.22)"}


class Diff:
    """What `trace.diff(other)` answers. `rows` are the aligned events, `same` says whether all are equal.

    `first`: the numbers of the first events that differ; None for a side that has no
    more events; None altogether if the runs are the same. `pairs`: the services that
    were compared, left and right; empty if the traces were compared as a whole.
    """

    def __init__(self, left: Film, right: Film, names: dict[int | str, str] | None = None) -> None:
        self.left, self.right = left, right
        self.rows: list[Row] = []
        self.pairs: list[tuple[str | None, str | None]] = []
        self._bare = any(t.probed and not any("body" in e or "data" in e for e in t.events) for t in (left, right))
        self._shown: tuple[dict[int, Event], dict[int, Event]] = ({}, {})
        self._titles: dict[int, tuple[str, str]] = {}  # index of a row → what begins there, left and right
        if left.nodes.keys() != right.nodes.keys():
            nodes = [", ".join(filter(None, t.nodes)) or told("diff.nobody") for t in (left, right)]
            raise ValueError(
                f"these are traces of different nodes: {nodes[0]}; {nodes[1]}. Merge both, by the same names"
            )
        if left.origin or right.origin:
            self._by_service(names or {})
        elif names:
            raise ValueError("names= match our services with a recording's: both of these traces are ours")
        else:
            self._compare(list(left.numbered()), list(right.numbered()))
        self._parted = sum(not equal for _, _, equal in self.rows)
        self.first: tuple[int | None, int | None] | None = min(
            self._partings(), key=lambda p: p[0] if p[0] is not None else len(left.whole), default=None
        )
        self.same = not self._parted

    def _compare(self, a: list[tuple[int, Event]], b: list[tuple[int, Event]]) -> None:
        self._shown[0].update(a)
        self._shown[1].update(b)
        if self.left.skynet != self.right.skynet:
            a, b = _spelled_alike(a), _spelled_alike(b)
        for i, j, equal in align([e for _, e in a], [e for _, e in b]):
            self.rows.append((None if i is None else a[i][0], None if j is None else b[j][0], equal))

    def _by_service(self, names: dict[int | str, str]) -> None:
        ours, theirs = _births(self.left), _births(self.right)
        if self.left.origin and self.right.origin:
            self.pairs = [(s, s if s in theirs else None) for s in ours] + [(None, s) for s in theirs if s not in ours]
        else:
            given = {full_address(a if isinstance(a, int) else f":{a.lstrip(':')}"): b for a, b in names.items()}
            known, labels = (theirs, ours) if self.left.origin else (ours, theirs)
            if unknown := sorted(set(given) - set(known)) + sorted(set(given.values()) - set(labels)):
                raise ValueError(f"no service {unknown[0]!r} here; there is {', '.join([*known, *labels])}")
            rest = iter([label for label in labels if label not in given.values()])
            matched = {a: given.get(a) or next(rest, None) for a in known}
            couples: list[tuple[str | None, str | None]] = [(a, label) for a, label in matched.items() if label]
            couples += [(None, label) for label in labels if label not in matched.values()]
            self.pairs = [(b, a) for a, b in couples] if self.left.origin else couples
        for left, right in self.pairs:
            a, b = self._golden(self.left, left, 0), self._golden(self.right, right, 1)
            # Of some services nothing was recorded: their order of birth counts, and no more.
            if (a or not self.left.origin) and (b or not self.right.origin):
                self._titles[len(self.rows)] = left or told("diff.nobody"), right or told("diff.nobody")
                self._compare(a, b)

    def _golden(self, trace: Film, service: str | None, side: int) -> list[tuple[int, Event]]:
        """The events of one service in the form of the recordings, with the service's label."""
        if service is None:
            return []
        couples = () if trace.origin else ((pair[side], pair[1 - side]) for pair in self.pairs)
        names = {a: b for a, b in couples if a and b}  # of ours, those of the recording
        label = names.pop(service, service)
        found = []
        for n, e in golden(trace, service, names=names):
            if (e["e"] == "resume" and e["by"] == "co_create") or (e["e"] == "yield" and e["command"] is None):
                continue
            if e.get("type") == "ERROR":
                e.pop("info", None)
            if self._bare:  # a probe that was not to tell what messages hold
                e.pop("body", None)
                e.pop("data", None)
            found.append((n, {**e, "service": label}))
        return found

    def _partings(self) -> Iterator[tuple[int | None, int | None]]:
        """Where each stretch of comparison (all, or a service) parts."""
        starts = [*(self._titles or (0,)), len(self.rows)]
        for start, stop in pairwise(starts):
            rest = list(dropwhile(lambda row: row[2], self.rows[start:stop]))
            if rest:
                left = next((i for i, _, _ in rest if i is not None), None)
                yield left, next((j for _, j, _ in rest if j is not None), None)

    # ---- looking at it

    def summary(self) -> str:
        """One to three sentences: whether, where, and at which lines of the programs the runs part."""
        n = len(self.rows)
        if self.first is None:
            return told("diff.same", n=n)
        left, right = (told("diff.end") if number is None else number for number in self.first)
        lines = [told("diff.parted", left=left, right=right, parted=self._parted, n=n)]
        for side, (trace, number) in enumerate(zip((self.left, self.right), self.first, strict=True)):
            if number is not None:
                event = self._shown[side].get(number) or trace.whole[number]
                lines.append(f"{'<>'[side]} {' '.join(line(_printable(event)).split())}{_place(trace, number)}")
        return "\n".join(lines)

    def text(self, *, width: int = 160, context: int = 3, limit: int | None = None) -> str:
        """Two columns, `width` wide in all: = equal, | differs, < only left, > only right.

        Of equal events `context` are shown beside each difference. `limit`: at most so many rows.
        """
        half = max(10, (width - 3) // 2)
        rows, more = self.folded(context, limit)
        lines = [self.summary(), *(f"{fit(a, half)} {mark} {fit(b, half)}".rstrip() for a, mark, b, _ in rows)]
        if more:
            lines.append(told("diff.more", n=more))
        return "\n".join(lines)

    def folded(self, context: int = 3, limit: int | None = None) -> tuple[list[tuple[str, str, str, int | None]], int]:
        """Left, mark, right and index in `rows` (None: no event) of what is shown, and how many rows more there are."""
        near = set[int]()
        for k, (_, _, equal) in enumerate(self.rows):
            if not equal:
                near.update(range(max(0, k - context), min(len(self.rows), k + context + 1)))
        bounds = sorted(self._titles)
        plan: list[int | tuple[str, str, str, None]] = []  # rows to be shown, and what stands for others
        for (_, seen), group in groupby(range(len(self.rows)), key=lambda k: (bisect_left(bounds, k + 1), k in near)):
            ks = list(group)
            if ks[0] in self._titles:
                left, right = self._titles[ks[0]]
                plan.append((left, "·", right, None))
            words = told("diff.equal" if len(ks) > 1 else "diff.one", n=len(ks))
            plan += ks if seen else [(words, "=", words, None)]
        shown: list[tuple[str, str, str, int | None]] = [
            (*self._cells(step), step) if isinstance(step, int) else step for step in plan[:limit]
        ]
        return shown, len(plan) - len(shown)

    def _cells(self, k: int) -> tuple[str, str, str]:
        *numbers, equal = self.rows[k]
        events = [None if n is None else self._shown[side][n] for side, n in enumerate(numbers)]
        lines = ["" if e is None else line(_printable(e)) for e in events]
        a, b = events
        if a is not None and b is not None and not equal and lines[0] == lines[1]:
            # They differ in what the line does not say.
            for side, (e, other) in enumerate(((a, b), (b, a))):
                lines[side] += "".join(f"  {x}={y!r}" for x, y in _compared(e).items() if other.get(x) != y)
        left, right = (text and f"{n:4} {text}" for n, text in zip(numbers, lines, strict=True))
        return left, "=" if equal else "|" if left and right else "<" if left else ">", right

    def to_html(self, path: str | os.PathLike[str], **options: Any) -> None:
        """Both runs as one page: the aligned rows, and a viewer for each that goes along with the other."""
        door("page")(self.left, path, beside=self.right, diff=self, **options)

    def __str__(self) -> str:
        return self.text(limit=_SHOWN)

    def __repr__(self) -> str:
        return f"<Diff: {self.summary().splitlines()[0]}>"

    def __bool__(self) -> bool:
        """Whether there is a difference."""
        return not self.same

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        rows, hidden = self.folded(3, _SHOWN)
        table = "".join(
            f'<tr style="background:{_MARKS.get(row[1], "rgba(128,128,128,.15)")}">{"".join(map(_cell, row[:3]))}</tr>'
            for row in rows
        )
        more = f"<p>{told('diff.left_out', n=hidden)}</p>" if hidden else ""
        head = "<br>".join(html.escape(one) for one in self.summary().splitlines())
        return {"text/plain": str(self), "text/html": f"<p>{head}</p>{_TABLE}{table}</table>{more}"}


# Both columns stay in sight: what is too long for its half is cut, and whole in the tooltip.
_TABLE = '<table style="table-layout:fixed;width:100%"><col style="width:49%"><col style="width:2em">'
_CELL = "text-align:left;white-space:pre;font:12px monospace;padding:0 .3em;overflow:hidden;text-overflow:ellipsis"


def _cell(text: str) -> str:
    return f'<td style="{_CELL}" title="{html.escape(" ".join(text.split()))}">{html.escape(text)}</td>'


# --------------------------------------------------------------------------- alignment


def align(a: Sequence[Event], b: Sequence[Event]) -> Iterator[Row]:
    """Pairs of indexes, in order: equal events, then within what is left those that are at least of a kind.

    DOC: diff-align
    """
    start = next((k for k, (x, y) in enumerate(zip(a, b, strict=False)) if not _equal(x, y)), min(len(a), len(b)))
    yield from ((k, k, True) for k in range(start))
    yield from _aligned(a, b, start, len(a), start, len(b), [_key, _kind])


def _aligned(
    a: Sequence[Event], b: Sequence[Event], at: int, i: int, bt: int, j: int, keys: list[Callable[[Event], str]]
) -> Iterator[Row]:
    """Pairs of a[at:i] and b[bt:j]: those that the first key finds alike, and between those by the next."""
    if at == i or bt == j or not keys:
        yield from ((k, None, False) for k in range(at, i))
        yield from ((None, k, False) for k in range(bt, j))
        return
    key, *rest = keys
    x, y = at, bt
    for k, m, size in [*_blocks([key(e) for e in a[at:i]], [key(e) for e in b[bt:j]]), (i - at, j - bt, 0)]:
        yield from _aligned(a, b, x, at + k, y, bt + m, rest)
        x, y = at + k + size, bt + m + size
        pairs = ((at + k + n, bt + m + n) for n in range(size))
        yield from ((n, o, key is _key or _equal(a[n], b[o])) for n, o in pairs)  # the windows may have missed one


def _spelled_alike(events: list[tuple[int, Event]]) -> list[tuple[int, Event]]:
    """Two dialects, where all that differs is the spelling: what a yield is for, and when its tables are filled.

    The session that a coroutine is resumed for (rule 9), and where it enters itself (rule 1, skynet/dialect.py).
    """
    found: list[tuple[int, Event]] = []
    for n, e in events:
        kind, parked = e["e"], found[-1][1] if found else {}
        if kind == "yield":
            e = {**{k: v for k, v in e.items() if k != "what"}, "command": command(e)}
        elif kind == "resume":
            e = {k: v for k, v in e.items() if k != "session"}
        entered = kind == "table" and e["op"] == "set" and parked.get("e") == "yield" and "session" in parked
        behind = entered and all(e.get(field) == parked.get(field) for field in ("service", "session"))
        found.insert(len(found) - behind, (n, e))
    return found


def _equal(a: Event, b: Event) -> bool:
    return a == b or _compared(a) == _compared(b)


def _compared(event: Event) -> Event:
    return {k: v for k, v in event.items() if k not in _UNCOMPARED}


def _key(event: Event) -> str:
    return json.dumps(_compared(event), sort_keys=True, default=repr)


def _kind(event: Event) -> str:
    fields = ("e", "service", "co", "table", "op", "command", "ptype", "by", "type", "client", "action")
    return json.dumps([event.get(field) for field in fields], default=repr)


def _blocks(a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int, int]]:
    """Matching stretches (start in a, start in b, length), in order, of any two lists in about linear time."""
    found: list[tuple[int, int, int]] = []
    waiting = [(0, len(a), 0, len(b), 0)]
    while waiting:  # the leftmost first
        i, m, j, n, depth = waiting.pop()
        start = i
        while i < m and j < n and a[i] == b[j]:
            i, j = i + 1, j + 1
        if i > start:
            found.append((start, j - (i - start), i - start))
        end = m
        while i < m and j < n and a[m - 1] == b[n - 1]:
            m, n = m - 1, n - 1
        if m < end:
            waiting.append((m, end, n, n + end - m, depth))  # equal throughout: the next pass takes it as it is
        if i == m or j == n:
            continue
        if m - i <= _WINDOW and n - j <= _WINDOW:
            matcher = SequenceMatcher(None, a[i:m], b[j:n], autojunk=False)
            found += [(i + x, j + y, size) for x, y, size in matcher.get_matching_blocks() if size]
            continue
        anchors = _anchors(a, b, i, m, j, n) if depth < 16 else []
        if not anchors:  # nothing to hold on to: window by window
            steps = range(_WINDOW, max(m - i, n - j), _WINDOW)
            anchors = [(min(m, i + step), min(n, j + step)) for step in steps]
        parts = pairwise([(i, j), *anchors, (m, n)])
        waiting += [(x, x2, y, y2, depth + 1) for (x, y), (x2, y2) in parts if x < x2 or y < y2][::-1]
    return found


def _anchors(a: Sequence[str], b: Sequence[str], i: int, m: int, j: int, n: int) -> list[tuple[int, int]]:
    """Events that occur once on each side, in an order that both have: the longest such chain."""
    places: dict[str, list[int]] = {}
    for side, keys, low, high in ((0, a, i, m), (1, b, j, n)):
        for k in range(low, high):
            place = places.setdefault(keys[k], [-1, -1])
            place[side] = k if place[side] == -1 else -2
    tails: list[int] = []  # patience: the smallest end, in b, of a chain of each length
    chains: list[tuple[int, int, Any]] = []
    for x, y in places.values():  # in the order of a
        if x >= 0 and y >= 0:
            k = bisect_left(tails, y)
            node = (x, y, chains[k - 1] if k else None)
            tails[k : k + 1], chains[k : k + 1] = [y], [node]
    chain: Any = chains[-1] if chains else None
    found = []
    while chain is not None:
        found.append(chain[:2])
        chain = chain[2]
    return found[::-1]


# --------------------------------------------------------------------------- who is who


def _births(trace: Film) -> list[str]:
    """The services of a program in the order of their birth, without those that every node boots."""
    names = trace.names()
    events = (e["service"] for e in trace.whole.events if e["e"] in ("birth", "begin"))
    born = [*([] if trace.probed else trace.snapshot.get("services", {})), *events]
    return [address for address in dict.fromkeys(born) if names.get(address) not in BOOT]


def _printable(event: Event) -> Event:
    """With a number for a socket that has a label only."""
    return {"id": int(event["sock"][1:]), **event} if "sock" in event else event


def _place(trace: Film, number: int) -> str:
    """The line of the program at which an event happened, or its coroutine last was."""
    events, event = trace.whole.events, trace.whole.events[number]
    who = event.get("service"), event.get("co", event.get("in"))
    for k in range(number, max(-1, number - 1000), -1):
        e = events[k]
        if "at" in e and (e.get("service"), e.get("co", e.get("in"))) == who:
            where = told("diff.at" if k == number else "diff.after")
            return "\n    " + printable(f"{where} {e['at']}  {trace.source_line(e['at'])}".rstrip())
    return ""

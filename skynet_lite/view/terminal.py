"""The stepper for a terminal: the viewer for those without a browser.

One idea: a screen is a list of lines, worked out from the trace, a step and a size,
and nothing else (`frame`). So it can be printed, piped and tested; `run` only shows
one after the other as keys are pressed.

A column is an event, a row a lane: ▶ resumed, ■ yields, ━ runs, ╌ parked, ~ woken
(it stands in wakeup_queue), · in the pool.
"""

from __future__ import annotations

import locale
import re
import textwrap
from bisect import bisect_right
from itertools import chain
from typing import TYPE_CHECKING, Any

from ..trace.golden import BOOT
from ..trace.text import cells, fit, line
from .words import plain, sentences, word
from .words_en import ENGLISH

if TYPE_CHECKING:
    from ..trace import Trace

Event = dict[str, Any]
Lane = tuple[str, str]  # service ("" for the node and the world) and coroutine, or what else it is
_SOCKET, _TIMER, _MAILBOX, _MARKS = "socket", "timer", "mailbox", "marks"
_GLYPHS = {
    "resume": "▶", "yield": "■", "co_error": "✗", "mark": "◆", "push": "○", "message": "●", "load": "●", "handled": "●",
    "wakeup": "↑", "fork": "+", "send": "→", "driver": "→", "write": "→", "timer_set": "→", "timer_fired": "●",
    "command": "●", "ready": "●", "socket": "•", "client": "●", "co_create": "○", "table": "•", "exit": "✗",
}  # fmt: skip
_AFTER = {"EXIT": "·", "QUIT": " "}  # what follows a yield, if not that it is parked
_BREAKS = re.compile(r"[\u2e80-\uffef] ?|[^\u2e80-\uffef\s]+\s?|\s")
HELP = ENGLISH["term.help"]


def frame(trace: Trace, i: int, width: int = 100, height: int = 36) -> list[str]:
    """The screen after event `i` (negative: from the end), at most `height` lines of at most `width` columns.

    Raises IndexError for an event that is not there.
    """
    return Frames(trace).frame(i, width, height)


class Frames:
    """All frames of a trace; what they share is worked out once."""

    def __init__(self, trace: Trace, title: str = "") -> None:
        self.trace = trace.whole
        self.events = self.trace.events
        self.told = [plain(sentence) for sentence in sentences(self.trace)]
        self.title = title
        self.names = self.trace.names()
        self.shown = {a for a, name in self.names.items() if name not in BOOT} or set(self.names)
        self.lane_of: list[Lane] = []  # of each event
        self.states: dict[Lane, list[tuple[int, str]]] = {}  # lane → (from which event on, how it is drawn)
        for i, event in enumerate(self.events):
            self._read(i, event)
        order = {_SOCKET: 1, _TIMER: 2}
        seen = {lane: n for n, lane in enumerate(dict.fromkeys(self.lane_of))}
        services = {service: n for n, (service, _) in reversed(list(enumerate(seen)))}
        lanes = [lane for lane in seen if not lane[0] or lane[0] in self.shown]
        self.lanes = sorted(
            lanes,
            key=lambda lane: (
                bool(lane[0]), order.get(lane[1], 0) if not lane[0] else services[lane[0]], lane[1] != _MAILBOX,
                seen[lane],
            ),
        )  # fmt: skip

    def _read(self, i: int, e: Event) -> None:
        """Which lane an event belongs to, and what its coroutine is from then on."""
        kind, service, lane = e["e"], e.get("service", ""), None
        if kind == "client":
            lane = "", e["client"]
        elif kind in ("command", "ready", "socket"):
            lane = "", _SOCKET
        elif kind in ("timer_fired", "clock"):
            lane = "", _TIMER
        elif service:
            lane = self._lane(service, e.get("in", e.get("co")))
        self.lane_of.append(lane or ("", _MARKS))
        state = ""
        if kind == "resume":
            state = "━"
        elif kind == "yield":
            state = _AFTER.get(e["command"], "╌")
        elif kind == "co_error":
            state = " "
        elif kind in ("co_create", "wakeup") and e["co"] and e.get("queued", True):
            state = "~" if kind == "wakeup" else "╌"
        if state:
            self.states.setdefault(self._lane(service, e["co"]), []).append((i, state))

    def _lane(self, service: str, co: Any) -> Lane:
        return service, _MAILBOX if co in (None, "main") else str(co)

    def frame(self, i: int, width: int, height: int) -> list[str]:
        if not self.events:
            return [fit(word("term.none"), width).rstrip()]
        i = range(len(self.events))[i]
        lines = self._head(i, width)
        told = _wrapped(self.told[i], max(20, width - 2))
        rows = self._lanes(i, width, max(3, height - len(lines) - len(told) - 12))
        lines += [*rows, "", *told, ""]
        room = max(0, height - len(lines) - 1)
        left = max(20, width * 11 // 20) if width >= 72 else width
        tables, source = self._tables(i), self._source(i, room)
        if width < 72:
            lines += [*tables[:room], *source[: max(0, room - len(tables))]]
        else:
            tables += [""] * (min(room, len(source)) - len(tables))
            source += [""] * (len(tables) - len(source))
            lines += [f"{fit(a, left - 1)} {b}" for a, b in zip(tables[:room], source[:room], strict=True)]
        lines += [""] * (height - 1 - len(lines)) + [word("term.help")]
        return [fit(text, width).rstrip() for text in lines[: height - 1] + lines[-1:]]

    # ---- the picture

    def _head(self, i: int, width: int) -> list[str]:
        room, first = self._window(i, width)
        ruler = [" "] * room
        for k in range(first, min(first + room, len(self.events))):
            if k % 10 == 0:
                ruler[k - first : k - first + len(str(k))] = str(k)
        cursor = " " * (i - first) + "▼"
        seconds = f"{self.trace.seconds(i):.2f}"
        return [
            word("term.head", i=i, n=len(self.events), seconds=seconds, title=self.title),
            " " * _titles(width) + "".join(ruler)[:room],
            " " * _titles(width) + cursor,
        ]

    def _window(self, i: int, width: int) -> tuple[int, int]:
        """How many events have room, and the first of them; the cursor stands in the middle if it can."""
        room = max(10, width - _titles(width))
        return room, max(0, min(i - room // 2, len(self.events) - room))

    def _lanes(self, i: int, width: int, limit: int) -> list[str]:
        room, first = self._window(i, width)
        last = min(first + room, len(self.events))
        near = set(self.lane_of[first:last])
        lanes = [lane for lane in self.lanes if lane in near or self._state(lane, first) not in " ·"]
        rows = []
        for lane in _around(lanes, self.lane_of[i], limit):
            service, name = lane
            title = f"{self.names.get(service, service)} {service}" if name == _MAILBOX else name
            if not service and name in (_SOCKET, _TIMER, _MARKS):
                title = word(f"term.{name}")
            drawn = ""
            for k in range(first, last):
                char = _GLYPHS.get(self.events[k]["e"], "•") if self.lane_of[k] == lane else self._state(lane, k)
                drawn += "┊" if k == i and char == " " else char
            rows.append(fit(f"  {title}" if service and name != _MAILBOX else title, _titles(width) - 1) + " " + drawn)
        hidden = len(lanes) - len(rows)
        return [*rows, word("term.lanes", n=hidden)] if hidden else rows

    def _state(self, lane: Lane, k: int) -> str:
        changes = self.states.get(lane, ())
        n = bisect_right(changes, k, key=lambda change: change[0])
        return changes[n - 1][1] if n else " "

    # ---- tables and source

    def _tables(self, i: int) -> list[str]:
        """The tables of the service of the event, then those of the node; `*` marks what has just changed."""
        now, before = self.trace.state(i), self.trace.state(i - 1) if i else self.trace.tables().view()
        service = self.events[i].get("service", "")
        told = []
        mine, old = now["services"].get(service, {}), before["services"].get(service, {})
        if mine:
            told.append(f"{mine.get('name', '')} {service}".strip() if mine.get("name") != service else service)
        told += _rows(mine, old)
        rest = _rows({k: v for k, v in now.items() if k not in ("services", "now")}, before)
        return [*told, word("term.node"), *rest] if rest else told or [word("term.empty")]

    def _source(self, i: int, room: int) -> list[str]:
        """Where the coroutine of the event is, or last was: the service's own line, then the runtime's innermost."""
        who, event = self._who(i), None
        for k in range(i, max(-1, i - 5000), -1):
            if who is not None and "stack" in self.events[k] and self._who(k) == who:
                event = self.events[k]
                break
        if event is None or who is None:
            return []
        # Where all of it is the runtime's own, `at` is missing.
        ends = list(dict.fromkeys(place for place in (event.get("at"), event["stack"][0]) if place))
        found: list[str] = []
        for place in ends:
            label, _, number = place.rpartition(":")
            text, n = self.trace.sources.get(label, "").splitlines(), int(number)
            if 0 < n <= len(text):
                around = max(0, (room // len(ends) - 2) // 2)
                found.append(f"{place} · {who[1]}")
                for k in range(max(1, n - around), min(len(text), n + around) + 1):
                    found.append(f"{'>' if k == n else ' '}{k:5} {text[k - 1].expandtabs(4)}")
        return found

    def _who(self, i: int) -> Lane | None:
        """The coroutine that an event is about."""
        e = self.events[i]
        co = e.get("in") if e["e"] in ("fork", "wakeup", "co_create", "send", "timer_set") else e.get("co")
        return (e.get("service", ""), co) if co and co != "main" else None

    # ---- moving

    def next_of(self, i: int, step: int) -> int:
        """The next (1) or previous (-1) event of the coroutine, or the lane, of event `i`; `i` if there is none."""
        who = self._who(i)
        for k in range(i + step, len(self.events) if step > 0 else -1, step):
            if self._who(k) == who if who is not None else self.lane_of[k] == self.lane_of[i]:
                return k
        return i

    def find(self, i: int, text: str) -> int | None:
        """The next event after `i`, once around, that has `text` in its sentence or its line."""
        wanted = text.lower()
        for k in chain(range(i + 1, len(self.told)), range(i + 1)):
            if wanted in self.told[k].lower() or wanted in line(self.events[k]).lower():
                return k
        return None


def _wrapped(text: str, width: int) -> list[str]:
    """In lines of at most `width` columns; Chinese, which has no spaces between words, breaks behind any character."""
    if cells(text) == len(text):
        return textwrap.wrap(text, width) or [""]
    lines = [""]
    for part in _BREAKS.findall(text):
        # What closes stands on no new line, even if it then stands one column out; `fit` will cut nothing of it.
        if cells(lines[-1] + part.rstrip()) > width - 2 and part not in "，。：；）”、":
            lines.append("")
        lines[-1] += part if lines[-1] else part.lstrip()
    return lines


def _titles(width: int) -> int:
    return max(12, min(26, width // 4))


def _around(lanes: list[Lane], lane: Lane, limit: int) -> list[Lane]:
    """At most `limit` lanes, that of the event among them."""
    at = lanes.index(lane) if lane in lanes else 0
    first = max(0, min(at - limit // 2, len(lanes) - limit))
    return lanes[first : first + limit]


def _rows(tables: dict[str, Any], before: dict[str, Any]) -> list[str]:
    return [
        f"{'*' if table != before.get(name) else ' '} {name:25} {_short(table)}".rstrip()
        for name, table in tables.items()
        if name != "name" and (table or table != before.get(name, table))
    ]


def _short(table: Any) -> str:
    if isinstance(table, dict):
        return ", ".join(f"{key}: {_short(value)}" for key, value in table.items())
    if isinstance(table, list):
        return (" " if any(isinstance(x, int) for x in table) else ", ").join(map(_short, table))
    return str(table)


# --------------------------------------------------------------------------- with a keyboard


def run(trace: Trace, title: str = "", step: int = 0) -> None:
    """Step through a trace in the terminal, until `q`. Raises OSError where there is no curses."""
    try:
        import curses
    except ImportError:
        raise OSError("this Python has no curses; use --step N, or trace.to_html(path)") from None
    locale.setlocale(locale.LC_ALL, "")
    frames = Frames(trace, title)
    curses.wrapper(lambda screen: _Loop(curses, screen, frames).run(step))


class _Loop:
    def __init__(self, curses: Any, screen: Any, frames: Frames) -> None:
        self.curses, self.screen, self.frames = curses, screen, frames
        self.sought = ""
        self.colours = {"▶": 0, "■": 0, "▼": curses.A_BOLD}
        curses.curs_set(0)
        if curses.has_colors():
            curses.use_default_colors()
            for n, (char, colour) in enumerate((("▶", curses.COLOR_GREEN), ("■", curses.COLOR_RED)), 1):
                curses.init_pair(n, colour, -1)
                self.colours[char] = curses.color_pair(n)

    def run(self, i: int) -> None:
        frames, last = self.frames, len(self.frames.events) - 1
        i = max(0, min(i if i >= 0 else last + 1 + i, last))
        keys = self.curses
        moves = {
            keys.KEY_RIGHT: 1, keys.KEY_LEFT: -1, keys.KEY_DOWN: 1, keys.KEY_UP: -1, keys.KEY_NPAGE: 10,
            keys.KEY_PPAGE: -10, keys.KEY_END: len(frames.events), keys.KEY_HOME: -len(frames.events), " ": 1,
        }  # fmt: skip
        said = ""
        while True:
            self.draw(i, said)
            said, key = "", self.screen.get_wch()
            if key in ("q", "\x1b"):
                return
            if key in moves:
                i = max(0, min(i + moves[key], last))
            elif key in ("n", "p") and last >= 0:
                i = frames.next_of(i, 1 if key == "n" else -1)
            elif key == "/":
                self.sought = self.ask("/") or self.sought
                found = frames.find(i, self.sought)
                i, said = (i, word("term.not_found", text=repr(self.sought))) if found is None else (found, "")
            elif key == "g":
                number = self.ask(word("term.go"))
                if number.isascii() and number.isdigit() and int(number) <= last:
                    i = int(number)
                elif number:
                    said = word("term.no_event", number=number, last=last)

    def draw(self, i: int, said: str) -> None:
        height, width = self.screen.getmaxyx()
        lines = self.frames.frame(i, width - 1, height)
        if said:
            lines[-1] = said
        self.screen.erase()
        for y, text in enumerate(lines[:height]):
            style = self.curses.A_BOLD if y == 0 else self.curses.A_DIM if y == height - 1 else 0
            self.put(y, 0, text, style)
            for k, char in enumerate(text):
                if char in self.colours:
                    self.put(y, cells(text[:k]), char, self.colours[char])
        self.screen.refresh()

    def put(self, y: int, x: int, text: str, style: int) -> None:
        try:
            self.screen.addstr(y, x, text, style)
        except self.curses.error:
            pass  # the window has just become smaller: the next frame fits

    def ask(self, prompt: str) -> str:
        """A line typed at the bottom; "" after Escape."""
        typed = ""
        while True:
            height, width = self.screen.getmaxyx()
            self.put(height - 1, 0, fit(prompt + typed, width - 1), self.curses.A_BOLD)
            key = self.screen.get_wch()
            if key in ("\n", "\r", self.curses.KEY_ENTER):
                return typed
            if key == "\x1b":
                return ""
            if key in (self.curses.KEY_BACKSPACE, "\x7f", "\b"):
                typed = typed[:-1]
            elif isinstance(key, str) and key.isprintable():
                typed += key

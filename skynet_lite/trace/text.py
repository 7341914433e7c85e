"""The canonical text of a trace: one line an event, the same on every machine.

No port, no descriptor, no path, no time of day. It is what notebooks print beside
each figure and what tests compare. What a line says of its event stands in kinds.py.
"""

from __future__ import annotations

from unicodedata import category, combining, east_asian_width

from .film import Film
from .kinds import KINDS, Event, full_address

_DETAIL = frozenset(("table", "push", "requeue", "socket", "timer_set"))


def text(film: Film, detail: bool = True, service: int | str | None = None) -> str:
    """The lines of all events, or of one service's; without `detail` no tables and no bookkeeping.

    Of a ring, a line before them says how many events were not kept; of streams that were cut, another says whose.
    """
    wanted = None if service is None else full_address(service)
    lines = [f"   … {film.missing} events before these were not kept"] if film.missing else []
    inside, nothing = film.cuts()
    lines += [f"   … cut inside a message: the streams of {', '.join(inside)}"] if inside else []
    lines += [f"   … nothing has reached the disk: the streams of {', '.join(nothing)}"] if nothing else []
    lines += (
        f"{n:4} {line(event)}"
        for n, event in film.numbered()
        if (wanted is None or event.get("service") == wanted) and (detail or event["e"] not in _DETAIL)
    )
    return "\n".join(lines)


def line(event: Event) -> str:
    """`who | what happened`, without its number."""
    kind = KINDS.get(event["e"])
    co = event.get("co" if kind is None else kind.actor)
    words = event["e"] if kind is None else kind.words(event)
    return printable(f"{event.get('service', ''):9} {co or '':5} {words}".rstrip())


def printable(text: str) -> str:
    """What a program has said, on one line, in a form that any file can hold and no terminal obeys.

    Control characters are written as Python escapes them. So are lone surrogates: bytes that are no UTF-8.
    """
    if text.isprintable():
        return text
    shown = (c if c.isprintable() or category(c) == "Zs" else c.encode("unicode_escape").decode() for c in text)
    return "".join(shown)


def cells(text: str) -> int:
    """How many columns of a terminal a text takes; a Chinese character takes two, a combining one none."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def fit(text: str, width: int) -> str:
    """A text cut or filled up to exactly `width` columns."""
    text = "".join(c if c.isprintable() else "·" for c in text)
    if (room := width - cells(text)) >= 0:
        return text + " " * room
    kept, room = "", max(0, width - 1)
    for c in text:
        room -= cells(c)
        if room < 0:
            break
        kept += c
    return kept + "…" + " " * (width - cells(kept) - 1) if width > 0 else ""

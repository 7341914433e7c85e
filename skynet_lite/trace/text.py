"""The canonical text of a trace: one line an event, the same on every machine.

No port, no descriptor, no path, no time of day. It is what notebooks print beside
each figure and what tests compare.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from typing import Any

from .events import Event


def line(event: Event) -> str:
    """`who | what happened`, without its number."""
    kind = event["e"]
    who = event.get("service", "")
    co = event.get("co") if kind not in ("fork", "wakeup", "co_create", "kill") else event["in"]
    if kind in ("message", "push", "birth", "exit", "load", "handled", "requeue", "dispatch_failed", "log"):
        co = None
    text = f"{who:9} {co or '':5} {_WORDS.get(kind, _unknown)(event)}".rstrip()
    # Bytes of a socket that are no UTF-8 are in the events as lone surrogates, which no stream would print.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def cells(text: str) -> int:
    """How many columns of a terminal a text takes; a Chinese character takes two, a combining one none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


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


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _short(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _message_words(e: Event) -> str:
    if e["ptype"] == "socket":
        words = f"{e['type']} socket {e['id']}"
        if "new" in e:
            words += f" new {e['new']}"
        if "data" in e:
            words += f" {e['size']} bytes {_short(_value(e['data']))}"
        elif "size" in e:
            words += f" {e['size']} K"
        if e.get("info"):
            words += f" {_value(e['info'])}"
        return f"message   {words}"
    words = f"message   {e['ptype']} session {e['session']} from {e['source']}"
    return f"{words} {_short(_value(e['body']))}" if e.get("body") else words


def _yield_words(e: Event) -> str:
    words = f"yield     {e['command']}"
    if "session" in e:
        words += f" {e['session']}"
    return f"{words} at {e['at']}" if "at" in e else words


def _table_words(e: Event) -> str:
    key = e.get("session")
    words = f"table     {e['table']} {e['op']}"
    if key is not None:
        words += f" {key}"
    for field in ("co", "address", "value"):
        if field in e:
            words += f" {e[field]}"
    return words


def _send_words(e: Event) -> str:
    session = "to nobody" if e["session"] is None else f"session {e['session']}"
    return f"send      {e['ptype']} to {e['to']} {session}"


def _push_words(e: Event) -> str:
    if "type" in e:
        return f"push      {e['type']} socket {e['id']} by socket" if "id" in e else f"push      {e['type']} by socket"
    return f"push      {e['ptype']} session {e['session']} by {e['by']}"


def _timer_words(e: Event) -> str:
    return f"timer     set session {e['session']}" + (f" tick {e['tick']}" if e["tick"] else " at once")


def _unknown(e: Event) -> str:
    return str(e["e"])


_WORDS: dict[str, Callable[[Event], str]] = {
    "message": _message_words,
    "co_create": lambda e: f"co_create {e['co']} {e['how']} for {e['for']}",
    "resume": lambda e: f"resume    by {e['by']} {_value(e['args'])}",
    "yield": _yield_words,
    "wakeup": lambda e: f"wakeup    {e['co']} {'queued' if e['queued'] else 'not sleeping'}",
    "wakeup_skip": lambda e: f"skip      {e['co']} sleeps no more",
    "mark": lambda e: f"mark      {_value(e['text'])}",
    "co_error": lambda e: f"error     {_short(e['error'])}",
    "kill": lambda e: f"kill      {e['co']}",
    "tracetag": lambda e: f"tracetag  {e['tag'] or 'ends'} {e['text']}".rstrip(),
    "send": _send_words,
    "table": _table_words,
    "dispatch_failed": lambda e: "failed    this dispatch had an error",
    "birth": lambda e: f"birth     {e['label']}",
    "exit": lambda e: f"exit      {e['label']}",
    "load": lambda e: f"load      {e['name']}",
    "handled": lambda e: f"handled   {e['ptype']} from {e['source']}",
    "push": _push_words,
    "requeue": lambda e: "requeue   the mailbox has more",
    "fork": lambda e: f"fork      {e['co']}",
    "log": lambda e: f"log       {_short(e['text'].splitlines()[0] if e['text'] else '')}",
    "timer_set": _timer_words,
    "timer_fired": lambda e: f"timer     fired session {e['session']}",
    "clock": lambda e: f"clock     tick {e['tick']}",
    "driver": lambda e: f"driver    {e['command']} socket {e['id']}",
    "command": lambda e: f"socket    takes {e['command']} of socket {e['id']}",
    "ready": lambda e: f"socket    {e['id']} is ready: {', '.join(e['what'])}",
    "socket": lambda e: f"socket    {e['id']} becomes {e['state']}",
    "write": lambda e: f"write     socket {e['id']} {e['sent']} of {e['size']} bytes",
    "client": lambda e: f"{e['client']}  {e['action']} {e['detail']}",
}

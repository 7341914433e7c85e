"""What a message is called in a picture: a few words, whatever it holds."""

from __future__ import annotations

import json
from typing import Any

from .forms import word

Event = dict[str, Any]

_SOCKET_MESSAGES = {"DATA": 1, "CONNECT": 2, "CLOSE": 3, "ACCEPT": 4, "ERROR": 5, "UDP": 6, "WARNING": 7}


def in_python(value: Any) -> str:
    """A plain value as Python writes it."""
    if value is None or isinstance(value, bool):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def _body(e: Event) -> str:
    body = e.get("body") or []
    return in_python(body[0]) if body and isinstance(body[0], str) else ""


def message_words(e: Event) -> str:
    """A message that is taken from its mailbox, in a few words."""
    if "type" in e:
        sized = e["type"] in ("DATA", "UDP")
        return word("fig.data", type=e["type"], size=e["size"]) if sized else str(e["type"])
    if e.get("ptype") in ("response", "error"):
        return f"{e['ptype']} {e['session']}"
    return f"{e.get('ptype', 'launch')} {_body(e)}".strip()


def push_words(e: Event, message: Event | None) -> str:
    """A message that is put into a mailbox; what is in it is known if it was taken out later."""
    if "type" in e:
        return message_words(message) if message is not None else str(e["type"])
    if e["ptype"] in ("response", "error"):
        return message_words(e)
    what = f"{e['ptype']} {_body(message) if message is not None else ''}".strip()
    return word("fig.and", a=what, b=word("fig.session", session=e["session"])) if e["session"] else what


def handler_words(e: Event) -> str:
    """What a new coroutine does with a message."""
    if e.get("type") in _SOCKET_MESSAGES:
        return f"socket_message[{_SOCKET_MESSAGES[e['type']]}]"
    return message_words(e)

"""Whether a text that is to be Chinese is: what may stand in it in Latin letters."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

# Names of code and of skynet's messages, units, keys: they are looked for as they are.
TERMS = frozenset(
    "ACCEPT BREAK CALL CLOSE CONNECT DATA ERROR EXIT KILL QUIT RESPONSE RETURN SLEEP SUSPEND UDP WARNING RST False "
    "True None finally "
    "co_create coroutine_pool dead_service dispatch_error_queue dispatch_wakeup error error_queue fork fork_queue "
    "raw_dispatch_message session_id_coroutine session session_response sleep_session socket_pool suspend "
    "wakeup wakeup_queue watching_session skynet socket_message resume response driver request main lua launch system "
    "socket tick token epoll yield ms".split()
)


_OWN = (
    "text", "error", "body", "info", "data", "label", "name", "state", "command", "action", "table", "value", "op",
    "type", "ptype", "args", "at", "runs", "client", "to", "source", "address",
)  # fmt: skip
_SOCKET = "start accept read readline readall block close open connect bind listen write lock"


def said(events: Iterable[dict[str, Any]], names: dict[str, str]) -> str:
    """The program's own words in these events, and those of socket.py that a coroutine can wait in."""
    return f"{[e.get(key) for e in events for key in _OWN]} {list(names.values())} {_SOCKET}"


def foreign(text: str, own: str = "") -> list[str]:
    """Words in Latin letters that are neither such a name nor a word of `own`, what the text speaks about."""
    known = TERMS | set(re.findall(r"[A-Za-z_]\w*", own))
    bare = re.sub(r'"(\\.|[^"\\])*"|\'(\\.|[^\'\\])*\'', "", text)
    words = re.findall(r"[A-Za-z_][A-Za-z_0-9]*", bare)
    return [w for w in words if w not in known and len(w) > 1 and not re.fullmatch(r"(co|s)\d+", w)]

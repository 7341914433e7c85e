"""Every error a user of skynet_lite can meet, in one place.

Each says what was wrong and what to do. `SkynetError` is the common base.
"""

from __future__ import annotations

from collections.abc import Callable
from reprlib import Repr
from typing import Any, NamedTuple


class SkynetError(Exception):
    """Misuse of the runtime; the text names the remedy."""


class AddressError(SkynetError):
    """A call went to an address that does not exist, or the address has a wrong type."""


class CallError(SkynetError):
    """The service that was called failed, refused or ended before it answered.

    `service`: its handle; `session`, `type`: of the call; `reason`: `raised ValueError: bad seat`, `was killed`,
    `exited`, `did not start: ...`, `no handler for "lua" in room`, ... `__cause__` is what it raised. Where something
    is not known, as of an error message that a program makes itself, it is 0 or "".
    """

    service = session = 0
    type = reason = ""

    @classmethod
    def of(cls, failure: Failure | None, session: int, type: str) -> CallError:
        """What the caller of `session` gets."""
        if failure is None:
            error = cls("call failed")
        else:
            who = f":{failure.service:08x} {failure.name}".rstrip() + ("" if failure.name else ":")
            error = cls(f"call failed: {who} {failure.reason}")
            error.service, error.reason, error.__cause__ = failure.service, failure.reason, failure.cause
        error.session, error.type = session, type
        return error


class Failure(NamedTuple):
    """Why a service does not answer: the payload of an error message, which in skynet is empty."""

    service: int
    name: str
    reason: str
    cause: BaseException | None = None


class SocketError(SkynetError):
    """A socket could not be opened or used; the text is that of the socket server."""


class ConfigError(SkynetError):
    """A configuration key or value that the node does not understand."""


class PackError(SkynetError, TypeError):
    """A value that cannot travel in a message; the text names its type and place."""


class SeriError(SkynetError, ValueError):
    """A value that skynet's bytes have no place for, or bytes that are no values.

    `at`: where reading failed, `left`: how many bytes were unread then; both None where nothing was read.
    """

    at: int | None = None
    left: int | None = None
    chain: tuple[Any, ...] = ()  # the value that cannot be written, and before it what it is in


class MethodError(SkynetError, AttributeError):
    """A snax service has no such method."""


class FrozenError(SkynetError, TypeError):
    """A shared table was written to, or a view's place has gone with an update."""


class SignalError(SkynetError):
    """Raised in the middle of a handler that `Node.signal` has broken off."""

    def __init__(self) -> None:
        super().__init__("signal 0")


class DriveTimeout(SkynetError, TimeoutError):
    """What `Node.run`, `Node.call` or a client waited for did not happen in time."""


class NodeClosed(BaseException):
    """Raised in a handler that did not come back when its node was closed. No Exception: handlers catch those."""


_name: Callable[[type], str] = type.__dict__["__name__"].__get__  # past a metaclass that hides it


def error_text(error: BaseException) -> str:
    """`ValueError: bad seat`; the name alone where there is no text. Never raises, whatever its class does."""
    return ": ".join(filter(None, (_name(type(error)), text_of(error))))


def brief(error: BaseException) -> str:
    """The first line of it, for where there is no more room."""
    line = error_text(error).partition("\n")[0]
    return line if len(line) <= 500 else line[:499] + "…"


def text_of(value: object, how: Callable[[Any], str] = str) -> str:
    """`str(value)`, or another way to tell it, whatever that is and does: a service may raise, or say, anything."""
    try:
        return how(value)
    except BaseException as e:
        return f"<its text cannot be told: {_name(type(e))}>"


def expect(what: str, value: Any, *kinds: type) -> Any:
    """`value`, if it is of one of these types (True is no number). Raises SkynetError: `what`, and what it is."""
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise SkynetError(f"{what}, not {shown(value)}")
    return value


class _Short(Repr):
    """A list of twenty levels that shares its parts has a million of them: `repr` would tell each."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 3, 80, 80

    def repr_int(self, x: int, level: int) -> str:
        return super().repr_int(x, level) if x.bit_length() < 999 else "…"  # Python refuses the longest


_SHORT = _Short()


def shown(value: object) -> str:
    """`repr(value)` for an error or a log line, never long and never slow, whatever somebody has given or sent."""
    return text_of(value, _SHORT.repr)[:200]


def told(value: object) -> str:
    """`str(value)` likewise."""
    return value[:200] if isinstance(value, str) else shown(value)

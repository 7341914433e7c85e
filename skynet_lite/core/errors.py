"""Every error a user of skynet_lite can meet, in one place.

Each says what was wrong and what to do. `SkynetError` is the common base.
"""

from __future__ import annotations

from collections.abc import Callable


class SkynetError(Exception):
    """Misuse of the runtime; the text names the remedy."""


class AddressError(SkynetError):
    """A call went to an address that does not exist, or the address has a wrong type."""


class CallError(SkynetError):
    """The service that was called failed, refused or ended before it answered."""


class SocketError(SkynetError):
    """A socket could not be opened or used; the text is that of the socket server."""


class ConfigError(SkynetError):
    """A configuration key or value that the node does not understand."""


class PackError(SkynetError, TypeError):
    """A value that cannot travel in a message; the text names its type and place."""


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


def text_of(error: BaseException) -> str:
    """`str(error)`, if that is one."""
    try:
        return str(error)
    except BaseException as e:
        return f"<its text cannot be told: {_name(type(e))}>"

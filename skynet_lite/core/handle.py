"""Handles and local names: how a number finds its service.

Services sit in a table whose size is a power of two; a service with handle h
sits in slot h mod size. A launch tries the number after the last one given out,
then the next, at most `size` of them, and takes the first whose slot is free.
A number whose slot is held by an older service is skipped for good, so handles
are not consecutive once services have gone.

After skynet-src/skynet_handle.c (skynet_handle_register, skynet_handle_namehandle).
"""

from __future__ import annotations

from .context import Context
from .errors import AddressError, shown

HANDLE_MASK = 0xFFFFFF
REMOTE_SHIFT = 24
_FIRST_SIZE = 4


class HandleStorage:
    """The services of a node by handle and by local name. `contexts` is written here only; all may read it."""

    def __init__(self) -> None:
        self.contexts: dict[int, Context] = {}
        self.names: dict[str, int] = {}
        self.next_handle = 1
        self._names_of: dict[int, list[str]] = {}
        self._slots: list[int] = [0] * _FIRST_SIZE  # 0 is no handle

    def register(self, ctx: Context) -> int:
        """Give `ctx` and its mailbox their handle. Raises AddressError when none is free."""
        while True:
            handle, size = self.next_handle, len(self._slots)
            for _ in range(size):
                if handle > HANDLE_MASK:
                    handle = 1
                slot = handle & (size - 1)
                if not self._slots[slot]:
                    self._slots[slot] = handle
                    self.contexts[handle] = ctx
                    ctx.handle = ctx.mailbox.handle = handle
                    self.next_handle = handle + 1
                    return handle
                handle += 1
            if size * 2 - 1 > HANDLE_MASK:
                raise AddressError(f"no handle is free: {len(self.contexts)} services are alive; end some")
            grown = [0] * (size * 2)
            for old in self._slots:
                grown[old & (size * 2 - 1)] = old
            self._slots = grown

    def retire(self, handle: int) -> Context | None:
        """Take the service out, with its names; None if there is none."""
        ctx = self.contexts.pop(handle, None)
        if ctx is not None:
            self._slots[handle & (len(self._slots) - 1)] = 0
            for name in self._names_of.pop(handle, ()):
                del self.names[name]
        return ctx

    def name(self, name: str, handle: int) -> None:
        """Set a local name (without its dot). A name that is taken stays as it is."""
        if name not in self.names:
            self.names[name] = handle
            self._names_of.setdefault(handle, []).append(name)

    def called(self, handle: int) -> str:
        """The name of a service; "" of one that is not there."""
        return self.contexts[handle].called if handle in self.contexts else ""

    def query(self, address: str) -> int:
        """The handle behind ":hex" or ".name", 0 if there is none (skynet_queryname)."""
        if address.startswith("."):
            return self.names.get(address[1:], 0)
        try:
            return int(address[1:], 16)
        except ValueError:
            raise AddressError(f"{shown(address)} is no address: hex digits follow a colon, as in :00000008") from None


def address_text(handle: int) -> str:
    """The text form of a handle, `:00000008`."""
    return f":{handle:08x}"

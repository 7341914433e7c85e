"""The environment of a node: strings by key, set once (skynet-src/skynet_env.c)."""

from __future__ import annotations

import threading

from .errors import SkynetError


class Env:
    """`getenv` answers None for what is not there; a key can be set only once."""

    def __init__(self, values: dict[str, str]) -> None:
        self._values = dict(values)
        self._lock = threading.Lock()  # services on several workers may set

    def get(self, key: str) -> str | None:
        return self._values.get(key)

    def values(self) -> dict[str, str]:
        """All of it, a copy."""
        return dict(self._values)

    def set(self, key: str, value: object) -> None:
        """Raises SkynetError if the key is there already."""
        with self._lock:
            if key in self._values:
                raise SkynetError(f"Can't setenv exist key : {key} (it is {self._values[key]!r}; choose another name)")
            self._values[key] = str(value)

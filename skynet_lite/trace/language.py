"""The language in which the project speaks to its reader: one setting for one process.

It moves words only: sentences of `describe()`, labels of figures and viewers, hints of
exercises. The canonical text, the names of events and the errors stay English.
"""

from __future__ import annotations

LANGUAGES = {"en": "English", "zh": "中文"}

_current = "en"


def language(code: str | None = None) -> str:
    """Choose the language by its code, "en" or "zh"; without one nothing changes. Returns the one that holds.

    Raises ValueError for a language that is not there.
    """
    global _current
    if code is not None:
        if code not in LANGUAGES:
            raise ValueError(f"no language {code!r} here; there are {', '.join(map(repr, LANGUAGES))}")
        _current = code
    return _current


def say(english: str, chinese: str) -> str:
    """The one of both texts that the reader has chosen."""
    return chinese if _current == "zh" else english

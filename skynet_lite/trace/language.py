"""The language in which the project speaks to its reader: one setting for one process.

It moves words only: sentences of `describe()`, labels of figures and viewers, hints of
exercises. The canonical text, the names of events and the errors stay English.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

from .text import printable

LANGUAGES = {"en": "English", "zh": "中文"}

_current = "en"
_meanwhile: ContextVar[str | None] = ContextVar("language", default=None)


def language(code: str | None = None) -> str:
    """Choose the language by its code, "en" or "zh"; without one nothing changes. Returns the one that holds.

    Raises ValueError for a language that is not there.
    """
    global _current
    _check(code)
    _current = code or _current
    return _meanwhile.get() or _current


@contextmanager
def speaking(code: str | None = None) -> Iterator[str]:
    """Speak this language within a `with`, whatever the process speaks; None: as it is. Gives the language.

    Raises ValueError for a language that is not there.
    """
    _check(code)
    token = _meanwhile.set(code or language())
    try:
        yield language()
    finally:
        _meanwhile.reset(token)


def _check(code: str | None) -> None:
    if code is not None and code not in LANGUAGES:
        raise ValueError(f"no language {code!r} here; there are {', '.join(map(repr, LANGUAGES))}")


def say(english: str, chinese: str) -> str:
    """The one of both texts that the reader has chosen."""
    return chinese if language() == "zh" else english


def told(key: str, **fields: Any) -> str:
    """What words.toml says under `section.key`, in the language of the reader, with these fields."""
    section, _, name = key.partition(".")
    english, chinese = _words()[section][name]
    return printable(say(english, chinese).format(**fields))


@cache
def _words() -> dict[str, dict[str, tuple[str, str]]]:
    return tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))


_GAP = re.compile(
    r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|([\u4e00-\u9fff：，。；）](?:\*\*)?)[ ](?=(?:\*\*)?[\u4e00-\u9fff（])"""
)


def close_up(told: str) -> str:
    """Chinese has no space between two characters; a sentence leaves one where it expects a name in Latin letters.

    What stands in quotes is the user's, and stays.
    """
    return _GAP.sub(lambda m: m[1] or m[2], told)

"""What the view says, looked up in the language that holds.

One idea: words are data. `words_en.toml` and `words_zh.toml` hold a form for each thing
that is said, under the same names; another language is another file.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from ..trace.language import language

LANGUAGES: dict[str, dict[str, str]] = {
    lang: tomllib.loads((Path(__file__).parent / f"words_{lang}.toml").read_text(encoding="utf-8"))
    for lang in ("en", "zh")
}


def word(key: str, **fields: Any) -> str:
    """A form in the language that holds, filled in."""
    return LANGUAGES[language()][key].format_map(fields)


def form(key: str, otherwise: str) -> str:
    """A form that stands for a word of a trace; the word itself, if a foreign trace has one of its own."""
    return LANGUAGES[language()].get(key, otherwise)


def forms(prefix: str) -> dict[str, str]:
    """The forms of one part of the view in the language that holds, under their names without `prefix`."""
    return {key.removeprefix(prefix): form for key, form in LANGUAGES[language()].items() if key.startswith(prefix)}


def count(n: int, what: str, shown: str | None = None) -> str:
    """One event, seven events: the forms `fig.n.…`. `shown`: the number as it is to be written."""
    return word(f"fig.n.{what}.one" if n == 1 else f"fig.n.{what}", n=shown or n)

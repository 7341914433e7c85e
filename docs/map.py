"""The map of a node as pictures for the README, in both languages.

python docs/map.py    writes docs/images/map.svg and docs/images/map.zh.svg
"""

from __future__ import annotations

from pathlib import Path

from skynet_lite.lab import where

from skynet_lite.trace.language import speaking

IMAGES = Path(__file__).parent / "images"


def pictures() -> dict[Path, str]:
    """Each file, and what is in it."""
    made = {}
    for name, lang in (("map.svg", "en"), ("map.zh.svg", "zh")):
        with speaking(lang):
            made[IMAGES / name] = where().svg
    return made


if __name__ == "__main__":
    for path, text in pictures().items():
        path.write_text(text, encoding="utf-8")
        print(path)

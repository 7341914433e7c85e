"""Self-checks for the exercises of the course: `check("05.1", answer)`.

One idea: a wrong answer is told where to look, never just that it is wrong. So an
exercise is a function that takes the answer and returns a hint, or None if it is
right. Each notebook has a file of them here, in both languages.
"""

from __future__ import annotations

from .engine import check as check, exercises as exercises, judge as judge

__all__ = ["check", "exercises", "judge"]

"""Self-checks for the exercises of the course: `check("05.1", answer)`.

One idea: a wrong answer is told where to look, never just that it is wrong. So an
exercise is a function that takes the answer and yields hints, or none if it is right.
Each notebook has a file of them here, and one of their texts in both languages.
"""

from __future__ import annotations

from .engine import check as check, exercises as exercises, judge as judge

__all__ = ["check", "exercises", "judge"]

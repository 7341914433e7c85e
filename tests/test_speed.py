"""Nothing becomes dearer unnoticed: each operation takes as many bytecodes as are written down for it.

No clock is read, so this holds on a busy machine. A change that is meant, for better or worse, is written down by
`python tests/bench/bytecodes.py --write`, and told in the CHANGELOG.
"""

from __future__ import annotations

import bytecodes
import pytest


@pytest.fixture(scope="module")
def found() -> dict[str, float]:
    """Counted in a process of its own: what other tests have left behind here costs nothing there."""
    return bytecodes.measured()


@pytest.mark.parametrize("operation", bytecodes.COUNTS)
def test_an_operation_costs_what_is_written_down(operation: str, found: dict[str, float]) -> None:
    """Compilers differ, so each Python has its figures. One that CI does not run has none."""
    if bytecodes.MINOR not in bytecodes.pythons():
        pytest.xfail(f"no figures are kept for Python {bytecodes.MINOR}: it is not among those of pyproject.toml")
    told = bytecodes.differences({operation: found[operation]})
    assert not told, f"{told[0]}. If that is meant: python tests/bench/bytecodes.py --write"


def test_three_percent_more_or_less_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less, too: a gain that nobody writes down could be lost again unnoticed."""
    monkeypatch.setattr(bytecodes, "stored", lambda: {"call": {"3.11": 1000.0}})

    def told(figure: float, operation: str = "call", minor: str = "3.11") -> list[str]:
        return bytecodes.differences({operation: figure}, minor)

    assert told(1029.0) == told(971.0) == []
    assert told(1031.0) == ["call: 1,000.0 → 1,031.0 bytecodes on Python 3.11 (+3.1 %)"]
    assert told(969.0) == ["call: 1,000.0 → 969.0 bytecodes on Python 3.11 (-3.1 %)"]
    assert told(5.0, "new") == ["new: 5.0 bytecodes on Python 3.11, and no figure is stored"]
    assert told(1000.0, minor="3.12") == ["call: 1,000.0 bytecodes on Python 3.12, and no figure is stored"]

"""The contract of the house: what docs/house.py must find in a package, and what it says of ours."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from itertools import combinations, count
from pathlib import Path
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs"))

import house  # noqa: E402
import house_picture  # noqa: E402

NUMBER = count(1)


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Build a package of these files, and read it."""

    def build(files: dict[str, str], exempt: tuple[tuple[str, str, str], ...] = ()) -> house.House:
        package = tmp_path / f"little_{next(NUMBER)}"
        for name, text in {"__init__.py": "", **files}.items():
            path = package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            (path.parent / "__init__.py").touch()
        monkeypatch.setattr(sys, "path", [*sys.path])
        monkeypatch.setattr(house, "YET", {})
        return house.House(package, exempt)

    return build


def test_what_the_table_allows_is_not_told(built: Any) -> None:
    """Downwards, and inside a room."""
    found = built({"core/a.py": "from . import b", "core/b.py": "", "skynet/c.py": "from ..core import a"})
    assert (found.forbidden(), found.circles(), found.by_name(), found.over()) == ([], [], [], [])
    assert found.arrows == {("skynet", "core"): 1}


@pytest.mark.parametrize(
    "how",
    [
        "from ..node import n",
        "import {package}.node.n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..node.n import N",
        "def f():\n    from ..node.n import N",
    ],
    ids=["plain", "whole", "for types only", "in a function"],
)
def test_a_forbidden_import_is_found(built: Any, how: str) -> None:
    """However it is written, with its line."""
    text = how.format(package=f"little_{next(NUMBER) + 1}")
    found = built({"skynet/s.py": text, "node/n.py": "class N: ..."})
    line = len(text.splitlines())
    assert found.forbidden() == [f"skynet.s -> node.n (line {line})"]
    assert "NODE 1" in found.who_imports_whom()


def test_an_exemption_is_of_one_import(built: Any) -> None:
    """The named one is let through; one that is not there any more is told."""
    files = {"core/a.py": "from ..skynet import s, t", "skynet/s.py": "", "skynet/t.py": ""}
    reason = ("core.a", "skynet.s", "to show it")
    assert built(files, (reason,)).forbidden() == ["core.a -> skynet.t (line 1)"]
    stale = ("core.a", "skynet.gone", "to show it")
    assert "core.a -> skynet.gone: exempt, and not there" in built(files, (reason, stale)).missing()


def test_a_circle_is_found(built: Any) -> None:
    """Also of two modules in one room, one of which needs the other for its types only."""
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .a import A"
    found = built({"core/a.py": "from . import b", "core/b.py": typed, "core/c.py": "from . import a"})
    assert len(found.circles()) == 1
    assert set(found.circles()[0].split(" -> ")) == {"core.a", "core.b"}


def test_a_large_circle_names_everybody_and_its_shortest_way(built: Any) -> None:
    found = built({"core/a.py": "from . import b", "core/b.py": "from . import c, a", "core/c.py": "from . import a"})
    (told,) = found.circles()
    way, others = told.split("; and in it ")
    assert set(way.split(" -> ")) == {"core.a", "core.b"} and others == "core.c"


def test_an_import_by_name_is_found(built: Any) -> None:
    """No graph sees it: only the files that are listed may."""
    text = "from importlib import import_module\nimport_module('x')\n"
    found = built({"core/a.py": text, "node/b.py": "__import__('x')", "doors.py": text})
    assert found.by_name() == ["core/a.py", "node/b.py"]


def test_a_room_above_its_budget_is_found(built: Any) -> None:
    """Files count as `wc -l` counts them."""
    (budget,) = (room.budget for room in house.ROOMS if room.name == "trace")
    half = budget // 2
    assert built({"trace/a.py": "\n" * half, "trace/b.py": "\n" * half}).over() == []
    assert built({"trace/a.py": "\n" * half, "trace/b.py": "\n" * (half + 3)}).over() == [
        f"trace: {budget + 3} lines, 3 above {budget}"
    ]


def test_what_is_on_its_way_down_may_not_grow(built: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A room that is still above its budget keeps its lines, and no more; once it is within, nobody says it is above."""
    at, above, within = (built({"trace/a.py": "\n" * n}) for n in (4000, 4001, 20))
    monkeypatch.setattr(house, "YET", {"trace": 4000})
    assert at.over() == []
    assert above.over() == ["trace: 4001 lines, 1 above 4000"]
    assert within.over() == ["trace: 20 lines, within its 3000: take it out of YET"]


def test_a_long_file_of_the_runtime_is_found(built: Any) -> None:
    """450 lines are the most there, not in the tools."""
    assert built({"core/a.py": "\n" * 450, "view/b.py": "\n" * 451}).over() == []
    assert built({"skynet/a.py": "\n" * 451}).over() == ["skynet/a.py: 451 lines, 1 above 450"]


def test_rooms_that_share_a_budget_are_counted_together(built: Any) -> None:
    """cli.py and __main__.py are one room; course/console.py is left out."""
    (_, budget) = house.BUDGETS["tools"]
    files = {"cli.py": "\n" * 400, "__main__.py": "\n", "replay/r.py": "\n" * (budget - 401)}
    assert built(files | {"course/console.py": "\n" * 200}).over() == []
    assert built(files | {"course/lab.py": "\n"}).over() == [f"the tools: {budget + 1} lines, 1 above {budget}"]


def test_the_hour_has_a_budget_and_a_table(built: Any) -> None:
    """Order, link, lines, minutes, and the first sentence of the file."""
    text = '"""One idea,\nin two lines. And more."""\n'
    files = dict.fromkeys(house.HOUR, text + "\n" * 78)
    found = built(files)
    rows = found.hour().splitlines()
    assert (
        rows[2] == f"| 1 | [core/message.py]({found.package.name}/core/message.py) | 80 | 2 | One idea, in two lines |"
    )
    assert len(rows) == 2 + len(house.HOUR) + 1 and "| 800 | 20 |" in rows[-1]
    assert found.missing() == [] and found.over() == []
    files["core/mq.py"] = files["drive/loop.py"] = "\n" * 450
    long = dict.fromkeys(house.HOUR, text + "\n" * 298)
    assert "the hour: 3000 lines, 700 above 2300" in built(long).over()
    del files["core/mq.py"]
    assert built(files).missing() == ["core/mq.py: named for the hour, and not there"]


def test_a_new_room_is_not_forgotten(built: Any) -> None:
    """A folder or file of the package that the table does not name; and nobody may import it, nor it anybody."""
    found = built({"attic/a.py": "from ..core import c", "core/c.py": "from ..attic import a", "cellar.py": ""})
    assert found.missing()[:2] == ["attic: no such room in the table", "cellar: no such room in the table"]
    assert found.forbidden() == ["attic.a -> core.c (line 1)", "core.c -> attic.a (line 1)"]


def test_the_table_names_every_room_of_ours() -> None:
    """Each folder and each file of skynet_lite; and no room may import one that stands above it."""
    package = ROOT / "skynet_lite"
    there = {p.stem for p in package.iterdir() if p.suffix == ".py" or (p.is_dir() and [*p.rglob("*.py")])}
    names = [room.name for room in house.ROOMS]
    assert there - {*house.PROGRAMS, *house.PART_OF} <= set(names)
    assert len(names) == len(set(names)) and {*house.RUNTIME, *house.TOOLS} <= set(names)
    floors = {room.name: room.floor for room in house.ROOMS}
    assert all(floors[other] < floors[name] for name in names for other in house.allowed(name))
    assert "node" not in house.allowed("drive") | house.allowed("lualib") | house.allowed("skynet")


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    """Status 1 exactly if it names something."""
    command = [sys.executable, str(ROOT / "docs" / "house.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    told = house.House(ROOT / "skynet_lite").problems()
    assert done.stderr == "" and done.returncode == int(any(told.values()))
    for what, found in told.items():
        assert f"{what}: {len(found)}\n" in done.stdout
        assert all(f"  {line}\n" in done.stdout for line in found)
    assert list(tmp_path.iterdir()) == [], "no cache is left"


# The picture: rooms stand apart, words in their rooms, arrows lead down and touch no room but their own.


@pytest.fixture(scope="module")
def figure() -> Any:
    class Planned(house.House):
        """Every room, every import that is allowed."""

        @property
        def arrows(self) -> Counter[tuple[str, str]]:  # type: ignore[override]
            return Counter((room.name, other) for room in house.ROOMS for other in house.allowed(room.name))

        def size(self, *rooms: str) -> int:
            return super().size(*rooms) or 64

    figure = house_picture.picture(Planned(ROOT / "skynet_lite"))
    FigureCanvasAgg(figure).draw()
    return figure


@pytest.fixture(scope="module")
def boxes() -> dict[str, Any]:
    return {name: house_picture.Box(name) for name in house_picture.PLACES}


def test_every_room_has_a_place(boxes: dict[str, Any]) -> None:
    assert set(boxes) == {room.name for room in house.ROOMS}
    for a, b in combinations(boxes.values(), 2):
        assert a.floor != b.floor or a.right < b.left or b.right < a.left, (a.name, b.name)
    for box in boxes.values():
        assert house_picture.LEFT < box.left and box.right < house_picture.RIGHT
        assert box.top < house_picture.EAVES


def test_words_stand_in_their_rooms(figure: Any, boxes: dict[str, Any]) -> None:
    (axes,) = figure.axes
    (height, width) = figure.canvas.get_renderer().height, figure.canvas.get_renderer().width
    texts = [t for t in axes.texts if t.get_gid()]
    assert len(texts) == 3 * len(house.ROOMS)
    scale = width / house_picture.WIDTH
    assert abs(scale - height / house_picture.HEIGHT) < 0.01
    for text in texts:
        drawn, box = text.get_window_extent(), boxes[text.get_gid().split(".")[0]]
        assert box.left + 5 < drawn.x0 / scale and drawn.x1 / scale < box.right - 5, text.get_text()
        assert box.bottom < drawn.y0 / scale and drawn.y1 / scale < box.top, text.get_text()
    for a, b in combinations(axes.texts, 2):
        assert not a.get_window_extent().overlaps(b.get_window_extent()), (a.get_text(), b.get_text())


@pytest.mark.parametrize("everything", [False, True])
def test_arrows_lead_down_and_touch_no_other_room(figure: Any, boxes: Any, everything: bool) -> None:
    """Those that are drawn, and each single one that the table allows."""
    arrows = [(room.name, other) for room in house.ROOMS for other in house.allowed(room.name)]
    for group in [[arrow] for arrow in arrows] if everything else [house_picture.needed(arrows)]:
        for arrow, points in house_picture.paths(group).items():
            heights = [y for _, y in points]
            assert heights == sorted(heights, reverse=True)
            line = house_picture.curve(points).to_polygons(closed_only=False)[0]
            for box in boxes.values():
                touched = [(x, y) for x, y in line if box.left < x < box.right and box.bottom + 1 < y < box.top - 1]
                assert not touched, (arrow, box.name)


def test_what_a_longer_way_tells_is_left_out() -> None:
    assert house_picture.needed([("node", "skynet"), ("node", "core"), ("skynet", "core")]) == [
        ("node", "skynet"), ("skynet", "core"),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="core -> node does not lead down"):
        house_picture.needed([("core", "node")])


def test_the_same_bytes_each_time(tmp_path: Path) -> None:
    read = house.House(ROOT / "skynet_lite")
    for kind in ("svg", "png"):
        for name in "ab":
            house_picture.draw(read, tmp_path / f"{name}.{kind}")
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_the_stored_picture_shows_the_arrows_there_are(tmp_path: Path) -> None:
    """`python docs/house.py --picture docs/images/house.svg` has been run since an import came or went."""
    house_picture.draw(house.House(ROOT / "skynet_lite"), tmp_path / "house.svg")
    fresh, stored = (
        set(re.findall(r'<g id="(\w+|\w+-to-\w+)"', path.read_text()))
        for path in (tmp_path / "house.svg", ROOT / "docs" / "images" / "house.svg")
    )
    rooms = set(house_picture.PLACES)
    assert len(fresh & rooms) >= len(rooms) - 1 and "node-to-drive" in fresh
    assert {name for name in fresh ^ stored if name.split("-to-")[0] in rooms} == set()


@pytest.mark.parametrize("page", ["README.md", "README.zh.md"])
def test_the_hour_in_the_readme_is_that_of_the_house(page: str) -> None:
    """The same files in the same order; their lines may be a tenth off before the table is made anew."""
    row = re.compile(r"^\| (\d+) \| \[([\w/.]+)\]\(skynet_lite/\2\) \| (\d+) \|", re.MULTILINE)
    told = row.findall((ROOT / page).read_text(encoding="utf-8"))
    assert [(int(n), file) for n, file, _ in told] == list(enumerate(house.HOUR, 1))
    for _, file, lines in told:
        there = (ROOT / "skynet_lite" / file).read_text(encoding="utf-8").count("\n")
        assert abs(int(lines) - there) <= there / 10, f"{file}: python docs/house.py --hour"

"""The house: which room may import which, how long each may be, and whether it is so.

python docs/house.py                                  # both tables; fails if the house is not as it is drawn here
python docs/house.py --hour                           # the files to read in an hour, as a table for the README
python docs/house.py --picture docs/images/house.svg  # the house as its imports are found to be (.svg or .png)

An import inside a function counts, and one for types only: whoever reads the file has to follow both.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Room:
    """A folder or a file of the package. `may`: rooms it may import, "*" for all on the floors below its own."""

    name: str
    floor: int
    meaning: str
    may: str
    budget: int = 0  # lines of Python; 0: it has none of its own


RUNTIME = ("core", "skynet", "drive", "node")
TOOLS = ("replay", "cli", "course")
BELOW_NODE = "core skynet drive lualib tell trace doors"
ROOMS = (
    Room("core", 0, "messages, queues, handles, timer, sockets", "", 2350),
    Room("doors", 0, "the few ways up, by name", ""),
    Room("skynet", 1, "one service: coroutines, calls, waits", "core", 2550),
    Room("trace", 1, "what a run was", "doors", 3000),
    Room("drive", 2, "one loop, or N workers", "skynet core", 1050),
    Room("lualib", 2, "libraries for services", "skynet core", 2200),
    Room("probe", 2, "a real skynet", "trace", 510),
    Room("view", 2, "how a run is shown", "trace", 3200),
    Room("tell", 2, "classes that tell a recorder", "skynet core trace", 770),
    Room("node", 3, "a node, put together from what is below", BELOW_NODE, 1300),
    Room("contrib", 3, "HTTP, WebSocket, Redis, metrics", "lualib skynet core", 1600),
    Room("replay", 4, "a run again, from its recording", f"node {BELOW_NODE}"),
    Room("__init__", 4, "from skynet_lite import ...", f"node view {BELOW_NODE}"),
    Room("top", 4, "a node, in a terminal", "lualib"),
    Room("service", 5, "services that come with it", "__init__ lualib skynet core trace", 1300),
    Room("attach", 5, "a hung node, as a page", "top lualib trace"),
    Room("fleet", 5, "the nodes of one file", "top node core trace"),
    Room("course", 5, "lab, learn, console, begin", "*"),
    Room("testing", 6, "a node for pytest", "__init__ skynet"),
    Room("check", 6, "the exercises of the notebooks", "*", 2300),
    Room("cli", 6, "the command skynet-lite", "*"),
)
PROGRAMS = ("examples",)  # they use the house and are no part of it: nobody may import them
PART_OF = {"__main__": "cli", "pytest_plugin": "testing", "network": "testing"}
EXEMPT: tuple[tuple[str, str, str], ...] = ()  # importer, imported, reason

BUDGETS = {  # of several rooms together; course/console.py is not counted
    "runtime": (RUNTIME, 7200),
    "tools": (TOOLS, 1300),
}
UNCOUNTED = ("course/console.py",)
LONGEST = 450  # lines of a file of the runtime
HOUR = (
    "core/message.py", "core/mq.py", "core/server.py", "skynet/coroutine.py", "skynet/scheduler.py",
    "skynet/calls.py", "skynet/waits.py", "skynet/queue.py", "skynet/socketpool.py", "drive/loop.py",
)  # fmt: skip
HOUR_LINES = 2300
LINES_A_MINUTE = 40
YET: dict[str, int] = {
    "core": 3428,
    "skynet": 3897,
    "trace": 4529,
    "drive": 1828,
    "lualib": 3798,
    "node": 1977,
    "service": 2343,
    "contrib": 1771,
    "tell": 914,
    "view": 3710,
    "check": 2730,
    "the runtime": 11130,
    "the tools": 3145,
}
"""What is still above its budget, and how many lines it has. It may only grow by a change of this table."""
BY_NAME = {  # who may import by a string, where no graph sees it
    "__init__.py": "names load when they are first used",
    "doors.py": "the ways up",
    "view/__init__.py": "its own files",
    "check/engine.py": "its own files",
}


class House:
    """A package as it is: its imports and its lines."""

    def __init__(self, package: Path, exempt: tuple[tuple[str, str, str], ...] = EXEMPT) -> None:
        self.package = package
        self.exempt = exempt
        if str(package.parent) not in sys.path[:1]:
            sys.path.insert(0, str(package.parent))  # the graph is of the package that lies there
        self.graph = grimp.build_graph(package.name, cache_dir=None)
        self.stale = [pair for *pair, _ in exempt if not self._take_out(*pair)]
        self.lines = {
            path.relative_to(package).as_posix(): path.read_text(encoding="utf-8").count("\n")
            for path in sorted(package.rglob("*.py"))
        }

    def _take_out(self, importer: str, imported: str) -> bool:
        pair = (self._full(importer), self._full(imported))
        found = set(pair) <= self.graph.modules and self.graph.direct_import_exists(importer=pair[0], imported=pair[1])
        if found:
            self.graph.remove_import(importer=pair[0], imported=pair[1])
        return found

    def _full(self, module: str) -> str:
        return self.package.name if module == "__init__" else f"{self.package.name}.{module}"

    def _short(self, module: str) -> str:
        return module.removeprefix(self.package.name).lstrip(".") or "__init__"

    @cached_property
    def imports(self) -> list[tuple[str, str, int]]:
        """Importer, imported, line: between rooms only, names without the package."""
        found = []
        for importer in sorted(self.graph.modules):
            for imported in sorted(self.graph.find_modules_directly_imported_by(importer)):
                details = self.graph.get_import_details(importer=importer, imported=imported)
                pair = self._short(importer), self._short(imported)
                if room_of(pair[0]) != room_of(pair[1]) and room_of(pair[0]) not in PROGRAMS:
                    found.append((*pair, min(d["line_number"] for d in details)))
        return found

    @cached_property
    def arrows(self) -> Counter[tuple[str, str]]:
        """How many imports go from one room to another."""
        return Counter((room_of(importer), room_of(imported)) for importer, imported, _ in self.imports)

    def size(self, *rooms: str) -> int:
        """The lines of these rooms."""
        counted = (file for file in self.lines if file not in UNCOUNTED)
        return sum(self.lines[file] for file in counted if room_of(file.removesuffix(".py").replace("/", ".")) in rooms)

    # ---------------------------------------------------------------- what is wrong

    def forbidden(self) -> list[str]:
        """Imports that the table of rooms does not allow."""
        return [
            f"{importer} -> {imported} (line {line})"
            for importer, imported, line in self.imports
            if room_of(imported) not in allowed(room_of(importer))
        ]

    def circles(self) -> list[str]:
        """Modules that need each other, each group once, with its shortest way around."""
        groups = set()
        for module in self.graph.modules:
            around = self.graph.find_upstream_modules(module) & self.graph.find_downstream_modules(module)
            if around:
                groups.add(frozenset(around | {module}))
        told = []
        for group in groups:
            way = min(self._ways_around(group), key=lambda way: (len(way), way))
            others = sorted(set(map(self._short, group)) - set(way))
            told.append(" -> ".join(way) + (f"; and in it {', '.join(others)}" if others else ""))
        return sorted(told)

    def _ways_around(self, group: frozenset[str]) -> Iterator[list[str]]:
        for importer in group:
            for imported in self.graph.find_modules_directly_imported_by(importer) & group:
                way = self.graph.find_shortest_chain(importer=imported, imported=importer) or ()
                yield [self._short(module) for module in (importer, *way)]

    def by_name(self) -> list[str]:
        """Files that import by a string and are not in BY_NAME."""
        found = []
        for file in self.lines:
            calls = [n.func for n in ast.walk(self._tree(file)) if isinstance(n, ast.Call)]
            names = {getattr(f, "id", getattr(f, "attr", "")) for f in calls}
            if names & {"import_module", "__import__"} and file not in BY_NAME:
                found.append(file)
        return found

    def over(self) -> list[str]:
        """Rooms, groups of rooms, files and the hour, above their budgets."""
        told = []
        for name, lines, budget in self._counted():
            most = max(budget, YET.get(name, 0))
            if lines > most:
                told.append(f"{name}: {lines} lines, {lines - most} above {most}")
            elif name in YET and lines <= budget:
                told.append(f"{name}: {lines} lines, within its {budget}: take it out of YET")
        return told

    def _counted(self) -> list[tuple[str, int, int]]:
        """Whatever has a budget: name, lines, budget."""
        found = [(room.name, self.size(room.name), room.budget) for room in ROOMS if room.budget]
        found += [(f"the {name}", self.size(*rooms), budget) for name, (rooms, budget) in BUDGETS.items()]
        found += [(f, n, LONGEST) for f, n in self.lines.items() if f.split("/")[0] in RUNTIME]
        return [*found, ("the hour", sum(self.lines.get(file, 0) for file in HOUR), HOUR_LINES)]

    def missing(self) -> list[str]:
        """Rooms that the table does not know, files of the hour that are not there, exemptions of nothing."""
        known = {room.name for room in ROOMS} | {*PROGRAMS, *PART_OF}
        strange = {file.split("/")[0].removesuffix(".py") for file in self.lines} - known
        told = [f"{name}: no such room in the table" for name in sorted(strange)]
        told += [f"{file}: named for the hour, and not there" for file in HOUR if file not in self.lines]
        return told + [f"{importer} -> {imported}: exempt, and not there" for importer, imported in self.stale]

    def problems(self) -> dict[str, list[str]]:
        """All of them, under what they are."""
        return {
            "forbidden imports": self.forbidden(),
            "circles": self.circles(),
            "imports by name": self.by_name(),
            "above budget": self.over(),
            "missing": self.missing(),
        }

    # --------------------------------------------------------------------- to print

    def who_imports_whom(self) -> str:
        """Room by room: allowed, found with how many imports, and not allowed."""
        rows = [("room", "may import", "imports (in capitals: forbidden)")]
        for room in ROOMS:
            may = allowed(room.name)
            found = [
                f"{imported} {n}" if imported in may else f"{imported.upper()} {n}"
                for (importer, imported), n in sorted(self.arrows.items())
                if importer == room.name
            ]
            rows.append((room.name, "anything below" if room.may == "*" else room.may, ", ".join(found)))
        return table(rows)

    def lines_per_room(self) -> str:
        """Room by room, with the budgets that several share, and the hour's."""
        rows = [("room", "lines", "budget", "to go")]
        wanted = [(room.name, self.size(room.name), room.budget) for room in ROOMS]
        wanted += [(f"{name} ({', '.join(rooms)})", self.size(*rooms), n) for name, (rooms, n) in BUDGETS.items()]
        wanted.append(("the hour", sum(self.lines.get(file, 0) for file in HOUR), HOUR_LINES))
        for name, lines, budget in wanted:
            more = f"{lines - budget:,}" if 0 < budget < lines else ""
            rows.append((name, f"{lines:,}", f"{budget:,}" if budget else "", more))
        return table(rows, right=(1, 2, 3)) + f"\n(without {', '.join(UNCOUNTED)})"

    def hour(self) -> str:
        """The files to read in an hour, in their order: a table in Markdown. A file that is missing is left out."""
        files = [file for file in HOUR if file in self.lines]
        rows = ["| | file | lines | minutes | shows |", "| --- | --- | --- | --- | --- |"]
        for n, file in enumerate(files, 1):
            link = f"[{file}]({self.package.name}/{file})"
            lines = self.lines[file]
            minutes = max(1, round(lines / LINES_A_MINUTE))
            rows.append(f"| {n} | {link} | {lines} | {minutes} | {self._idea(file)} |")
        total = sum(self.lines[file] for file in files)
        rows.append(f"| | together | {total:,} | {round(total / LINES_A_MINUTE)} | |")
        return "\n".join(rows)

    def _idea(self, file: str) -> str:
        said = ast.get_docstring(self._tree(file)) or ""
        return " ".join(said.split("\n\n")[0].split()).split(". ")[0].rstrip(".")

    def _tree(self, file: str) -> ast.Module:
        return ast.parse((self.package / file).read_text(encoding="utf-8"))


def room_of(module: str) -> str:
    """The room of a module that is named without the package."""
    first = module.split(".")[0]
    return PART_OF.get(first, first)


def allowed(name: str) -> set[str]:
    """The rooms that this one may import."""
    rooms = {room.name: room for room in ROOMS}
    if name not in rooms:
        return set()
    if rooms[name].may == "*":
        return {room.name for room in ROOMS if room.floor < rooms[name].floor}
    return set(rooms[name].may.split())


def table(rows: Sequence[tuple[str, ...]], right: tuple[int, ...] = ()) -> str:
    """Columns of text; those in `right` stand at their right edge."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    adjust = [str.rjust if n in right else str.ljust for n in range(len(widths))]
    lines = ["  ".join(f(cell, w) for f, cell, w in zip(adjust, row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])


def main(args: list[str]) -> int:
    """What the command line asks for; 1 if the house is not as it should be."""
    house = House(ROOT / "skynet_lite")
    match args:
        case ["--hour"]:
            print(house.hour())
            return 0
        case ["--picture", path]:
            from house_picture import draw  # matplotlib is needed for this only

            draw(house, Path(path))
            return 0
        case []:
            pass
        case _:
            print(__doc__)
            return 2
    print(house.who_imports_whom(), end="\n\n")
    print(house.lines_per_room(), end="\n\n")
    for importer, imported, reason in house.exempt:
        print(f"exempt: {importer} -> {imported}: {reason}")
    problems = house.problems()
    for what, found in problems.items():
        print(f"{what}: {len(found)}", *found, sep="\n  ")
    return int(any(problems.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

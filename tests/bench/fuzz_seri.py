"""seri under coverage-guided fuzzing: bytes that reach new code are kept and changed further.

python tests/bench/fuzz_seri.py --seconds 600     # needs atheris (pip install atheris); begins with tests/golden/seri
python tests/bench/fuzz_seri.py --again FILE ...  # what was found once, without atheris

Tells how many inputs were tried, how much they reached, and which lines of the reader none of them did. Ends
with a status of its own where something else than SeriError came out, an input took five seconds, or the
process a GiB.
"""

from __future__ import annotations

import argparse
import dis
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
READER = ("unpack", "walk", "_table", "_listed", "_frozen", "_count", "_text")


def check(data: bytes) -> None:
    """Bytes are values, or a SeriError: the same one for whoever walks. Values that were read are read again."""
    from skynet_lite import SeriError, seri

    try:
        values = seri.unpack(data)
    except SeriError as e:
        if not str(e).startswith(("a dict cannot hold", "more than 100 tables")):
            try:
                list(seri.walk(data))
            except SeriError as other:
                assert str(other) == str(e), (str(other), str(e))
            else:
                raise AssertionError("walked, and not read") from e
        return
    parts = list(seri.walk(data))
    assert sum(part.size for part in parts) == len(data), data.hex()
    with suppress(SeriError):  # what was read may be nested deeper than what is written
        again = seri.unpack(seri.pack(*values))
        assert shape(again) == shape(values), data.hex()
        raw = seri.unpack(data, "bytes")
        assert seri.pack(*raw) == seri.pack(*values), data.hex()


def shape(value: Any) -> Any:
    """To be compared: NaN is NaN, 1 is not 1.0, the order of a dict is nothing."""
    if isinstance(value, list | tuple):
        return type(value), [shape(one) for one in value]
    if isinstance(value, dict):
        return sorted((repr(key), shape(one)) for key, one in value.items())
    return repr(value)


def seeds(folder: Path) -> None:
    """The recordings, one a file."""
    for file in sorted((ROOT / "tests" / "golden" / "seri").glob("*.json")):
        for v in json.loads(file.read_text())["vectors"]:
            if isinstance(v.get("hex"), str):
                (folder / v["id"]).write_bytes(bytes.fromhex(v["hex"]))


def missed(files: list[Path]) -> list[int]:
    """Lines of the reader that no file runs."""
    from skynet_lite import seri

    seen: set[int] = set()
    wanted = {
        line
        for function in vars(seri).values()
        if getattr(function, "__name__", "") in READER
        for code in (function.__code__, *(c for c in function.__code__.co_consts if hasattr(c, "co_code")))
        for _, line in dis.findlinestarts(code)
        if line != function.__code__.co_firstlineno
    }

    def note(frame: FrameType, event: str, arg: Any) -> Any:
        if frame.f_code.co_filename == seri.__file__:
            seen.add(frame.f_lineno)
            return note
        return None

    sys.settrace(note)
    try:
        for file in files:
            check(file.read_bytes())
    finally:
        sys.settrace(None)
    return sorted(wanted - seen)


def fuzz(folder: str, options: list[str]) -> None:
    """Runs in a process of its own: atheris ends it."""
    import atheris  # type: ignore[import-not-found]

    with atheris.instrument_imports(include=["skynet_lite.lualib.seri"]):
        from skynet_lite import seri as seri
    atheris.Setup([__file__, *options, folder], check)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--again", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--child", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    if options.child:
        fuzz(options.child[0], options.child[1:])
    if options.again:
        for file in options.again:
            check(file.read_bytes())
        return
    if importlib.util.find_spec("atheris") is None:
        sys.exit("coverage-guided fuzzing needs atheris: pip install atheris (the tests do without)")
    with tempfile.TemporaryDirectory() as folder:
        seeds(Path(folder))
        found = Path(tempfile.gettempdir()) / "seri-"
        limits = (
            "-timeout=5",
            "-rss_limit_mb=1024",
            "-max_len=1024",
            "-print_final_stats=1",
            f"-artifact_prefix={found}",
        )
        command = [sys.executable, __file__, "--child", folder, f"-max_total_time={options.seconds}", *limits]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            sys.exit(f"{done.stdout[-4000:]}\nfound something: see {found}*")
        runs = re.findall(r"Done (\d+) runs in (\d+) second", done.stdout)[-1]
        reached = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)/(\S+)", done.stdout)
        kept = sorted(Path(folder).iterdir())
        print(f"{int(runs[0]):,} inputs in {runs[1]} seconds, none but values and SeriError")
        print(
            "edges {}, features {}, kept {} inputs of {}".format(*reached[-1]), f"(at the start: edges {reached[0][0]})"
        )
        print("lines of the reader that none of them runs:", missed(kept) or "none")


if __name__ == "__main__":
    main()

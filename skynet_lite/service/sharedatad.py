"""Keeps the newest version of each shared table, and tells those who watch it. After service/sharedatad.lua."""

from dataclasses import dataclass, field
from typing import Any

from skynet_lite import SkynetError, skynet
from skynet_lite.lualib.frozen import Version, load, load_file, pointer, table
from skynet_lite.lualib.library import by_name


@dataclass
class Shared:
    version: Version
    watch: list[Any] = field(default_factory=list)  # response functions of those who have this version


pool: dict[str, Shared] = {}
numbers: dict[str, int] = {}  # the last number given out, also of tables that are gone


def made(name: str, value: Any, args: tuple[Any, ...]) -> Version:
    if isinstance(value, str):
        value = load_file(value[1:], args) if value.startswith("@") else load(value, name, args)
    number = numbers.get(name, 0) + 1
    version = Version(name, number, table({} if value is None else value, name))
    numbers[name] = number
    return version


def known(name: str) -> Shared:
    if name not in pool:
        raise SkynetError(f"sharedata: there is no table {name!r}; make it with sharedata.new")
    return pool[name]


def new(name: str, value: Any, *args: Any) -> None:
    if name in pool:
        raise SkynetError(f"sharedata: there is a table {name!r} already; use sharedata.update")
    pool[name] = Shared(made(name, value, args))
    skynet.retpack()


def update(name: str, value: Any, *args: Any) -> None:
    version = made(name, value, args)
    watch = pool[name].watch if name in pool else []
    pool[name] = Shared(version)
    for answer in watch:
        answer(True, version)
    skynet.retpack()


def delete(name: str) -> None:
    for answer in known(name).watch:
        answer(True, None)
    del pool[name]
    skynet.retpack()


def query(name: str) -> None:
    skynet.ret(pointer(known(name).version))


def monitor(name: str, number: int) -> None:
    shared = pool.get(name)
    if shared is None or shared.version.number != number:
        skynet.ret(pointer(shared.version if shared is not None else None))
        return
    shared.watch = [answer for answer in shared.watch if answer("TEST")]
    shared.watch.append(skynet.response(pointer))


@skynet.start
def main() -> None:
    skynet.dispatch("lua", by_name(new, update, delete, query, monitor))

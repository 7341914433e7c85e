"""Keeps the newest version of each shared table, and tells those who watch it. After service/sharedatad.lua."""

from typing import Any

from skynet_lite import SkynetError, skynet
from skynet_lite.core.errors import shown
from skynet_lite.lualib.frozen import Version, load, load_file, pointer, table
from skynet_lite.lualib.library import Waiting, by_name

pool: dict[str, Version] = {}
watch = Waiting()  # by name, those who have that version
numbers: dict[str, int] = {}  # the last number given out, also of tables that are gone


def made(name: str, value: Any, args: tuple[Any, ...]) -> Version:
    if isinstance(value, str):
        value = load_file(value[1:], args) if value.startswith("@") else load(value, name, args)
    number = numbers.get(name, 0) + 1
    version = Version(name, number, table({} if value is None else value, name))
    numbers[name] = number
    return version


def known(name: str) -> Version:
    if name not in pool:
        raise SkynetError(f"sharedata: there is no table {shown(name)}; make it with sharedata.new")
    return pool[name]


def new(name: str, value: Any, *args: Any) -> None:
    if name in pool:
        raise SkynetError(f"sharedata: there is a table {shown(name)} already; use sharedata.update")
    pool[name] = made(name, value, args)
    skynet.retpack()


def update(name: str, value: Any, *args: Any) -> None:
    pool[name] = made(name, value, args)
    watch.answer(name, True, pool[name])
    skynet.retpack()


def delete(name: str) -> None:
    watch.answer(known(name).name, True, None)
    del pool[name]
    skynet.retpack()


def query(name: str) -> None:
    skynet.ret(pointer(known(name)))


def monitor(name: str, number: int) -> None:
    version = pool.get(name)
    if version is None or version.number != number:
        skynet.ret(pointer(version))
    else:
        watch.wait(name, pointer)


@skynet.start
def main() -> None:
    skynet.dispatch("lua", by_name(new, update, delete, query, monitor))

"""Keeps the names of `service.new`: who runs, who boots, who waits, what failed. After service/service_provider.lua."""

from dataclasses import dataclass
from time import localtime, strftime
from typing import Any

from skynet_lite import SkynetError, skynet
from skynet_lite.core.errors import told
from skynet_lite.lualib.library import Waiting, by_name


@dataclass
class Named:
    address: int | None = None
    booting: Any = None  # the coroutine that launches it
    error: str = ""
    init: str = ""
    time: float = 0.0


svr: dict[str, Named] = {}
queue = Waiting()  # by name


def query(name: str) -> None:
    s = svr.get(name, Named())
    if s.error:
        raise SkynetError(s.error)
    if s.address is None:
        queue.wait(name)
    else:
        skynet.retpack(s.address)


def launch(name: str, main: str, *args: Any) -> None:
    s = svr.setdefault(name, Named())
    if s.booting or s.address is not None or s.error:
        query(name)
        return
    s.booting = skynet.running()
    cell = None
    try:
        cell = skynet.newservice("service_cell", name)
        skynet.call(cell, "lua", "init", main, *args)
    except SkynetError as e:
        s.error = f"service {name} did not start: {e}"
        if cell is not None:
            skynet.kill(cell)
    else:
        s.address = cell
        s.init = ",".join(map(told, args))
        s.time = skynet.time()
    s.booting = None
    queue.answer(name, not s.error, s.error or s.address)
    query(name)


def test(name: str) -> None:
    s = svr.get(name, Named())
    if s.booting:
        skynet.retpack(None, True)
    elif s.error:
        raise SkynetError(s.error)
    else:
        skynet.retpack(s.address)


def close(name: str) -> None:
    s = svr.get(name)
    if s is None or s.booting:
        skynet.retpack(None)
    else:
        del svr[name]
        skynet.retpack(s.address)


def info() -> dict[str, dict[str, str]]:
    """By address, or by name where there is none yet."""
    found = {}
    for name, s in {**dict.fromkeys(queue, Named()), **svr}.items():
        status = "booting" if s.booting else f"waiting({len(queue[name])})" if name in queue else s.error
        told = {"name": name, "init": s.init, "time": strftime("%Y %b %d %T %z", localtime(s.time)), "status": status}
        found[name if s.address is None else skynet.address(s.address)] = {k: v for k, v in told.items() if v}
    return found


@skynet.start
def main() -> None:
    skynet.dispatch("lua", by_name(query, launch, test, close))
    skynet.info_func(info)

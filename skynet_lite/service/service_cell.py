"""An empty service that is told what to be: `service.new` has its function run here. After service/service_cell.lua."""

from typing import Any

from skynet_lite import SkynetError, skynet


def no_dispatch(session: int, source: int, *args: Any) -> None:
    raise SkynetError("No dispatch function: its main function has not called skynet.dispatch")


@skynet.start
def main(name: str) -> None:
    s = skynet.running().service

    @skynet.dispatch("lua")
    def init(session: int, source: int, cmd: str, function: str, *args: Any) -> None:
        skynet.dispatch("lua", no_dispatch)
        starts: list[Any] = []  # what skynet.start is given meanwhile
        s.libs["cell"] = starts
        s.node.registry.find(function)(*args)
        for start in starts:
            start()
        del s.libs["cell"]
        skynet.retpack()

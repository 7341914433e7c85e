"""A table of texts that all agents share, under the name SIMPLEDB. After examples/simpledb.lua."""

from collections.abc import Callable

from skynet_lite import SkynetError, skynet

db: dict[str, str] = {}


def GET(key: str) -> str | None:
    return db.get(key)


def SET(key: str, value: str) -> str | None:
    """Returns the value before."""
    last = db.get(key)
    db[key] = value
    return last


commands: dict[str, Callable[..., str | None]] = {"GET": GET, "SET": SET}


@skynet.start
def main() -> None:
    @skynet.dispatch("lua")
    def dispatch(session: int, source: int, cmd: str, *args: str) -> None:
        f = commands.get(cmd.upper())
        if f is None:
            raise SkynetError(f"Unknown command {cmd}: there are get and set")
        skynet.retpack(f(*args))

    skynet.register("SIMPLEDB")

"""Starts the example: a database, and a watchdog whose gate listens. After examples/main.lua."""

from skynet_lite import skynet


def env(key: str, default: int) -> int:
    return int(skynet.getenv(key) or default)


@skynet.start
def main() -> None:
    skynet.error("Server start")
    skynet.newservice("simpledb")
    watchdog = skynet.newservice("watchdog")
    conf = {
        "address": skynet.getenv("address"),
        "port": env("port", 8888),
        "maxclient": env("maxclient", 64),
        "maxwbuffer": env("maxwbuffer", 4096),
        "nodelay": True,
    }
    addr, port = skynet.call(watchdog, "lua", "start", conf)
    skynet.error(f"Watchdog listen on {addr}:{port}")
    skynet.exit()

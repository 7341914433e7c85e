"""Stands for one service of another node: what comes is sent there, of type "lua" or "snax".

After service/clusterproxy.lua.
"""

from skynet_lite import CallError, cluster, seri, skynet
from skynet_lite.core.message import Packed


def start(node: str, address: int | str) -> None:
    sender = cluster.get_sender(node)

    def forward(session: int, source: int, message: Packed) -> None:
        payload = seri.pack(*skynet.unpack(message))
        if session == 0:
            skynet.send(sender, "lua", "push", address, payload)
        else:
            try:
                answer = skynet.call(sender, "lua", "req", address, payload)
            except CallError as e:
                skynet.response()(False, e.reason.removeprefix("refused: "))
            else:
                skynet.retpack(*seri.unpack(answer))

    skynet.register_protocol(name="system", id=skynet.PTYPE_SYSTEM, unpack=lambda m: (m,), dispatch=forward)


skynet.forward_type({skynet.PTYPE_LUA: skynet.PTYPE_SYSTEM, skynet.PTYPE_SNAX: skynet.PTYPE_SYSTEM}, start)

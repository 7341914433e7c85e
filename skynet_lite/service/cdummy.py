"""The name service of a single node: global names, which need no harbor here.

After service/cdummy.lua.
"""

from skynet_lite import SkynetError, skynet
from skynet_lite.lualib.library import Waiting, by_name

globalname: dict[str, int] = {}
queryname = Waiting()  # for a name


def REGISTER(name: str, handle: int) -> None:
    if name in globalname:
        raise SkynetError(f"global name {name} is taken by {skynet.address(globalname[name])}")
    globalname[name] = handle
    queryname.answer(name, True, handle)
    skynet.redirect(harbor, handle, "harbor", 0, "N " + name)


def QUERYNAME(name: str) -> None:
    if name.startswith("."):
        skynet.retpack(skynet.localname(name))
    elif name in globalname:
        skynet.retpack(globalname[name])
    else:
        queryname.wait(name)


def LINK(id: int) -> None:
    skynet.retpack()


def CONNECT(id: int) -> None:
    skynet.error("Can't connect to other harbor in single node mode")
    skynet.retpack()


skynet.register_protocol(name="harbor", id=skynet.PTYPE_HARBOR)
harbor = 0


@skynet.start
def main() -> None:
    global harbor
    skynet.dispatch("lua", by_name(REGISTER, QUERYNAME, LINK, CONNECT))
    harbor = skynet.launch("harbor", "", 0, skynet.self()) or 0

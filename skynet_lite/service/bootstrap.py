"""The first service in Python: starts the others in a fixed order, and ends.

Handles depend on the order: launcher 3, cdummy 4, harbor 5, datacenterd 6,
service_mgr 7, and the program's own first service 8. After service/bootstrap.lua.
"""

from skynet_lite import SkynetError, skynet


@skynet.start
def main() -> None:
    launcher = skynet.launch("snlua", "launcher")
    assert launcher is not None
    skynet.name(".launcher", launcher)
    skynet.setenv("standalone", "true")  # harbor 0: this node is all there is
    skynet.name(".cslave", skynet.newservice("cdummy"))
    skynet.name("DATACENTER", skynet.newservice("datacenterd"))
    skynet.newservice("service_mgr")
    start = skynet.getenv("start")
    if start:
        try:
            skynet.call(".launcher", "lua", "LAUNCH", "snlua", start)  # a main that has done its work may have ended
        except SkynetError as e:
            skynet.error(f"start {start} failed: {e}")
    skynet.exit()

"""The first service of the recorded node: a console, the demo service and another."""

from skynet_lite import skynet


@skynet.start
def main():
    skynet.newservice("debug_console", "0")
    skynet.name(".demo", skynet.newservice("dcsvc", "wait"))
    skynet.newservice("echo")
    skynet.fork(skynet.wait)

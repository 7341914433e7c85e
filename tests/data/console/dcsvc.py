"""The demo service of tests/golden/debug_console.json, in Python."""

from skynet_lite import skynet


def ADD(a, b):
    return a + b


def ECHO(*values):
    return values


def NAME():
    return {"name": "demo", "list": [1, 2, 3]}


def FAIL():
    raise RuntimeError("demo failure")


def SLEEP(ticks):
    skynet.sleep(ticks)


def DEAF():
    """From now on it answers no debug message: the closest to an endless loop that one worker can have."""
    skynet.dispatch("debug", lambda *message: None)


commands = {f.__name__: f for f in (ADD, ECHO, NAME, FAIL, SLEEP, DEAF)}
calls = 0


def dispatch(session, source, cmd, *args):
    global calls
    calls += 1
    result = commands[cmd](*args)
    skynet.retpack(*(result if isinstance(result, tuple) else [result]))


@skynet.start
def main(*args):
    skynet.dispatch("lua", dispatch)
    skynet.info_func(lambda *words: {"answer": 42, "args": ",".join(words)})
    if args == ("wait",):
        skynet.fork(lambda: skynet.wait("for ever"))
        skynet.fork(lambda: skynet.sleep(1_000_000))
    if args == ("raise",):
        raise RuntimeError("init raised")
    if args == ("exit",):
        skynet.exit()

"""The scenarios of the recordings, as services of ours.

Each function describes one scenario (the `needs` of its recording) and returns its
services by label: start functions, or for what happens outside of a start function
a `Chunk`, the main chunk of a service file. `env.addr(label)` is the handle of
another service, `env.port` the port that the outside client uses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skynet_lite import CallError, SkynetError, SocketError, mark, skynet, socket

SCENARIOS: dict[str, Callable[[Any], dict[str, Any]]] = {}
TODAY = {
    "fork_order", "kill_fork", "kill_server", "kill_sleeper", "listen_values", "response_on_send_nothing",
    "ret_twice_caught", "select_time_limit", "select_two", "wait_token",
}  # fmt: skip
"""Those that v1.1.0 has no recording of."""


class Chunk:
    """The main chunk of a service: it calls skynet.start itself."""

    def __init__(self, run: Callable[[], None]) -> None:
        self.run = run


def scenario(f: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    SCENARIOS[f.__name__] = f
    return f


def pcall(f: Callable[..., Any], *args: Any) -> tuple[bool, Any]:
    try:
        return True, f(*args)
    except Exception as e:
        return False, "call failed" if isinstance(e, CallError) else str(e)  # skynet says no more


def lua(value: Any) -> str:
    """A value as Lua writes it."""
    if isinstance(value, bytes):
        return value.decode()
    return {None: "nil", True: "true", False: "false"}.get(value, str(value)) if not isinstance(value, str) else value


def queued(woken: bool) -> str:
    return "queued" if woken else "not queued"


def boom() -> None:
    raise RuntimeError("boom")


def listen(env: Any) -> int:
    id = socket.listen("127.0.0.1", 0)
    id = id[0] if isinstance(id, tuple) else id  # today: and address, and port
    env.port = socket.sockname(id)[1]
    return id


def listener(env: Any, accept: Callable[[int, str], Any]) -> None:
    id = listen(env)
    socket.start(id, accept)
    mark("listening")


def server(client: Callable[[int], Any]) -> Callable[[Any], dict[str, Any]]:
    """A scenario whose accept function marks "accept" and forks `client(id)`."""

    def describe(env: Any) -> dict[str, Any]:
        def accept(id: int, peer: str) -> None:
            mark("accept")
            skynet.fork(client, id)

        return {"A": lambda: listener(env, accept)}

    SCENARIOS[client.__name__] = describe
    return describe


# ---- start


@scenario
def start_plain(env):
    def A():
        mark("before skynet.start")

        @skynet.start
        def main():
            mark("in start")
            mark("done")

        mark("after skynet.start")

    return {"A": Chunk(A)}


@scenario
def start_init_order(env):
    def A():
        @skynet.init
        def one():
            mark("init 1")
            skynet.sleep(1)
            mark("init 1 slept")

        skynet.init(lambda: mark("init 2"))

        @skynet.start
        def main():
            mark("start body")
            mark("done")

    return {"A": Chunk(A)}


@scenario
def start_error(env):
    def A():
        skynet.fork(lambda: mark("never: fork"))
        skynet.timeout(0, lambda: mark("never: timer"))
        mark("raising")
        raise RuntimeError("start fails")

    return {"A": A}


@scenario
def request_served_during_start(env):
    def A():
        skynet.dispatch("lua", lambda session, source, what: mark(f"served {what}"))
        mark("start blocks")
        skynet.send(skynet.self(), "lua", "hello")
        skynet.sleep(2)
        mark("start resumed")
        mark("done")

    return {"A": A}


@scenario
def newservice_waits_for_start(env):
    def D():
        mark("D starts")

        @skynet.dispatch("lua")
        def dispatch(session, source, what):
            mark(f"D got {what}")
            if session:
                skynet.retpack(what)

        skynet.sleep(3)
        mark("D ready")

    def A():
        mark("A launches")
        d = skynet.newservice(D)
        env.later("D", d)
        mark("A has D" if d else "A has nothing")
        skynet.send(d, "lua", "hello")
        mark("A got " + skynet.call(d, "lua", "bye"))
        mark("done")

    return {"A": A}


# ---- sleep, wait, wakeup


@scenario
def sleep_one(env):
    def A():
        mark("before")
        mark("after: " + lua(skynet.sleep(2)))
        mark("done")

    return {"A": A}


@scenario
def sleep_break_late_timer(env):
    def A():
        me = skynet.running()

        def wake():
            mark("F wakes")
            skynet.wakeup(me)
            mark("F returned")

        skynet.fork(wake)
        mark("sleeping")
        mark("woke: " + lua(skynet.sleep(20)))

    return {"A": A}


def waiter(name, *after):
    def w():
        mark(f"{name} waits")
        skynet.wait()
        mark(f"{name} resumed")
        for step in after:
            step() if callable(step) else mark(step)

    return w


@scenario
def wait_wakeup(env):
    def A():
        w = skynet.fork(waiter("W", "done"))

        def timer():
            mark("timer wakes W")
            mark(queued(skynet.wakeup(w)))
            mark("timer ends")

        skynet.timeout(2, timer)

    return {"A": A}


@scenario
def wakeup_not_sleeping(env):
    def B():
        @skynet.dispatch("lua")
        def dispatch(session, source, word):
            skynet.sleep(8)
            skynet.retpack(word)

    def A():
        def attempt(name, co):
            mark(f"{name}: {queued(skynet.wakeup(co))}")

        f = skynet.fork(lambda: mark("F runs"))
        attempt("F before it runs", f)
        attempt("myself", skynet.running())

        def call():
            mark("C got " + skynet.call(env.addr("B"), "lua", "ping"))
            mark("done")

        c = skynet.fork(call)
        skynet.sleep(1)
        attempt("F after it ended", f)
        attempt("C in a call", c)

    return {"B": B, "A": A}


@scenario
def wakeup_two_same_dispatch(env):
    def A():
        w1 = skynet.fork(waiter("W1"))

        def slept():
            skynet.sleep(1)
            mark("W2 slept")
            mark("done")

        w2 = skynet.fork(waiter("W2", slept))

        def timer():
            skynet.wakeup(w2)
            skynet.wakeup(w1)
            mark("both queued")

        skynet.timeout(2, timer)

    return {"A": A}


@scenario
def wakeup_then_block(env):
    def A():
        w = skynet.fork(waiter("W"))

        def timer():
            skynet.wakeup(w)
            mark("waker sleeps")
            skynet.sleep(2)
            mark("waker resumed")
            mark("done")

        skynet.timeout(2, timer)

    return {"A": A}


@scenario
def wakeup_chain(env):
    def A():
        w = {}
        w[1] = skynet.fork(waiter("W1", lambda: skynet.wakeup(w[2]), "W1 ends"))
        w[2] = skynet.fork(waiter("W2", lambda: skynet.wakeup(w[3]), "W2 ends"))
        w[3] = skynet.fork(waiter("W3", "done"))

        def timer():
            skynet.wakeup(w[1])
            mark("timer ends")

        skynet.timeout(2, timer)

    return {"A": A}


@scenario
def woken_raises_rest_delayed(env):
    def A():
        def raising():
            mark("W1 waits")
            skynet.wait()
            mark("W1 raises")
            boom()

        w1 = skynet.fork(raising)
        w2 = skynet.fork(waiter("W2", "done"))

        def timer():
            skynet.wakeup(w1)
            skynet.wakeup(w2)
            mark("both queued")

        skynet.timeout(2, timer)
        skynet.timeout(12, lambda: mark("second timer"))

    return {"A": A}


@scenario
def wakeup_then_exit(env):
    def A():
        def never():
            mark("W waits")
            skynet.wait()
            mark("never: W resumed")

        w = skynet.fork(never)

        def timer():
            mark(queued(skynet.wakeup(w)))
            mark("exiting")
            skynet.exit()

        skynet.timeout(2, timer)

    return {"A": A}


@scenario
def wakeup_between_forks(env):
    def A():
        w = skynet.fork(waiter("W"))

        def timer():
            def f1():
                mark("F1")
                skynet.wakeup(w)
                mark("F1 ends")

            def f2():
                mark("F2")
                mark("done")

            skynet.fork(f1)
            skynet.fork(f2)
            mark("timer ends")

        skynet.timeout(2, timer)

    return {"A": A}


@scenario
def wakeup_before_sleep_is_lost(env):
    def A():
        def w():
            mark("W starts")
            skynet.yield_()
            mark("W will sleep")
            mark("W slept: " + lua(skynet.sleep(3)))
            mark("done")

        mark(queued(skynet.wakeup(skynet.fork(w))))

    return {"A": A}


@scenario
def composite_producer_consumer(env):
    def A():
        items = []
        waiting = None

        def consumer():
            nonlocal waiting
            taken = 0
            while taken < 4:
                if not items:
                    mark("consumer waits")
                    waiting = skynet.running()
                    skynet.wait()
                    waiting = None
                else:
                    mark(f"took {items.pop(0)}")
                    taken += 1
            mark("done")

        def producer():
            for i in range(1, 5):
                items.append(i)
                mark(f"put {i}")
                if waiting:
                    skynet.wakeup(waiting)
                if i in (2, 3):
                    skynet.sleep(1)

        skynet.fork(consumer)
        skynet.fork(producer)

    return {"A": A}


# ---- fork


@scenario
def fork_five(env):
    def A():
        def f(n):
            mark(f"F{n}")
            if n == 5:
                mark("done")

        for i in range(1, 6):
            skynet.fork(f, i)
        mark("start ends")

    return {"A": A}


@scenario
def fork_chain(env):
    def A():
        skynet.timeout(0, lambda: (mark("timer"), mark("done")))

        def f1():
            mark("F1")
            skynet.fork(f2)
            mark("F1 ends")

        def f2():
            mark("F2")
            skynet.fork(lambda: mark("F3"))
            mark("F2 ends")

        skynet.fork(f1)

    return {"A": A}


@scenario
def fork_while_blocking(env):
    def A():
        skynet.fork(lambda: mark("F1"))
        mark("start sleeps")
        skynet.sleep(1)
        mark("start resumed")
        skynet.fork(lambda: mark("F2"))
        mark("done")

    return {"A": A}


@scenario
def fork_error_others_run(env):
    def A():
        skynet.fork(lambda: mark("F1"))
        skynet.fork(lambda: (mark("F2 raises"), boom()))
        skynet.fork(lambda: mark("F3"))
        skynet.timeout(2, lambda: mark("done"))

    return {"A": A}


@scenario
def fork_then_exit(env):
    def A():
        def timer():
            skynet.fork(lambda: mark("never: F"))
            mark("exiting")
            skynet.exit()

        skynet.timeout(2, timer)

    return {"A": A}


# ---- timeout, yield


@scenario
def timeout_unequal(env):
    def A():
        skynet.timeout(9, lambda: (mark("T9"), mark("done")))
        skynet.timeout(3, lambda: mark("T3"))
        skynet.timeout(6, lambda: mark("T6"))

    return {"A": A}


@scenario
def timeout_equal(env):
    def A():
        skynet.timeout(4, lambda: mark("T1"))

        def s():
            mark("S sleeps")
            skynet.sleep(4)
            mark("S slept")
            mark("done")

        skynet.fork(s)
        skynet.timeout(4, lambda: mark("T2"))
        mark("start sleeps")
        skynet.sleep(4)
        mark("start slept")

    return {"A": A}


@scenario
def timeout_zero_is_a_message(env):
    def A():
        @skynet.dispatch("lua")
        def dispatch(session, source, what):
            mark(f"message {what}")
            if what == "m2":
                mark("done")

        me = skynet.self()
        skynet.send(me, "lua", "m1")
        skynet.timeout(0, lambda: mark("T0"))
        skynet.send(me, "lua", "m2")
        skynet.fork(lambda: mark("F"))
        mark("start ends")

    return {"A": A}


@scenario
def timeout_rearm(env):
    def A():
        n = 0

        def t():
            nonlocal n
            n += 1
            mark(f"T{n}")
            if n < 4:
                skynet.timeout(1, t)
            else:
                mark("done")

        skynet.timeout(1, t)

    return {"A": A}


@scenario
def timeout_function_blocks(env):
    def A():
        def t():
            mark("T2 begins")
            skynet.sleep(6)
            mark("T2 ends")
            mark("done")

        skynet.timeout(2, t)
        skynet.timeout(4, lambda: mark("T4"))

    return {"A": A}


@scenario
def timeout_function_raises(env):
    def A():
        skynet.timeout(2, lambda: (mark("T2 raises"), boom()))
        skynet.timeout(4, lambda: (mark("T4"), skynet.timeout(1, lambda: mark("done"))))

    return {"A": A}


@scenario
def yield_three_forks(env):
    def A():
        def run(name):
            for step in range(1, 4):
                mark(f"{name}{step}")
                skynet.yield_()
            if name == "c":
                mark("done")

        for name in "abc":
            skynet.fork(run, name)

    return {"A": A}


# ---- call, ret, response


@scenario
def call_ret(env):
    def B():
        @skynet.dispatch("lua")
        def dispatch(session, source, n):
            mark(f"B got {n}")
            mark("B after ret: " + lua(skynet.retpack(n + 1)))

    def A():
        mark("A calls")
        mark(f"A got {skynet.call(env.addr('B'), 'lua', 41)}")
        mark("done")

    return {"B": B, "A": A}


@scenario
def call_self(env):
    def A():
        @skynet.dispatch("lua")
        def dispatch(session, source, n):
            mark(f"serving {n}")
            skynet.retpack(n * 2)

        mark("calls itself")
        mark(f"got {skynet.call(skynet.self(), 'lua', 21)}")
        mark("done")

    return {"A": A}


@scenario
def call_back_nested(env):
    def B():
        @skynet.dispatch("lua")
        def dispatch(session, source, what):
            mark(f"B serves {what}")
            r = skynet.call(source, "lua", "inner")
            mark(f"B got {r}")
            skynet.retpack(r + "?")

    def A():
        @skynet.dispatch("lua")
        def dispatch(session, source, what):
            mark(f"A serves {what}")
            skynet.retpack(what + "!")

        mark("A calls outer")
        mark("A got " + skynet.call(env.addr("B"), "lua", "outer"))
        mark("done")

    return {"B": B, "A": A}


@scenario
def send_then_call(env):
    def B():
        @skynet.dispatch("lua")
        def dispatch(session, source, what):
            mark(f"B got {what}")
            if session:
                skynet.retpack(what)

    def A():
        b = env.addr("B")
        skynet.send(b, "lua", "s1")
        skynet.send(b, "lua", "s2")
        mark("A got " + skynet.call(b, "lua", "c1"))
        skynet.send(b, "lua", "s3")
        mark("A got " + skynet.call(b, "lua", "c2"))
        mark("done")

    return {"B": B, "A": A}


@scenario
def call_while_sleeping_peer(env):
    def B():
        @skynet.dispatch("lua")
        def dispatch(session, source, what):
            mark(f"B serves {what}")
            if what == "slow":
                skynet.sleep(6)
            skynet.retpack(what)

    def A():
        b = env.addr("B")

        def s():
            mark("S got " + skynet.call(b, "lua", "slow"))
            mark("done")

        skynet.fork(s)
        mark("start got " + skynet.call(b, "lua", "quick"))

    return {"B": B, "A": A}


def asks_back(*words):
    """A service that answers a message by calling its sender with `words`."""

    def B():
        @skynet.dispatch("lua")
        def dispatch(session, source, what):
            skynet.call(source, "lua", *words)

    return B


@scenario
def ret_then_work(env):
    def A():
        @skynet.dispatch("lua")
        def dispatch(session, source, what):
            mark("A answers")
            skynet.retpack("early")
            mark("A goes on")
            skynet.sleep(4)
            mark("A finished")
            mark("done")

        skynet.send(env.addr("B"), "lua", "go")

    return {"B": asks_back("ask"), "A": A}


@scenario
def ret_twice(env):
    def B():
        @skynet.dispatch("lua")
        def dispatch(session, source, what):
            skynet.call(source, "lua", "ask")
            skynet.send(source, "lua", "bye")

    def A():
        @skynet.dispatch("lua")
        def dispatch(session, source, what):
            if what == "bye":
                mark("bye")
                mark("done")
                return
            mark("first ret")
            skynet.retpack("one")
            mark("second ret")
            skynet.retpack("two")
            mark("never: after second ret")

        skynet.send(env.addr("B"), "lua", "go")

    return {"B": B, "A": A}


@scenario
def ret_on_send(env):
    def A():
        @skynet.dispatch("lua")
        def dispatch(session, source, what):
            mark("handler")
            mark("ret: " + lua(skynet.retpack("x")))
            mark("ret: " + lua(skynet.retpack("y")))
            mark("done")

        skynet.send(skynet.self(), "lua", "note")

    return {"A": A}


@scenario
def response_later(env):
    def A():
        @skynet.dispatch("lua")
        def dispatch(session, source, what):
            r = skynet.response()
            mark("A keeps")

            def answer():
                mark("A answers")
                mark("sent: " + lua(r(True, "late")))
                mark("done")

            skynet.timeout(3, answer)

        skynet.send(env.addr("B"), "lua", "go")

    return {"B": asks_back("ask"), "A": A}


@scenario
def response_states(env):
    def A():
        @skynet.dispatch("lua")
        def dispatch(session, source, what):
            r = skynet.response()
            mark("test: " + lua(r("TEST")))
            mark("sent: " + lua(r(True, "x")))
            mark("test again: " + lua(r("TEST")))
            ok, err = pcall(r, True, "y")
            mark(f"second: {lua(ok)} {err}")
            mark("done")

        skynet.send(env.addr("B"), "lua", "go")

    return {"B": asks_back("ask"), "A": A}


def asks(env, label="A"):
    """Calls B protected, marks how it went."""

    def A():
        ok, err = pcall(skynet.call, env.addr("B"), "lua", "ask")
        mark(f"{label}: {lua(ok)} {err}")
        mark("done")

    return A


@scenario
def response_false(env):
    def B():
        @skynet.dispatch("lua")
        def dispatch(session, source, what):
            r = skynet.response()
            mark("B refuses")
            mark("sent: " + lua(r(False)))

    return {"B": B, "A": asks(env)}


@scenario
def response_on_send(env):
    def A():
        @skynet.dispatch("lua")
        def dispatch(session, source, what):
            r = skynet.response()
            mark("test: " + tostring(r("TEST")))
            mark("sent: " + tostring(r(True, "x")))
            mark("done")

        def tostring(value):
            if value is None:  # today, and then it is no value at all
                raise TypeError("bad argument #1 to 'tostring' (value expected)")
            return lua(value)

        skynet.send(skynet.self(), "lua", "note")

    return {"A": A}


# ---- errors


@scenario
def handler_error(env):
    def B():
        @skynet.dispatch("lua")
        def dispatch(session, source, what):
            mark("B raises")
            boom()

    return {"B": B, "A": asks(env)}


@scenario
def handler_error_on_send(env):
    def B():
        @skynet.dispatch("lua")
        def dispatch(session, source, what):
            if what == "bad":
                mark("B raises")
                boom()
            skynet.retpack(what)

    def A():
        b = env.addr("B")
        skynet.send(b, "lua", "bad")
        mark("A got " + skynet.call(b, "lua", "good"))
        mark("done")

    return {"B": B, "A": A}


@scenario
def handler_error_after_sleep(env):
    def B():
        @skynet.dispatch("lua")
        def dispatch(session, source, what):
            mark("B sleeps")
            skynet.sleep(2)
            mark("B raises")
            boom()

    def A():
        for i in (1, 2):
            ok, err = pcall(skynet.call, env.addr("B"), "lua", i)
            mark(f"A: {lua(ok)} {err}")
        mark("done")

    return {"B": B, "A": A}


@scenario
def error_through_chain(env):
    def C():
        skynet.dispatch("lua", lambda session, source, what: boom())

    def B():
        @skynet.dispatch("lua")
        def dispatch(session, source, what):
            mark("B calls C")
            r = skynet.call(env.addr("C"), "lua", what)
            mark("never: B after call")
            skynet.retpack(r)

    return {"C": C, "B": B, "A": asks(env)}


@scenario
def unknown_protocol_call(env):
    def A():
        skynet.register_protocol(name="text", id=skynet.PTYPE_TEXT, pack=lambda text: text, unpack=skynet.tostring)

        @skynet.start
        def main():
            ok, err = pcall(skynet.call, env.addr("B"), "text", "hi")
            mark(f"A: {lua(ok)} {err}")
            mark("done")

    return {"B": lambda: None, "A": Chunk(A)}


@scenario
def no_dispatch_function(env):
    def B():
        @skynet.dispatch_unknown_request
        def unknown(session, source, message, name):
            mark(f"unknown request {name}")

    def A():
        b = env.addr("B")
        skynet.send(b, "lua", "note")
        ok, err = pcall(skynet.call, b, "lua", "ask")
        mark(f"A: {lua(ok)} {err}")
        mark("done")

    return {"B": B, "A": A}


@scenario
def call_fails_others_live(env):
    def B():
        @skynet.dispatch("lua")
        def dispatch(*request):
            skynet.sleep(2)
            boom()

    def C():
        @skynet.dispatch("lua")
        def dispatch(*request):
            skynet.sleep(8)
            skynet.retpack("fine")

    def A():
        def k1():
            mark("K1 got " + skynet.call(env.addr("C"), "lua", "ask"))
            mark("done")

        def k2():
            ok, err = pcall(skynet.call, env.addr("B"), "lua", "ask")
            mark(f"K2: {lua(ok)} {err}")

        skynet.fork(k1)
        skynet.fork(k2)

    return {"B": B, "C": C, "A": A}


@scenario
def term_two_callers(env):
    def A():
        b = env.addr("B")

        def k(i):
            ok, err = pcall(skynet.call, b, "lua", i)
            mark(f"K{i}: {lua(ok)} {err}")

        skynet.fork(k, 1)
        skynet.fork(k, 2)

        def timer():
            mark("term")
            skynet.term(b)
            mark("timer ends")

        skynet.timeout(3, timer)
        skynet.timeout(8, lambda: mark("done"))

    return {"B": lambda: skynet.dispatch("lua", lambda *request: skynet.wait()), "A": A}


# ---- exit


@scenario
def exit_with_sleepers(env):
    def A():
        def s():
            mark("S sleeps")
            skynet.sleep(6)
            mark("never: S")

        def w():
            mark("W waits")
            skynet.wait()
            mark("never: W")

        skynet.fork(s)
        skynet.fork(w)
        skynet.timeout(6, lambda: mark("never: T6"))

        def timer():
            mark("exiting")
            skynet.exit()
            mark("never: after exit")

        skynet.timeout(3, timer)

    return {"A": A}


@scenario
def callee_exits_in_call(env):
    def B():
        @skynet.dispatch("lua")
        def dispatch(session, source, what):
            if what == "quit":
                mark("B exits")
                skynet.exit()
            mark("B serves")
            skynet.sleep(20)
            skynet.retpack("never")

    def A():
        skynet.fork(asks(env, "K"))

        def timer():
            mark("A says quit")
            skynet.send(env.addr("B"), "lua", "quit")

        skynet.timeout(3, timer)

    return {"B": B, "A": A}


@scenario
def callee_exits_in_own_handler(env):
    def B():
        @skynet.dispatch("lua")
        def dispatch(session, source, what):
            mark("B exits")
            skynet.exit()

    return {"B": B, "A": asks(env)}


@scenario
def exit_with_kept_response(env):
    def B():
        kept = []

        @skynet.dispatch("lua")
        def dispatch(session, source, what):
            if what == "quit":
                mark("B exits")
                skynet.exit()
            kept.append(skynet.response())
            mark("B keeps")

    def A():
        b = env.addr("B")
        skynet.fork(asks(env, "K"))
        skynet.timeout(3, lambda: skynet.send(b, "lua", "quit"))

    return {"B": B, "A": A}


@scenario
def response_to_dead_service(env):
    def B():
        @skynet.dispatch("lua")
        def dispatch(session, source, what):
            skynet.fork(lambda: skynet.call(source, "lua", "ask"))
            skynet.sleep(3)
            skynet.exit()

    def A():
        kept = []

        @skynet.dispatch("lua")
        def dispatch(session, source, what):
            kept.append(skynet.response())
            mark("A keeps")

        skynet.send(env.addr("B"), "lua", "go")

        def timer():
            mark("A answers")
            mark("sent: " + lua(kept[0](True, "late")))
            mark("done")

        skynet.timeout(10, timer)

    return {"B": B, "A": A}


@scenario
def message_to_self_before_exit(env):
    def A():
        skynet.dispatch("lua", lambda *request: mark("never: served"))

        def timer():
            skynet.send(skynet.self(), "lua", "m")
            mark("exiting")
            skynet.exit()

        skynet.timeout(2, timer)

    return {"A": A}


# ---- queue, pool


@scenario
def queue_three(env):
    def A():
        q = skynet.queue()

        def inside(i):
            mark(f"T{i} enters")
            skynet.sleep(2)
            mark(f"T{i} leaves")

        def t(i):
            mark(f"T{i} asks")
            q(inside, i)
            mark(f"T{i} out")
            if i == 3:
                mark("done")

        for i in (1, 2, 3):
            skynet.fork(t, i)

    return {"A": A}


@scenario
def queue_reentrant(env):
    def A():
        q = skynet.queue()

        def t1():
            with q:
                mark("T1 outer")
                with q:
                    mark("T1 inner")
                    skynet.sleep(2)
                mark("T1 inner done")
                skynet.sleep(2)
                mark("T1 outer done")

        def t2():
            mark("T2 asks")
            with q:
                mark("T2 enters")
                mark("done")

        skynet.fork(t1)
        skynet.fork(t2)

    return {"A": A}


@scenario
def pool_six_messages(env):
    def A():
        @skynet.dispatch("lua")
        def dispatch(session, source, n):
            mark(f"begin {n}")
            if n == 1:
                skynet.sleep(9)
            if n == 3:
                skynet.sleep(3)
            mark(f"end {n}")
            if n == 1:
                mark("done")

        me = skynet.self()
        for n in range(1, 6):
            skynet.send(me, "lua", n)
        skynet.timeout(5, lambda: skynet.send(me, "lua", 6))

    return {"A": A}


@scenario
def pool_drops_failed(env):
    def A():
        @skynet.dispatch("lua")
        def dispatch(session, source, n):
            mark(f"serving {n}")
            if n in (2, 3):
                boom()
            if n == 5:
                mark("done")

        for n in range(1, 6):
            skynet.send(skynet.self(), "lua", n)

    return {"A": A}


@scenario
def pool_timer_reserves(env):
    def A():
        @skynet.dispatch("lua")
        def dispatch(session, source, n):
            mark(f"serving {n}")
            if n == 2:
                skynet.timeout(4, lambda: (mark("T"), mark("done")))

        for n in range(1, 5):
            skynet.send(skynet.self(), "lua", n)

    return {"A": A}


# ---- sockets


@scenario
def listen_start(env):
    def A():
        mark("start")
        id = listen(env)
        mark("listened")
        socket.start(id, lambda new, peer: mark("accept"))
        mark("started")
        mark("done")

    return {"A": A}


@server
def accept_echo_line(id):
    socket.start(id)
    mark("reading")
    line = socket.readline(id)
    mark("line: " + lua(line))
    socket.write(id, line + b"\n")
    socket.close(id)
    mark("closed")
    mark("done")


@scenario
def accept_start_in_callback(env):
    def accept(id, peer):
        mark("accept")
        socket.start(id)
        mark("client started")
        mark("line: " + lua(socket.readline(id)))
        socket.close(id)
        mark("done")

    return {"A": lambda: listener(env, accept)}


@server
def readline_buffered(id):
    socket.start(id)
    mark("reading")
    mark("line: " + lua(socket.readline(id)))
    mark("line: " + lua(socket.readline(id)))
    mark("reading again")
    mark("line: " + lua(socket.readline(id)))
    socket.close(id)
    mark("done")


@server
def readline_in_pieces(id):
    socket.start(id)
    mark("reading")
    mark("line: " + lua(socket.readline(id)))
    mark("rest: " + lua(socket.read(id, 2)))
    socket.close(id)
    mark("done")


@server
def read_n_two_chunks(id):
    socket.start(id)
    mark("reading")
    mark("got: " + lua(socket.read(id, 6)))
    socket.close(id)
    mark("done")


@server
def readall_at_close(id):
    socket.start(id)
    mark("reading")
    mark("all: " + lua(socket.readall(id)))
    socket.close(id)
    mark("done")


def line_and_rest(id):
    """As Lua's two results: false and what arrived, when the connection ended."""
    line = socket.readline(id)
    return ("false", lua(socket.readall(id))) if line is None else (lua(line), "nil")


@server
def remote_close_while_reading(id):
    socket.start(id)
    mark("reading")
    for _ in range(2):
        line, rest = line_and_rest(id)
        mark(f"line: {line}, rest: {rest}")
    mark("disconnected: " + lua(socket.disconnected(id)))
    socket.close(id)
    mark("done")


@server
def close_while_other_reads(id):
    socket.start(id)

    def closer():
        skynet.sleep(3)
        mark("closing")
        socket.close(id)
        mark("closed")
        mark("done")

    skynet.fork(closer)
    mark("reading")
    line, rest = line_and_rest(id)
    mark(f"line: {line}, rest: {rest}")
    mark("reader ends")


@server
def second_reader_raises(id):
    socket.start(id)
    skynet.fork(lambda: mark("second: " + lua(pcall(socket.readline, id)[0])))
    mark("reading")
    mark("line: " + lua(socket.readline(id)))
    socket.close(id)
    mark("done")


@server
def two_clients(id):
    socket.start(id)
    mark("reading")
    mark("line: " + lua(socket.readline(id)))
    socket.write(id, b"ok\n")
    socket.close(id)
    mark("closed")


@server
def data_before_start(id):
    skynet.sleep(30)
    mark("starting")
    socket.start(id)
    mark("started")
    skynet.sleep(10)
    mark("line: " + lua(socket.readline(id)))
    socket.close(id)
    mark("done")


@scenario
def accept_refused_close_fd(env):
    def accept(id, peer):
        mark("accept")
        socket.close_fd(id)
        mark("refused")

    return {"A": lambda: listener(env, accept)}


@scenario
def close_listening_socket(env):
    def A():
        id = listen(env)
        socket.start(id, lambda new, peer: None)
        mark("listening")
        socket.close(id)
        mark("closed: " + lua(socket.invalid(id)))
        mark("done")

    return {"A": A}


@scenario
def connect_refused(env):
    def A():
        mark("connecting")
        try:
            id = socket.open("127.0.0.1", env.port)
        except SocketError:
            id = None
        mark("id: " + lua(id))
        skynet.sleep(5)
        mark("done")

    return {"A": A}


@scenario
def connect_write_read(env):
    def A():
        mark("connecting")
        id = socket.open("127.0.0.1", env.port)
        mark("connected")
        socket.write(id, b"question\n")
        mark("reading")
        mark("line: " + lua(socket.readline(id)))
        line = socket.readline(id)
        mark("then: " + ("false" if line is None else lua(line)))
        socket.close(id)
        mark("done")

    return {"A": A}


@server
def block_then_read(id):
    socket.start(id)
    mark("blocking")
    mark("block: " + lua(socket.block(id)))
    mark("line: " + lua(socket.readline(id)))
    mark("blocking again")
    mark("block: " + lua(socket.block(id)))
    socket.close(id)
    mark("done")


@scenario
def accept_handed_over(env):
    def B():
        @skynet.dispatch("lua")
        def dispatch(session, source, cmd, id):
            mark("B starts")
            socket.start(id)
            mark("B reading")
            mark("line: " + lua(socket.readline(id)))
            socket.close(id)
            mark("done")

    def accept(id, peer):
        mark("accept")
        skynet.send(env.addr("B"), "lua", "client", id)

    return {"B": B, "A": lambda: listener(env, accept)}


@scenario
def udp_echo(env):
    def A():
        def datagram(data, address):
            mark("datagram: " + lua(data))
            socket.sendto(id, address, data)
            if data == b"two":
                mark("done")

        id = socket.udp(datagram, "127.0.0.1", 0)
        env.port = socket.sockname(id)[1]
        mark("open")

    return {"A": A}


# ---- what v1.1.0 has no recording of


@scenario
def fork_order(env):
    def five():
        mark("F5")
        mark("done")

    def three():
        mark("F3")
        skynet.fork(five)

    def one():
        mark("F1")
        skynet.fork(three)

    def two():
        mark("F2")
        skynet.fork(mark, "F4")

    def A():
        skynet.fork(one)
        skynet.fork(two)

    return {"A": A}


@scenario
def ret_twice_caught(env):
    def B():
        @skynet.dispatch("lua")
        def dispatch(session, source, what):
            skynet.retpack("one")
            ok, error = pcall(skynet.retpack, "two")
            mark(f"B: {lua(ok)} {'No session' if 'no session' in error else error}")
            mark("B ends")

    def A():
        mark("A got " + skynet.call(env.addr("B"), "lua", "ask"))
        mark("done")

    return {"B": B, "A": A}


@scenario
def response_on_send_nothing(env):
    def A():
        @skynet.dispatch("lua")
        def dispatch(session, source, what):
            r = skynet.response()
            for given in (("TEST",), (True, "x"), (True, "x")):
                mark(f"values: {0 if r(*given) is None else 1}")
            mark("done")

        skynet.send(skynet.self(), "lua", "note")

    return {"A": A}


@scenario
def listen_values(env):
    def A():
        id, host, port = socket.listen("127.0.0.1", 0)
        mark(f"host: {host}")
        mark(f"port: {lua(port == socket.sockname(id)[1])}")
        socket.close(id)
        mark("done")

    return {"A": A}


@scenario
def wait_token(env):
    def A():
        def W(token):
            mark("W waits")
            skynet.wait(token)
            mark("W resumed")
            mark("done")

        def wake():
            mark("by coroutine: " + ("true" if skynet.wakeup(w) else "nil"))
            mark("by token: " + lua(skynet.wakeup(token)))

        token = object()
        w = skynet.fork(W, token)
        skynet.timeout(2, wake)

    return {"A": A}


def slow_or_quick():
    @skynet.dispatch("lua")
    def dispatch(session, source, what, ticks=None):
        if ticks:
            skynet.sleep(ticks)
        if what == "bad":
            boom()
        skynet.retpack(what)


def answers(limit: int | None, *asks: tuple[Any, ...]) -> None:
    for asked, answer in skynet.select(*asks, timeout=limit):
        mark(f"{asked[2]}: {lua(answer)}")


@scenario
def select_two(env):
    def A():
        answers(None, (env.addr("B"), "lua", "slow", 6), (env.addr("C"), "lua", "quick", 2))
        mark("done")

    return {"B": slow_or_quick, "C": slow_or_quick, "A": A}


@scenario
def select_time_limit(env):
    def A():
        answers(3, (env.addr("B"), "lua", "slow", 8), (env.addr("C"), "lua", "quick"))
        mark("over")
        skynet.sleep(24)
        mark("done")

    return {"B": slow_or_quick, "C": slow_or_quick, "A": A}


@scenario
def kill_sleeper(env):
    def A():
        def W():
            mark("W sleeps")
            skynet.sleep(4)
            mark("never: W resumed")

        skynet.dispatch_unknown_response(lambda session, source, message: mark(f"unknown response {session}"))
        w = skynet.fork(W)
        skynet.timeout(2, lambda: mark("killed: " + lua(skynet.killthread(w) is w)))
        skynet.sleep(8)
        mark("done")

    return {"A": A}


@scenario
def kill_fork(env):
    def A():
        def F3():
            mark("F3")
            mark("done")

        skynet.fork(mark, "F1")
        f2 = skynet.fork(mark, "never: F2")
        skynet.fork(F3)
        mark("killed: " + lua(skynet.killthread(f2) is f2))

    return {"A": A}


@scenario
def kill_server(env):
    def B():
        serving = []

        @skynet.dispatch("lua")
        def dispatch(session, source, what):
            if what == "ask":
                serving.append(skynet.running())
                mark("B serves")
                skynet.wait()
            else:
                mark("killed: " + lua(skynet.killthread(serving[0]) is serving[0]))

    def A():
        def K():
            ok, error = pcall(skynet.call, env.addr("B"), "lua", "ask")
            mark(f"K: {lua(ok)} {error}")
            mark("done")

        skynet.fork(K)
        skynet.timeout(3, lambda: skynet.send(env.addr("B"), "lua", "kill"))

    return {"B": B, "A": A}


__all__ = ["SCENARIOS", "TODAY", "Chunk", "SkynetError"]

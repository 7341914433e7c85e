"""Whatever a callback raises, and whichever call of the world fails: it costs its own message, and the node lives.

The callbacks are found by their annotations, the calls are the methods of Outside: one that is new fails a test here
until it has a scenario of its own. Each fault is followed by a request to a service beside it, the canary.
"""

from __future__ import annotations

import collections.abc
import errno
import inspect
import logging
import os
import re
import subprocess
import sys
import threading
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from greenlet import GreenletExit
from harness import LIMIT, Process

import skynet_lite
from skynet_lite import (
    CallError,
    Node,
    Outside,
    SkynetError,
    coroutine,
    debug,
    gateserver,
    multicast,
    netpack,
    remotedebug,
    service,
    skynet,
    snax,
    socket,
    socketchannel,
)  # fmt: skip
from skynet_lite.contrib import httpc, httpd, websocket
from skynet_lite.lualib import clustercore

THREADS = pytest.mark.parametrize("thread", [1, 4])
injected: list[str] = []  # every fault that was raised, for the last test to count


# ---- what can be raised


class Own(BaseException):
    """Of a program of its own."""


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Blank(Exception):
    def __str__(self) -> str:
        return None  # type: ignore[return-value]  # noqa: PLE0307  # that is the fault


class _Hidden(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise AttributeError("no name")


class Nameless(Exception, metaclass=_Hidden):
    pass


KINDS: tuple[type[BaseException], ...] = (
    ValueError, SystemExit, KeyboardInterrupt, GeneratorExit, Own, RecursionError, MemoryError, GreenletExit,
    Mute, Blank, Nameless,
)  # fmt: skip


class Fault:
    """Raises once, when it is called for the first time, with any arguments."""

    def __init__(self, kind: type[BaseException], where: str) -> None:
        self.kind, self.where = kind, where
        self.text = f"fault {len(injected)}"
        self.raised = threading.Event()

    def __call__(self, *args: Any, **keys: Any) -> None:
        if not self.raised.is_set():
            self.raised.set()
            injected.append(self.where)
            if self.kind is RecursionError:
                endless(self.text)
            if self.kind is MemoryError:
                bytearray(1 << 62)
            raise self.kind(self.text)


def endless(text: str) -> None:
    endless(text)


# ---- every callback that a program can hand in


NOT_OF_SERVICES = {"core", "trace", "view", "lab", "workers"}  # no service calls them
PUBLIC = sorted({*skynet_lite._MODULES} - NOT_OF_SERVICES, key=lambda name: (name != "skynet", name))
CONTRIB = tuple(f"contrib.{name}" for name in ("dns", "httpc", "httpd", "redis", "tls", "websocket"))


def takes_function(hint: Any) -> bool:
    if isinstance(hint, typing.TypeVar):
        return hint.__bound__ is not None and takes_function(hint.__bound__)
    if hint is collections.abc.Callable or typing.get_origin(hint) is collections.abc.Callable:
        return True
    return any(takes_function(part) for part in typing.get_args(hint) if not isinstance(part, (list, str)))


def functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public functions that services call, and those of Node: what makes the objects of a library counts, too."""
    for path in (*PUBLIC, *CONTRIB):
        module = getattr(skynet_lite, path, None) or import_module(f"skynet_lite.{path}")
        for name in getattr(module, "__all__", None) or vars(module):
            value = getattr(module, name)
            if inspect.isfunction(value) and (hasattr(module, "__all__") or value.__module__ == module.__name__):
                yield f"{path}.{name}", value
            elif inspect.isclass(value) and value.__module__ == module.__name__:
                yield from ((f"{path}.{name}.{key}", f) for key, f in vars(value).items() if inspect.isfunction(f))
    yield from ((f"Node.{key}", f) for key, f in vars(Node).items() if inspect.isfunction(f))


def callbacks() -> set[str]:
    """`module.function:parameter`, for every parameter that is a function."""
    found: dict[tuple[Any, str], str] = {}
    for name, f in functions():
        if not name.rpartition(".")[2].startswith("_") or name.endswith(".__init__"):
            for parameter, hint in typing.get_type_hints(f).items():
                if parameter != "return" and takes_function(hint):
                    found.setdefault((f, parameter), f"{name}:{parameter}")
    return set(found.values())


# ---- one scenario for each: what has the callback called

Scenario = Callable[[Any], None]  # runs in a service of its own; gets the fault
SCENARIOS: dict[str, Scenario] = {}
DRIVEN: dict[str, Callable[[Node, Any], Any]] = {}  # those that are called for whoever drives, and raise there


def scenario(*names: str) -> Callable[[Scenario], Scenario]:
    return lambda f: [SCENARIOS.setdefault(name, f) for name in names][0]


def ask(addr: int, *args: Any, typename: str = "lua") -> None:
    with suppress(CallError):
        skynet.call(addr, typename, *args)


def child(f: Callable[[], Any]) -> int:
    """A service that runs `f` at its start."""

    def made() -> None:
        f()

    return skynet.newservice(made)


def tcp(accept: Callable[[int, str], Any]) -> int:
    """The client's end of a connection that `accept` is called for."""
    listening = socket.listen("127.0.0.1:0")
    socket.start(listening, accept)
    return socket.open("127.0.0.1", socket.sockname(listening)[1])


SCENARIOS |= {
    "skynet.fork:func": skynet.fork,
    "skynet.offload:f": skynet.offload,
    "skynet.timeout:func": lambda fault: skynet.timeout(1, fault),
    "skynet.newservice:service": lambda fault: child(fault),
    "skynet.init:func": lambda fault: child(lambda: skynet.init(fault)),
    "skynet.init_service:func": lambda fault: skynet.init_service(fault),
    "skynet.dispatch:func": lambda fault: ask(child(lambda: skynet.dispatch("lua", fault))),
    "coroutine.create:f": lambda fault: coroutine.resume(coroutine.create(fault)),
    "coroutine.wrap:f": lambda fault: coroutine.wrap(fault)(),
    "debug.look:job": debug.look,
    "service.new:main": lambda fault: service.new(f"named{len(injected)}", given_to_cell, fault.text),
    "multicast.new:pack": lambda fault: multicast.new(pack=fault).publish(1),
    "skynet.filter:start_func": lambda fault: skynet.newservice("started", "filter", fault.text),
    "skynet.forward_type:start_func": lambda fault: skynet.newservice("started", "forward_type", fault.text),
    "skynet.start:func": lambda fault: skynet.newservice("started", "start", fault.text),
    "a file:itself": lambda fault: skynet.newservice("started", "itself", fault.text),
    "skynet.response:pack": lambda fault: ask(child(lambda: answers(lambda: skynet.response(fault)(True, 1)))),
    "register_protocol:pack": lambda fault: typed(pack=fault),
    "register_protocol:unpack": lambda fault: (
        typed(),
        ask(child(lambda: typed(unpack=fault, dispatch=skynet.ret)), b"x", typename="own"),
    ),
    "register_protocol:dispatch": lambda fault: (
        typed(),
        ask(child(lambda: typed(dispatch=fault)), b"x", typename="own"),
    ),
}


def given_to_cell(text: str) -> None:
    FAULTS[text]()


FAULTS: dict[str, Fault] = {}  # by text, for code that shares no variables with a test


def answers(f: Callable[[], Any]) -> None:
    skynet.dispatch("lua", lambda session, source, *args: f())


def typed(**functions: Any) -> None:
    """Register the type "own", and send one message of it to nobody: its pack is called, too."""
    skynet.register_protocol(name="own", id=200, **{"pack": lambda data: data, "unpack": lambda data: data} | functions)
    skynet.send(".nobody", "own", b"x")


@scenario("skynet.dispatch_unknown_request:f")
def _(fault: Any) -> None:
    skynet.send(child(lambda: skynet.dispatch_unknown_request(fault)), "lua")


@scenario("skynet.dispatch_unknown_response:f")
def _(fault: Any) -> None:
    skynet.redirect(child(lambda: skynet.dispatch_unknown_response(fault)), 0, "response", 99, skynet.pack(1))


@scenario("skynet.info_func:func")
def _(fault: Any) -> None:
    ask(child(lambda: skynet.info_func(fault)), "INFO", typename="debug")


@scenario("skynet.on_stop:func")
def _(fault: Any) -> None:
    ask(child(lambda: skynet.on_stop(fault)), "STOP", typename="debug")


@scenario("debug.reg_debugcmd:func")
def _(fault: Any) -> None:
    ask(child(lambda: debug.reg_debugcmd("OWN", fault)), "OWN", typename="debug")


@scenario("skynet.filter:f")
def _(fault: Any) -> None:
    ask(child(lambda: skynet.filter(lambda *message: fault() or message)))


@scenario("skynet.monitor:service")
def _(fault: Any) -> None:
    def monitor() -> None:
        skynet.register_protocol(name="client", id=skynet.PTYPE_CLIENT, dispatch=fault)

    skynet.monitor(monitor)
    child(skynet.exit)


@scenario("multicast.new:dispatch", "multicast.Channel.__init__:dispatch")
def _(fault: Any) -> None:
    channel = multicast.new(dispatch=fault)
    channel.subscribe()
    channel.publish(1)


@scenario("multicast.new:unpack")
def _(fault: Any) -> None:
    channel = multicast.new(dispatch=lambda *args: None, unpack=fault)
    channel.subscribe()
    channel.publish(1)


@scenario("remotedebug.start:attached")
def _(fault: Any) -> None:
    remotedebug.start(skynet.running().service, 1, fault)


@scenario("remotedebug.Debugger.watch:cond")
def _(fault: Any) -> None:
    def watched() -> None:
        answers(skynet.retpack)
        remotedebug.Debugger(skynet.running().service, 1).watch("lua", fault)

    ask(child(watched))


@scenario("snax.accept:f", "snax.response:f", "snax file:init", "snax file:exit")
def _(fault: Any) -> None:
    where = fault.where.rpartition(":")[0].removeprefix("snax.").replace("snax file", fault.where.rpartition(":")[2])
    obj = snax.newservice("faulty", fault.text, where)
    obj.post.posted()
    with suppress(CallError):
        obj.req.asked()
    snax.kill(obj)


FILES = {
    "started": """
from test_faults import FAULTS
from skynet_lite import skynet

how, text = skynet.running().service.launch_args
start = lambda how, text: FAULTS[text]()
if how == "itself":
    FAULTS[text]()
elif how == "start":
    skynet.start(start)
elif how == "filter":
    skynet.filter(lambda *message: message, start)
else:
    skynet.forward_type({}, start)
""",
    "faulty": """
from test_faults import FAULTS
from skynet_lite.snax import accept, response

def init(text, where):
    global fault
    fault = lambda here: FAULTS[text]() if here == where else None
    fault("init")

def exit():
    fault("exit")

@accept
def posted():
    fault("accept")

@response
def asked():
    fault("response")
""",
}


@scenario("socket.start:func")
def _(fault: Any) -> None:
    tcp(fault)


@scenario("socket.onclose:func")
def _(fault: Any) -> None:
    def accept(id: int, peer: str) -> None:
        socket.start(id)
        socket.onclose(id, fault)

    socket.close(tcp(accept))


@scenario("socket.warning:func")
def _(fault: Any) -> None:
    id = tcp(lambda id, peer: None)
    socket.warning(id, fault)
    for _ in range(9):
        socket.write(id, b"x" * 1024 * 1024)


@scenario("socket.udp:func")
def _(fault: Any) -> None:
    datagram(socket.udp(fault, "127.0.0.1", 0))


@scenario("socket.udp_listen:func")
def _(fault: Any) -> None:
    datagram(socket.udp_listen("127.0.0.1", 0, fault))


def datagram(to: int) -> int:
    id = socket.udp(lambda data, peer: None, "127.0.0.1", 0)
    socket.udp_connect(id, *socket.sockname(to))
    socket.write(id, b"x")
    return id


@scenario("socket.udp_dial:func", "socket.udp_connect:func")
def _(fault: Any) -> None:
    """It is told of what comes from the other side, which answers."""
    other: int = socket.udp(lambda data, peer: socket.sendto(other, peer, data), "127.0.0.1", 0)
    where = socket.sockname(other)
    if "dial" in fault.where:
        id = socket.udp_dial(*where, fault)
    else:
        id = socket.udp(lambda data, peer: None, "127.0.0.1", 0)
        socket.udp_connect(id, *where, fault)
    socket.write(id, b"x")


@scenario(
    *(f"socketchannel.Channel.__init__:{name}" for name in ("auth", "response", "socket_read", "socket_readline"))
)
def _(fault: Any) -> None:
    """Two ask; whoever was behind the fault gets an error, not silence."""
    listening = socket.listen("127.0.0.1:0")
    socket.start(listening, lambda id, peer: (socket.start(id), socket.write(id, b"one\ntwo\n")))
    where = socket.sockname(listening)
    name = fault.where.rpartition(":")[2]
    keys = {name: (lambda *args, **keys: (fault(*args, **keys), getattr(socket, name[7:])(*args, **keys))[1])}
    if name == "auth":
        keys = {name: fault}
    elif name == "response":
        keys = {name: lambda sock: (fault(), (int(sock.readline() == b"two"), True, "session"))[1]}
    channel = socketchannel.channel(*where, **keys)
    done = []

    def request(n: int) -> None:
        with suppress(BaseException):
            channel.request(b"x\n", n if name == "response" else lambda sock: (True, sock.read(4) and sock.readline()))
        done.append(n)

    for n in range(2):
        skynet.fork(request, n)
    while len(done) < 2:
        skynet.sleep(1)


@scenario("socketchannel.Channel.__init__:overload")
def _(fault: Any) -> None:
    listening = socket.listen("127.0.0.1:0")
    socket.start(listening, lambda id, peer: None)
    channel = socketchannel.channel(*socket.sockname(listening), overload=fault)
    channel.connect()
    for _ in range(9):
        channel.request(b"x" * 1024 * 1024)


@scenario("contrib.httpd.serve:handler")
def _(fault: Any) -> None:
    listening = socket.listen("127.0.0.1:0")
    socket.start(listening, lambda id, peer: httpd.serve(id, fault))
    with suppress(SkynetError):
        httpc.get(f"http://127.0.0.1:{socket.sockname(listening)[1]}/")


def named_in(doc: str | None) -> list[str]:
    """The functions of a handler, which its documentation lists: `name(args)`."""
    return sorted(set(re.findall(r"^    (\w+)\(", doc or "", re.MULTILINE)))


@scenario(*(f"gateserver handler:{name}" for name in named_in(gateserver.__doc__)))
def _(fault: Any) -> None:
    class Handler:
        def __getattr__(self, name: str) -> Any:
            if name.startswith("_") or name == "embed":
                raise AttributeError(name)
            return lambda *args: self.called(name, *args)

        def called(self, name: str, *args: Any) -> Any:
            if fault.where.endswith(f":{name}"):
                fault()
            if name == "connect":
                gateserver.openclient(args[0])
                if fault.where.endswith("error"):  # what a client has to do for this is tested elsewhere
                    s = skynet.running().service
                    s.server.post_socket(s.handle, 5, args[0], 0, "text")
            return args[1]["port"] if name == "open" else None

    def gate() -> None:
        gateserver.start(Handler())
        if fault.where.endswith("warning"):
            s = skynet.running().service
            s.server.post_socket(s.handle, 7, 1, 2, "text")

    conf = {"address": "127.0.0.1", "port": 0}
    handle = child(gate)
    with suppress(CallError):
        port = skynet.call(handle, "lua", "open", conf)
        ask(handle, "other")
        id = socket.open("127.0.0.1", port)
        socket.write(id, netpack.pack(b"packet"))
        socket.close(id)


@scenario(*(f"websocket handle:{name}" for name in ("handshake", "message", "ping", "pong", "close", "error")))
def _(fault: Any) -> None:
    class Handle:
        def __getattr__(self, name: str) -> Any:
            if fault.where.endswith(f":{name}"):
                return fault
            return lambda ws, *args: ws.stream.within(1) if (name, fault.where[-5:]) == ("handshake", "error") else None

    listening = socket.listen("127.0.0.1:0")
    socket.start(listening, lambda id, peer: websocket.accept(id, Handle()))
    with suppress(SkynetError):
        ws = websocket.connect(f"ws://127.0.0.1:{socket.sockname(listening)[1]}/", timeout=100)
        if fault.where.endswith("error"):
            skynet.sleep(2)
        ws.ping()
        ws.write("text")
        ws.stream.write(ws.ws.send(websocket.events.Pong()))
        ws.close()


@scenario("skynet.register_type:pack", "skynet.register_type:unpack")
def _(fault: Any) -> None:
    class Word:
        pass

    packs = fault.where.endswith(":pack")
    skynet.register_type(Word, fault if packs else lambda value: "word", (lambda value: value) if packs else fault)
    ask(child(lambda: skynet.dispatch("lua", lambda *args: skynet.ret())), Word())


@scenario("at its end:finally")
def _(fault: Any) -> None:
    def waits() -> None:
        try:
            skynet.wait()
        finally:
            fault()

    handle = child(lambda: skynet.fork(waits))
    skynet.kill(handle)


DRIVEN |= {
    "Node.run:until": lambda node, fault: node.run(until=fault),
    "Node.look:job": lambda node, fault: node.look(fault),
    "Node.newservice:service": lambda node, fault: node.newservice(lambda: fault()),
    "Node.attach:sink": lambda node, fault: (node.attach(fault), node.newservice(lambda: None)),
}
NO_CALLBACK = {  # what is named here is not called by the node
    "Node.service_name:service": "it is told its name only",
    "supervisor.child:service": "see skynet.newservice",
    "multicast.Channel.__init__:pack": "see multicast.new",
    "multicast.Channel.__init__:unpack": "see multicast.new",
}


def test_every_callback_has_a_scenario() -> None:
    """The list is made from the annotations of all public functions: one that takes another function is not forgotten."""
    known = {*SCENARIOS, *DRIVEN, *NO_CALLBACK}
    assert callbacks() - known == set()
    for name in known - callbacks():
        assert name.startswith(
            (
                "register_protocol:",
                "gateserver ",
                "websocket ",
                "snax file:",
                "a file:",
                "at its end:",
                "debug.look",
            )
        ), name


# ---- each raises in its turn


@contextmanager
def a_node(thread: int, tmp_path: Path, **keys: Any) -> Iterator[tuple[Node, Callable[[], None]]]:
    """A node, and what asks its canary for an answer. All its threads live at the end, and it closes."""
    for name, text in FILES.items():
        (tmp_path / f"{name}.py").write_text(text)
    died: list[Any] = []
    with Node(clock="virtual", log=list, thread=thread, luaservice=str(tmp_path / "?.py"), **keys) as node:
        canary = node.newservice(echo)

        def ask_canary() -> None:
            assert node.call(canary, "lua", "sing", timeout=LIMIT) == "sing"

        ask_canary()
        before = {t.name for t in threading.enumerate()}
        yield node, ask_canary
        ask_canary()
        assert node.call(node.newservice(echo), "lua", "again", timeout=LIMIT) == "again"
        assert before <= {t.name for t in threading.enumerate()} and not died


def echo() -> None:
    skynet.dispatch("lua", lambda session, source, what: skynet.retpack(what))


@THREADS
@pytest.mark.parametrize("where", sorted(SCENARIOS))
def test_a_callback_that_raises(where: str, thread: int, tmp_path: Path) -> None:
    """It costs its own message; it stands in the log, once; the mailbox of its service is not silenced."""
    with a_node(thread, tmp_path) as (node, ask_canary):
        for kind in KINDS:
            fault = FAULTS[f"fault {len(injected)}"] = Fault(kind, where)

            def probe(fault: Fault = fault) -> None:
                skynet.fork(SCENARIOS[where], fault)

            handle = node.newservice(probe)
            node.run(until=fault.raised.is_set, timeout=LIMIT)
            node.run(timeout=LIMIT)
            ask_canary()
            assert node.call(node.newservice(pings), "lua", handle, timeout=LIMIT) is True
            if kind not in (Mute, Blank, Nameless):
                # Those who wait may say it, too.
                own = [re.sub("(call|the login) failed: .*", "", line) for line in node.log_lines]
                assert sum(line.count(f": {fault.text}") for line in own) <= 1, where


def pings() -> None:
    """Asks a service whether its mailbox is alive."""

    def handle(session: int, source: int, addr: int) -> None:
        with suppress(SkynetError):  # one that has gone is not silent
            skynet.call(addr, "debug", "PING")
        skynet.retpack(True)

    skynet.dispatch("lua", handle)


@THREADS
@pytest.mark.parametrize("where", sorted(DRIVEN))
def test_a_callback_of_whoever_drives(where: str, thread: int, tmp_path: Path) -> None:
    """It is raised where it belongs to, or logged; the node goes on."""
    with a_node(thread, tmp_path) as (node, ask_canary):
        for kind in KINDS:
            if kind is not GreenletExit:  # greenlet's own word: it ends the greenlet, and that is the driver's
                fault = Fault(kind, where)
                with suppress(kind, CallError):
                    DRIVEN[where](node, fault)
                node.run(timeout=LIMIT)
                assert fault.raised.is_set()
                ask_canary()


# ---- every call of the world fails in its turn


CALLS = sorted(
    name
    for name, f in vars(Outside).items()
    if name[0] != "_" and (inspect.isfunction(f) or isinstance(f, staticmethod))
)


class Failing(Outside):
    """Each method counts how often it was called; the one that is `armed` raises `error`, once."""

    armed = ""
    error: Exception = OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
    full = 0  # no descriptor is left for the next client of this port

    def __init__(self) -> None:
        self.called: dict[str, int] = dict.fromkeys(CALLS, 0)
        self.raised = threading.Event()
        super().__init__()


def failing(name: str) -> Callable[..., Any]:
    f = inspect.getattr_static(Outside, name)

    def method(self: Failing, *args: Any) -> Any:
        self.called[name] += 1
        if self.armed == name and not self.raised.is_set():
            self.raised.set()
            injected.append(f"Outside.{name}")
            raise self.error
        if name == "accept" and args[0].getsockname()[1] == self.full:
            self.full = 0
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return f.__func__(*args) if isinstance(f, staticmethod) else f(self, *args)

    return method


for _name in CALLS:
    setattr(Failing, _name, failing(_name))


def world(outside: Failing, pipe: int, result: list[str]) -> None:
    """Everything that a service can ask of the world. What fails is passed over."""

    def accept(id: int, peer: str) -> None:
        socket.start(id)
        socket.nodelay(id)
        while line := socket.readline(id):
            socket.write(id, line + b"\n")
        socket.close(id)

    def tcp(name: str) -> str:
        listening = socket.listen("127.0.0.1:0")
        socket.start(listening, accept)
        id = socket.open(name, socket.sockname(listening)[1])
        socket.peername(id)
        socket.write(id, b"x" * 300_000 + b"\n")
        line = socket.readline(id)
        socket.close(id)
        assert line is not None and len(line) == 300_000
        return "tcp"

    def full() -> None:
        listening = socket.listen("127.0.0.1:0")
        socket.start(listening, accept)
        outside.full = socket.sockname(listening)[1]
        socket.close(socket.open("127.0.0.1", outside.full))

    def udp() -> None:
        datagram(socket.udp(lambda data, peer: None, "127.0.0.1", 0))

    def asks() -> None:
        socket.bind(pipe)
        socket.netstat()
        socket.resolve("127.0.0.1")
        clustercore.nodename()
        skynet.hpc(), skynet.time(), skynet.stat("cpu")
        skynet.offload(os.getpid)
        skynet.timeout(1, lambda: None)

    def console() -> None:
        skynet.newservice("debug_console", 0)

    for step in (asks, console, full, udp, lambda: tcp("localhost"), lambda: result.append(tcp("127.0.0.1"))):
        skynet.fork(step)


@pytest.fixture(autouse=True)
def data_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a debug console leaves its token."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


BORN = ("clock", "wall_time")  # asked once, by Node() itself
OF_A_LOOP = ("poll_begins", "poll_ends")  # told with one worker only, for a recording that is to be replayed
NEVER = {"wake": "called by any thread, and by contract it does not fail: a bell that rings already is no error"}


def run_world(thread: int, armed: str = "", error: Exception | None = None) -> Failing:
    """The world's program while one call of it fails, then again; a canary beside it."""
    outside = Failing()
    outside.error = error or outside.error
    r, w = os.pipe()
    result: list[str] = []
    try:
        with Node(log=list, thread=thread, outside=outside, profile=True) as node:
            canary = node.newservice(echo)
            outside.armed = armed
            with suppress(type(outside.error), CallError):  # it failed for whoever drives, or before the start function
                node.newservice(lambda: world(outside, r, []))
            if armed and armed != "close":
                node.run(until=outside.raised.is_set, timeout=LIMIT)
            node.newservice(lambda: world(outside, r, result))
            node.run(until=lambda: result, timeout=LIMIT)
            assert node.call(canary, "lua", "sing", timeout=LIMIT) == "sing"
            if armed == "close":
                with pytest.raises(type(outside.error)):
                    node.close()
        assert node.closed
    finally:
        os.close(r)
        os.close(w)
    return outside


@THREADS
def test_every_call_of_the_world_is_made(thread: int) -> None:
    """What the faults are injected into is called indeed."""
    called = run_world(thread).called
    assert {name for name, times in called.items() if not times} == (set() if thread == 1 else {*OF_A_LOOP})


FAILURES = {"os": OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS)), "memory": MemoryError("all of it")}


@THREADS
@pytest.mark.parametrize("error", FAILURES)
@pytest.mark.parametrize("name", sorted({*CALLS} - {*BORN, *NEVER}))
def test_a_call_of_the_world_that_fails(name: str, error: str, thread: int) -> None:
    """It costs one socket, one message or one poll. The node serves others on, and closes."""
    if thread == 1 or name not in OF_A_LOOP:
        assert run_world(thread, name, FAILURES[error]).raised.is_set()


@THREADS
@pytest.mark.parametrize("name", BORN)
def test_a_clock_that_fails(name: str, thread: int) -> None:
    """No node is born then, and who makes it is told."""
    outside = Failing()
    outside.armed = name
    with pytest.raises(OSError, match="No buffer space"):
        Node(log=list, thread=thread, outside=outside)
    outside.close()


# ---- what a caller hears


def asks(f: Callable[[], Any], prepare: Callable[[], Any] = lambda: None) -> Any:
    """What `f()` returns in a service, or the error that it raises, as text."""

    def main() -> None:
        prepare()

        def handle(session: int, source: int) -> None:
            try:
                skynet.retpack(f())
            except SkynetError as e:
                skynet.retpack(f"{type(e).__name__}: {e}")

        skynet.dispatch("lua", handle)

    return main


@THREADS
@pytest.mark.parametrize("kind", KINDS)
def test_a_start_that_raises_fails_its_newservice(kind: type[BaseException], thread: int, tmp_path: Path) -> None:
    """Whatever it raises, and where: in the start function, or while the file is run. Both sides of `newservice` say so."""
    with a_node(thread, tmp_path) as (node, _):
        for how in ("start", "itself", "filter"):
            fault = FAULTS[f"fault {len(injected)}"] = Fault(kind, "a start")
            with pytest.raises(CallError, match="call failed: :[0-9a-f]{8} started did not start: "):
                node.newservice("started", how, fault.text)
            fault = FAULTS[f"fault {len(injected)}"] = Fault(kind, "a start")
            asking = node.newservice(asks(lambda how=how, text=fault.text: skynet.newservice("started", how, text)))
            with node.births("started") as born:
                assert node.call(asking, "lua", timeout=LIMIT).startswith("CallError: call failed")
            assert born[-1].start_state == "failed"


@THREADS
def test_greenlets_own_word_is_an_error(thread: int) -> None:
    """A GreenletExit ends a greenlet in silence, and so does not serve to end a task: raised by a program it is an error
    like others, in a coroutine of the user's own, too. One that is being closed still gets it, and is not logged."""

    def dies() -> None:
        injected.append("GreenletExit")
        raise GreenletExit("of my own")

    def waits() -> None:
        try:
            skynet.wait()
        except GreenletExit:
            skynet.error("closed")
            raise

    def main() -> None:
        def handle(session: int, source: int, what: str) -> None:
            match what:
                case "handler":
                    dies()
                case "wrapped":
                    coroutine.wrap(dies)()
                case "resumed":
                    skynet.retpack(str(coroutine.resume(coroutine.create(dies))[1]))
                case "left":  # collected before the answer
                    coroutine.resume(coroutine.create(coroutine.yield_))
                    skynet.retpack(str(skynet.killthread(skynet.fork(waits))))
                case "parked":
                    co = skynet.fork(waits)
                    skynet.yield_()
                    skynet.retpack(str(skynet.killthread(co)))

        skynet.dispatch("lua", handle)

    with Node(log=list, thread=thread) as node:
        addr = node.newservice(main)
        for what in ("handler", "wrapped"):
            with pytest.raises(
                CallError, match="main raised SkynetError: raised GreenletExit: of my own, by which greenl"
            ):
                node.call(addr, "lua", what, timeout=LIMIT)
        assert "raised GreenletExit: of my own" in node.call(addr, "lua", "resumed", timeout=LIMIT)
        before = len(node.log_lines)
        assert node.call(addr, "lua", "left", timeout=LIMIT).endswith("of main>")
        assert node.call(addr, "lua", "parked", timeout=LIMIT).endswith("of main>")
        node.run(timeout=LIMIT)
        assert node.log_lines[before:] == [f"[:{addr:08x}] closed"]


@THREADS
def test_who_waits_is_told_when_a_message_is_lost(thread: int, tmp_path: Path) -> None:
    """A filter, or the `unpack` of a protocol, raises once: the caller gets an error. The next call is answered."""
    with a_node(thread, tmp_path) as (node, _):
        for kind in KINDS:
            fault, unpack = Fault(kind, "a filter"), Fault(kind, "an unpack")

            def filtered(fault: Fault = fault) -> None:
                answers(lambda: skynet.retpack("here"))
                skynet.filter(lambda *message: message if message[0] != skynet.PTYPE_LUA else fault() or message)

            def typing(unpack: Fault = unpack) -> None:
                typed(unpack=lambda data: unpack() or data, dispatch=lambda session, source, data: skynet.ret(data))

            for to, what, answer in ((filtered, ("lua",), "here"), (typing, ("own", b"x"), b"x")):
                addr = node.newservice(to)
                asking = node.newservice(asks(lambda addr=addr, what=what: skynet.call(addr, *what), lambda: typed()))
                assert node.call(asking, "lua", timeout=LIMIT).startswith("CallError: call failed")
                assert node.call(asking, "lua", timeout=LIMIT) == answer


def test_a_recording_sees_that_a_message_is_lost() -> None:
    """The tables of a trace are those of the node, also behind a filter that raises, and one that drops."""

    def filtered() -> None:
        answers(skynet.retpack)
        skynet.filter(
            lambda *message: None if message[3] == ("drop",) else message if message[3] != ("bad",) else 1 / 0
        )

    with Node(clock="virtual", log=list) as node:
        addr = node.newservice(filtered)
        with node.record() as trace:
            with pytest.raises(CallError):
                node.call(addr, "lua", "bad")
            node.server.call(addr, skynet.PTYPE_LUA, ("drop",), waits=False)
            node.call(addr, "lua", "good")
            live = node.tables()["services"][f":{addr:08x}"]
        assert trace.state(len(trace) - 1)["services"][f":{addr:08x}"]["mailbox"] == live["mailbox"] == []
    assert "ZeroDivisionError" in node.log_lines[-1]


@THREADS
def test_code_of_a_strange_file(thread: int, tmp_path: Path) -> None:
    """A traceback that cannot be told, for its file has no possible name, costs no more than another."""
    with a_node(thread, tmp_path) as (node, _):

        def strange() -> None:
            names: dict[str, Any] = {}
            exec(compile("def f(*args): raise ValueError('odd')", "\ud800.py", "exec"), names)
            skynet.dispatch("lua", names["f"])

        addr = node.newservice(strange)
        with pytest.raises(CallError):
            node.call(addr, "lua", timeout=LIMIT)
        node.run_until_idle()
        assert any("ValueError: odd" in line for line in node.log_lines)


def test_an_error_follows_an_answer() -> None:
    """A handler that raises when it has answered: the caller has its answer, and an ERROR comes behind (as in v1.1.0)."""

    def late() -> None:
        def handle(session: int, source: int) -> None:
            skynet.retpack("answer")
            raise ValueError("too late")

        skynet.dispatch("lua", handle)

    with Node(clock="virtual", log=list) as node:
        addr = node.newservice(late)
        asking = node.newservice(asks(lambda: skynet.call(addr, "lua")))
        with node.record() as trace:
            assert node.call(asking, "lua") == "answer"
            node.run_until_idle()
        sent = [e["ptype"] for e in trace if e["e"] == "send" and e.get("to") == f":{asking:08x}"]
        assert sent == ["response", "error"]


@THREADS
@pytest.mark.parametrize(
    "address",
    [1 << 20000, -1, 1 << 32, ":" + "f" * 5000, "0x" + "f" * 5000],
    ids=("long", "negative", "33 bits", "colon", "text"),
)
def test_no_address_is_too_long(address: int | str, thread: int, tmp_path: Path) -> None:
    """What has more than 32 bits is no address: it is refused in the service that sends, and the harbor lives."""
    with a_node(thread, tmp_path) as (node, _):
        sends = node.newservice(asks(lambda: [f(address, "lua") for f in (skynet.send, skynet.call)]))
        assert node.call(sends, "lua", timeout=LIMIT).startswith("AddressError: an address is a number of 32 bits")
        global_name = node.newservice(asks(lambda: skynet.send("GLOBAL", "lua")))
        assert node.call(global_name, "lua", timeout=LIMIT) == 0
        assert node.server.harbor.handle in node.handles.contexts


# ---- logs that cannot be written


def speaks() -> None:
    def handle(session: int, source: int, *words: str) -> None:
        skynet.error(*words)
        skynet.retpack("said")

    skynet.dispatch("lua", handle)


def speak(node: Node, *lines: str) -> None:
    addr = node.newservice(speaks)
    for line in lines:
        assert node.call(addr, "lua", line, timeout=LIMIT) == "said"
    node.run_until_idle()


WEIRD = "any byte: " + b"\xff\xfe".decode("utf-8", "surrogateescape") + "\ud800 \x00 ü"


@THREADS
def test_a_log_file_takes_any_character(thread: int, tmp_path: Path) -> None:
    """Lone surrogates, which stand for bytes that are no UTF-8, are written with backslashes."""
    path = tmp_path / "x.log"
    with Node(logger=str(path), thread=thread) as node:
        speak(node, WEIRD, "on")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line[12:] for line in lines[-2:]] == ["any byte: \\udcff\\udcfe\\ud800 \x00 ü", "on"]


def test_a_file_of_ones_own_takes_any_character(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its own encoding; and stderr, where lines go without any."""
    with open(tmp_path / "x.log", "w", encoding="ascii") as file, Node(log=file) as node:
        speak(node, WEIRD)
    assert "\\udcff\\udcfe\\ud800 \x00 \\xfc" in (tmp_path / "x.log").read_text(encoding="ascii")
    with Node() as node:
        speak(node, WEIRD)
    assert "\\udcff\\udcfe\\ud800" in capsys.readouterr().err


@pytest.mark.parametrize("thread", [1, 2, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_a_log_function_that_raises_once(
    kind: type[BaseException], thread: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line is lost, and said on stderr; those that follow are not."""
    lines: list[str] = []
    fault = Fault(kind, "log=")

    def log(line: str) -> None:
        if line.endswith("two"):
            fault()
        lines.append(line)

    with Node(log=log, thread=thread) as node:
        speak(node, "one", "two", "three")
    assert [line for line in lines if line.endswith(("one", "two", "three"))] == [
        f"[:{8:08x}] {word}" for word in ("one", "three")
    ]
    assert capsys.readouterr().err.count("skynet_lite: a log line is lost") == 1


@pytest.mark.parametrize("thread", [1, 2, 4])
@pytest.mark.parametrize("where", ["a function", "a file", "the file of the node", "logging"])
def test_a_log_that_is_lost_for_ever(where: str, thread: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A full disk from the boot on: said once; nothing else suffers, and nothing is logged about it for ever."""

    def log(line: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    class Refusing(logging.Logger):
        def handle(self, record: logging.LogRecord) -> None:
            log(record.getMessage())

    with suppress(OSError), open("/dev/full", "w", encoding="utf-8") as full:
        keys: dict[str, Any] = {
            "a function": {"log": log}, "a file": {"log": full}, "logging": {"log": Refusing("full")},
            "the file of the node": {"logger": "/dev/full"},
        }[where]  # fmt: skip
        with Node(thread=thread, **keys) as node:
            speak(node, *map(str, range(10)))
            assert not node.busy()
    err = capsys.readouterr().err
    assert err.count("skynet_lite: a log line is lost") == 1 and err.count("No space left") == 1


SERVER = """
import os
from skynet_lite import skynet

@skynet.start
def main(*args):
    def wait():
        while not os.path.exists("go"):
            skynet.error("tick")
            skynet.sleep(1)
        open("done", "w").close()
        skynet.abort()
    skynet.fork(wait)
"""


@pytest.mark.parametrize("what", ["server.py", "config.toml"])
def test_stderr_that_nobody_reads(what: str, tmp_path: Path) -> None:
    """`run ... 2>&1 | head`: the pipe is closed, and the server goes on until it is told to end."""
    (tmp_path / "server.py").write_text(SERVER)
    (tmp_path / "config.toml").write_text('start = "server"\nluaservice = "./?.py"\n')
    command = [sys.executable, "-m", "skynet_lite", "run", str(tmp_path / what)]
    env = {**os.environ, "PYTHONPATH": str(Path(skynet_lite.__file__).parent.parent)}
    with Process(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=tmp_path, env=env) as run:
        assert run.stdout is not None and b"LAUNCH" in run.stdout.readline()
        run.stdout.close()
        (tmp_path / "go").touch()
        assert run.wait(timeout=60) == 0
    assert (tmp_path / "done").exists()


@THREADS
def test_a_message_log_on_a_full_disk_costs_the_log_only(thread: int, tmp_path: Path) -> None:
    """Its reader goes away: the log is closed, and that is said, once. The service gets all its messages."""
    with Node(clock="virtual", log=list, thread=thread, logpath=str(tmp_path)) as node:
        addr = node.newservice(echo)
        path = tmp_path / f"{addr:08x}.log"
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        node.look(lambda: node.server.logon(addr, addr))
        assert node.call(addr, "lua", "one", timeout=LIMIT) == "one"
        assert os.read(reader, 9999).count(b"\n") == 2
        os.close(reader)
        assert [node.call(addr, "lua", word, timeout=LIMIT) for word in ("two", "three")] == ["two", "three"]
        node.run_until_idle()
        assert [line for line in node.log_lines if "log file" in line] == [
            f"[:{addr:08x}] Open log file {path}",
            f"[:{addr:08x}] Close log file :{addr:08x}, it cannot be written: BrokenPipeError: [Errno 32] Broken pipe",
        ]
        path.unlink()
        path.symlink_to("/dev/full")
        node.look(lambda: node.server.logon(addr, addr))
        assert node.call(addr, "lua", "four", timeout=LIMIT) == "four"
        path.unlink()
        node.look(lambda: node.server.logon(addr, addr))
        assert node.call(addr, "lua", "five", timeout=LIMIT) == "five"
        node.run_until_idle()
        assert path.read_text().count("\n") == 2 and "fail: No space left on device" in "".join(node.log_lines)


def test_a_message_log_writes_any_value(tmp_path: Path) -> None:
    """A number of 10,000 digits, a lone surrogate: what would be hard to write does not end the log."""
    with Node(clock="virtual", log=list, logpath=str(tmp_path)) as node:
        addr = node.newservice(echo)
        node.look(lambda: node.server.logon(addr, addr))
        for value in (10**10000, WEIRD, {WEIRD: [10**10000]}, b"\xff"):
            assert node.call(addr, "lua", value, timeout=LIMIT) == value
    assert (tmp_path / f"{addr:08x}.log").read_text().count("\n") == 5


def test_how_many_faults_there_were(capsys: pytest.CaptureFixture[str]) -> None:
    """The last of this file: it prints how many faults the others have injected, and into how many places."""
    with capsys.disabled():
        told = f"\n{len(injected)} faults injected into {len(set(injected))} places"
        print(told, file=sys.stderr)  # xdist shows this one
    assert injected

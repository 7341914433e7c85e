"""The debug console: ask a running node how it is, by telnet, nc or curl.

One idea: a console is a service like any other. Each connection has a coroutine that
reads a line, sends messages for it (most go to the launcher, or are debug messages that
every service answers), and prints what comes back, with <CMD OK> or <CMD Error> below.

Start it with skynet.newservice("debug_console", [ip,] port). By HTTP a GET names a command,
a POST brings one; as in skynet the answer has no status line, so curl wants to be told:

    curl --http0.9 http://127.0.0.1:8000/list
    curl --http0.9 -d 'call a "ADD", 5' http://127.0.0.1:8000/

Whoever reaches the port can run any code in this process: it listens on 127.0.0.1 unless
told otherwise, and there every user of the machine reaches it.

After service/debug_console.lua: its commands, and waits, verdicts, trace on/off, timeline.
"""

import ast
import inspect
import ipaddress
import linecache
import os
import re
from collections.abc import Callable
from typing import Any

from skynet_lite import SkynetError, debug, skynet, socket
from skynet_lite.lualib import memory
from skynet_lite.skynet.scheduler import current
from skynet_lite.trace.live import Live
from skynet_lite.trace.recorder import Recorder

TIMEOUT = 300  # ticks: how long services have to answer
CLIENTS = 64
LINE = 64 * 1024  # bytes of a line, and of what a client may send ahead
REQUEST = 8192  # bytes of an HTTP header, and of a body
STREAMS = 16  # of one connection
EVENTS = 20_000  # of one timeline

COMMAND: dict[str, Callable[..., Any]] = {}
COMMANDX: dict[str, Callable[..., Any]] = {}  # these get the whole line, and the connection
HELP: dict[str, str] = {}
clients: dict[int, str] = {}  # socket id → "ip:port"


def command(text: str, where: dict[str, Callable[..., Any]] = COMMAND) -> Callable[[Callable[..., Any]], Any]:
    """Make a function a command, by its name."""

    def known(f: Callable[..., Any]) -> Callable[..., Any]:
        name = f.__name__.rstrip("_")
        where[name] = f
        HELP[name] = text
        return f

    return known


# --------------------------------------------------------------------------- what is printed


def tostring(value: Any) -> str:
    """A value as Lua prints it; what is nested deeper than a line can show, as Python does."""
    if value is None or isinstance(value, bool):
        return {None: "nil", True: "true", False: "false"}[value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, float):
        text = f"{value:.14g}"
        return text + ".0" if re.fullmatch(r"-?\d+", text) else text
    return str(value)


def pairs(table: Any) -> list[tuple[str, Any]]:
    """Keys as text, sorted as text; a list counts from 1. What is None is not there."""
    items = table.items() if isinstance(table, dict) else enumerate(iter(table), 1)
    return sorted((tostring(key), value) for key, value in items if value is not None)


def dump_list(table: Any) -> list[str]:
    lines = []
    for key, value in pairs(table):
        if isinstance(value, (dict, list, tuple)):
            value = "\t".join(f"{k}:{tostring(v)}" for k, v in pairs(value))
        lines.append(f"{key}\t{tostring(value)}")
    return lines


def docmd(line: str, fd: int) -> None:
    """One line: carry it out and print the answer, in one piece. DOC: docmd"""
    name, *words = line.split() or [""]
    lines: list[str]
    try:
        if name in COMMAND:
            result = COMMAND[name](*fitting(name, words))
        elif name in COMMANDX:
            result = COMMANDX[name](line, fd)
        else:
            raise SkynetError("Invalid command, type help for command list\n")
    except Exception as e:
        text = str(e) if isinstance(e, SkynetError) else f"{type(e).__name__}: {e}"
        lines = [text, "<CMD Error>"]
    else:
        lines = [result] if isinstance(result, str) else [] if result is None or result is False else dump_list(result)
        lines.append("<CMD OK>")
    say(fd, *lines)


def fitting(name: str, words: list[str]) -> list[str]:
    """The arguments of a command; words too many are passed over. Raises SkynetError if one is missing."""
    parameters = list(inspect.signature(COMMAND[name]).parameters.values())
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        most, needed = len(words), sum(p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty for p in parameters)
    else:
        most, needed = len(parameters), sum(p.default is p.empty for p in parameters)
    if len(words) < needed:
        raise SkynetError(f"{name} needs {parameters[len(words)].name}: {HELP[name]}")
    return words[:most]


def say(fd: int, *lines: str) -> None:
    socket.write(fd, "".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape"))


# --------------------------------------------------------------------------- connections


def accept(id: int, addr: str) -> None:
    try:
        socket.start(id)
    except SkynetError:
        return  # it has gone already
    if len(clients) >= CLIENTS:
        say(id, f"{CLIENTS} clients are connected already: close one")
        socket.close(id)
        return
    clients[id] = addr
    socket.limit(id, LINE)
    socket.warning(id, stalled)
    skynet.fork(console_main_loop, id, addr)


def stalled(id: int, size: int) -> None:
    """Answers pile up, for the client does not read: rather lose the client than the memory."""
    if size and id in clients:
        skynet.error(f"{clients[id]} does not read: {size} K bytes wait for it, it is disconnected")
        socket.shutdown(id)


def console_main_loop(id: int, addr: str) -> None:
    say(id, "Welcome to skynet console")
    skynet.error(f"{addr} connected")
    try:
        while (raw := socket.readline(id)) is not None:
            line = raw.decode("utf-8", "surrogateescape")
            if line.startswith(("GET ", "POST ")):
                docmd(read_request(id, line), id)
                break
            if line:
                docmd(line, id)
    except Exception as e:
        skynet.error(f"{id} {e}")
    finally:
        clients.pop(id, None)
        for stream in [s for s in streams.values() if s.fd == id]:
            stream.end()
    skynet.error(f"{addr} disconnect")
    socket.close(id)


def read_request(id: int, line: str) -> str:
    """The command line of an HTTP request: the path of a GET with blanks for slashes, the body of a POST."""
    size, length = len(line), 0
    while (header := socket.readline(id)) != b"\r":
        if header is None:
            raise SkynetError("the HTTP header has no end: its lines end in CR LF, the last one is empty")
        size += len(header)
        if size > REQUEST:
            raise SkynetError(f"an HTTP header of more than {REQUEST} bytes")
        name, _, value = header.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            length = int(value)
    if line.startswith("POST "):
        if length > REQUEST:
            raise SkynetError(f"an HTTP body of {length} bytes; {REQUEST} are allowed")
        return (socket.read(id, length) or b"").decode("utf-8", "surrogateescape")
    request = re.fullmatch(r"GET\s+/?(\S*)\s+HTTP/[\d.]+\s*", line)
    return request[1].replace("/", " ") if request else ""


# --------------------------------------------------------------------------- commands


def adjust_address(address: str) -> int | str:
    if address.startswith("."):
        handle = skynet.localname(address)
        if handle is None:
            raise SkynetError("Not a valid name")
        return handle
    if address.startswith(":"):
        return address
    try:
        return int(address, 16) | skynet.self() & 0xFF000000
    except ValueError:
        raise SkynetError("Need an address") from None


def handle_of(address: str) -> int:
    """The handle of a service that lives."""
    found = adjust_address(address)
    handle = int(found[1:], 16) if isinstance(found, str) else found
    if handle not in current().server.contexts:
        raise SkynetError(f"no service has the address {skynet.address(handle)}")
    return handle


def ticks(ti: str | None) -> int | None:
    """A waiting time in ticks; None (no limit) if it is 0 or less."""
    wanted = TIMEOUT if ti is None else int(number(ti))
    return wanted if wanted > 0 else None


def number(text: str) -> float:
    """Raises SkynetError if it is none."""
    try:
        return float(text)
    except ValueError:
        raise SkynetError(f"{text!r} is no number") from None


@command("This help message")
def help() -> dict[str, str]:
    return HELP


@command("List all services")
def list_() -> Any:
    return skynet.call(".launcher", "lua", "LIST")


@command("List unique services")
def service() -> Any:
    return skynet.call("SERVICE", "lua", "LIST")


@command("stat [ticks] : figures of all services; ticks (10 ms) to wait for them, 300 if not said")
def stat(ti: str | None = None) -> Any:
    return skynet.call(".launcher", "lua", "STAT", ticks(ti))


@command("mem [ticks] : memory that only this service holds")
def mem(ti: str | None = None) -> Any:
    return skynet.call(".launcher", "lua", "MEM", ticks(ti))


@command("gc [ticks] : let Python collect garbage, then mem")
def gc(ti: str | None = None) -> Any:
    return skynet.call(".launcher", "lua", "GC", ticks(ti))


@command("kill address : end a service from outside")
def kill(address: str) -> Any:
    return skynet.call(".launcher", "lua", "KILL", adjust_address(address))


@command("exit address : ask a service to end itself")
def exit(address: str) -> None:
    skynet.send(adjust_address(address), "debug", "EXIT")


@command("start name ... : launch a service")
def start(*words: str) -> Any:
    try:
        handle = skynet.call(".launcher", "lua", "LAUNCH", "snlua", *words)
    except SkynetError:
        return "Failed"
    return "Exit" if handle is None else {skynet.address(handle): words[0]}


@command("log name ... : launch a service with its message log on")
def log(*words: str) -> Any:
    try:
        handle = skynet.call(".launcher", "lua", "LOGLAUNCH", "snlua", *words)
    except SkynetError:
        handle = None
    return "Failed" if handle is None else {skynet.address(handle): words[0]}


@command("snax name ... : launch a snax service")
def snax(*words: str) -> Any:
    from skynet_lite import snax

    try:
        made = snax.newservice(*words)
    except Exception:  # its init may raise anything, and no name is a TypeError
        return "Failed"
    return {skynet.address(made.handle): words[0]}


@command("clearcache : read source files again, for the lines in tracebacks")
def clearcache() -> None:
    linecache.checkcache()


@command("inject address file.py ... : run a file inside a service")
def inject(address: str, filename: str, *args: str) -> str:
    handle = adjust_address(address)
    try:
        with open(filename, encoding="utf-8") as file:
            source = file.read()
    except OSError:
        return f"Can't open {filename}"
    ok, output = skynet.call(handle, "debug", "RUN", source, filename, *args)
    if not ok:
        raise SkynetError(output)
    return str(output)


@command("dbgcmd address command ... : send a debug command")
def dbgcmd(address: str, cmd: str, *args: str) -> Any:
    return skynet.call(adjust_address(address), "debug", cmd, *args)


@command("task address : where its coroutines are parked")
def task(address: str) -> Any:
    return dbgcmd(address, "TASK")


@command("uniqtask address : the same, equal stacks together")
def uniqtask(address: str) -> Any:
    return dbgcmd(address, "UNIQTASK")


@command("killtask address threadname : end a coroutine that task lists")
def killtask(address: str, threadname: str) -> Any:
    return dbgcmd(address, "KILLTASK", threadname)


@command("info address ... : what its info function says")
def info(address: str, *args: str) -> Any:
    return dbgcmd(address, "INFO", *args)


@command("ping address : the way there and back, in ticks")
def ping(address: str) -> str:
    handle, began = adjust_address(address), skynet.now()
    skynet.call(handle, "debug", "PING")
    return str(skynet.now() - began)


@command("logon address : begin its message log, in the folder logpath")
def logon(address: str) -> None:
    handle = handle_of(address)
    me = current()
    debug.look(lambda node: node.server.logon(me.handle, handle))


@command("logoff address : end its message log")
def logoff(address: str) -> None:
    handle = handle_of(address)
    me = current()
    debug.look(lambda node: node.server.logoff(me.handle, handle))


@command("signal address [sig] : 0 breaks its endless loop, 1 logs its memory")
def signal(address: str, sig: str = "0") -> Any:
    found, which = adjust_address(address), int(number(sig))
    handle = int(found[1:], 16) if isinstance(found, str) else found
    return debug.signal(handle, which)


@command("cmem : blocks of Python's allocator, bytes of the process in memory")
def cmem() -> dict[str, int]:
    return {"block": memory.block(), "total": memory.total()}


@command("jmem : figures of jemalloc; Python has none")
def jmem() -> dict[str, str]:
    return {
        f"stats.{name}": f"{0:11d}  {0:8.2f} Mb" for name in ("active", "allocated", "mapped", "resident", "retained")
    }


@command("profactive [on|off] : begin or end heap profiling (tracemalloc)")
def profactive(flag: str | None = None) -> str:
    active = memory.profactive(None if flag is None else flag in ("on", "true"))
    return f"heap profilling is {'active' if active else 'deactive'}"


@command("dumpheap [file] : write the heap profile")
def dumpheap(filename: str = "heap.txt") -> None:
    if memory.dumpheap(filename):
        skynet.error(f"Heap profile in {os.path.abspath(filename)}")
    else:
        skynet.error("No heap profile is being taken: profactive on begins one")


@command("getenv name : skynet.getenv(name)")
def getenv(name: str) -> dict[str, str]:
    return {name: tostring(skynet.getenv(name))}


@command("setenv name value : skynet.setenv(name, value)")
def setenv(name: str, value: str) -> None:
    skynet.setenv(name, value)


@command("netstat : all sockets")
def netstat() -> list[dict[str, Any]]:
    return [convert_stat(row) for row in socket.netstat()]


def convert_stat(row: dict[str, Any]) -> dict[str, Any]:
    now = skynet.now()
    row["address"] = skynet.address(row["address"])
    for key in ("read", "write", "wbuffer"):
        if key in row:
            row[key] = size_text(row[key])
    for key in ("rtime", "wtime"):
        if key in row:
            row[key] = age_text(now - row[key])
    return row


def size_text(size: int) -> str | None:
    if size < 1024:
        return str(size) if size else None
    return f"{tostring(size / 1024)}K" if size < 1024 * 1024 else f"{tostring(size / (1024 * 1024))}M"


def age_text(ti: int) -> str:
    if ti < 6000:
        return f"{tostring(ti / 100)}s"
    hour, rest = divmod(ti, 360_000)
    minute, rest = divmod(rest, 6000)
    return f"{f'{hour}:' if hour else ''}{minute}:{rest / 100:.2g}s"


@command("call address expression, ... : call it with Python literals (nil, true, false too)", COMMANDX)
def call(line: str, fd: int) -> dict[Any, Any]:
    handle = adjust_address(word(line, 1))
    found = re.match(r"\s*\S+\s+\S+\s(.+)", line, re.DOTALL)
    if found is None or not found[1].strip():
        raise SkynetError("need arguments")
    packed = skynet.pack(*literals(found[1]))
    values = skynet.unpack(skynet.rawcall(handle, "lua", packed))
    return {**dict(enumerate(values, 1)), "n": len(values)}


def literals(text: str) -> list[Any]:
    """Python literals, separated by commas. Raises SkynetError."""
    try:
        tree = ast.parse(f"f({text.strip()}\n)", mode="eval").body
    except (SyntaxError, ValueError):
        raise SkynetError("Invalid arguments") from None
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name) or tree.keywords:
        raise SkynetError("Invalid arguments")
    lua = {"nil": None, "true": True, "false": False}
    values = []
    for node in tree.args:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and inner.id not in lua:
                raise SkynetError(f'nothing is called {inner.id!r} here: give literals, as "ADD", 1, 2')
        try:
            values.append(ast.literal_eval(Lua(lua).visit(node)))
        except ValueError:
            raise SkynetError(f'{ast.unparse(node)} is no literal: give values, as "ADD", 1, 2') from None
    return values


class Lua(ast.NodeTransformer):
    """Lua's names of values, as Python's."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Constant(self.names[node.id])


def word(line: str, n: int) -> str:
    words = line.split()
    if len(words) <= n:
        raise SkynetError(f"{words[0]} needs an address: {HELP[words[0]]}")
    return words[n]


@command('debug address : debug a service; Python, watch("lua"[, cond]), s, n, c; cont ends it', COMMANDX)
def debug_(line: str, fd: int) -> None:
    address = adjust_address(word(line, 1))
    skynet.call(address, "debug", "REMOTEDEBUG", fd)
    said = ""
    while said != "cont":
        raw = socket.readline(fd)
        said = "cont" if raw is None else raw.decode("utf-8", "surrogateescape").removesuffix("\r")
        skynet.call(address, "debug", "REMOTECMD", said)


# --------------------------------------------------------------------------- ours


@command("waits : who waits for whom, and the circles")
def waits() -> str:
    return str(debug.look(lambda node: str(node.waits())))


@command("verdicts : what is wrong, in sentences")
def verdicts() -> str:
    return debug.look(lambda node: str(node.verdicts()))


streams: dict[int, "Stream"] = {}


class Stream:
    """Trace lines of one service, for one connection. Its lines come as messages to this service."""

    def __init__(self, number: int, fd: int, handle: int) -> None:
        self.number, self.fd, self.handle = number, fd, handle
        me = current()
        node = me.server.node

        def ready() -> None:
            node.driver.between(
                lambda: node.server.push(me.ctx, (skynet.PTYPE_LUA, 0, me.handle, ("LINES", number)), "send")
            )

        def begin() -> None:
            self.live = Live(handle, node.places(), ready)
            self._detach = node.attach(self.live.sink)

        debug.look(lambda _: begin())
        streams[number] = self

    def flush(self) -> None:
        lines = self.live.take()
        if lines:
            say(self.fd, *lines)

    def end(self) -> None:
        """Print what is left, and a last line; once."""
        if streams.pop(self.number, None) is not None:
            self._detach()
            self.flush()
            say(self.fd, f"--- trace of {skynet.address(self.handle)} ends: {self.live.count} lines")


opened = 0


@command(
    "trace address [proto] [on|off] : log its requests with tags; "
    "trace on address [seconds], trace off [address] : print its trace here",
    COMMANDX,
)
def trace(line: str, fd: int) -> None:
    first, *rest = line.split()[1:] or [""]
    if first == "on" and rest:
        trace_on(fd, *rest[:2])
    elif first == "off":
        trace_off(fd, *rest[:1])
    else:
        flags: dict[str, Any] = {"on": True, "true": True, "off": False}
        words = [rest[0], flags.get(rest[1], False)] if rest[1:] else [flags.get(w, w) for w in rest] or [None]
        skynet.call(adjust_address(word(line, 1)), "debug", "TRACELOG", *words)


def trace_on(fd: int, address: str, seconds: str | None = None) -> None:
    global opened
    handle = handle_of(address)
    if handle == skynet.self():
        raise SkynetError("the console cannot trace itself: each line that it prints would make others")
    if sum(s.fd == fd for s in streams.values()) >= STREAMS:
        raise SkynetError(f"{STREAMS} traces run in this connection already: trace off ends them")
    limit = None if seconds is None else int(number(seconds) * 100)
    opened += 1
    stream = Stream(opened, fd, handle)
    if limit is not None:
        skynet.timeout(limit, stream.end)


def trace_off(fd: int, address: str | None = None) -> None:
    handle = None if address is None else handle_of(address)
    for stream in [s for s in streams.values() if s.fd == fd and handle in (None, s.handle)]:
        stream.end()


@command("timeline [file.html] [seconds] : record for 3 seconds (0: take what was recorded from birth), write the page")
def timeline(filename: str = "timeline.html", seconds: str = "3") -> str:
    limit = int(number(seconds) * 100)
    if limit <= 0:
        found = debug.look(lambda node: node.trace)
    else:
        found = recorded(limit)
    found.to_html(filename)
    return f"{os.path.abspath(filename)}\t{len(found)} events"


def recorded(limit: int) -> Any:
    """A trace of the next `limit` ticks, or of fewer if EVENTS come."""
    node = current().server.node
    recorder = Recorder(node.tables, node.places())
    debug.look(lambda node: node.recording.begin(recorder))
    try:
        end = skynet.now() + limit
        while skynet.now() < end and recorder.count() < EVENTS:
            skynet.sleep(min(10, end - skynet.now()))
    finally:
        debug.look(lambda node: node.recording.finish(recorder))
        recorder.end()
    return recorder.trace


# --------------------------------------------------------------------------- the service


@skynet.start
def main(*args: Any) -> None:
    ip, port = args if len(args) == 2 else ("127.0.0.1", args[0] if args else None)
    if port is None or len(args) > 2:
        raise SkynetError('debug_console takes [ip,] port: skynet.newservice("debug_console", 8000)')
    listening = socket.listen(ip, int(port))
    ip, port = socket.sockname(listening)
    skynet.error(f"Start debug console at {ip}:{port}")
    if not ipaddress.ip_address(ip.partition("%")[0]).is_loopback:
        skynet.error(f"debug console: {ip} is reached from outside, and whoever connects can run any code in this node")

    @skynet.dispatch("lua")
    def dispatch(session: int, source: int, cmd: str, number: int) -> None:
        if cmd == "LINES" and number in streams:
            streams[number].flush()

    socket.start(listening, accept)

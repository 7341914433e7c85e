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

import inspect
import ipaddress
import linecache
import os
import re
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

from skynet_lite import SkynetError, debug, skynet, snax, socket
from skynet_lite.core.errors import error_text, text_of
from skynet_lite.lualib import memory
from skynet_lite.lualib.console import dump_list, literals, number, socket_row, tostring
from skynet_lite.skynet.scheduler import current
from skynet_lite.trace.live import Live
from skynet_lite.trace.recorder import Recorder

TIMEOUT = 300  # ticks: how long services have to answer
CLIENTS = 64
LINE = 64 * 1024  # bytes of a line, and of what a client may send ahead
REQUEST = 8192  # bytes of an HTTP header, and of a body
STREAMS = 16  # of one connection
EVENTS = 20_000  # of one timeline

clients: dict[int, str] = {}  # socket id → "ip:port"


def docmd(line: str, fd: int) -> None:
    """One line: carry it out and print the answer, in one piece. DOC: docmd"""
    name = (line.split() or [""])[0]
    try:
        if name not in COMMAND:
            raise SkynetError("Invalid command, type help for command list\n")
        args, named = fitting(name, line, fd)
        result = COMMAND[name][1](*args, **named)
    except Exception as e:
        say(fd, text_of(e) if isinstance(e, SkynetError) else error_text(e), "<CMD Error>")
        return
    lines = [result] if isinstance(result, str) else [] if result is None or result is False else dump_list(result)
    say(fd, *lines, "<CMD OK>")


def fitting(name: str, line: str, fd: int) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a command: the words of the line, turned into what the names of its parameters mean.

    Words too many are passed over. A parameter by keyword is the whole `line`, or the
    connection `fd`. Raises SkynetError if a word is missing.
    """
    text, function = COMMAND[name]
    words = line.split()[1:]
    found: list[tuple[str, str]] = []
    named: dict[str, Any] = {}
    for p in inspect.signature(function).parameters.values():
        if p.kind is p.KEYWORD_ONLY:
            named[p.name] = {"line": line, "fd": fd}[p.name]
        elif p.kind is p.VAR_POSITIONAL:
            found += [("", word) for word in words[len(found) :]]
        elif len(found) < len(words):
            found.append((p.name, words[len(found)]))
        elif p.default is p.empty:
            raise SkynetError(f"{name} needs {p.name}: {text}")
    return [MEANING.get(parameter, str)(word) for parameter, word in found], named


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
        end_streams(id)
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


# --------------------------------------------------------------------------- what words can mean


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


def ticks(ti: str) -> int | None:
    """A waiting time; None (no limit) if it is 0 or less."""
    return max(0, int(number(ti))) or None


MEANING: dict[str, Callable[[str], Any]] = {
    "address": adjust_address, "ti": ticks, "sig": number, "seconds": number
}  # fmt: skip


def handle_at(address: int | str) -> int:
    return int(address[1:], 16) if isinstance(address, str) else address


def living(address: int | str) -> int:
    """The handle of a service that lives. Raises SkynetError for another."""
    handle = handle_at(address)
    if handle not in current().server.contexts:
        raise SkynetError(f"no service has the address {skynet.address(handle)}")
    return handle


# --------------------------------------------------------------------------- skynet's commands


def launcher(cmd: str, *args: Any) -> Any:
    return skynet.call(".launcher", "lua", cmd, *args)


def dbgcmd(address: int | str, cmd: str, *args: Any) -> Any:
    return skynet.call(address, "debug", cmd, *args)


def launch(cmd: str, gone: str, *words: str) -> Any:
    try:
        handle = launcher(cmd, "snlua", *words)
    except SkynetError:
        return "Failed"
    return gone if handle is None else {skynet.address(handle): words[0]}


def launch_snax(*words: str) -> Any:
    try:
        made = snax.newservice(*words)
    except Exception:  # its init may raise anything, and no name is a TypeError
        return "Failed"
    return {skynet.address(made.handle): words[0]}


def exit(address: int | str) -> None:
    skynet.send(address, "debug", "EXIT")


def inject(address: int | str, filename: str, *args: str) -> str:
    try:
        with open(filename, encoding="utf-8") as file:
            source = file.read()
    except OSError:
        return f"Can't open {filename}"
    ok, output = dbgcmd(address, "RUN", source, filename, *args)
    if not ok:
        raise SkynetError(output)
    return str(output)


def ping(address: int | str) -> str:
    began = skynet.now()
    dbgcmd(address, "PING")
    return str(skynet.now() - began)


def message_log(on: bool, address: int | str) -> None:
    me, handle = current(), living(address)
    debug.look(lambda node: (node.server.logon if on else node.server.logoff)(me.handle, handle))


def jmem() -> dict[str, str]:
    names = ("active", "allocated", "mapped", "resident", "retained")
    return {f"stats.{name}": f"{0:11d}  {0:8.2f} Mb" for name in names}


def profactive(flag: str | None = None) -> str:
    active = memory.profactive(None if flag is None else flag in ("on", "true"))
    return f"heap profilling is {'active' if active else 'deactive'}"


def dumpheap(filename: str = "heap.txt") -> None:
    if memory.dumpheap(filename):
        skynet.error(f"Heap profile in {os.path.abspath(filename)}")
    else:
        skynet.error("No heap profile is being taken: profactive on begins one")


def call(address: int | str, *, line: str) -> dict[Any, Any]:
    _, _, *given = line.split(maxsplit=2)
    if not given:
        raise SkynetError("need arguments")
    values = skynet.unpack(skynet.rawcall(address, "lua", skynet.pack(*literals(given[0]))))
    return {**dict(enumerate(values, 1)), "n": len(values)}


def remotedebug(address: int | str, *, fd: int) -> None:
    dbgcmd(address, "REMOTEDEBUG", fd)
    said = ""
    while said != "cont":
        raw = socket.readline(fd)
        said = "cont" if raw is None else raw.decode("utf-8", "surrogateescape").removesuffix("\r")
        dbgcmd(address, "REMOTECMD", said)


# --------------------------------------------------------------------------- ours

numbers = count(1)
streams: dict[int, "Stream"] = {}  # by number


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


def trace(target: str, *rest: str, fd: int) -> None:
    if target == "on" and rest:
        trace_on(fd, *rest[:2])
    elif target == "off":
        end_streams(fd, *rest[:1])
    else:
        flags: dict[str, Any] = {"on": True, "true": True, "off": False}
        words = [rest[0], flags.get(rest[1], False)] if rest[1:] else [flags.get(w, w) for w in rest] or [None]
        dbgcmd(adjust_address(target), "TRACELOG", *words)


def trace_on(fd: int, address: str, seconds: str | None = None) -> None:
    handle = living(adjust_address(address))
    if handle == skynet.self():
        raise SkynetError("the console cannot trace itself: each line that it prints would make others")
    if sum(s.fd == fd for s in streams.values()) >= STREAMS:
        raise SkynetError(f"{STREAMS} traces run in this connection already: trace off ends them")
    limit = None if seconds is None else int(number(seconds) * 100)
    stream = Stream(next(numbers), fd, handle)
    if limit is not None:
        skynet.timeout(limit, stream.end)


def end_streams(fd: int, address: str | None = None) -> None:
    handle = None if address is None else living(adjust_address(address))
    for stream in [s for s in streams.values() if s.fd == fd and handle in (None, s.handle)]:
        stream.end()


def timeline(filename: str = "timeline.html", seconds: float = 3) -> str:
    limit = int(seconds * 100)
    found = debug.look(lambda node: node.trace) if limit <= 0 else recorded(limit)
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


# --------------------------------------------------------------------------- all commands

COMMAND: dict[str, tuple[str, Callable[..., Any]]] = {  # name → what help says, what to call: see `fitting`
    "help": ("This help message", lambda: {name: text for name, (text, _) in COMMAND.items()}),
    "list": ("List all services", lambda: launcher("LIST")),
    "service": ("List unique services", lambda: skynet.call("SERVICE", "lua", "LIST")),
    "stat": (
        "stat [ticks] : figures of all services; ticks (10 ms) to wait for them, 300 if not said",
        lambda ti=TIMEOUT: launcher("STAT", ti),
    ),
    "mem": ("mem [ticks] : memory that only this service holds", lambda ti=TIMEOUT: launcher("MEM", ti)),
    "gc": ("gc [ticks] : let Python collect garbage, then mem", lambda ti=TIMEOUT: launcher("GC", ti)),
    "kill": ("kill address : end a service from outside", lambda address: launcher("KILL", address)),
    "exit": ("exit address : ask a service to end itself", exit),
    "start": ("start name ... : launch a service", partial(launch, "LAUNCH", "Exit")),
    "log": ("log name ... : launch a service with its message log on", partial(launch, "LOGLAUNCH", "Failed")),
    "snax": ("snax name ... : launch a snax service", launch_snax),
    "clearcache": ("clearcache : read source files again, for the lines in tracebacks", lambda: linecache.checkcache()),
    "inject": ("inject address file.py ... : run a file inside a service", inject),
    "dbgcmd": ("dbgcmd address command ... : send a debug command", dbgcmd),
    "task": ("task address : where its coroutines are parked", lambda address: dbgcmd(address, "TASK")),
    "uniqtask": ("uniqtask address : the same, equal stacks together", lambda address: dbgcmd(address, "UNIQTASK")),
    "killtask": (
        "killtask address threadname : end a coroutine that task lists",
        lambda address, threadname: dbgcmd(address, "KILLTASK", threadname),
    ),
    "info": ("info address ... : what its info function says", lambda address, *args: dbgcmd(address, "INFO", *args)),
    "ping": ("ping address : the way there and back, in ticks", ping),
    "logon": ("logon address : begin its message log, in the folder logpath", partial(message_log, True)),
    "logoff": ("logoff address : end its message log", partial(message_log, False)),
    "signal": (
        "signal address [sig] : 0 breaks its endless loop, 1 logs its memory",
        lambda address, sig=0: debug.signal(handle_at(address), int(sig)),
    ),
    "cmem": (
        "cmem : blocks of Python's allocator, bytes of the process in memory",
        lambda: {"block": memory.block(), "total": memory.total()},
    ),
    "jmem": ("jmem : figures of jemalloc; Python has none", jmem),
    "profactive": ("profactive [on|off] : begin or end heap profiling (tracemalloc)", profactive),
    "dumpheap": ("dumpheap [file] : write the heap profile", dumpheap),
    "getenv": ("getenv name : skynet.getenv(name)", lambda name: {name: tostring(skynet.getenv(name))}),
    "setenv": ("setenv name value : skynet.setenv(name, value)", lambda name, value: skynet.setenv(name, value)),
    "netstat": ("netstat : all sockets", lambda: [socket_row(row, skynet.now()) for row in socket.netstat()]),
    "call": ("call address expression, ... : call it with Python literals (nil, true, false too)", call),
    "debug": ('debug address : debug a service; Python, watch("lua"[, cond]), s, n, c; cont ends it', remotedebug),
    "waits": ("waits : who waits for whom, and the circles", lambda: debug.look(lambda node: str(node.waits()))),
    "verdicts": ("verdicts : what is wrong, in sentences", lambda: debug.look(lambda node: str(node.verdicts()))),
    "trace": (
        "trace address [proto] [on|off] : log its requests with tags; "
        "trace on address [seconds], trace off [address] : print its trace here",
        trace,
    ),
    "timeline": (
        "timeline [file.html] [seconds] : record for 3 seconds (0: take what was recorded from birth), write the page",
        timeline,
    ),
}


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

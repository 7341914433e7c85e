"""The debug console: ask a running node how it is, by telnet, nc or curl.

One idea: a console is a service like any other. Each connection has a coroutine that
reads a line, sends messages for it (most go to the launcher, or are debug messages that
every service answers), and prints what comes back, with <CMD OK> or <CMD Error> below.

Start it with skynet.newservice("debug_console", [ip,] port). By HTTP a GET names a command,
a POST brings one; as in skynet the answer has no status line, so curl wants to be told:

    curl --http0.9 http://127.0.0.1:8000/list
    curl --http0.9 -H "Authorization: token $(cat FILE)" -H Content-Type: -d 'call a "ADD", 5' http://127.0.0.1:8000/

Every user of the machine can connect to a port on 127.0.0.1, and so can every page in a browser.
A command that runs code or changes something (all but READS) therefore needs a token, once for
each connection: a line `token WORD`, with the word from FILE. The log names that file, and only the
node's user can read it; `skynet-lite console` does so itself. A request that may come from a web
page is answered 403.

After service/debug_console.lua: its commands, and token, waits, verdicts, trace on/off, timeline, flight.
"""

import hmac
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
from skynet_lite.lualib import codecache, memory
from skynet_lite.lualib.console import CONTROLS, ERROR, OK, WELCOME, dump_list, literals, number, socket_row, tostring
from skynet_lite.skynet.scheduler import current
from skynet_lite.trace import Trace
from skynet_lite.trace.aside import Aside
from skynet_lite.trace.export import kind_of
from skynet_lite.trace.live import Live
from skynet_lite.trace.recorder import Recorder

TIMEOUT = 300  # ticks: how long services have to answer
CLIENTS = 64
LINE = 64 * 1024  # bytes of a line, and of what a client may send ahead
REQUEST = 8192  # bytes of an HTTP header, and of a body
STREAMS = 16  # of one connection
EVENTS = 20_000  # of one timeline; of a recording the last ones, at least so many
JMEM = tuple(f"stats.{name}" for name in ("active", "allocated", "mapped", "resident", "retained"))

BROWSER = re.compile(
    r"origin:|referer:|sec-|access-control-"
    r"|content-type:(application/x-www-form-urlencoded|multipart/form-data|text/plain)"
    r"|host:(?!(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$)",
    re.IGNORECASE,
)
"""Headers that give a web page away: where it comes from, a form, a name made to resolve to us (DNS rebinding)."""

clients: dict[int, str] = {}  # socket id → "ip:port"
trusted: set[int] = set()  # sockets of those who have said the token
where, secret = "", ""  # the file of the token, and the token


def docmd(line: str, fd: int) -> None:
    """One line: carry it out and print the answer, in one piece. DOC: docmd"""
    name = (line.split() or [""])[0]
    try:
        if name not in COMMAND:
            raise SkynetError("Invalid command, type help for command list\n")
        admit(line, fd)
        args, named = fitting(name, line, fd)
        result = COMMAND[name][1](*args, **named)
    except Exception as e:
        say(fd, text_of(e) if isinstance(e, SkynetError) else error_text(e), ERROR)
        return
    lines = [result] if isinstance(result, str) else [] if result is None or result is False else dump_list(result)
    say(fd, *lines, OK)


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
    """Print lines on the user's terminal; control characters are escaped, since services chose most of the text."""
    socket.write(fd, "".join(line + "\n" for line in lines).translate(CONTROLS).encode("utf-8", "surrogateescape"))


class Refused(SkynetError):
    """A request that is not carried out; by HTTP it is answered 403."""


def token(word: str, *, fd: int) -> None:
    if not secret or not hmac.compare_digest(ascii(word), ascii(secret)):
        raise Refused("this is not the token of this console")
    trusted.add(fd)


def admit(line: str, fd: int) -> None:
    """Raises Refused for a command that needs the token, which `fd` has not said."""
    name = (line.split() or [""])[0]
    if name in COMMAND and name not in READS and fd not in trusted:
        raise Refused(f"{name} needs the token: first say  token WORD  with the word from {where}")


# --------------------------------------------------------------------------- connections


def accept(id: int, addr: str) -> None:
    try:
        socket.start(id)
    except SkynetError:
        return  # it has gone already
    if len(clients) >= CLIENTS:
        stranger = next((client for client in clients if client not in trusted), None)
        if stranger is None:
            say(id, f"{CLIENTS} clients are connected already: close one")
            socket.close(id)
            return
        skynet.error(f"{clients.pop(stranger)} has said no token for longest, and makes room for {addr}")
        socket.shutdown(stranger)
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
    say(id, WELCOME)
    skynet.error(f"{addr} connected")
    try:
        while (raw := socket.readline(id)) is not None:
            line = raw.decode("utf-8", "surrogateescape")
            if line.startswith(("GET ", "POST ")):
                docmd(read_request(id, line), id)
                break
            if line[:5].lower() == "host:":  # of PUT, say: the lines of its body must not become commands (as in Redis)
                raise Refused("an HTTP request that is neither GET nor POST")
            if line:
                docmd(line, id)
    except Refused as e:
        skynet.error(f"{addr} is refused: {e}")
        socket.write(id, f"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\n\r\n{e}\n".encode())
    except Exception as e:
        skynet.error(f"{id} {e}")
    finally:
        clients.pop(id, None)
        trusted.discard(id)
        end_streams(id)
        if id in recorders:  # a look would wait, which nobody may who is being ended
            node, recorder = current().server.node, recorders.pop(id)
            node.driver.between(lambda: node.look(lambda: node.recording.finish(recorder)))
    skynet.error(f"{addr} disconnect")
    socket.close(id)


def read_request(id: int, line: str) -> str:
    """The command line of an HTTP request: the path of a GET with blanks for slashes, the body of a POST.

    Raises Refused for a request that may come from a web page, and for a command that needs the token.
    """
    size, headers = len(line), dict[str, str]()
    while (header := socket.readline(id)) != b"\r":
        if header is None:
            raise SkynetError("the HTTP header has no end: its lines end in CR LF, the last one is empty")
        size += len(header)
        if size > REQUEST:
            raise SkynetError(f"an HTTP header of more than {REQUEST} bytes")
        name, _, value = header.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    for name, value in headers.items():
        if BROWSER.match(f"{name}:{value}"):
            raise Refused(f"it may come from a web page: {name!a}: {value[:100]!a}")
    if "authorization" in headers:
        token(headers["authorization"].split(" ")[-1], fd=id)
    if line.startswith("POST "):
        length = int(number(headers.get("content-length", "0")))
        if length > REQUEST:
            raise SkynetError(f"an HTTP body of {length} bytes; {REQUEST} are allowed")
        command = (socket.read(id, length) or b"").decode("utf-8", "surrogateescape")
    else:
        request = re.fullmatch(r"GET\s+/?(\S*)\s+HTTP/[\d.]+\s*", line)
        command = request[1].replace("/", " ") if request else ""
    admit(command, id)
    return command


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


launcher = partial(skynet.call, ".launcher", "lua")


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


def signal(address: int | str, sig: float = 0) -> str | None:
    return debug.signal(handle_at(address), int(sig))


def message_log(on: bool, address: int | str) -> None:
    me, handle = current(), living(address)
    debug.look(lambda node: (node.server.logon if on else node.server.logoff)(me.handle, handle))


def clearcache() -> None:
    codecache.clear()
    linecache.checkcache()


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
        me, lines = current(), (skynet.PTYPE_LUA, 0, skynet.self(), ("LINES", number))

        def begin(node: Any) -> None:
            told = partial(node.driver.between, lambda: node.server.push(me.ctx, lines, "send"))
            self.live = Live(handle, node.places(), told)
            self._detach = node.attach(self.live.sink)

        debug.look(begin)
        streams[number] = self

    def flush(self) -> None:
        if lines := self.live.take():
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
    return written(kept() if limit <= 0 else recorded(limit), filename, ".html")


def flight(filename: str) -> str:
    return written(kept(), filename)


recorders: dict[int, Recorder] = {}  # by socket: a recording ends with its connection


def record(filename: str | None = None, *, fd: int) -> str | None:
    if filename is None:
        if fd in recorders:
            raise SkynetError("this connection records already: record FILE ends it")
        debug.look(partial(begin_record, fd))
        return None
    if fd not in recorders:
        raise SkynetError("nothing is being recorded: record alone begins it")
    kind_of(filename)
    return written(debug.look(partial(end_record, recorders.pop(fd))), filename)


def begin_record(fd: int, node: Any) -> None:
    recorder = recorders[fd] = Recorder(node.beginning, node.places(), EVENTS)
    node.recording.begin(recorder)


def end_record(recorder: Recorder, node: Any) -> Trace:
    node.recording.finish(recorder)
    return recorder.taken()


def kept() -> Trace:
    found: Trace = debug.look(lambda node: node.flights.taken())
    return found


def written(found: Trace, filename: str, kind: str | None = None) -> str:
    """Write it while the node goes on. What comes of it, comes through a pipe, and so as if it were from outside: a
    recording has it. Virtual time stands still meanwhile."""
    writer = Aside(found, filename, kind, lambda failed: tell(failed.encode("utf-8", "backslashreplace")))
    ours, theirs = os.pipe()

    def tell(failed: bytes) -> None:
        os.write(theirs, failed[:512])
        os.close(theirs)

    writer.start()
    if current().server.clock.virtual or os.name == "nt":  # where no poll can wait for a pipe
        writer.join()
        failed = os.read(ours, 512)
    else:
        id = socket.bind(ours)
        failed = socket.readall(id)
        socket.close(id)
        writer.join()  # it has ended; in a replay, which hears at once what was recorded, not yet
    os.close(ours)  # not if we are killed before: the socket server has it still
    if failed:
        raise SkynetError(failed.decode())
    return f"{os.path.abspath(filename)}\t{len(found)} events"


def recorded(limit: int) -> Trace:
    """A trace of the next `limit` ticks, or of fewer if EVENTS come."""
    node = current().server.node
    recorder = Recorder(node.beginning, node.places())
    debug.look(lambda node: node.recording.begin(recorder))
    try:
        end = skynet.now() + limit
        while skynet.now() < end and recorder.count() < EVENTS:
            skynet.sleep(min(10, end - skynet.now()))
    finally:
        debug.look(lambda node: node.recording.finish(recorder))
    return recorder.trace


# --------------------------------------------------------------------------- all commands

Commands = dict[str, tuple[str, Callable[..., Any]]]  # name → what help says, what to call: see `fitting`
READS: Commands = {
    "help": ("This help message", lambda: {name: text for name, (text, _) in COMMAND.items()}),
    "token": ("token word : unlocks the commands that run code or change something", token),
    "list": ("List all services", lambda: launcher("LIST")),
    "service": ("List unique services", lambda: skynet.call("SERVICE", "lua", "LIST")),
    "stat": (
        "stat [ticks] : figures of all services; ticks (10 ms) to wait for them, 300 if not said",
        lambda ti=TIMEOUT: launcher("STAT", ti),
    ),
    "mem": ("mem [ticks] : memory that only this service holds", lambda ti=TIMEOUT: launcher("MEM", ti)),
    "gc": ("gc [ticks] : let Python collect garbage, then mem", lambda ti=TIMEOUT: launcher("GC", ti)),
    "task": ("task address : where its coroutines are parked", lambda address: dbgcmd(address, "TASK")),
    "uniqtask": ("uniqtask address : the same, equal stacks together", lambda address: dbgcmd(address, "UNIQTASK")),
    "info": ("info address ... : what its info function says", lambda address, *args: dbgcmd(address, "INFO", *args)),
    "ping": ("ping address : the way there and back, in ticks", ping),
    "cmem": (
        "cmem : blocks of Python's allocator, bytes of the process in memory",
        lambda: {"block": memory.block(), "total": memory.total()},
    ),
    "jmem": ("jmem : figures of jemalloc; Python has none", lambda: dict.fromkeys(JMEM, f"{0:11d}  {0:8.2f} Mb")),
    "getenv": ("getenv name : skynet.getenv(name)", lambda name: {name: tostring(skynet.getenv(name))}),
    "netstat": ("netstat : all sockets", lambda: [socket_row(row, skynet.now()) for row in socket.netstat()]),
    "waits": ("waits : who waits for whom, and the circles", lambda: debug.look(lambda node: str(node.waits()))),
    "verdicts": ("verdicts : what is wrong, in sentences", lambda: debug.look(lambda node: str(node.verdicts()))),
}
"""Commands that only look. All others need the token."""

COMMAND: Commands = READS | {
    "kill": ("kill address : end a service from outside", lambda address: launcher("KILL", address)),
    "exit": ("exit address : ask a service to end itself", exit),
    "start": ("start name ... : launch a service", partial(launch, "LAUNCH", "Exit")),
    "log": ("log name ... : launch a service with its message log on", partial(launch, "LOGLAUNCH", "Failed")),
    "snax": ("snax name ... : launch a snax service", launch_snax),
    "clearcache": ("clearcache : read source files again, at the next launch and for tracebacks", clearcache),
    "inject": ("inject address file.py ... : run a file inside a service", inject),
    "dbgcmd": ("dbgcmd address command ... : send a debug command", dbgcmd),
    "killtask": (
        "killtask address threadname : end a coroutine that task lists",
        lambda address, threadname: dbgcmd(address, "KILLTASK", threadname),
    ),
    "logon": ("logon address : begin its message log, in the folder logpath", partial(message_log, True)),
    "logoff": ("logoff address : end its message log", partial(message_log, False)),
    "signal": ("signal address [sig] : 0 breaks its endless loop, 1 logs its memory", signal),
    "profactive": ("profactive [on|off] : begin or end heap profiling (tracemalloc)", profactive),
    "dumpheap": ("dumpheap [file] : write the heap profile", dumpheap),
    "setenv": ("setenv name value : skynet.setenv(name, value)", lambda name, value: skynet.setenv(name, value)),
    "call": ("call address expression, ... : call it with Python literals (nil, true, false too)", call),
    "debug": ('debug address : debug a service; Python, watch("lua"[, cond]), s, n, c; cont ends it', remotedebug),
    "trace": (
        "trace address [proto] [on|off] : log its requests with tags; "
        "trace on address [seconds], trace off [address] : print its trace here",
        trace,
    ),
    "timeline": (
        "timeline [file.html] [seconds] : record for 3 seconds (0: take what was recorded from birth), write the page",
        timeline,
    ),
    "record": ("record : begin to record; record file : end it, and write the last events (.json, .html, ...)", record),
    "flight": ("flight file : write what was recorded from birth (.json: a trace that can be loaded)", flight),
}


# --------------------------------------------------------------------------- the service


@skynet.start
def main(*args: Any) -> None:
    global where, secret
    ip, port = args if len(args) == 2 else ("127.0.0.1", args[0] if args else None)
    if port is None or len(args) > 2:
        raise SkynetError('debug_console takes [ip,] port: skynet.newservice("debug_console", 8000)')
    listening = socket.listening(ip, int(port))
    ip, port = socket.sockname(listening)
    skynet.error(f"Start debug console at {ip}:{port}")
    try:
        where, secret = current().server.outside.secret(f"console-{port}")
    except (OSError, RuntimeError) as e:
        where = f"no file: none could be written ({e})"
    skynet.error(f"debug console: commands that run code or change something need the token from {where}")
    if not ipaddress.ip_address(ip.partition("%")[0]).is_loopback:
        skynet.error(f"debug console: {ip} is reached from outside: who hears the token can run any code in this node")

    @skynet.dispatch("lua")
    def lines(session: int, source: int, cmd: str, number: int) -> None:
        if number in streams:
            streams[number].flush()

    socket.start(listening, accept)

"""The API of a service: what `require "skynet"` gives in Lua.

Real names, no `__getattr__`: CPython then looks `skynet.f` up in one step. Each comes from
the file that has its mechanism; `scheduler.py` moves the coroutines below all of them.
"""

# isort: skip_file
from ..core.codec import register_type
from ..core.errors import AddressError, CallError, SkynetError
from ..core.message import (
    PTYPE_CLIENT, PTYPE_DEBUG, PTYPE_ERROR, PTYPE_HARBOR, PTYPE_LUA, PTYPE_MULTICAST, PTYPE_QUEUE, PTYPE_RESPONSE,
    PTYPE_SNAX, PTYPE_SOCKET, PTYPE_SYSTEM, PTYPE_TEXT, PTYPE_TRACE,
)  # fmt: skip
from .calls import (
    call, context, genid, ignoreret, pack, packstring, rawcall, rawsend, redirect, response, ret, retpack, send,
    tostring, trash, unpack,
)  # fmt: skip
from .coroutine import running
from .offload import offload
from .manager import abort, filter, forward_type, kill, launch, monitor, name, register
from .protocol import (
    Protocol as Protocol, dispatch, dispatch_unknown_request, dispatch_unknown_response, register_protocol,
)  # fmt: skip
from .queue import queue
from .request import request, select
from .response import Response as Response
from .scheduler import Scheduler as Scheduler
from .services import (
    dispatch_message, endless, error, exit, getenv, harbor, info_func, init, init_service, localname, memlimit,
    mqlen, newservice, on_stop, queryservice, self, setenv, start, stat, term, uniqueservice,
)  # fmt: skip
from .tables import address
from .task import killthread, task, trace_timeout, uniqtask
from .tracetag import trace, tracecall, tracelog, traceproto, tracetag
from .waits import fork, hpc, now, sleep, starttime, time, timeout, wait, wakeup, yield_

__all__ = [  # noqa: RUF022
    "AddressError", "CallError", "PTYPE_CLIENT", "PTYPE_DEBUG", "PTYPE_ERROR", "PTYPE_HARBOR", "PTYPE_LUA",
    "PTYPE_MULTICAST", "PTYPE_QUEUE", "PTYPE_RESPONSE", "PTYPE_SNAX", "PTYPE_SOCKET", "PTYPE_SYSTEM", "PTYPE_TEXT",
    "PTYPE_TRACE", "Protocol", "Response", "Scheduler", "SkynetError", "abort", "address", "call", "context",
    "dispatch", "dispatch_message",
    "dispatch_unknown_request", "dispatch_unknown_response", "endless", "error", "exit", "filter", "fork",
    "forward_type", "genid", "getenv", "harbor", "hpc", "ignoreret", "info_func", "init", "init_service", "kill",
    "killthread", "launch", "localname", "memlimit", "monitor", "mqlen", "name", "newservice", "now", "offload",
    "on_stop", "pack", "packstring", "queryservice", "queue", "rawcall", "rawsend", "redirect", "register",
    "register_protocol",
    "register_type", "request", "response", "ret", "retpack", "running", "select", "self", "send", "setenv", "sleep",
    "start", "starttime", "stat", "task", "term", "time", "timeout", "tostring", "trace", "trace_timeout", "tracecall",
    "tracelog", "traceproto", "tracetag", "trash", "uniqtask", "uniqueservice", "unpack", "wait", "wakeup",
    "yield_",
]  # fmt: skip


def __dir__() -> list[str]:
    return __all__

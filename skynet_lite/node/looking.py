"""Looks at a whole node, as plain data. Nothing may move meanwhile."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..core.handle import address_text
from ..core.message import mail_label
from ..core.places import Places, is_ours, stack_of
from ..core.server import Server
from ..lualib.console import MANY
from ..skynet.scheduler import Scheduler
from ..trace.verdicts import standing
from ..trace.waits import Behind, Who


def tables(server: Server) -> dict[str, Any]:
    """Every table of the node, in the form of `Trace.state`."""
    contexts = server.contexts
    services = {}
    for ctx in contexts.values():
        plain = {"name": ctx.kind, "mailbox": [mail_label(m) for m in ctx.mailbox]}
        services[address_text(ctx.handle)] = ctx.state.tables() if isinstance(ctx.state, Scheduler) else plain
    found: dict[str, Any] = {
        "services": services,
        "global_queue": [address_text(m.handle) for m in server.global_queue if m.handle in contexts],
        "timers": [[tick, address_text(handle), session] for tick, handle, session in server.timer.pending()],
        "sockets": {id: [state, address_text(owner)] for id, (state, owner) in server.socket_server.table().items()},
        "commands": [[command[0], command[1]] for command in server.socket_server.commands],
        "now": server.clock.now() if server.clock.virtual else 0,
    }
    workers = {address_text(handle): n for handle in contexts for n in server.driver.worker_of(handle)}
    found |= {"workers": workers} if server.driver.workers > 1 else {}
    return found if server.dialect.version == "1.1" else found | {"skynet": server.dialect.version}


def parked_at(server: Server, named: Places) -> dict[Who, str]:
    """The user's line at which each coroutine is parked."""
    found = {}
    for ctx in server.contexts.values():
        for co in ctx.state.coroutines.values() if isinstance(ctx.state, Scheduler) else ():
            stack = stack_of(co.frame)
            if stack and not is_ours(stack[-2]):
                found[address_text(ctx.handle), co.label] = named.stack(ctx.handle, stack)[-1]
    return found


def behind(server: Server) -> Behind:
    """Who has to go on first, where no table says it: of starts that somebody waits for."""
    found: Behind = {}
    for ctx in server.contexts.values():
        me, kept = address_text(ctx.handle), getattr(ctx.state, "namespace", None) or {}
        for handle, (answer, _) in kept.get("instance", {}).items() if ctx.name == "launcher" else ():
            start = getattr(getattr(server.contexts.get(handle), "state", None), "init_thread", None)
            if start is not None:
                found[address_text(answer.address), answer.session] = address_text(handle), start.label
        for state in kept.get("service", {}).values() if ctx.name == "service_mgr" else ():
            if getattr(state, "launch", None) is not None:
                found |= {(me, co.label): (me, state.launch[2].label) for _, _, co in state.waiting}
        for name, state in kept.get("svr", {}).items() if ctx.name == "service_provider" else ():
            if state.booting is not None:
                waiting = kept["queue"].get(name, ())
                found |= {(address_text(r.address), r.session): (me, state.booting.label) for r in waiting}
    return found


def rows(server: Server) -> list[dict[str, Any]]:
    """What a dashboard shows of each service."""
    sockets = Counter(owner for _, owner in server.socket_server.table().values())
    found = []
    for ctx in server.contexts.values():
        s = ctx.state if isinstance(ctx.state, Scheduler) else None
        found.append({
            "address": address_text(ctx.handle), "name": ctx.called, "mailbox": len(ctx.mailbox),
            "messages": ctx.mailbox.popped, "cpu": ctx.cpu_cost if s is not None and server.profile else None,
            "tasks": 0 if s is None else len(s.session_id_coroutine), "sockets": sockets[ctx.handle],
        })  # fmt: skip
    return found


def now(node: Any) -> tuple[dict[str, Any], dict[Who, str], Behind]:
    """What shows who waits for whom."""
    return node.tables(), parked_at(node.server, node.places()), behind(node.server)


def overview(node: Any) -> dict[str, Any] | None:
    """What a dashboard shows; None when this node has ended or does not run."""
    if node.closed or node.driver.paused():
        return None
    found = node.look(lambda: rows(node.server))
    few = len(found) <= MANY
    # Outside the thread that drives: looking for circles takes time.
    return {"services": found, "verdicts": list(map(str, standing(*node.look(lambda: now(node))))) if few else []}

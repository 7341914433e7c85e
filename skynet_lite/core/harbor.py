"""The harbor's place: messages to global names, and to nodes that are not there.

A single node has no other harbor. What is left of the service is to deliver to
global names, keeping what comes before a name is known, and to refuse the rest.

After service-src/service_harbor.c.
"""

from __future__ import annotations

from .context import Context
from .errors import Failure
from .message import PTYPE_ERROR, PTYPE_HARBOR, Message
from .server import Kind, Server


class Harbor(Kind):
    """A kind of service. It gets RemoteMessages (from `Server.send_far`) and "N name" (from cdummy)."""

    def make(self, server: Server, ctx: Context) -> None:
        server.harbor = ctx
        names: dict[str, int] = {}
        waiting: dict[str, list[Message]] = {}

        def callback(message: Message) -> None:
            ptype, session, source, payload = message
            if ptype == PTYPE_HARBOR:
                name = str(payload)[2:]
                names[name] = source
                for kept in waiting.pop(name, []):
                    server.deliver(source, kept)
                return
            to, kind, body = payload
            if not isinstance(to, str):
                if session != 0:
                    failure = Failure(to, "", "it is on another node, and there is none")
                    server.deliver(source, (PTYPE_ERROR, session, to, failure))
                server.log(
                    ctx.handle, f"Drop message to harbor {to >> 24} from {source:x} to {to:x} (session = {session})"
                )
            elif to in names:
                server.deliver(names[to], (kind, session, source, body))
            else:
                waiting.setdefault(to, []).append((kind, session, source, body))

        ctx.mailbox.callback = lambda message: server.handled(ctx, callback, message)

"""What a machine knows of names without asking: hosts(5), and whom to ask: resolv.conf(5).

After lualib/skynet/dns.lua (parse_hosts, parse_resolv_conf).
"""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_address

from ..core.errors import SocketError

Server = tuple[str, int]
Key = tuple[str, str]  # name, "A" or "AAAA"


def read_hosts(path: str) -> dict[Key, list[str]]:
    """hosts(5): names in lower case → addresses, in the order of the file; nothing if there is no file."""
    found: dict[Key, list[str]] = {}
    with suppress(OSError), open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            address, *names = line.partition("#")[0].split() or [""]
            version = version_of(address)
            for name in names if version else ():
                found.setdefault((name.lower(), "A" if version == 4 else "AAAA"), []).append(address)
    return found


def read_resolv_conf(path: str) -> list[Server]:
    """The name servers of resolv.conf(5). Raises SocketError if there are none."""
    from dns.resolver import NoResolverConfiguration, Resolver  # a lot of code for the few who need it

    resolver = Resolver(configure=False)
    try:
        resolver.read_resolv_conf(path)
    except (NoResolverConfiguration, OSError):
        raise SocketError(f"dns: no name server in {path}: call dns.server(ip) first") from None
    return [(str(ip), 53) for ip in resolver.nameservers]


def version_of(address: str) -> int:
    try:
        return ip_address(address.partition("%")[0]).version
    except ValueError:
        return 0

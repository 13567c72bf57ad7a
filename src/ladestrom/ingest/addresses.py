"""Where an address that somebody else named may lead: HTTPS on the public network.

A host is looked up once and connected to as it was found, so that what was looked at is what is called.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import NamedTuple

import httpx2

from ladestrom.errors import SourceFailure


class Pinned(NamedTuple):
    """A request's address with the host as it was found, and what tells the server which host was meant."""

    url: httpx2.URL
    host: str
    """The header Host."""
    server_name: str
    """For TLS."""


async def pinned(url: str) -> Pinned:
    """The address, to be called where it was found.

    Raises:
        SourceFailure: it is not HTTPS, or an address of its host is not public.
        OSError: its host cannot be found.
    """
    parts = httpx2.URL(url)
    if parts.scheme != "https":
        raise SourceFailure("the peer's address is not HTTPS")
    found = await asyncio.get_running_loop().getaddrinfo(
        parts.host, parts.port or 443, type=socket.SOCK_STREAM
    )
    addresses = [ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found]
    if not addresses or not all(map(is_public, addresses)):
        raise SourceFailure("the peer's address is not on the public network")
    return Pinned(parts.copy_with(host=str(addresses[0])), parts.netloc.decode("ascii"), parts.host)


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is somebody's on the public network."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    own = mapped or address
    return own.is_global and not own.is_multicast

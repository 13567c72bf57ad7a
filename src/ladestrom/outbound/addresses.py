"""Where an address that somebody else named may lead: to the public network only.

An administrator may name any address. What a peer, a redirect, a list's next page or a service names is
looked at: it has to be written plainly, and every address of its host has to be public. It is then called at
the address that was looked at, so that a name that leads elsewhere a moment later is of no use.

Everything that calls out asks here (`Guard.way`).
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, NamedTuple

import httpx2

from ladestrom.errors import SourceFailure
from ladestrom.quoting import quoted

ADDRESSES_MAX: Final = 4
"""Of one host that are tried, one after the other."""
HOST_CHARACTERS_MAX: Final = 253
"""RFC 1035, section 2.3.4."""
SECURE: Final = frozenset({"https", "wss"})
PORTS: Final = {"http": 80, "ws": 80, "https": 443, "wss": 443}

IPV4_SPECIAL: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # "This network", RFC 791
        "10.0.0.0/8",  # Private-Use, RFC 1918
        "100.64.0.0/10",  # Shared Address Space, RFC 6598
        "127.0.0.0/8",  # Loopback, RFC 1122
        "169.254.0.0/16",  # Link Local, RFC 3927
        "172.16.0.0/12",  # Private-Use, RFC 1918
        "192.0.0.0/24",  # IETF Protocol Assignments, RFC 6890; its two anycast addresses serve no peer
        "192.0.2.0/24",  # Documentation (TEST-NET-1), RFC 5737
        "192.88.99.0/24",  # Deprecated (6to4 Relay Anycast), RFC 7526
        "192.168.0.0/16",  # Private-Use, RFC 1918
        "198.18.0.0/15",  # Benchmarking, RFC 2544
        "198.51.100.0/24",  # Documentation (TEST-NET-2), RFC 5737
        "203.0.113.0/24",  # Documentation (TEST-NET-3), RFC 5737
        "224.0.0.0/4",  # Multicast, RFC 5771
        "240.0.0.0/4",  # Reserved, RFC 1112, and Limited Broadcast, RFC 8190
    )
)
"""What is no public unicast address of IPv4. Source: IANA, IPv4 Special-Purpose Address Registry (what is not
globally reachable), and IPv4 Address Space Registry for multicast and reserved space."""
IPV6_GLOBAL: Final = IPv6Network("2000::/3")
"""Source: IANA, Internet Protocol Version 6 Address Space: Global Unicast. Everything else is reserved, local
or multicast, among it 5f00::/16 (Segment Routing SIDs, RFC 9602), fc00::/7 and ::/96 (IPv4-compatible)."""
IPV6_SPECIAL: Final = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # IETF Protocol Assignments, RFC 2928: Teredo (2001::/32), benchmarking, ORCHID, anycast
        "2001:db8::/32",  # Documentation, RFC 3849
        "2002::/16",  # 6to4, RFC 3056: an IPv4 address is in it
        "3fff::/20",  # Documentation, RFC 9637
    )
)
"""What of `IPV6_GLOBAL` is not. Source: IANA, IPv6 Special-Purpose Address Registry (what is not globally
reachable)."""
IPV4_MAPPED: Final = IPv6Network("::ffff:0:0/96")
"""RFC 4291, section 2.5.5.2: calls to it are calls to the IPv4 address in its last 32 bits."""
NAT64: Final = IPv6Network("64:ff9b::/96")
"""RFC 6052, section 2.1: likewise, by a translator. In networks without IPv4, hosts that have only IPv4
look so. The prefix for local use, 64:ff9b:1::/48 (RFC 8215), may be translated to anything: not public."""
ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})
"""RFC 5214, section 6.1: behind one of these, the last 32 bits are the IPv4 address that packets go to."""

_PLAIN: Final = re.compile(r"[\x21-\x5b\x5d-\x7e]+")
"""What an address may be written with: no blanks, no line ends, no backslash, no letters beyond ASCII. In
what has them, parsers disagree on where the host ends."""
_NAME: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""A last label that is a number makes a host an IPv4 address to some parsers (WHATWG URL, section 3.5)."""

Address = IPv4Address | IPv6Address


class Origin(NamedTuple):
    """Whom an address calls: what has to be equal for two to be the same place."""

    scheme: str
    host: str
    """In ASCII and lower case."""
    port: int


class Way(NamedTuple):
    """How an address is called that was looked at."""

    origin: Origin
    addresses: tuple[str, ...]
    """The host as it was found: one of these is connected to."""

    @property
    def host(self) -> str:
        """The header Host."""
        host = f"[{self.origin.host}]" if ":" in self.origin.host else self.origin.host
        return host if self.origin.port == PORTS[self.origin.scheme] else f"{host}:{self.origin.port}"


class Guard:
    """Where the calls of one source or peer may lead."""

    def __init__(
        self, home: str | None = None, *, anywhere: bool = False, secure: bool = False, proxied: bool = False
    ) -> None:
        """Nothing is looked up yet.

        Args:
            home: the address that an administrator named, whose origin may be anywhere; None for a peer that
                named its address itself.
            anywhere: every address is good; the administrator said so.
            secure: whether it has to be HTTPS or WSS.
            proxied: whether a proxy makes the connections. Where it leads cannot be looked at then.
        """
        self._home = None if home is None else origin_of(home)
        self._anywhere = anywhere
        self._secure = secure
        self._proxied = proxied

    async def way(self, url: str) -> Way | None:
        """How to call an address; None where it may be called by its name as it is.

        Raises:
            SourceFailure: it may not be called.
            OSError: its host cannot be found.
        """
        origin = origin_of(url)
        if self._anywhere or (self._home is not None and is_same(self._home, origin)):
            return None
        _check_written(url, origin)
        if self._secure and origin.scheme not in SECURE:
            raise SourceFailure("the peer's address is not HTTPS")
        if self._proxied:
            raise SourceFailure(
                f"{origin.host} is another host than the source's own; through a proxy it cannot be seen "
                "whether that is on the public network. Add the source with --anywhere to allow it"
            )
        found = await asyncio.get_running_loop().getaddrinfo(
            origin.host, origin.port, type=socket.SOCK_STREAM
        )
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        if not addresses or not all(map(_is_public, addresses)):
            raise SourceFailure(
                f"{origin.host} is not a public address; an administrator must allow private addresses"
            )
        return Way(origin, tuple(addresses[:ADDRESSES_MAX]))


def origin_of(url: str) -> Origin:
    """Whom an address calls, as the client that calls it reads it.

    Raises:
        SourceFailure: it is no address that can be called.
    """
    try:
        parts = httpx2.URL(url)
        port = parts.port
    except (httpx2.InvalidURL, ValueError) as error:
        raise SourceFailure(f"{quoted(url, 80)} is no address that can be called ({error})") from error
    if parts.scheme not in PORTS or not parts.host:
        raise SourceFailure(f"{quoted(url, 80)} is not an HTTP address")
    host = parts.raw_host.decode("ascii").strip("[]").lower()
    return Origin(parts.scheme, host, port or PORTS[parts.scheme])


def is_same(before: Origin, after: Origin) -> bool:
    """Whether an address is at the same place: the same host and port, or its default port with TLS."""
    if before == after:
        return True
    is_upgrade = (before.scheme, after.scheme) in {("http", "https"), ("ws", "wss")}
    return is_upgrade and (before.host, before.port, after.port) == (after.host, 80, 443)


def is_public(address: Address) -> bool:
    """Whether an address is public, and so is the IPv4 address that it carries, if any."""
    return all(_is_global(each) for each in _meant(address))


def _is_public(written: str) -> bool:
    try:
        return is_public(ipaddress.ip_address(written))
    except ValueError:
        # With a zone, as only local ones have.
        return False


def _meant(address: Address) -> Iterator[Address]:
    """The addresses that packets to this one may go to."""
    if isinstance(address, IPv4Address):
        yield address
        return
    carried = IPv4Address(int(address) & 0xFFFF_FFFF)
    if address in IPV4_MAPPED or address in NAT64:
        yield carried
        return
    yield address
    if (int(address) >> 32) & 0xFFFF_FFFF in ISATAP:
        yield carried


def _is_global(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in IPV4_SPECIAL)
    return address in IPV6_GLOBAL and not any(address in network for network in IPV6_SPECIAL)


def _check_written(url: str, origin: Origin) -> None:
    """Whether an address is written so that all parsers read the same host.

    Raises:
        SourceFailure: it is not.
    """
    authority = url.partition("://")[2].partition("/")[0].partition("?")[0].partition("#")[0]
    if _PLAIN.fullmatch(url) is None or "@" in authority or "%" in authority:
        raise SourceFailure("the address contains a user name or invalid characters")
    if authority.startswith("["):
        return
    host = origin.host
    if len(host) > HOST_CHARACTERS_MAX or _NAME.fullmatch(host) is None:
        raise SourceFailure(f"{quoted(host, 80)} is not a host name")
    if _NUMBER.fullmatch(host.rpartition(".")[2]) is not None and not _is_dotted(host):
        raise SourceFailure(f"{quoted(host, 80)} is not an IPv4 address; write four numbers")


def _is_dotted(host: str) -> bool:
    try:
        IPv4Address(host)
    except ValueError:
        return False
    return True

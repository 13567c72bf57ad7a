"""Where an address that somebody else named may lead; the table of what is public, form by form."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Any

import pytest
from tests.building import NOW
from tests.e2e.answering import Answering, redirecting

from ladestrom.errors import SourceFailure
from ladestrom.outbound.addresses import Guard, is_public
from ladestrom.outbound.fetching import Fetcher, FetchLimits
from ladestrom.ports.calls import Answered, Ask

INSIDE = [
    "0.0.0.0",  # noqa: S104 - one of those that are refused
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.8",
    "192.0.0.9",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::10.0.0.1",
    "::193.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:0:10.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b:1::193.0.0.1",
    "100::1",
    "2001::1",
    "2001:0:c100:1::f5ff:fffe",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:a00:1::1",
    "2002:7f00:1::1",
    "2a00:1450::5efe:10.0.0.1",
    "2a00:1450::200:5efe:127.0.0.1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
PUBLIC = [
    "193.0.0.1",
    "8.8.8.8",
    "2001:67c:2e8::1",
    "2a00:1450::1",
    "::ffff:193.0.0.1",
    "64:ff9b::193.0.0.1",
    "2a00:1450::5efe:193.0.0.1",
]
ODD = [
    "https://193.0.0.1\\@10.0.0.1/",
    "https://10.0.0.1\\@193.0.0.1/",
    "https://user@193.0.0.1/",
    "https://user:word@193.0.0.1/",
    "https://193.0.0.1:x/",
    "https://193.0.0.1 /",
    "https://193.0.0.1/\t",
    "https://193.0.\n0.1/",
    "https://\uff11\uff19\uff13.0.0.1/",
    "https://193\u30020\u30020\u30021/",
    "https://0301.0.0.1/",
    "https://0xc1.0.0.1/",
    "https://0xc1000001/",
    "https://3238002689/",
    "https://193.1/",
    "https://193.0.0.1./",
    "https://193.0.0.%31/",
    "https://[2a00:1450::1%25eth0]/",
    "https://[fe80::1%25eth0]/",
    "https:///x",
    "ftp://193.0.0.1/",
    "file:///etc/passwd",
]


@pytest.mark.parametrize("address", INSIDE)
def test_what_is_not_global_unicast_is_not_public_whatever_carries_it(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_global_unicast_is_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("url", ODD)
async def test_what_parsers_may_read_in_two_ways_is_not_called(url: str) -> None:
    with pytest.raises((SourceFailure, OSError)):
        await Guard().way(url)


@pytest.mark.parametrize("address", INSIDE)
async def test_no_form_of_an_inside_address_is_called(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    with pytest.raises((SourceFailure, OSError)):
        await Guard().way(f"https://{host}/")


def answers(monkeypatch: pytest.MonkeyPatch, *found: str) -> None:
    """Makes every host be found at these addresses."""

    async def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 443)) for each in found]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


async def test_a_host_is_called_where_it_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "193.0.0.1", "193.0.0.2")
    way = await Guard(secure=True).way("https://Peer.Example:8443/ocpi")
    assert way is not None
    assert (way.host, way.origin.host) == ("peer.example:8443", "peer.example")
    assert way.addresses == ("193.0.0.1", "193.0.0.2")


async def test_one_inside_address_of_a_host_is_enough_to_refuse_it(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "193.0.0.1", "10.0.0.1")
    with pytest.raises(SourceFailure, match="not a public address"):
        await Guard().way("https://peer.example/")


async def test_only_the_origin_that_an_administrator_named_may_be_inside() -> None:
    guard = Guard("http://127.0.0.1:8080/feed")
    assert await guard.way("http://127.0.0.1:8080/other?x=1") is None
    for url in ("http://127.0.0.1:8081/", "http://127.0.0.2:8080/", "http://localhost:8080/"):
        with pytest.raises(SourceFailure):
            await guard.way(url)
    assert await Guard("http://10.0.0.1/").way("https://10.0.0.1/") is None
    assert await Guard(anywhere=True).way("http://127.0.0.1:1/") is None


async def test_a_peer_has_to_be_called_with_tls_and_another_host_not_through_a_proxy() -> None:
    with pytest.raises(SourceFailure, match="not HTTPS"):
        await Guard(secure=True).way("http://193.0.0.1/")
    with pytest.raises(SourceFailure, match="proxy"):
        await Guard("https://193.0.0.2/", proxied=True).way("https://193.0.0.1/")


async def fetched(ask: Ask, guard: Guard) -> Answered:
    async with Fetcher(FetchLimits(answer_s_max=20), lambda: NOW, guard=guard) as fetcher:
        return await fetcher.fetch(ask)


async def test_a_redirect_to_another_host_inside_is_not_followed_unless_it_is_allowed() -> None:
    with Answering() as source, Answering() as inside:
        inside.say(200, body=b"what only we may see")
        source.respond = redirecting(f"{inside.url}/admin")
        ask = Ask(f"{source.url}/feed")
        with pytest.raises(SourceFailure, match="not a public address"):
            await fetched(ask, Guard(ask.url))
        assert inside.requests == []
        assert (await fetched(ask, Guard(ask.url, anywhere=True))).body == b"what only we may see"


async def test_a_page_that_the_source_names_inside_is_not_asked_for() -> None:
    with Answering() as inside:
        inside.say(200, body=b"what only we may see")
        with pytest.raises(SourceFailure, match="not a public address"):
            await fetched(Ask(f"{inside.url}/page2"), Guard("https://peer.example/locations"))
        assert inside.requests == []

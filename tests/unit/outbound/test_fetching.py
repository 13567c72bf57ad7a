"""One request and its answer, from servers that do as they please."""

from __future__ import annotations

import gzip
import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import Authority
from tests.e2e.answering import Answering, Asked, flooding, plain, redirecting, silent, trickling
from tests.patience import DEADLINE_S

from ladestrom.errors import InvalidSetting, SourceFailure
from ladestrom.outbound import tls
from ladestrom.outbound.fetching import Fetcher, FetchLimits, retry_after_s, shown
from ladestrom.ports.calls import Answered, Ask

NOW = 1_795_000_000_000
SECRET = {"Authorization": "Bearer s3cret", "X-Api-Key": "s3cret", "Accept": "application/json"}


@pytest.fixture
def other() -> Iterator[Answering]:
    with Answering() as server:
        yield server


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


async def fetch(ask: Ask | str, limits: FetchLimits | None = None, **options: Any) -> Answered:
    async with Fetcher(limits or FetchLimits(answer_s_max=5), lambda: NOW, **options) as fetcher:
        return await fetcher.fetch(Ask(ask) if isinstance(ask, str) else ask)


async def test_an_answer_comes_with_its_status_headers_and_receive_time(other: Answering) -> None:
    other.say(304, headers={"ETag": '"1"'})
    found = await fetch(f"{other.url}/a?b=c")
    assert (found.status, found.headers["etag"], found.received_at, found.body) == (304, '"1"', NOW, b"")
    assert (other.requests[0].method, other.requests[0].path) == ("GET", "/a?b=c")
    assert other.requests[0].headers["user-agent"].startswith("ladestrom/")


async def test_an_answer_is_in_memory_once(other: Answering) -> None:
    body = b"x" * (16 * 1024 * 1024)

    def sent(_: Asked, send: Callable[[bytes], None]) -> None:
        send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        send(body)

    other.respond = sent
    async with Fetcher(FetchLimits(answer_s_max=DEADLINE_S), lambda: NOW) as fetcher:
        tracemalloc.start()
        try:
            found = await fetcher.fetch(Ask(other.url))
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert found.body == body
    assert most < 1.5 * len(body)


async def test_a_post_has_its_body_and_headers(other: Answering) -> None:
    other.say(200, json={})
    await fetch(Ask(f"{other.url}/", "POST", {"Content-Type": "application/json", "X-Api-Key": "k"}, b"{}"))
    asked = other.requests[0]
    assert (asked.method, asked.body, asked.headers["x-api-key"]) == ("POST", b"{}", "k")


async def test_an_empty_post_says_that_it_is_empty(other: Answering) -> None:
    other.say(200, json={})
    await fetch(Ask(f"{other.url}/", "POST"))
    assert other.requests[0].headers["content-length"] == "0"


async def test_gzip_is_asked_for_and_unpacked(other: Answering) -> None:
    packed = gzip.compress(b"x" * 100_000)
    other.say(200, body=packed, headers={"Content-Encoding": "gzip"})
    assert (await fetch(other.url)).body == b"x" * 100_000
    assert other.requests[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("body", "encoding", "why"),
    [
        (gzip.compress(bytes(50_000_000), mtime=0), "gzip", "cannot be unpacked"),
        (b"no gzip", "gzip", "cannot be unpacked"),
        (b"\x1b", "br", 'packed with "br"'),
    ],
    ids=["bomb", "garbage", "brotli"],
)
async def test_what_cannot_be_unpacked_within_the_limit_is_a_failure(
    other: Answering, body: bytes, encoding: str, why: str
) -> None:
    other.say(200, body=body, headers={"Content-Encoding": encoding})
    with pytest.raises(SourceFailure, match=why):
        await fetch(other.url, FetchLimits(answer_bytes_max=1_000_000))


async def test_an_answer_that_says_that_it_is_too_large_is_not_read(other: Answering) -> None:
    other.say(200, body=b"x" * 1001)
    with pytest.raises(SourceFailure, match="1001 bytes; at most 1000"):
        await fetch(other.url, FetchLimits(answer_bytes_max=1000))


async def test_a_flood_is_cut_off_at_the_limit(other: Answering) -> None:
    other.respond = flooding(other)
    with pytest.raises(SourceFailure, match="larger than 1000000 bytes"):
        await fetch(other.url, FetchLimits(answer_bytes_max=1_000_000))


@pytest.mark.parametrize("kind", ["silent", "trickling"])
async def test_an_answer_that_does_not_come_whole_in_time_is_given_up(other: Answering, kind: str) -> None:
    other.respond = silent(other) if kind == "silent" else trickling(other, b"{")
    with pytest.raises(SourceFailure, match=r"did not answer within 0\.5 s"):
        await fetch(f"{other.url}/x?token=s3cret", FetchLimits(answer_s_max=0.5))


async def test_nobody_there_is_a_failure_that_does_not_show_the_query(other: Answering) -> None:
    port = other.port
    other.__exit__(None, None, None)
    with pytest.raises(SourceFailure) as caught:
        await fetch(f"http://127.0.0.1:{port}/x?token=s3cret")
    assert f"http://127.0.0.1:{port}/x" in str(caught.value)
    assert "s3cret" not in str(caught.value)


async def test_no_address_is_a_failure() -> None:
    for address in ("", "nothing", "http://", "ftp://127.0.0.1/", "http://[::1", "http://127.0.0.1:99999/"):
        with pytest.raises(SourceFailure):
            await fetch(address)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_on_the_same_host_keeps_what_is_secret(other: Answering, status: int) -> None:
    def respond(asked: Any, send: Any) -> None:
        (redirecting("/b", status) if asked.path == "/a" else plain(200, b"there"))(asked, send)

    other.respond = respond
    found = await fetch(Ask(f"{other.url}/a", "GET", SECRET))
    assert (found.body, found.url) == (b"there", f"{other.url}/b")
    assert [asked.headers["authorization"] for asked in other.requests] == ["Bearer s3cret"] * 2


@pytest.mark.parametrize("status", [302, 308])
async def test_a_redirect_to_another_host_gets_nothing_secret(other: Answering, status: int) -> None:
    with Answering() as elsewhere:
        elsewhere.say(200, body=b"there")
        other.respond = redirecting(f"{elsewhere.url}/b", status)
        found = await fetch(Ask(f"{other.url}/a", "GET", SECRET))
        assert found.body == b"there"
        headers = elsewhere.requests[0].headers
        assert headers["accept"] == "application/json"
        assert "authorization" not in headers
        assert "x-api-key" not in headers


async def test_a_way_back_to_the_first_host_does_not_bring_the_secret_back(other: Answering) -> None:
    with Answering() as elsewhere:

        def respond(asked: Any, send: Any) -> None:
            (redirecting(f"{elsewhere.url}/") if asked.path == "/a" else plain(200, b"end"))(asked, send)

        other.respond = respond
        elsewhere.respond = redirecting(f"{other.url}/c")
        await fetch(Ask(f"{other.url}/a", "GET", SECRET))
        assert [("authorization" in asked.headers) for asked in other.requests] == [True, False]


@pytest.mark.parametrize(
    ("status", "expected"),
    [(301, ("GET", b"")), (303, ("GET", b"")), (307, ("POST", b"{}")), (308, ("POST", b"{}"))],
)
async def test_a_redirected_post_stays_one_where_the_status_says_so(
    other: Answering, status: int, expected: tuple[str, bytes]
) -> None:
    def respond(asked: Any, send: Any) -> None:
        (redirecting("/b", status) if asked.path == "/a" else plain(200, b""))(asked, send)

    other.respond = respond
    await fetch(Ask(f"{other.url}/a", "POST", {}, b"{}"))
    assert (other.requests[1].method, other.requests[1].body) == expected


async def test_redirects_in_a_circle_end(other: Answering) -> None:
    other.respond = redirecting("/")
    with pytest.raises(SourceFailure, match="more than 5 times"):
        await fetch(other.url)
    assert len(other.requests) == 6


@pytest.mark.parametrize("to", ["ftp://127.0.0.1/", "file:///etc/passwd", "javascript:1"])
async def test_a_redirect_to_something_else_than_http_is_not_followed(other: Answering, to: str) -> None:
    other.respond = redirecting(to)
    with pytest.raises(SourceFailure, match="not an HTTP address"):
        await fetch(other.url)


class TestCertificates:
    async def test_a_certificate_that_is_believed_is_and_its_end_is_seen(self, authority: Authority) -> None:
        with Answering(authority.server(days=30)) as other:
            other.say(200, body=b"safe")
            trust = tls.context(str(authority.file))
            async with Fetcher(FetchLimits(), lambda: NOW, trust=trust, bare_trust=trust) as fetcher:
                assert (await fetcher.fetch(Ask(other.url))).body == b"safe"
                assert fetcher.certificate_expires_at is not None
                days = (fetcher.certificate_expires_at / 1000 - time.time()) / 86_400
                assert 27 < days < 29

    async def test_an_expired_certificate_is_told_as_such(self, authority: Authority) -> None:
        with Answering(authority.server("expired", days=1)) as other:
            other.say(200, body=b"")
            trust = tls.context(str(authority.file))
            with pytest.raises(SourceFailure, match=r"certificate is not believed .*expired"):
                await fetch(other.url, trust=trust, bare_trust=trust)
            assert other.requests == []

    async def test_a_certificate_of_somebody_unknown_is_not_believed(self, authority: Authority) -> None:
        with Answering(authority.server()) as other:
            other.say(200, body=b"")
            with pytest.raises(SourceFailure, match="certificate is not believed"):
                await fetch(other.url)

    async def test_our_certificate_is_shown_to_the_source_and_to_nobody_else(
        self, authority: Authority
    ) -> None:
        own = tuple(map(str, authority.sign("ours")))
        bare = tls.context(str(authority.file))
        trust = tls.context(str(authority.file), *own)
        with Answering(authority.server(asks=True)) as other, Answering(authority.server(asks=True)) as third:
            other.say(200, body=b"safe")
            third.say(200, body=b"never")
            assert (await fetch(other.url, trust=trust, bare_trust=bare)).body == b"safe"
            other.respond = redirecting(third.url)
            with pytest.raises(SourceFailure):
                await fetch(other.url, trust=trust, bare_trust=bare)
            assert third.requests == []

    async def test_from_https_to_http_is_not_followed(self, authority: Authority) -> None:
        with Answering(authority.server()) as other, Answering() as bare:
            other.respond = redirecting(bare.url)
            trust = tls.context(str(authority.file))
            with pytest.raises(SourceFailure, match="from HTTPS to HTTP"):
                await fetch(other.url, trust=trust, bare_trust=trust)
            assert bare.connections == 0

    @pytest.mark.parametrize("days", [1, 30])
    def test_the_end_of_a_certificate_is_read_from_its_file(self, authority: Authority, days: int) -> None:
        certificate, _ = authority.sign(f"read{days}", days=days)
        left_days = (tls.expires_at(str(certificate)) / 1000 - time.time()) / 86_400
        assert days - 2.1 < left_days < days - 1.9

    def test_files_that_are_none_are_told_by_name(self, authority: Authority, tmp_path: Path) -> None:
        certificate, key = map(str, authority.sign("ours"))
        nothing = tmp_path / "nothing.pem"
        nothing.write_text("nothing")
        for wrong in (
            (str(nothing), None, None),
            (None, str(nothing), None),
            (None, certificate, str(nothing)),
        ):
            with pytest.raises(InvalidSetting, match=r"nothing\.pem|ours\.pem"):
                tls.context(*wrong)
        with pytest.raises(InvalidSetting, match="no certificate in it"):
            tls.expires_at(str(nothing))
        with pytest.raises(InvalidSetting, match="cannot be read"):
            tls.expires_at(str(tmp_path / "missing.pem"))
        assert tls.context(None, certificate, key).check_hostname

    @pytest.mark.parametrize(
        "der", [b"", b"\x30", b"\x30\x82", b"\x30\x03\x02\x01\x01", b"\x30\x84\xff\xff\xff\xff"]
    )
    def test_what_is_no_certificate_is_a_value_error(self, der: bytes) -> None:
        with pytest.raises((ValueError, IndexError)):
            tls.not_after(der)


@pytest.mark.parametrize(
    ("written", "expected"), [("30", 30.0), ("", 0.0), ("-1", 0.0), ("9" * 30, 86_400.0), ("Wed, 1 Jan", 0.0)]
)
def test_retry_after_is_seconds_within_a_day(written: str, expected: float) -> None:
    assert retry_after_s(Answered("", 503, {"retry-after": written}, b"", NOW)) == expected


def test_an_address_is_shown_without_what_may_be_secret() -> None:
    assert (
        shown("https://me:s3cret@example.org:8443/a/b?token=s3cret#s3cret") == "https://example.org:8443/a/b"
    )
    assert shown("http://[::1") == "the address"
    assert json.dumps(shown("x"))

"""Documents from outside, by the French one: what an answer's head says, filters, keys, and consumers that stall."""

from __future__ import annotations

import csv
import gzip
import io
import socket
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from tests.e2e.serving import Serving
from tests.patience import DEADLINE_S, until

from ladestrom.edges import documents

PATH: Final = "/irve/dynamique.csv"
E1: Final = "NO*ALF*E1333*1"
AT: Final = 1_700_000_000_000


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    # What is made anew at once is what these tests are of; how often it is made is tested without sockets.
    monkeypatch.setattr(documents, "INTERVAL_S_MIN", 0.0)
    monkeypatch.setattr(documents, "MAKING_SHARE", 0.0)
    with Serving(tmp_path, {"registry.licence": "CC BY 4.0"}) as running:
        running.report(
            {"evse": E1, "status": "CHARGING", "observed_at": AT},
            {"evse": "NO*ALF*E1342", "status": "AVAILABLE", "observed_at": AT},
            {"evse": "NOR_01523_01", "status": "AVAILABLE", "observed_at": AT},
        )
        running.settled()
        yield running


def rows(answer: httpx2.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def states(answer: httpx2.Response) -> dict[str, str]:
    return {row["id_pdc_itinerance"]: f"{row['etat_pdc']}/{row['occupation_pdc']}" for row in rows(answer)}


def test_it_has_the_newest_state_of_every_point(server: Serving) -> None:
    answer = server.get(PATH)
    assert states(answer) == {"NOALFE13331": "en_service/occupe", "NOALFE1342": "en_service/libre"}
    assert rows(answer)[0]["horodatage"] == "2023-11-14T22:13:20.000Z"
    server.report({"evse": E1, "status": "OUTOFORDER", "observed_at": AT + 1_000})
    server.settled()
    assert states(server.get(PATH))["NOALFE13331"] == "hors_service/inconnu"


def test_a_confirmation_moves_the_time_of_a_point(server: Serving) -> None:
    before = server.get(PATH)
    server.report({"evse": E1, "status": "CHARGING", "observed_at": AT + 60_000})
    server.settled()
    answer = server.get(PATH, headers={"If-None-Match": before.headers["etag"]})
    assert rows(answer)[0]["horodatage"] == "2023-11-14T22:14:20.000Z"


def test_the_head_says_position_age_licence_and_how_long_it_may_be_used(server: Serving) -> None:
    head = server.get(PATH).headers
    position = str(server.app.reader.view.position)
    assert head["content-type"] == "text/csv; charset=utf-8"
    assert head["ladestrom-position"] == position
    assert head["etag"].startswith(f'"{position}-')
    assert head["link"] == '<https://creativecommons.org/licenses/by/4.0/>; rel="license"'
    assert head["cache-control"].startswith("private, max-age=")
    assert "accept-encoding" in head["vary"]
    assert parsedate_to_datetime(head["last-modified"]) <= parsedate_to_datetime(head["date"])


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_what_a_consumer_has_is_not_sent_again(server: Serving, encoding: str) -> None:
    asked = {"Accept-Encoding": encoding}
    first = server.get(PATH, headers=asked)
    for name, header in (("If-None-Match", "etag"), ("If-Modified-Since", "last-modified")):
        answer = server.get(PATH, headers={**asked, name: first.headers[header]})
        assert (answer.status_code, answer.content) == (304, b"")
        for kept in ("etag", "last-modified", "ladestrom-position", "cache-control", "vary"):
            assert answer.headers[kept] == first.headers[kept]


def test_a_tag_counts_more_than_a_date_and_what_is_no_date_is_ignored(server: Serving) -> None:
    first = server.get(PATH)
    since = {"If-Modified-Since": first.headers["last-modified"]}
    assert server.get(PATH, headers={**since, "If-None-Match": '"other"'}).status_code == 200
    for date in ("yesterday", "0", "", "Tue, 99 Nov 2026 10:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"):
        assert server.get(PATH, headers={"If-Modified-Since": date}).status_code == 200


def test_packed_with_gzip_it_is_the_same_and_has_a_tag_of_its_own(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "GZIP_BYTES_MIN", 1)
    plain = server.get(PATH, headers={"Accept-Encoding": "identity"})
    packed = server.get(PATH, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == plain.content
    assert packed.headers["etag"] != plain.headers["etag"]
    raw = raw_body(server, "Accept-Encoding: gzip")
    assert gzip.decompress(raw) == plain.content


def raw_body(server: Serving, *headers: str) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), DEADLINE_S) as wire:
        wire.sendall(head_of(server, *headers, "Connection: close"))
        answer = b""
        while piece := wire.recv(65_536):
            answer += piece
    return answer.partition(b"\r\n\r\n")[2]


def head_of(server: Serving, *headers: str) -> bytes:
    lines = [f"GET {PATH} HTTP/1.1", "Host: x", f"X-Api-Key: {server.keys['stream']}", *headers, "", ""]
    return "\r\n".join(lines).encode()


def test_head_has_the_same_headers_and_no_content(server: Serving) -> None:
    got = server.get(PATH)
    answer = server.request("HEAD", PATH, headers=server.bearer())
    assert (answer.status_code, answer.content) == (200, b"")
    for name in ("etag", "content-length", "last-modified", "ladestrom-position"):
        assert answer.headers[name] == got.headers[name]


@pytest.mark.parametrize(
    ("query", "points"),
    [
        ("country=NOR", {"NOALFE13331", "NOALFE1342"}),
        ("country=SWE", set()),
        ("country=SWE&station=NOR_01333", set()),
        ("operator=alfa%20lading", {"NOALFE13331"}),
        ("station=NOR_01342", {"NOALFE1342"}),
        ("evse=no-alf-e1342", {"NOALFE1342"}),
        ("status=AVAILABLE", {"NOALFE1342"}),
        ("status=AVAILABLE&evse=NO*ALF*E1333*1", set()),
        ("bbox=10,59,11,60", {"NOALFE13331"}),
    ],
)
def test_it_has_what_is_selected(server: Serving, query: str, points: set[str]) -> None:
    assert set(states(server.get(f"{PATH}?{query}"))) == points


@pytest.mark.parametrize(
    "query", ["contry=NOR", "country=", "country=NOR&country=SWE", "bbox=1,2", "status=X"]
)
def test_what_is_no_filter_is_refused(server: Serving, query: str) -> None:
    answer = server.get(f"{PATH}?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_filter")


def test_it_needs_a_key_that_reads(server: Serving) -> None:
    assert server.get(PATH, key=None).status_code == 401
    assert server.get(PATH, key="alfa").status_code == 403
    assert server.get(PATH, key="admin").status_code == 200


def test_where_visitors_look_anyone_may_keep_it(tmp_path: Path) -> None:
    with Serving(tmp_path, {"page.visitors": "anyone"}) as server:
        answer = server.get(PATH, key=None)
        assert answer.status_code == 200
        assert answer.headers["cache-control"].startswith("public, max-age=")


def test_pages_of_other_origins_may_read_it_and_its_position(server: Serving) -> None:
    answer = server.get(PATH, headers={"Origin": "https://map.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "Ladestrom-Position" in answer.headers["access-control-expose-headers"]


def test_what_is_left_out_is_counted_and_listed(server: Serving) -> None:
    server.get(PATH)
    metrics = server.get("/metrics", key="admin").text
    for line in (
        'ladestrom_output_left_out{output="irve_dynamique",reason="no_itinerance_id"} 2.0',
        'ladestrom_output_left_out{output="irve_dynamique",reason="never_observed"} 3.0',
        'ladestrom_output_made_total{output="irve_dynamique"} 1.0',
    ):
        assert line in metrics.splitlines()
    for name in ("made_timestamp_seconds", "age_seconds", "bytes", "evses"):
        assert f'ladestrom_output_{name}{{output="irve_dynamique"}}' in metrics
    assert server.get("/api/v2/admin/outputs").status_code == 403
    (found,) = server.get("/api/v2/admin/outputs", key="admin").json()["items"]
    assert found["left_out"] == {"never_observed": 3, "no_itinerance_id": 2}
    assert {"evse": "NOR_01523_01", "station": "NOR_01523", "reason": "no_itinerance_id"} in found["examples"]
    assert (found["made"], found["evses"]) == (1, 7)
    assert found["position"] == str(server.app.reader.view.position)


def test_a_consumer_that_takes_nothing_is_cut_off(server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    form = server.call(lambda: server.app.reader.documents)
    monkeypatch.setattr(documents, "SENT_GRACE_S", 0.2)
    monkeypatch.setattr(documents, "SENT_BYTES_PER_S_MIN", 10**12)
    monkeypatch.setattr(documents, "GZIP_BYTES_MIN", 10**12)
    server.get(PATH)
    large = tuple(b"x" * 65_536 for _ in range(512))

    def enlarge() -> None:
        for kept in form._kept.values():
            kept.chunks, kept.size, kept.interval_s = large, sum(map(len, large)), 1e9

    server.call(enlarge)
    with socket.socket() as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        wire.settimeout(DEADLINE_S)
        wire.connect(("127.0.0.1", server.port))
        wire.sendall(head_of(server))
        until(lambda: bool(form._sending), "it is being sent")
        until(lambda: not form._sending, "it is cut off")
        taken = 0
        try:
            while piece := wire.recv(1 << 20):
                taken += len(piece)
        except ConnectionResetError:
            pass
        assert taken < sum(map(len, large))
    assert rows(server.get(f"{PATH}?country=NOR"))


def test_many_who_ask_at_once_get_what_was_made_once(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "INTERVAL_S_MIN", 1e9)
    wires: list[Any] = [socket.create_connection(("127.0.0.1", server.port), DEADLINE_S) for _ in range(50)]
    for wire in wires:
        wire.sendall(head_of(server, "Connection: close"))
    answers = set()
    for wire in wires:
        answer = b""
        while piece := wire.recv(65_536):
            answer += piece
        answers.add(answer.partition(b"\r\n\r\n")[2])
        wire.close()
    assert len(answers) == 1
    assert server.app.reader.documents.tallies["irve_dynamique"].made == 1

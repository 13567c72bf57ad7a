"""Server-sent events as HTTP: what the answer looks like, and which clients and requests it bears."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import httpx2
import pytest
from tests.e2e.following import E1, Events, Follower, example, flip, listed, report, settled
from tests.e2e.serving import Serving
from tests.e2e.wire import Wire, refusal, request
from tests.patience import DEADLINE_S, until
from tests.programs import PIPE, program, run

from ladestrom.client.v2_session import V2Session
from ladestrom.model import Position
from ladestrom.outputs.stream_v2.edge import EVENTS_PATH, STREAM_PATH

MIB: Final = 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that the tests of this file share."""
    with Serving(tmp_path_factory.mktemp("events")) as running:
        yield running


def asked(server: Serving, target: str = EVENTS_PATH, **headers: str) -> Events:
    events = Events(server.port)
    return events.ask(target, {**server.bearer(), **headers})


# -- the answer --------------------------------------------------------------------------------------------


def test_the_answer_has_no_length_is_kept_by_nobody_and_ends_with_the_connection(server: Serving) -> None:
    with asked(server) as events:
        head = events.response
        assert head.status == 200
        assert "date" in head.headers
        assert {name: value for name, value in head.headers.items() if name != "date"} == {
            "content-type": "text/event-stream",
            "cache-control": "no-store",
            "connection": "close",
            "x-accel-buffering": "no",
            "access-control-allow-origin": "*",
            "access-control-expose-headers": "ETag, Ladestrom-Licence, Ladestrom-Position, Link, Retry-After, X-Limit, X-Total-Count",
        }


def test_an_event_has_a_type_one_line_of_data_and_an_id_where_the_position_moves(server: Serving) -> None:
    epoch, seq = server.app.reader.view.epoch, settled(server)
    with asked(server, f"{EVENTS_PATH}?batch_ms=0&since=another-1") as events:
        told = [events.event() for _ in range(3)]
        newest = flip(server)
        told.append(events.event())
    assert [(event.kind, event.id) for event in told] == [
        ("hello", None),
        ("reset", None),
        ("snapshot", f"{epoch}-{seq}"),
        ("changes", f"{epoch}-{newest}"),
    ]
    assert [event.fields for event in told] == [
        ("event", "data"),
        ("event", "data"),
        ("id", "event", "data"),
        ("id", "event", "data"),
    ]
    assert [json.loads(event.data)["type"] for event in told] == [event.kind for event in told]


def test_events_say_what_frames_say(server: Serving) -> None:
    with Follower(server) as frames, Follower(server, over="events") as events:
        frames.synced()
        events.synced()
        for _ in range(3):
            seq = flip(server)
            frames.reach(seq)
            events.reach(seq)
        assert frames.told == events.told


def test_a_refusal_is_a_problem_that_ends_the_connection(server: Serving) -> None:
    with asked(server, f"{EVENTS_PATH}?country=Atlantis") as events:
        assert events.response.status == 400
        assert events.response.headers["connection"] == "close"
        assert refusal(events)["code"] == "invalid_filter"
        assert events.ended()


def test_a_full_server_says_when_to_try_again(tmp_path: Path) -> None:
    with Serving(tmp_path, {"stream.consumers_max": 1}) as server, Follower(server), asked(server) as events:
        assert events.response.status == 503
        assert "retry-after" in events.response.headers
        assert refusal(events)["code"] == "overloaded"


# -- requests ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE"])
def test_other_methods_are_refused_and_told_which_is_right(server: Serving, method: str) -> None:
    answer = server.request(method, EVENTS_PATH, headers=server.bearer())
    assert answer.status_code == 405
    assert "GET" in answer.headers["allow"]
    if method != "HEAD":
        assert answer.json()["code"] == "method_not_allowed"


def test_a_plain_request_to_the_websocket_is_told_to_upgrade(server: Serving) -> None:
    answer = server.get(STREAM_PATH)
    assert answer.status_code == 426
    assert answer.headers["upgrade"] == "websocket"
    assert answer.json()["code"] == "upgrade_required"


def test_the_address_in_another_form_is_told_how_to_write_it(server: Serving) -> None:
    for target in (f"http://127.0.0.1{EVENTS_PATH}", "/api/v2/event%73"):
        with asked(server, target) as events:
            assert events.response.status == 400
            assert EVENTS_PATH in refusal(events)["detail"]


def test_a_client_of_http_1_0_is_served(server: Serving) -> None:
    with Events(server.port) as events:
        lines = [f"GET {EVENTS_PATH} HTTP/1.0", f"X-Api-Key: {server.keys['stream']}", "", ""]
        events.send("\r\n".join(lines).encode())
        assert events.begun().response.status == 200
        assert "transfer-encoding" not in events.response.headers
        assert [events.event().kind for _ in range(2)] == ["hello", "snapshot"]


def test_a_head_that_comes_byte_by_byte_is_understood(server: Serving) -> None:
    with Events(server.port) as events:
        for byte in request(EVENTS_PATH, {"Host": "127.0.0.1", **server.bearer()}):
            events.send(bytes([byte]))
        assert events.begun().response.status == 200
        assert events.event().kind == "hello"


def test_a_connection_that_asked_for_other_things_before_is_served(server: Serving) -> None:
    with Events(server.port) as events:
        head = {"Host": "127.0.0.1", **server.bearer()}
        for path, status in (("/api/v2/evses", 200), ("/api/v2/nothing", 404), ("/api/v2/stations", 200)):
            events.send(request(path, head))
            assert events.answer()[0].status == status
        events.send(request(EVENTS_PATH, head))
        assert events.begun().response.status == 200
        assert events.event().kind == "hello"


def test_a_body_of_the_request_is_not_looked_at(server: Serving) -> None:
    with Events(server.port) as events:
        head = {"Host": "127.0.0.1", "Content-Length": "5", **server.bearer()}
        events.send(request(EVENTS_PATH, head) + b"hello")
        assert events.begun().response.status == 200
        assert events.event().kind == "hello"


def test_what_a_client_sends_later_is_not_looked_at(server: Serving) -> None:
    with Follower(server, over="events") as follower:
        follower.synced()
        follower.wire.send(request("/api/v2/evses", server.bearer()))
        for _ in range(64):
            follower.wire.send(b"x" * 65_536)
        follower.reach(flip(server))
        follower.confirmed(server)
        assert follower.board == listed(server)


def test_a_client_that_goes_is_forgotten(server: Serving) -> None:
    follower = Follower(server, over="events")
    follower.synced()
    follower.wire.close()
    until(lambda: not server.app.reader.stream.connections, "it is forgotten")
    assert not server.app.reader.stream.by_key
    until(lambda: not server.app.reader.broadcast.channels, "nothing is kept for it")


# -- clients of others -------------------------------------------------------------------------------------


def test_a_client_that_comes_back_as_the_standard_says_misses_nothing(server: Serving) -> None:
    """Reconnects with the id of the last event that it got, whatever that was."""
    with Follower(server, over="events") as follower:
        follower.synced()
        follower.reach(flip(server))
        last_id = follower.ids[-1]
    flip(server)
    epoch, _, seq = last_id.partition("-")
    session: V2Session = follower.session
    assert session.position == Position(epoch, int(seq))
    with Follower(server, session=session, over="events") as again:
        again.reach(flip(server, "SE*BET*E7*1", "beta"))
        assert again.board == listed(server)
        assert "snapshot" not in {each["type"] for each in again.told}


def test_an_http_library_reads_it_line_by_line(server: Serving) -> None:
    seen: list[str] = []
    with (
        httpx2.Client(timeout=DEADLINE_S) as client,
        client.stream("GET", f"{server.url}{EVENTS_PATH}?batch_ms=0", headers=server.bearer()) as answer,
    ):
        assert answer.status_code == 200
        for line in answer.iter_lines():
            seen.append(line)
            if line == "event: snapshot":
                flip(server)
            if line == "event: changes":
                break
    assert [line for line in seen if line.startswith("event:")] == [
        "event: hello",
        "event: snapshot",
        "event: changes",
    ]


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_curl_prints_events_as_they_come(server: Serving) -> None:
    command = ["curl", "-sN", "-H", f"X-Api-Key: {server.keys['stream']}"]
    with program([*command, f"{server.url}{EVENTS_PATH}"], stdout=PIPE) as curl:
        assert curl.stdout is not None
        line_with(curl.stdout, "event: snapshot")
        snapshot = line_with(curl.stdout, "data:")
        assert '"evses":[{' in snapshot
        seq = flip(server)
        assert line_with(curl.stdout, "id:").endswith(f"-{seq}\n")
        assert '"changes":[{' in line_with(curl.stdout, "data:")


def line_with(lines: IO[str], beginning: str) -> str:
    return next(line for line in lines if line.startswith(beginning))


PAGE: Final = """
Math.random = () => -0.9;
const [url, ...tickets] = process.argv.slice(1);
const say = ({ type, seq }) => seq === undefined || console.log(JSON.stringify([type, seq]));
followEvents(url, async () => tickets.shift(), new Board(), say);
setInterval(() => {}, 1000);
"""
"""What the guide leaves to the page; with a short delay."""


def node_has_event_source() -> bool:
    node = shutil.which("node")
    if node is None:
        return False
    script = "process.exit(typeof EventSource === 'function' ? 0 : 1)"
    return run([node, "--experimental-eventsource", "-e", script]).returncode == 0


def test_the_page_of_the_guide_comes_back_with_a_new_ticket_and_misses_nothing(tmp_path: Path) -> None:
    if not node_has_event_source():
        pytest.skip("no node with EventSource here")
    page_of_guide = example("const LISTED") + example("function followEvents")
    with Serving(tmp_path) as server:
        asked_for = [server.request("POST", "/api/v2/tickets", headers=server.bearer()) for _ in range(2)]
        tickets = [each.json()["ticket"] for each in asked_for]
        command = ["node", "--no-warnings", "--experimental-eventsource", "-e", page_of_guide + PAGE]
        url = f"{server.url}{EVENTS_PATH}"
        with program([*command, url, *tickets], stdout=PIPE) as page:
            assert page.stdout is not None
            said = map(json.loads, page.stdout)
            assert next(said) == ["snapshot", settled(server)]
            assert report(server, E1, "CHARGING") == next(said)[1]
            server.call(server.app.reader.stream.abort)
            assert report(server, E1, "AVAILABLE") == next(said)[1]
            assert ["changes", report(server, E1, "CHARGING")] == next(said)


# -- upgrades ----------------------------------------------------------------------------------------------


def test_the_path_of_events_is_no_websocket(server: Serving) -> None:
    with Wire(server.port) as wire:
        wire.open(EVENTS_PATH, server.bearer())
        assert wire.response.status in {403, 404}
        assert wire.ended()

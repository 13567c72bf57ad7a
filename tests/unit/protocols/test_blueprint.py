"""The example of a protocol does what it says; a package that brings one is found by its entry points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint

import msgspec
import pytest
from structlog.testing import capture_logs
from tests.building import NOW, make_operator

from ladestrom import protocols, targets
from ladestrom.errors import MalformedBody, SourceFailure
from ladestrom.ingest.extensions import GROUP, OURS, table, unusable
from ladestrom.model import Position, Receipt, Status
from ladestrom.ports.calls import Answered, Ask
from ladestrom.protocols import Transport, _blueprint
from ladestrom.protocols.delivery import Delivery, ParseLimits
from ladestrom.protocols.interfaces import PullSettings, Request, inline
from ladestrom.transports import TRANSPORTS

PAGE = b'{"points": [{"id": "NO*ABC*E1", "state": "free"}, {"id": 7}]}'
SETTINGS = PullSettings(source="abc", address="https://example.org/points?page=1", secret="token")
RECEIPT = Receipt(1, 0, (), Position("epoch", 1))


def answered(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Answered:
    return Answered(SETTINGS.address, status, headers or {}, body, NOW)


def test_a_push_is_read_taken_and_answered() -> None:
    push = _blueprint.BlueprintPush()
    request = Request("POST", "", {}, {}, PAGE)
    delivery = push.receive(request, make_operator(), ParseLimits())
    assert [(report.evse, report.status) for report in delivery.reports] == [("NO*ABC*E1", Status.AVAILABLE)]
    assert push.answer(request, delivery, RECEIPT).body == b'{"taken":1,"refused":0}'
    assert push.refuse(request, MalformedBody("no")).status == 400


def test_a_pull_asks_page_by_page_and_remembers_what_it_was_told() -> None:
    round_ = inline(_blueprint.pull(SETTINGS, {"etag": '"old"'}, NOW))
    first = next(round_)
    assert isinstance(first, Ask)
    assert first.headers["authorization"] == "Bearer token"
    assert first.headers["if-none-match"] == '"old"'
    page = PAGE.replace(b"]}", b'], "next": "?page=2"}')
    delivery = round_.send(answered(page, headers={"etag": '"new"'}))
    assert isinstance(delivery, Delivery)
    second = round_.send(RECEIPT)
    assert isinstance(second, Ask)
    assert second.url == "https://example.org/points?page=2"
    assert "if-none-match" not in second.headers
    round_.send(answered(PAGE))
    with pytest.raises(StopIteration) as over:
        round_.send(RECEIPT)
    assert over.value.value == {"etag": '"new"'}


def test_a_pull_that_is_told_that_nothing_changed_remembers_the_same() -> None:
    round_ = inline(_blueprint.pull(SETTINGS, {"etag": '"old"'}, NOW))
    next(round_)
    with pytest.raises(StopIteration) as over:
        round_.send(answered(b"", 304))
    assert over.value.value == {"etag": '"old"'}


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [(500, PAGE, SourceFailure), (304, b"", SourceFailure), (200, b"x", MalformedBody)],
)
def test_a_pull_fails_by_name(status: int, body: bytes, error: type[Exception]) -> None:
    round_ = inline(_blueprint.pull(SETTINGS, {}, NOW))
    next(round_)
    with pytest.raises(error):
        round_.send(answered(body, status))


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, GROUP)


def test_the_protocols_of_a_package_are_found_and_can_be_loaded() -> None:
    found = table(
        [
            entry("pushes", "ladestrom.protocols._blueprint:PUSHES"),
            entry("pulls", "ladestrom.protocols._blueprint:PULLS"),
        ]
    )
    assert protocols.push(found.pushes["blueprint"]).name == "blueprint"
    assert protocols.pull(found.pulls["blueprint"]) is _blueprint.pull
    assert set(OURS.pushes) < set(found.pushes)


def test_a_row_of_a_package_that_says_no_more_than_it_must_is_served_below_push_and_in_no_order() -> None:
    found = table([entry("pushes", f"{__name__}:BARE"), entry("pulls", f"{__name__}:BARE")])
    pushed, pulled = found.pushes["bare"], found.pulls["bare"]
    assert (pushed.transport, pushed.path) == (Transport.HTTP_PUSH, "/push/bare")
    assert (pushed.ordered, pushed.read_back, pushed.tokens, pushed.socket) == (False, "", "", "")
    assert (pulled.transport, pulled.path) == (Transport.HTTP_POLL, "")


def test_what_the_row_of_the_example_says_is_what_it_would_be_anyway() -> None:
    bare = protocols.Row(target=_blueprint.PUSHES["blueprint"].target, help="An example.")
    said, filled = (
        protocols.filled("blueprint", row, Transport.HTTP_PUSH)
        for row in (_blueprint.PUSHES["blueprint"], bare)
    )
    assert said == filled


BARE = {"bare": protocols.Row(target="ladestrom.protocols._blueprint:BlueprintPush", help="An example.")}
ELSEWHERE = {"a": msgspec.structs.replace(BARE["bare"], path="/api/v2/a")}
TAKEN = {"a": msgspec.structs.replace(BARE["bare"], path="/push/irve/a")}
ODD = {"a": msgspec.structs.replace(BARE["bare"], path="/push/{name}")}
TOKENS = {"a": msgspec.structs.replace(BARE["bare"], tokens="/auth/token")}
STREAMED = {"a": msgspec.structs.replace(BARE["bare"], transport=Transport.STREAM)}


@pytest.mark.parametrize("rows", ["ELSEWHERE", "TAKEN", "ODD", "TOKENS", "STREAMED"])
def test_a_package_takes_no_path_of_another_and_no_transport_but_its_own(rows: str) -> None:
    assert table([entry("pushes", f"{__name__}:{rows}")]) == OURS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pulls", "ladestrom.nothing:PULLS"),
        ("pulls", "ladestrom.protocols._blueprint:OK"),
        ("streams", "ladestrom.protocols._blueprint:PULLS"),
        ("pulls", "ladestrom.protocols:PULLS"),
    ],
    ids=["missing", "no mapping", "no kind", "names of ours"],
)
def test_a_package_that_cannot_be_used_costs_itself_only(name: str, value: str) -> None:
    assert table([entry(name, value)]) == OURS


GONE = {"gone": msgspec.structs.replace(BARE["bare"], target="ladestrom.nothing:Push")}
WITHOUT_ANSWERS = {"mute": msgspec.structs.replace(BARE["bare"], read_back="ladestrom.nothing:read_back")}


@pytest.mark.parametrize("rows", ["GONE", "WITHOUT_ANSWERS"])
def test_a_packages_push_that_cannot_be_imported_is_left_out_and_logged(
    rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with capture_logs() as logged:
        found = table([entry("pushes", f"{__name__}:{rows}"), entry("pushes", f"{__name__}:BARE")])
    assert found.pushes.keys() - OURS.pushes.keys() == {"bare"}
    (line,) = logged
    assert (line["log_level"], line["event"]) == ("error", "a package's protocol cannot be imported")
    assert "ladestrom.nothing" in str(line["exc_info"])


def test_what_of_packages_cannot_be_used_is_found_out_with_their_pulls() -> None:
    entries = [entry(kind, f"{__name__}:{rows}") for kind in ("pushes", "pulls") for rows in ("GONE", "BARE")]
    found = unusable([*entries, entry("pushes", f"{__name__}:TAKEN")])
    assert [(each.name, each.what) for each in found] == [
        ("gone", "a package's protocol cannot be imported"),
        ("a", "a package adds a protocol at the path of another"),
        ("gone", "a package's protocol cannot be imported"),
    ]


LOADERS: dict[str, tuple[Mapping[str, protocols.Row], Callable[[protocols.Row], object]]] = {
    "pushes": (protocols.PUSHES, lambda row: protocols.push(row).receive),
    "pulls": (protocols.PULLS, protocols.pull),
    "streams": (protocols.STREAMS, protocols.stream),
    "conversations": (protocols.CONVERSATIONS, lambda row: targets.load(row.target)),
}
CARRIED = {
    "pushes": {Transport.HTTP_PUSH},
    "pulls": {Transport.HTTP_POLL},
    "streams": {Transport.STREAM},
    "conversations": {Transport.WEBSOCKET, Transport.PEERS},
}


@pytest.mark.parametrize("kind", LOADERS)
def test_every_protocol_of_the_table_can_be_loaded_and_says_what_it_is(kind: str) -> None:
    rows, load = LOADERS[kind]
    for name, row in rows.items():
        found = load(row)
        assert callable(found) or isinstance(found, tuple), name
        assert row.help.endswith("."), name
        assert set(row.required) <= set(row.options), name
        assert all(text.endswith(".") for text in row.options.values()), name
        assert row.transport in CARRIED[kind], name
        assert bool(row.path) is (kind in {"pushes", "conversations"}), name
        assert bool(row.line) is (kind == "streams"), name
        assert not row.line or callable(targets.load(row.line)), name
        assert not row.read_back or callable(targets.load(row.read_back)), name


def test_each_protocol_is_served_at_paths_of_its_own_and_by_a_transport_that_there_is() -> None:
    rows = [*protocols.PUSHES.values(), *protocols.CONVERSATIONS.values()]
    paths = [path for row in rows for path in (row.path, row.socket, row.tokens) if path]
    assert len(set(paths)) == len(paths)
    assert {row.transport for row in rows} == TRANSPORTS.keys()

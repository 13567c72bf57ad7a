"""What each output gives of one small world, kept in its folder (`outputs/NAME/golden`).

Every operation of an output that is got, with the parameters that the contract shows, and the first messages of
each of its streams. `UPDATE_GOLDEN=1` writes what comes out as what is expected.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from msgspec.structs import replace
from tests.e2e.serving import Serving, evse, station
from tests.patience import DEADLINE_S, until
from websockets.sync.client import connect

import ladestrom
from ladestrom.edges.contract.requests import PARAMETERS
from ladestrom.edges.contract.rows import WS, Channel, Operation
from ladestrom.outputs import OUTPUTS, Output
from ladestrom.outputs.map.aggregates import Aggregates
from ladestrom.ports.registry import StationDraft
from ladestrom.record import Access, Contact, Details, Hours, Id, Opening, Payment, Terms, Vehicle
from ladestrom.roles.contracts import contract

PACKAGE: Final = Path(ladestrom.__file__).parent
DETAILS: Final = Details(
    time_zone="Europe/Oslo",
    opening=Opening(hours=(Hours(5, "22:00", "06:00"),)),
    access=Access.PUBLIC,
    vehicles=(Vehicle.CAR,),
    payment=Payment(free=False, card=True),
    ids=(Id("ocpi", "NO-FJL-7"),),
    contact=Contact(phone="+47 00 00 00 00"),
    derived=("time_zone",),
)
"""Some of what a register may say of a station."""


def with_details(draft: StationDraft) -> StationDraft:
    return replace(draft, station=replace(draft.station, details=DETAILS))


WORLD: Final = (
    with_details(
        station(
            "NOR_01333",
            "NOR",
            (10.75, 59.91),
            [
                evse("NO*ALF*E1234", party="NOALF", uid="4711"),
                replace(evse("NO*FJL*E1234", party="NOFJL"), label="2", terms=Terms(access=Access.RESIDENTS)),
            ],
            operator="Fjordlys",
            outlets=(0, 1, 1),
        )
    ),
    station("SWE_00007", "SWE", (18.07, 59.33), [evse("SE*BET*E7*1", party="SEBET")]),
)
AT: Final = 1_700_000_000_000
CHANGES: Final = frozenset({"changes", "status:update"})
"""Types of messages by which a stream tells of a change."""
QUERIES: Final = {
    **dict.fromkeys(("streamV1", "streamV1Realtime"), "?types=snapshot,update"),
    "streamRealtime": "?snapshot=1&timestamp=1&seq=1",
    "searchNobil": "?type=rectangle&northeast=(71.0,32.0)&southwest=(55.0,4.0)",
}
"""What is asked of channels, so that they tell of nothing but the state and what changes; and of operations
that cannot be asked without a parameter."""
VOLATILE: Final = (
    (re.compile(r"127\.0\.0\.1:\d+"), "HOST"),
    (re.compile(r"20(?:2[5-9]|[3-9]\d)-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"), "NOW"),
    (re.compile(r'"revision":\d+'), '"revision":0'),
    (re.compile(re.escape(f"ladestrom/{ladestrom.__version__}")), "ladestrom/VERSION"),
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    """The world, and two reports on it."""
    with Serving(tmp_path, stations=WORLD) as running:
        kept = running.app.reader.folds["map"]
        assert isinstance(kept, Aggregates)
        until(lambda: kept.history.is_live, "the log was read for the history")
        report(running, "NO*ALF*E1234", "AVAILABLE", AT)
        report(running, "NO*ALF*E1234", "CHARGING", AT + 60_000)
        yield running


def report(server: Serving, name: str, status: str, at: int) -> None:
    answer = server.request(
        "POST",
        "/api/v2/reports",
        headers=server.bearer("alfa"),
        json={"evse": name, "status": status, "observed_at": at},
    )
    assert answer.json()["accepted"] == 1


def plain(text: str, epoch: str) -> Any:
    """JSON without what another run has differently."""
    for pattern, word in ((re.compile(re.escape(epoch)), "EPOCH"), *VOLATILE):
        text = pattern.sub(word, text)
    return without_clock(json.loads(text))


def lines(text: str, epoch: str) -> list[str]:
    """A text of another form, line by line, likewise."""
    for pattern, word in ((re.compile(re.escape(epoch)), "EPOCH"), *VOLATILE):
        text = pattern.sub(word, text)
    return text.splitlines()


def without_clock(content: Any) -> Any:
    """Numbers by second and minute as how many they are: where they stand depends on the clock.

    Of a list of all outputs, the first: a change of another is none of this one.
    """
    if isinstance(content, dict):
        content = {
            name: len(value) if name in {"seconds", "minutes"} else value for name, value in content.items()
        }
        return {
            name: value[:1] if name in {"dcat:dataset", "dcat:record"} else value
            for name, value in content.items()
        }
    return content


def got(server: Serving, operation: Operation) -> Any:
    known = {**PARAMETERS, **contract().parameters}
    path = operation.path
    for name in operation.parameters:
        if known[name].place == "path":
            path = path.replace(f"{{{known[name].name}}}", known[name].example)
    answer = server.get(path + QUERIES.get(operation.id, ""), key="stream")
    assert answer.status_code == 200, (path, answer.text)
    is_json = answer.headers["content-type"].endswith(("/json", "+json"))
    return (plain if is_json else lines)(answer.text, server.app.reader.view.epoch)


def told(server: Serving, channel: Channel, number: int) -> list[Any]:
    """What a consumer hears from its beginning to the first change that comes after; `number` of a channel."""
    heard: list[Any] = []
    for text in messages(server, channel):
        # Messages without a type are each about one EVSE, of which the world has one that they can tell of.
        kind = json.loads(text).get("type", "changes" if heard else "snapshot")
        heard.append(plain(text, server.app.reader.view.epoch))
        if kind in {"snapshot", "snapshot:init"}:
            at = AT + 120_000 + 60_000 * number
            report(server, "NO*ALF*E1234", ("AVAILABLE", "CHARGING")[number % 2], at)
        if kind in CHANGES:
            return heard
    raise AssertionError("the stream ended")


def messages(server: Serving, channel: Channel) -> Iterator[str]:
    query = QUERIES.get(channel.name, "?batch_ms=0")
    if channel.server == WS:
        url = f"ws://127.0.0.1:{server.port}{channel.path}{query}"
        with connect(url, additional_headers=server.bearer(), open_timeout=DEADLINE_S) as connection:
            while True:
                yield str(connection.recv(timeout=DEADLINE_S))
    url = f"{server.url}{channel.path}{query}"
    with (
        httpx2.Client(timeout=DEADLINE_S) as client,
        client.stream("GET", url, headers=server.bearer()) as answer,
    ):
        for line in answer.iter_lines():
            if line.startswith("data: "):
                yield line.removeprefix("data: ")


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda output: output.name)
def test_an_output_gives_what_it_gave(server: Serving, output: Output) -> None:
    rows = output.contract
    made = {
        operation.id: got(server, operation)
        for operation in rows.operations
        if operation.method == "get" and (operation.answer is not None or operation.cached)
    }
    made |= {channel.name: told(server, channel, number) for number, channel in enumerate(rows.channels)}
    assert made, "an output without operations and channels"
    folder = PACKAGE / "outputs" / output.name / "golden"
    files = {name: json.dumps(content, indent=1, ensure_ascii=False) + "\n" for name, content in made.items()}
    if os.environ.get("UPDATE_GOLDEN") == "1":
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / f"{name}.json").write_text(text, encoding="utf-8")
    kept = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    assert files == kept


def test_every_output_is_a_folder_and_every_folder_an_output() -> None:
    folders = {path.parent.name for path in (PACKAGE / "outputs").glob("*/edge.py")}
    assert {output.name for output in OUTPUTS} == folders

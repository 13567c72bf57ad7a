"""Examples for the published contracts: objects of the wire's own types, so that they are right by type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from ladestrom import __version__
from ladestrom.core import digests
from ladestrom.credentials import TICKET_S
from ladestrom.edges.keys import KeyLimits, KeyList, KeyRow, KeyUse, MadeKey, OwnKey, RotatedKey
from ladestrom.edges.lists import EvsePage, StationPage
from ladestrom.edges.look import PageInfo
from ladestrom.edges.own import OwnOperator
from ladestrom.edges.rest_v2 import OperatorFreshness
from ladestrom.edges.v2 import Ticket
from ladestrom.errors import NotAllowed, Unauthenticated
from ladestrom.formats.administration import (
    BoardState,
    ConsumersState,
    LogState,
    ReadAgain,
    ServerState,
    SettingList,
    ShownSetting,
    StoreState,
    ToldSource,
    ToldSources,
    Unread,
    UnreadList,
)
from ladestrom.formats.contract_events import Close
from ladestrom.formats.contract_nobil import (
    ConnectorStatus,
    HeardStatus,
    NamedConnectorStatus,
    SnapshotInit,
    StationStatus,
    StatusRaw,
    StatusUpdate,
)
from ladestrom.formats.contract_schemas import Schema
from ladestrom.formats.freshness import DelayHistogram, RefusedItem, RefusedItems, SourceFreshness
from ladestrom.formats.look import (
    Consumers,
    EvseHistory,
    Groups,
    HistorySegment,
    MapState,
    MapStations,
    Overview,
    PlaceActivity,
    StationHistory,
)
from ladestrom.formats.v2 import ConnectorState, EvseState, Place, StationDetail
from ladestrom.formats.v2_stream import (
    ChangeRow,
    Changes,
    Drain,
    EvseRow,
    Heartbeat,
    Hello,
    Limits,
    Refused,
    Reset,
    Select,
    Selected,
    Snapshot,
    Was,
)
from ladestrom.model import Cause, Reason, Refusal, Status
from ladestrom.problem import Problem, problem
from ladestrom.protocols.plain import _Answer as Receipt

EPOCH: Final = "k3v9q2xa"
SEQ: Final = 481
POSITION: Final = f"{EPOCH}-{SEQ}"
CHANGED_AT: Final = "2026-11-22T10:00:00.000Z"
CHANGED_MS: Final = 1_795_341_600_000
OBSERVED_AT: Final = "2026-11-22T10:04:10.000Z"
STATION: Final = "NOR_01333"
EVSE: Final = "NO*FJL*E1234"
OPERATOR: Final = "Fjordlys"

_CONNECTORS: Final = (ConnectorStatus(1, 0, CHANGED_MS), ConnectorStatus(-1, 0, -1))
_NOBIL: Final = StationStatus(STATION, -1, _CONNECTORS)
_STATE: Final = EvseState(
    evse=EVSE,
    station=STATION,
    status=Status.CHARGING,
    error=0,
    changed_at=CHANGED_AT,
    source=OPERATOR,
    raw="CHARGING",
    connectors=(ConnectorState("IEC_62196_T2_COMBO", 150.0),),
    cause=Cause.REPORTED.value,
    uid="7381cc78-a032-4f23-a46f-3e0ebe4590ff",
    observed_at=OBSERVED_AT,
)
_DETAIL: Final = StationDetail(
    uuid=STATION,
    name="Torget",
    operator=OPERATOR,
    country="NOR",
    position=Place(59.91, 10.75),
    address="Torget 1",
    city="Oslo",
    register="nobil",
    native_id=STATION,
    vanished_at=None,
    evses=(_STATE,),
)
_ROW: Final = EvseRow(
    station=STATION,
    evse=EVSE,
    uid="4711",
    status=Status.CHARGING,
    error=0,
    changed_at=CHANGED_AT,
    observed_at=CHANGED_AT,
    source=OPERATOR,
    cause=Cause.REPORTED,
)
_CHANGE: Final = ChangeRow(
    station=STATION,
    evse=EVSE,
    uid="4711",
    status=Status.CHARGING,
    error=0,
    changed_at=CHANGED_AT,
    observed_at=CHANGED_AT,
    source=OPERATOR,
    cause=Cause.REPORTED,
    was=Was(Status.AVAILABLE, 0),
)
_DIGEST: Final = digests.written(digests.term(EVSE, Status.CHARGING.value, 0, CHANGED_AT))
_HELLO: Final = Hello(
    server=f"ladestrom/{__version__}",
    epoch=EPOCH,
    limits=Limits(
        history_seq=0,
        message_bytes_max=196_608,
        inbound_bytes_max=65_536,
        inbound_messages_per_minute_max=100,
        heartbeat_s=20,
    ),
    licence="",
    attribution="",
)

_SOURCE: Final = SourceFreshness(
    source="fjordlys",
    protocol="datex",
    kind="pull",
    state="fresh",
    last_delivery_at=OBSERVED_AT,
    last_heard_at=OBSERVED_AT,
    deliveries=1,
    reports=7,
    changes=2,
    change_share=0.2857,
    refused={"unknown_evse": 1},
    unmapped=0,
    unreadable=0,
    failures={"source_failure": 1},
    error=None,
    error_at=CHANGED_AT,
    delay=DelayHistogram((1, 10, 60), (1, 1, 0, 0), 4.2),
    late=0,
    late_share=0.0,
    poll_s=60,
    next_at=OBSERVED_AT,
    failures_in_row=0,
    breaker="closed",
    certificate_expires_at=None,
    own_certificate_expires_at=None,
)

REVISION: Final = 120_519_233_018_752
_PAGE: Final = PageInfo(
    title="ladestrom",
    version=__version__,
    demo=False,
    visitors="anyone",
    keys="approval",
    tiles="",
    tiles_attribution="",
    licence="CC BY 4.0",
    attribution="NOBIL",
    contact="charging@example.org",
)
_MAP_STATIONS: Final = MapStations(
    revision=REVISION,
    operators=[OPERATOR],
    standards=["IEC_62196_T2_COMBO", "CHADEMO"],
    countries=["NOR"],
    uuid=[STATION],
    name=["Torget"],
    city=["Oslo"],
    lon=[1_075_000],
    lat=[5_991_000],
    operator=[0],
    country=[0],
    power_kw=[150],
    standard=[3],
    evses=[3],
)

_TOLD_SOURCE: Final = ToldSource(
    **msgspec.structs.asdict(_SOURCE),
    operator="fjordlys",
    address="https://example.org/status.xml",
    paused=False,
)
_UNREAD: Final = Unread(
    id="1795341600000-000-1a2b3c4d",
    source="fjordlys",
    protocol="datex",
    at=CHANGED_AT,
    bytes=812,
    code="malformed_body",
    detail="the XML ends within an element",
)
_SETTING: Final = ShownSetting(
    name="stream.heartbeat_s",
    value=10,
    unit="s",
    default=20,
    origin="environment",
    where="LADESTROM_STREAM__HEARTBEAT_S",
    help="The v2 stream says its position, the time and a digest this often.",
)
_KEY: Final = {
    "id": "4fTq0ZbN1x",
    "key": "lst_4fTq0ZbN1x_0123456789ABCDEFGHIJKLMNOPQRST0aBcDe",
    "name": "My charging map",
    "state": "live",
    "scopes": ("stream",),
    "expires_at": "2027-11-22T10:00:00.000Z",
    "limits": KeyLimits(5_000, 65_536, 100),
}
_KEY_ROW: Final = KeyRow(
    id="4fTq0ZbN1x",
    name="My charging map",
    email="name@example.org",
    purpose="shows free chargers along a route",
    self_made=True,
    state="pending",
    scopes=("stream",),
    operator=None,
    created_at=CHANGED_AT,
    expires_at="2027-11-22T10:00:00.000Z",
    last_used_at=None,
)
_PLACE: Final = PlaceActivity("NOR", "Oslo", 1, 3, 2, 9)
_OVERVIEW: Final = Overview(
    position=POSITION,
    at=OBSERVED_AT,
    started_at=CHANGED_AT,
    stations=1,
    evses=3,
    statuses={**dict.fromkeys(Status, 0), Status.AVAILABLE: 1, Status.CHARGING: 2},
    errors=0,
    groups=Groups(1, 2, 0, 0),
    consumers=Consumers(3, 1, 1, 1),
    visitors=1,
    changes_total=9,
    seconds=[*[0] * 119, 1],
    minutes=[*[0] * 59, 9],
    places=[_PLACE],
)
_SEGMENTS: Final = [
    HistorySegment("2026-11-22T09:12:30.000Z", Status.AVAILABLE, 0),
    HistorySegment(CHANGED_AT, Status.CHARGING, 0),
]
_HISTORY: Final = StationHistory(
    station=STATION,
    from_="2026-11-21T10:04:12.000Z",
    until="2026-11-22T10:04:12.000Z",
    position=POSITION,
    complete_from="2026-11-22T09:30:00.000Z",
    evses=[EvseHistory(EVSE, _SEGMENTS)],
)

_REFUSED: Final = RefusedItem(
    OPERATOR,
    "plain",
    OBSERVED_AT,
    3,
    "FR*ABC*E9",
    Reason.UNKNOWN_EVSE.value,
    'no EVSE in the registry is known as "FR*ABC*E9"; check the id, or ask the administrator to import its '
    "station",
)

SENT: Final[Sequence[Any]] = (
    msgspec.convert(_KEY, MadeKey),
    msgspec.convert({**_KEY, "overlap_until": "2026-11-23T10:00:00.000Z"}, RotatedKey),
    OwnKey(
        id="4fTq0ZbN1x",
        name="My charging map",
        state="live",
        scopes=("stream",),
        operator=None,
        created_at=CHANGED_AT,
        expires_at="2027-11-22T10:00:00.000Z",
        last_used_at="2026-11-22T10:04:00.000Z",
        limits=KeyLimits(5_000, 65_536, 100),
        use=KeyUse(1, 3, 412, 81_250, 9, 0, "2026-11-22T08:00:00.000Z"),
    ),
    _KEY_ROW,
    KeyList([_KEY_ROW]),
    ServerState(
        version=__version__,
        started_at="2026-11-22T08:00:00.000Z",
        uptime_s=7_200,
        ready=True,
        reasons={},
        durability="full",
        memory_bytes=183_500_800,
        log=LogState(
            position=POSITION,
            first_seq=1,
            last_seq=SEQ,
            bytes=4_194_304,
            retention_days=7,
            retention_mib=4_096,
            checkpoint_seq=400,
        ),
        store=StoreState("ladestrom-data/store.db", 12),
        board=BoardState(2_000, 6_421),
        consumers=ConsumersState(42, 3, 81_250_000, 90_210),
    ),
    SettingList([_SETTING]),
    _TOLD_SOURCE,
    ToldSources([_TOLD_SOURCE]),
    UnreadList([_UNREAD]),
    ReadAgain("1795341600000-000-1a2b3c4d", 2, 5, 0),
    _NOBIL,
    NamedConnectorStatus(f"{STATION}_01", 1, 0, CHANGED_MS),
    SnapshotInit(EPOCH, SEQ - 1, (_NOBIL,)),
    StatusUpdate(EPOCH, SEQ, _NOBIL),
    StatusRaw(1, HeardStatus(STATION, 0, 1, 0, CHANGED_MS)),
    _STATE,
    _DETAIL,
    StationPage(POSITION, [_DETAIL], "Tk9SXzAxMzMz"),
    EvsePage(POSITION, [_STATE], None),
    OperatorFreshness(OPERATOR, OBSERVED_AT, 7, 2, 1, {"unknown_evse": 1}, [_SOURCE]),
    OwnOperator(
        OPERATOR,
        ("NOFJL",),
        (),
        all=False,
        registers=False,
        stale_after_s=86_400,
        evses=412,
        stations=120,
        freshness=OperatorFreshness(OPERATOR, OBSERVED_AT, 7, 2, 1, {"unknown_evse": 1}, [_SOURCE]),
    ),
    RefusedItems([_REFUSED]),
    _REFUSED,
    _SOURCE,
    _SOURCE.delay,
    _PAGE,
    _MAP_STATIONS,
    _OVERVIEW,
    _OVERVIEW.groups,
    _OVERVIEW.consumers,
    _PLACE,
    _HISTORY,
    _HISTORY.evses[0],
    _SEGMENTS[0],
    MapState(POSITION, REVISION, OBSERVED_AT, [1], [2], [0], [0]),
    Ticket("lst_ticket_0123456789abcdef0123456789abcdef0123456789abcdef", TICKET_S),
    Receipt(
        2,
        5,
        (Refusal(3, Reason.UNKNOWN_EVSE, 'no EVSE in the registry is known as "FR*ABC*E9"'),),
        POSITION,
        1,
    ),
    _HELLO,
    Snapshot(EPOCH, SEQ - 1, 1, 1, (_ROW,)),
    Changes(EPOCH, SEQ - 1, SEQ, (_CHANGE,)),
    Heartbeat(EPOCH, SEQ, SEQ, OBSERVED_AT, 1, _DIGEST),
    Reset(EPOCH, "epoch"),
    Drain(4_200),
    Selected(EPOCH, SEQ),
    Refused("invalid_filter", 'country="XX" is not a country'),
    Select(country="NOR,SWE", status="AVAILABLE"),
    Close(Unauthenticated.close_code, "the key was revoked or has expired"),
    msgspec.json.decode(problem(NotAllowed("the key reports for no operator")), type=Problem),
)

REPORTS: Final[Sequence[Schema]] = (
    {"evse": "FR*ABC*E123", "status": "CHARGING", "error": 0, "observed_at": "2026-11-22T10:00:00Z"},
    {"uuid": STATION, "connector": 0, "status": 1, "error": 0, "timestamp": CHANGED_MS},
)
"""Both forms."""


def examples(names: Mapping[str, str], objects: Sequence[Any] = SENT) -> dict[str, Schema]:
    """One example for each component that has one; `names` are other names than the types' own."""
    return {
        names.get(type(one).__name__, type(one).__name__): msgspec.json.decode(msgspec.json.encode(one))
        for one in objects
    }

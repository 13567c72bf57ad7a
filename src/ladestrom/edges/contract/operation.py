"""What those who run a server see of it, in the published contracts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST

from ladestrom import __version__
from ladestrom.core.access import Scope
from ladestrom.edges.contract.reports import SOURCE
from ladestrom.edges.contract.requests import Parameter, path_parameter
from ladestrom.edges.contract.rows import ADMIN, LOOKING, OPERATION, Operation, Part, json_answer, text_answer
from ladestrom.edges.contract.samples import CHANGED_AT, POSITION, SEQ, STATION
from ladestrom.edges.contract.schemas import reference
from ladestrom.edges.contract.served import ASYNCAPI_TYPE, JSON, OPENAPI_TYPE
from ladestrom.edges.contract.words import Word
from ladestrom.edges.page import PageInfo
from ladestrom.edges.setup import SETUP_PATH, SetupState
from ladestrom.errors import NotAllowed
from ladestrom.formats.administration import (
    BoardState,
    ConsumersState,
    DiskState,
    LogLine,
    LogLines,
    LogState,
    OutputList,
    OutputState,
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
from ladestrom.formats.documents import LeftOutEvse
from ladestrom.problem import Problem, problem


class Liveness(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["ok"]


class Readiness(msgspec.Struct, frozen=True):
    """Whether reports are taken now."""

    status: Literal["ready", "not ready"]
    checks: dict[str, bool]
    reasons: dict[str, str]


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
    local=False,
    station=STATION,
)
_TOLD_SOURCE: Final = ToldSource(
    **msgspec.structs.asdict(SOURCE),
    operator="fjordlys",
    address="https://example.org/status.xml",
    paused=False,
    error_detail="the answer is not XML: syntax error at line 1",
    delay_minutes=[*[None] * 57, 4.2, 3.9, None],
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
_LINE: Final = LogLine(
    "2026-11-22T08:00:00.000000Z",
    "warning",
    "a source fails",
    {"source": "fjordlys", "state": "failing", "error": "the source answered 503"},
)
_OUTPUT: Final = OutputState(
    output="irve_dynamique",
    made=17,
    worked_s=0.42,
    made_at=CHANGED_AT,
    age_s=12.5,
    position=POSITION,
    bytes=401_223,
    evses=6_421,
    left_out={"no_itinerance_id": 12},
    examples=[LeftOutEvse("NOR_01333_01", STATION, "no_itinerance_id")],
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

OPERATIONS: Final = (
    Operation(
        path="/api/v2/page",
        id="getPage",
        tag=LOOKING,
        summary="What a page has to know of its server before it asks for anything else",
        scope=None,
        answer=reference("PageInfo"),
        refusals=("invalid_filter",),
    ),
    Operation(
        path=SETUP_PATH,
        id="getSetup",
        tag=OPERATION,
        summary="How far the first steps of a new server are",
        description="Answered on the server's own machine only, without a proxy in between.",
        scope=None,
        answer=reference("SetupState"),
        refusals=("invalid_filter", "not_found"),
    ),
    Operation(
        **ADMIN,
        path="/api/v2/admin",
        id="getServer",
        summary="The process, its log, its store, its consumers",
        answer=reference("ServerState"),
    ),
    Operation(
        **ADMIN,
        path="/api/v2/admin/settings",
        id="listSettings",
        summary="Every setting, its value, and where that came from",
        answer=reference("SettingList"),
    ),
    Operation(
        **ADMIN,
        path="/api/v2/admin/outputs",
        id="listOutputs",
        summary="Documents: how often they were made, how fresh they are, and what they leave out",
        description="Of each form of document that was asked for since the server started.",
        answer=reference("OutputList"),
    ),
    Operation(
        **ADMIN,
        path="/api/v2/admin/refusals",
        id="listRefusals",
        summary="What operators were refused: the last 1,000 items",
        parameters=("ofOperator",),
        answer=reference("RefusedItems"),
    ),
    Operation(
        **ADMIN,
        path="/api/v2/admin/sources",
        id="listSources",
        summary="Every source, how it does and how it is set up",
        answer=reference("ToldSources"),
    ),
    Operation(
        **ADMIN,
        path="/api/v2/admin/sources/{name}/pause",
        method="post",
        id="pauseSource",
        summary="Stops asking or following a source",
        parameters=("sourcePath",),
        answer=reference("ToldSource"),
        refusals=("not_found", "not_ready"),
    ),
    Operation(
        **ADMIN,
        path="/api/v2/admin/sources/{name}/resume",
        method="post",
        id="resumeSource",
        summary="Lets a paused source go on",
        parameters=("sourcePath",),
        answer=reference("ToldSource"),
        refusals=("not_found", "not_ready"),
    ),
    Operation(
        **ADMIN,
        path="/api/v2/admin/sources/{name}/ask",
        method="post",
        id="askSource",
        summary="Asks a source at once, or connects to it again",
        description=(
            "Answers once the source's answer was taken or refused, or after ten seconds. What failed is in "
            "`error` and `error_detail` then."
        ),
        parameters=("sourcePath",),
        answer=reference("ToldSource"),
        refusals=("not_found", "conflict"),
    ),
    Operation(
        **ADMIN,
        path="/api/v2/admin/log",
        id="listLogLines",
        summary="The last 200 lines of the server log, the newest first",
        description="Keys, passwords and tokens are `***`, as in the log itself.",
        answer=reference("LogLines"),
    ),
    Operation(
        **ADMIN,
        path="/api/v2/admin/quarantine",
        id="listUnread",
        summary="Deliveries that could not be read, the newest first",
        answer=reference("UnreadList"),
    ),
    Operation(
        **ADMIN,
        path="/api/v2/admin/quarantine/{unread_id}",
        id="getUnread",
        summary="One of them as it came, but for keys in it",
        parameters=("unreadPath",),
        answers={
            200: {
                "description": "To be saved in a file.",
                "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
            }
        },
        refusals=("not_found",),
    ),
    Operation(
        **ADMIN,
        path="/api/v2/admin/quarantine/{unread_id}/replay",
        method="post",
        id="replayUnread",
        summary="Reads one of them again and takes it; it is not kept then",
        parameters=("unreadPath",),
        answer=reference("ReadAgain"),
        refusals=(
            "not_found",
            "conflict",
            "overloaded",
            "log_failure",
            "log_misplaced",
            "deposed",
            "not_ready",
        ),
    ),
    Operation(
        path="/livez",
        id="getLiveness",
        tag=OPERATION,
        summary="Whether the process answers",
        scope=None,
        answer=reference("Liveness"),
    ),
    Operation(
        path="/readyz",
        id="getReadiness",
        tag=OPERATION,
        summary="Whether reports are taken: store open, log writable, board recovered, files in place",
        scope=None,
        answer=reference("Readiness"),
        answers={503: json_answer(reference("Readiness"), "Reports are refused now; consumers are served.")},
    ),
    Operation(
        path="/metrics",
        id="getMetrics",
        tag=OPERATION,
        summary="Metrics in Prometheus' text format",
        description="The setting `metrics.listen` opens a port on loopback for them that needs no key.",
        scope=Scope.ADMIN,
        answers={200: text_answer(CONTENT_TYPE_LATEST, "The metrics.", "ladestrom_ready 1.0\n")},
    ),
    *(
        Operation(
            path=path,
            id=name,
            tag=OPERATION,
            summary=summary,
            scope=None,
            cached=True,
            answers={
                200: {
                    "description": "The document.",
                    "content": {kind: {"schema": {"type": "object"}} for kind in (media_type, JSON)},
                }
            },
        )
        for path, name, summary, media_type in (
            ("/openapi.json", "getOpenApi", "This document", OPENAPI_TYPE),
            ("/asyncapi.json", "getAsyncApi", "The contract of the streams, AsyncAPI 3.0", ASYNCAPI_TYPE),
        )
    ),
)
PARAMETERS: Final[Mapping[str, Parameter]] = {
    "ofOperator": Parameter(
        name="operator",
        description="Only those of this operator.",
        schema={"type": "string"},
        example="Fjordlys",
    ),
    "sourcePath": path_parameter(
        "name",
        "Name of a source that is asked or followed.",
        "fjordlys",
    ),
    "unreadPath": path_parameter(
        "unread_id",
        "Id of a delivery that is kept, as the list has it.",
        "1795341600000-000-1a2b3c4d",
    ),
}
SAMPLES: Final = (
    _PAGE,
    SetupState(("--data", "/var/lib/ladestrom"), 0, 0, 0, "key"),
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
        disk=DiskState(64_000_000_000, 41_000_000_000),
        board=BoardState(2_000, 6_421),
        consumers=ConsumersState(42, 3, 81_250_000, 90_210),
    ),
    SettingList([_SETTING]),
    _OUTPUT,
    OutputList([_OUTPUT]),
    _TOLD_SOURCE,
    ToldSources([_TOLD_SOURCE]),
    _LINE,
    LogLines([_LINE]),
    UnreadList([_UNREAD]),
    ReadAgain("1795341600000-000-1a2b3c4d", 2, 5, 0),
    msgspec.json.decode(problem(NotAllowed("the key reports for no operator")), type=Problem),
)

WORDS: Final[Mapping[str, Word]] = {
    "local": Word("Whether you are at the server's own machine; `/api/v2/setup` answers then."),
    "PageInfo.station": Word("A station of this server, for examples; empty where visitors need a key."),
    "options": Word("What commands have to be told to find this server's data."),
    "SetupState.stations": Word("Stations of the registry.", {"minimum": 0}),
    "SetupState.operators": Word("Operators that may report.", {"minimum": 0}),
    "SetupState.keys": Word("Keys that exist.", {"minimum": 0}),
    "disk": Word("The file system of the data directory; null where nothing is known of it."),
    "total_bytes": Word("Its size.", {"minimum": 0}),
    "free_bytes": Word("What the server may still write there.", {"minimum": 0}),
    "error_detail": Word("The last error in words; empty where there was none."),
    "delay_minutes": Word(
        "Mean delay of the changes in each of the last 60 minutes, in seconds, the oldest first and the "
        "running one last; null for a minute without changes. Empty before the first change."
    ),
    "LogLine.at": Word("When it was logged. ISO 8601, UTC."),
    "level": Word("debug, info, warning, error or critical."),
    "event": Word("What happened."),
    "values": Word("What the line says beside, as text."),
    "LogLines.items": Word("The newest first, at most 200."),
    "output": Word("Name of the form."),
    "made": Word("How often one was made.", {"minimum": 0}),
    "worked_s": Word("Seconds of the server's loop that making them took.", {"minimum": 0}),
    "OutputState.made_at": Word("When the last one was made. ISO 8601, UTC, to the millisecond."),
    "age_s": Word("How long ago that was.", {"minimum": 0}),
    "OutputState.position": Word(
        "At which the last one without filters held; null while there was none. So is all that follows."
    ),
    "OutputState.bytes": Word("Its size, before it is packed.", {"minimum": 0}),
    "OutputState.evses": Word("EVSEs that it was made of, those left out included.", {"minimum": 0}),
    "left_out": Word("How many of them it cannot tell of, by reason."),
    "examples": Word("The first of these, a thousand at most."),
    "LeftOutEvse.reason": Word("Why: one of the reasons that are counted."),
}
CONTRACT: Final = Part(
    tags={OPERATION: "For those who run the server, and for programs that read contracts."},
    operations=OPERATIONS,
    parameters=PARAMETERS,
    sent=(
        PageInfo,
        SetupState,
        ServerState,
        SettingList,
        OutputList,
        ToldSources,
        LogLines,
        UnreadList,
        ReadAgain,
        Liveness,
        Readiness,
        Problem,
    ),
    samples=SAMPLES,
    words=WORDS,
)

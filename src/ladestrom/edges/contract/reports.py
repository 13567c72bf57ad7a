"""The plain interface for operators, and what they see of themselves, in the published contracts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ladestrom.core.access import Scope
from ladestrom.edges.contract.requests import Parameter
from ladestrom.edges.contract.rows import (
    REPORTING,
    STATE,
    STREAM_ANSWERS,
    TAKEN_WITH,
    TAKING,
    Channel,
    Operation,
    Part,
)
from ladestrom.edges.contract.samples import CHANGED_AT, OBSERVED_AT, OPERATOR, POSITION
from ladestrom.edges.contract.schemas import reference
from ladestrom.edges.operators import OperatorFreshness
from ladestrom.edges.own import OwnOperator
from ladestrom.formats.freshness import DelayHistogram, RefusedItem, RefusedItems, SourceFreshness
from ladestrom.model import Reason, Refusal
from ladestrom.problem import Problem
from ladestrom.protocols.plain import Item, _Answer
from ladestrom.protocols.plain import _Answer as Receipt

REPORTS_DESCRIPTION: Final = """\
Each message is one report or a list of them, and is answered by its receipt once what was accepted is
durable; a message that cannot be read at all, by a problem. Answers come in the order of messages; up to
{pipeline} may be without one. A message has at most {items} reports and {message_bytes} bytes.
"""

SOURCE: Final = SourceFreshness(
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
    failing_since=None,
    outages=1,
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


OPERATIONS: Final = (
    Operation(
        path="/api/v2/operators",
        open_to_visitors=True,
        id="listOperators",
        tag=STATE,
        summary="Who reports, and how freshly",
        description="It has no `ETag`: counters move with each report.",
        answer={"type": "array", "items": reference("OperatorFreshness")},
        refusals=("invalid_filter",),
    ),
    Operation(
        path="/api/v2/operators/self",
        id="getOwnOperator",
        tag=REPORTING,
        summary="The operator whose key it is: its rights, what they cover, and how fresh its reports are",
        scope=Scope.REPORT,
        answer=reference("OwnOperator"),
    ),
    Operation(
        path="/api/v2/operators/self/refusals",
        id="listOwnRefusals",
        tag=REPORTING,
        summary="What the operator was refused: the last 1,000 items since the server started",
        scope=Scope.REPORT,
        answer=reference("RefusedItems"),
    ),
    Operation(
        path="/api/v2/reports",
        method="post",
        id="sendReports",
        tag=REPORTING,
        summary="One report or a list of them",
        description=(
            "Answered once what was accepted is durable. A bad item is refused by its place and costs no "
            "other. The newest observation wins and repetitions change nothing: whenever in doubt, send the "
            "same again."
        ),
        scope=Scope.REPORT,
        parameters=TAKEN_WITH,
        answer=reference("Receipt"),
        refusals=("bad_request", *TAKING),
    ),
    Operation(
        path="/api/v2/reports/stream",
        id="streamReports",
        tag=REPORTING,
        summary="Reports over a WebSocket",
        description="Each message is answered by its receipt, in order; you need not wait for one.",
        scope=Scope.REPORT,
        answers=STREAM_ANSWERS,
        refusals=("bad_handshake", "upgrade_required"),
    ),
)
CHANNELS: Final = (
    Channel(
        name="reportsStream",
        path="/api/v2/reports/stream",
        title="Reports",
        description=REPORTS_DESCRIPTION,
        scope=Scope.REPORT,
        sent=(),
        received=(Item,),
        answers=(_Answer, Problem),
    ),
)
PARAMETERS: Final[Mapping[str, Parameter]] = {
    "dry_run": Parameter(
        name="dry_run",
        description="1: the same checks and the same receipt, and nothing is stored. All push paths take it.",
        schema={"type": "integer", "enum": [0, 1], "default": 0},
        example=1,
    ),
}
SAMPLES: Final = (
    OperatorFreshness(OPERATOR, OBSERVED_AT, 7, 2, 1, {"unknown_evse": 1}, [SOURCE]),
    OwnOperator(
        OPERATOR,
        ("NOFJL",),
        (),
        all=False,
        registers=False,
        stale_after_s=86_400,
        evses=412,
        stations=120,
        freshness=OperatorFreshness(OPERATOR, OBSERVED_AT, 7, 2, 1, {"unknown_evse": 1}, [SOURCE]),
    ),
    RefusedItems([_REFUSED]),
    _REFUSED,
    SOURCE,
    SOURCE.delay,
    Receipt(
        2,
        5,
        (Refusal(3, Reason.UNKNOWN_EVSE, 'no EVSE in the registry is known as "FR*ABC*E9"'),),
        POSITION,
        1,
    ),
)

CONTRACT: Final = Part(
    tags={REPORTING: "Where operators deliver."},
    operations=OPERATIONS,
    channels=CHANNELS,
    parameters=PARAMETERS,
    sent=(OperatorFreshness, OwnOperator, RefusedItems, SourceFreshness, DelayHistogram, _Answer),
    received=(Item,),
    samples=SAMPLES,
    names={"_Answer": "Receipt", "Item": "Report"},
)

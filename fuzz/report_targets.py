"""Fuzz targets of the parsers of reports: of any bytes, sound deliveries or an error of ours, nothing else.

The tests drive them with Hypothesis. With atheris installed, `python fuzz/report_targets.py oicp CORPUS` fuzzes
one of them. To add a protocol is to add a line to `TARGETS`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from ladestrom.core.drafts import completed, fault
from ladestrom.core.rules import EARLIEST_AT
from ladestrom.errors import LadestromError
from ladestrom.model import Operator
from ladestrom.ports.registry import StationDraft
from ladestrom.protocols import (
    _blueprint,
    datex2,
    irve_dynamique,
    ladestrom_stream,
    nobil_realtime,
    nobil_stream,
    oicp,
    oicp_pull,
    plain,
    qualicharge,
)
from ladestrom.protocols.delivery import (
    ID_CHARACTERS_MAX,
    RAW_CHARACTERS_MAX,
    Delivery,
    ParseLimits,
)
from ladestrom.protocols.interfaces import Request, Stream

NOW: Final = 1_795_000_000_000
OPERATOR: Final = Operator("abc", parties=("NOABC", "DEABC"), prefixes=("FRABC",), may_register=True)
LIMITS: Final = (ParseLimits(), ParseLimits(items_max=2))
"""As they are, and such as small inputs reach."""
DETAIL_CHARACTERS_MAX: Final = 1_000

Parse = Callable[[bytes, ParseLimits], Delivery]


def check(delivery: Delivery, limits: ParseLimits) -> None:
    """What has to hold of every delivery, whatever it was read from."""
    reports, refused = delivery.reports, delivery.refused
    assert len(reports) + len(refused) <= limits.items_max
    for report in reports:
        assert 0 < len(report.evse) <= ID_CHARACTERS_MAX
        assert report.observed_at is None or report.observed_at >= EARLIEST_AT
        assert report.source == OPERATOR.name
        assert len(report.raw) <= RAW_CHARACTERS_MAX
    places = [refusal.index for refusal in refused]
    assert places == sorted(set(places))
    assert all(0 <= place < len(reports) + len(refused) for place in places)
    assert all(0 < len(refusal.detail) <= DETAIL_CHARACTERS_MAX for refusal in refused)
    assert 0 <= delivery.unmapped <= len(reports)
    keys: set[str] = set()
    for number, one in enumerate(delivery.stations):
        if isinstance(one, StationDraft):
            assert fault(one) is None
            station, _ = completed(one, one.station.register, f"NOR_{number:05d}")
            own = {evse.key for evse in station.evses}
            assert len(own) == len(station.evses)
            assert keys.isdisjoint(own)
            keys |= own


def run(parse: Parse, data: bytes) -> None:
    """Reads a message under each of the limits."""
    for limits in LIMITS:
        try:
            check(parse(data, limits), limits)
        except LadestromError as error:
            assert 400 <= error.status < 500 or error.status == 502  # noqa: PT017 - of whose making it is


def pushed(push: Any, path: str = "", **query: str) -> Parse:
    """What a push makes of a body."""

    def parse(data: bytes, limits: ParseLimits) -> Delivery:
        delivery: Delivery = push.receive(Request("POST", path, query, {}, data), OPERATOR, limits)
        return delivery

    return parse


def oicp_file(data: bytes, limits: ParseLimits) -> Delivery:
    """A file of OICP statuses."""
    return oicp_pull.read(data, OPERATOR.name, limits)


def streamed(receive: Stream) -> Parse:
    """What a stream makes of a frame."""
    return lambda data, limits: receive(data, OPERATOR.name, limits)


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "blueprint": partial(run, pushed(_blueprint.BlueprintPush())),
    "ladestrom_stream": partial(run, streamed(ladestrom_stream.receive)),
    "nobil_realtime": partial(run, streamed(nobil_realtime.receive)),
    "nobil_stream": partial(run, streamed(nobil_stream.receive)),
    "plain": partial(run, pushed(plain.Plain())),
    "oicp": partial(run, pushed(oicp.Oicp(), "evsepush/v21/operators/NO*ABC/status-records")),
    "oicp_data": partial(run, pushed(oicp.Oicp(), "evsepush/v23/operators/DE*ABC/data-records")),
    "oicp_file": partial(run, oicp_file),
    "datex2_json": partial(run, pushed(datex2.Datex2())),
    "datex2_xml": partial(run, pushed(datex2.Datex2(), extent="snapshot")),
    "irve": partial(run, pushed(irve_dynamique.IrveDynamique(), extent="snapshot")),
    "qualicharge": partial(run, pushed(qualicharge.Qualicharge(), "status/bulk")),
    "qualicharge_one": partial(run, pushed(qualicharge.Qualicharge(), "status")),
}


def main() -> None:
    """Fuzzes the target named first on the command line with atheris; what follows is for atheris."""
    atheris = importlib.import_module("atheris")
    target = TARGETS[sys.argv.pop(1)]
    atheris.instrument_all()
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

"""Messages in, reports and refusals out. `UPDATE_GOLDEN=1` writes what comes out as what is expected."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from ladestrom.protocols import datex2
from ladestrom.protocols.delivery import ParseLimits

HERE = Path(__file__).parent
SAMPLES = sorted(path for path in HERE.iterdir() if path.suffix in {".json", ".xml"})


def read(path: Path) -> str:
    delivery = datex2.receive(path.read_bytes(), "abc", ParseLimits())
    told = {
        "complete": delivery.complete,
        "exchange": msgspec.to_builtins(delivery.exchange),
        "reports": [
            [
                report.evse,
                report.status,
                report.error,
                "received"
                if report.observed_at is None
                else datetime.fromtimestamp(report.observed_at / 1000, UTC).isoformat(),
                report.raw,
            ]
            for report in delivery.reports
        ],
        "refused": [[refusal.index, refusal.reason, refusal.detail] for refusal in delivery.refused],
    }
    return json.dumps(told, ensure_ascii=False, indent=1) + "\n"


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_a_message_gives_these_reports_and_refusals(path: Path) -> None:
    expected = path.with_name(f"{path.name}.out")
    if os.environ.get("UPDATE_GOLDEN") == "1":
        expected.write_text(read(path))
    assert read(path) == expected.read_text()

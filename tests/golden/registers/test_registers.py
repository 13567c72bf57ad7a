"""Files in, stations and refusals out. `UPDATE_GOLDEN=1` writes what comes out as what is expected."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest

from ladestrom.ports.registry import RecordRefusal
from ladestrom.registers import REGISTERS

HERE = Path(__file__).parent
SAMPLES = sorted(path for path in HERE.iterdir() if path.suffix in {".json", ".jsonl", ".xml", ".csv"})


def read(path: Path) -> str:
    register = path.name.partition("-")[0].partition(".")[0]
    records = REGISTERS[register]([path.read_bytes()])
    told = [
        {"refused" if isinstance(one, RecordRefusal) else "draft": msgspec.to_builtins(one)}
        for one in records
    ]
    return json.dumps(told, ensure_ascii=False, indent=1) + "\n"


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_a_register_file_gives_these_stations_and_refusals(path: Path) -> None:
    expected = path.with_name(f"{path.name}.out")
    if os.environ.get("UPDATE_GOLDEN") == "1":
        expected.write_text(read(path))
    assert read(path) == expected.read_text()


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_no_contact_data_of_people_comes_out_of_a_sample(path: Path) -> None:
    """An organisation's is its contact, and nothing else."""
    assert "example.org" in path.read_text() or "00 00 00" in path.read_text()
    told = json.loads(read(path))
    for one in told:
        one.get("draft", {}).get("station", {}).get("details", {}).pop("contact", None)
    for contact in ("@", "aide", "mairie", "jeanne", "post@", "tel:", "00 00 00", "00-00-00", "12-34-56"):
        assert contact not in json.dumps(told, ensure_ascii=False)
    assert "jeanne" not in read(path)
    assert "12-34-56" not in read(path)

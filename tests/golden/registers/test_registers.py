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
def test_no_contact_data_of_a_sample_comes_out(path: Path) -> None:
    assert "example.org" in path.read_text() or "00 00 00" in path.read_text()
    for contact in ("@", "example.org", "tel:", "00 00 00", "00-00-00"):
        assert contact not in read(path)

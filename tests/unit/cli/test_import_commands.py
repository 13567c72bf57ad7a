"""What every import tells: the same in a dry run, what changed field by field, and all of it in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
from tests.documents import ROOT
from tests.importing import counts, irve, ocpi
from tests.unit.cli.conftest import Run, Told

from ladestrom.registers import REGISTERS

GOLDEN: Final = ROOT / "tests" / "golden" / "registers"
DRY: Final = "dry run: nothing was changed. The import would result in\n"


def file_of(form: str, directory: Path) -> Path:
    """A file of each form that has stations, refusals or notes."""
    if form == "ocpi":
        return ocpi(directory / "locations.json", 3)
    samples = {
        "nobil": "nobil-list.json",
        "irve": "irve.csv",
        "datex": "datex.xml",
        "stations": "stations.csv",
    }
    return GOLDEN / samples[form]


def lines_of(report: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in report.read_text().splitlines()]


def of_kind(report: Path, kind: str) -> list[dict[str, Any]]:
    return [line for line in lines_of(report) if line["kind"] == kind]


def edited(file: Path, old: str, new: str) -> Path:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    return file


@pytest.mark.parametrize("form", REGISTERS)
@pytest.mark.parametrize("listing", [(), ("--list",)], ids=["summary", "list"])
def test_a_dry_run_says_what_the_import_says(
    run: Run, data: Path, form: str, listing: tuple[str, ...]
) -> None:
    directory = data.parent
    file = file_of(form, directory)
    if form == "irve":
        run("import", "irve", irve(directory / "other", 3), "--partial")
    for turn in ("first", "again"):
        tried, done = directory / f"tried-{turn}", directory / f"done-{turn}"
        dry = run("import", form, file, *listing, "--dry-run", "--report", tried)
        real = run("import", form, file, *listing, "--report", done)
        assert dry.stdout == DRY + real.stdout
        assert lines_of(tried)[:-1] == lines_of(done)[:-1]
        assert lines_of(tried)[-1] == {**lines_of(done)[-1], "dry_run": True}


def test_what_changed_is_told_field_by_field(run: Run, data: Path) -> None:
    file = irve(data.parent / "register", 3)
    run("import", "irve", file)
    edited(file, '"nom_operateur": "Acme"', '"nom_operateur": "Beta"')
    edited(file, '"Parking 1"', '"Parking One"')
    told = run("import", "irve", file)
    assert "changed            3: operator 3, name 1\n" in told.stdout
    assert "--list shows every record with its refusals, notes and changes" in told.stdout
    assert counts(told.stdout)["changed"] == 3


def test_a_list_shows_what_each_field_was_and_is(run: Run, data: Path) -> None:
    file = irve(data.parent / "register", 2)
    run("import", "irve", file)
    edited(file, '"Parking 1"', '"Parking One"')
    edited(file, "FRABCE000012", "FRABCE999999")
    told = run("import", "irve", file, "--list").stdout.split("changed:\n")[1]
    assert told == (
        "  FRA_00002\n"
        '    name: "Parking 1" -> "Parking One"\n'
        '    evse: "FRABCE000012" -> null\n'
        '    evse: null -> "FRABCE999999"\n'
    )


def test_a_station_with_many_changes_is_listed_with_the_first_of_them(run: Run, data: Path) -> None:
    file = data.parent / "locations.json"
    run("import", "ocpi", ocpi(file, 1))
    (location,) = json.loads(file.read_text())
    location["evses"] += [{"uid": f"n{number}", "status": "AVAILABLE"} for number in range(30)]
    file.write_text(json.dumps([location]))
    report = data.parent / "report"
    told = run("import", "ocpi", file, "--list", "--report", report).stdout.split("changed:\n")[1]
    assert told.count("evse: null -> ") == 20
    assert told.endswith("    and more; --report FILE writes all of them\n")
    (changed,) = of_kind(report, "changed")
    assert len(changed["fields"]) == 30


def test_a_record_that_differs_in_nothing_that_is_kept_is_told_as_changed_without_fields(
    run: Run, data: Path
) -> None:
    """One of its EVSEs is at another register's station, whatever this register says of it."""
    run("import", "irve", irve(data.parent / "first", 1))
    file, report = ocpi(data.parent / "second", 1), data.parent / "report"
    edited(file, "FR*ABC*E00000*2", "FR*ABC*E77777")
    run("import", "ocpi", file)
    edited(file, '"0-1"', '"0-9"')
    told = run("import", "ocpi", file, "--list", "--report", report).stdout
    assert "changed            1: what is not kept 1\n" in told
    assert told.split("changed:\n")[1] == "  FRA_00002\n    what is not kept\n"
    assert [line.get("fields") for line in of_kind(report, "changed")] == [None]


def test_a_report_has_everything_without_a_limit(run: Run, data: Path) -> None:
    file = irve(data.parent / "register", 700)
    edited(file, '"prise_type_2": "True"', '"prise_type_2": "perhaps"')
    with file.open("a") as stream:
        stream.writelines(f'{{"id_pdc_itinerance": "FRABCE9{number}"}}\n' for number in range(1_500))
    report = data.parent / "report"
    told = counts(run("import", "irve", file, "--report", report).stdout)
    lines = lines_of(report)
    assert {kind: len(of_kind(report, kind)) for kind in ("refused", "noted", "added")} == {
        kind: told[kind] for kind in ("refused", "noted", "added")
    }
    assert told["refused"] == 1_500
    assert told["noted"] > 1_000
    assert lines[0]["kind"] == "refused"
    assert set(of_kind(report, "added")[0]) == {"kind", "uuid", "native_id"}
    assert lines[-1] == {
        "kind": "summary",
        "register": "irve",
        "dry_run": False,
        **{word: told[word] for word in ("added", "changed", "unchanged", "removed", "returned")},
        **{word: told[word] for word in ("refused", "noted")},
        "evses": 1_400,
        "changed_fields": {},
    }
    run("import", "irve", irve(file, 1), "--force-removal", "--report", report)
    assert len(of_kind(report, "removed")) == 699
    assert of_kind(report, "changed")[0]["fields"]
    run("import", "irve", irve(file, 2), "--report", report)
    assert [line["uuid"] for line in of_kind(report, "returned")] == ["FRA_00002"]


def test_a_report_tells_what_was_refused_after_reading(run: Run, data: Path) -> None:
    run("import", "irve", irve(data.parent / "first", 1))
    file = irve(data.parent / "second", 2, station="FRXYZP")
    report = data.parent / "report"
    told = run("import", "irve", file, "--partial", "--report", report)
    assert len(of_kind(report, "refused")) == counts(told.stdout)["refused"]
    assert len(of_kind(report, "noted")) == counts(told.stdout)["noted"]


def test_a_report_that_cannot_be_written_stops_the_import_before_it_begins(run: Run, data: Path) -> None:
    file = irve(data.parent / "register", 1)
    told = run("import", "irve", file, "--report", data.parent / "nowhere" / "report", code=2)
    assert "cannot be written: No such file or directory; nothing was changed" in told.stderr
    assert not data.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_report_that_breaks_off_is_said_and_the_import_is_done(run: Run, data: Path) -> None:
    file = irve(data.parent / "register", 300)
    told = run("import", "irve", file, "--report", "/dev/full")
    assert told.stderr.count("the report /dev/full is incomplete: No space left on device") == 1
    assert counts(told.stdout)["added"] == 300


def test_help_of_every_import_explains_its_options(run: Run) -> None:
    for form in REGISTERS:
        told: Told = run("import", form, "--help")
        for option in ("--partial", "--force-removal", "--dry-run", "--list", "--report"):
            assert option in told.stdout


class TestOwnStations:
    def test_the_template_is_written_filled_in_and_imported(self, run: Run, data: Path) -> None:
        template = run("import", "stations", "--template").stdout
        assert not data.exists()
        file = data.parent / "stations.csv"
        file.write_text(template)
        told = run("import", "stations", file, "--dry-run", code=2)
        assert "no rows: write one row for each EVSE" in told.stderr
        names = template.splitlines()[-1].split(",")
        cells = {
            "station_id": "a",
            "name": "A",
            "country": "NO",
            "latitude": "59.9",
            "longitude": "10.7",
            "uid": "1",
            "connector1_standard": "CCS",
        }
        file.write_text(template + ",".join(cells.get(name, "") for name in names) + "\n")
        told = run("import", "stations", file)
        assert counts(told.stdout)["added"] == 1
        assert "the register stations now has 1 EVSEs" in told.stdout

    def test_evses_that_nobody_may_report_on_are_said_to_be_in_no_list(self, run: Run) -> None:
        file = ROOT / "examples" / "stations.csv"
        hint = "of these EVSEs are in no list and on no map yet"
        assert hint not in run("import", "stations", file, "--dry-run").stderr
        assert f"4 {hint}" in run("import", "stations", file).stderr
        run("operators", "add", "fjordlys", "--prefix", "NO*FJL*E7001*1")
        assert f"3 {hint}" in run("import", "stations", file).stderr
        run("operators", "add", "fjordlys", "--party", "NO*FJL")
        assert f"2 {hint}" in run("import", "stations", file).stderr
        run("operators", "add", "fjordlys", "--all")
        assert hint not in run("import", "stations", file).stderr

    def test_a_publisher_has_a_register_of_its_own(self, run: Run) -> None:
        file = ROOT / "examples" / "stations.csv"
        run("import", "stations", file, "--publisher", "Fjordlys")
        told = run("import", "stations", file, "--publisher", "Fjordlys")
        assert "the register stations:Fjordlys now has 4 EVSEs" in told.stdout
        assert counts(told.stdout)["unchanged"] == 2

    def test_a_part_of_a_file_removes_nothing(self, run: Run, data: Path) -> None:
        whole = (ROOT / "examples" / "stations.csv").read_text().splitlines(keepends=True)
        run("import", "stations", ROOT / "examples" / "stations.csv")
        part = data.parent / "part.csv"
        part.write_text("".join(whole[:-2]))
        assert counts(run("import", "stations", part, "--partial").stdout)["removed"] == 0
        assert counts(run("import", "stations", part).stdout)["removed"] == 1

    def test_a_station_that_is_refused_stays_as_it_was(self, run: Run, data: Path) -> None:
        file = data.parent / "stations.csv"
        file.write_bytes((ROOT / "examples" / "stations.csv").read_bytes())
        run("import", "stations", file)
        edited(file, "A2,Type 2", "A2,")
        told = run("import", "stations", file)
        assert {word: count for word, count in counts(told.stdout).items() if count} == {
            "unchanged": 1,
            "refused": 1,
        }
        assert "line 5: its connector1_standard is missing: which kind of connector is it?" in told.stdout
        assert "now has 4 EVSEs" in told.stdout

    def test_without_a_file_it_is_told_how_to_get_one(self, run: Run, data: Path) -> None:
        assert "--template" in run("import", "stations", code=2).stderr
        assert "cannot be read" in run("import", "stations", data.parent / "none.csv", code=2).stderr

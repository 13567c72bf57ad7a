"""What every store of the table of backends does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.contracts.databases import empty

from ladestrom.backends.opening import Opening
from ladestrom.backends.table import STORES, exists, open_stores
from ladestrom.core.drafts import fingerprint
from ladestrom.core.electrical import completed
from ladestrom.errors import BadRequest, Conflict, InvalidRegister, NotFound, TooManyRequests
from ladestrom.model import Connector, Evse, Operator, Outlet, Reading, Station, Status
from ladestrom.ports.charge_points import ChargePoint
from ladestrom.ports.keys import KeyRecord
from ladestrom.ports.peers import Peer
from ladestrom.ports.registry import RecordNote, RecordRefusal, StationDraft
from ladestrom.ports.sources import SourceRecord
from ladestrom.ports.stores import OperatorUse, Store, Stores

Open = Callable[[], Awaitable[Stores]]

NOW = 1_700_000_000_000
CCS = Connector("IEC_62196_T2_COMBO", 150.0)
TYPE_2 = Connector("IEC_62196_T2", None)


@pytest.fixture(params=STORES)
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Opening:
    """Where there is no store yet."""
    return empty(request.param, tmp_path)


@pytest.fixture
async def opened(opening: Opening) -> AsyncIterator[Open]:
    """Opens the same, at first empty, store as often as it is asked to; closes all in the end."""
    async with AsyncExitStack() as stack:

        async def open_another() -> Stores:
            store = await open_stores(opening)
            stack.push_async_callback(store.close)
            return store

        yield open_another


@pytest.fixture
async def store(opened: Open) -> Store:
    return await opened()


def draft(native_id: str, *keys: str, uuid: str = "", **changes: Any) -> StationDraft:
    """A station with one EVSE for each key, each with a CCS connector."""
    readings = changes.pop("readings", ())
    station = Station(
        uuid=uuid,
        name=f"Station {native_id}",
        country=uuid[:3] or "FRA",
        latitude=48.8566,
        longitude=2.3522,
        evses=tuple(Evse(key, "", evse_id=key or None, party="FRABC") for key in keys),
        outlets=tuple(Outlet(index, CCS) for index in range(len(keys))),
        native_id=native_id,
    )
    return StationDraft(msgspec.structs.replace(station, **changes), readings)


def reading(status: Status, observed_at: int) -> Reading:
    return Reading("", status, error=status is Status.OUTOFORDER, observed_at=observed_at, raw=status.lower())


def key(key_id: str = "AAAAAAAAAA", **changes: Any) -> KeyRecord:
    record = KeyRecord(
        id=key_id,
        name="a reader",
        secret_sha256=bytes(range(32)),
        scopes=("stream",),
        operator=None,
        created_at=NOW,
        expires_at=None,
        revoked_at=None,
        last_used_at=None,
    )
    return msgspec.structs.replace(record, **changes)


async def stations(store: Store) -> dict[str, Station]:
    return {each.uuid: each for each in (await store.registry_since(0)).stations}


# -- registry ----------------------------------------------------------------------------------------------


async def test_a_store_exists_once_it_was_opened_and_asking_creates_none(opening: Opening) -> None:
    assert not await exists(opening)
    assert not await exists(opening)
    await (await open_stores(opening)).close()
    assert await exists(opening)


async def test_a_new_store_is_empty_at_revision_0(store: Store) -> None:
    assert await store.revision() == 0
    delta = await store.registry_since(0)
    assert (delta.revision, delta.stations, delta.readings) == (0, (), ())
    assert list(await store.operators()) == []
    assert list(await store.keys()) == []


async def test_a_new_store_may_be_opened_several_times_at_once(opened: Open) -> None:
    stores = await asyncio.gather(*(opened() for _ in range(4)))
    assert [await each.revision() for each in stores] == [0, 0, 0, 0]


async def test_what_is_imported_comes_back_word_for_word(store: Store, opened: Open) -> None:
    given = StationDraft(
        Station(
            uuid="NOR_01333",
            name="Tårnhuset «øst», 東京",
            country="NOR",
            latitude=59.129512345678,
            longitude=-11.27407,
            evses=(
                Evse("NOABCE1", "", evse_id="NO*ABC*E1", uid="7381cc78-a032", party="NOABC"),
                Evse("", "", uid=None),
            ),
            outlets=(Outlet(1, TYPE_2), Outlet(0, CCS), Outlet(1, CCS)),
            operator="Fjord 'Lading'",
            address='Gate "1"; --',
            city="Moss",
            native_id="1333",
        ),
        readings=((1, reading(Status.OUTOFORDER, 5)),),
    )
    report = await store.import_stations("nobil", [given], NOW, complete=True)
    assert (report.added, report.evses) == (("NOR_01333",), 2)
    expected = msgspec.structs.replace(
        given.station,
        register="nobil",
        evses=(
            msgspec.structs.replace(given.station.evses[0], station="NOR_01333", max_kw=150.0),
            Evse("NOR_01333_01", "NOR_01333", max_kw=150.0),
        ),
        outlets=tuple(Outlet(each.evse, completed(each.connector)) for each in given.station.outlets),
        told=fingerprint(given.station),
    )
    for each in (store, await opened()):
        delta = await each.registry_since(0)
        assert delta.stations == (expected,)
        assert delta.readings == (Reading("NOR_01333_01", Status.OUTOFORDER, True, 5, "outoforder"),)


async def test_a_dry_run_tells_what_an_import_would_do_and_changes_nothing(store: Store) -> None:
    before = [draft("a", "A"), draft("b", "B")]
    await store.import_stations("irve", before, NOW, complete=True)
    revision, known = await store.revision(), await store.registry_since(0)
    records: list[StationDraft | RecordRefusal] = [
        draft("a", "A", name="x"),
        draft("c", "C"),
        RecordRefusal("line 3", "no"),
    ]
    tried = await store.import_stations("irve", records, NOW, complete=True, dry_run=True)
    assert (len(tried.added), len(tried.changed), len(tried.vanished)) == (1, 1, 1)
    assert await store.revision() == revision
    assert await store.registry_since(0) == known
    assert await store.import_stations("irve", records, NOW, complete=True) == tried
    many = [draft(f"m{number}", f"M{number}") for number in range(300)]
    await store.import_stations("irve", many, NOW, complete=True)
    with pytest.raises(Conflict):
        await store.import_stations("irve", before, NOW, complete=True, dry_run=True)


async def test_an_import_says_what_was_odd_about_which_record(store: Store) -> None:
    odd = [
        msgspec.structs.replace(draft(f"o{place}", f"O{place}"), notes=("odd", "odder"))
        for place in range(600)
    ]
    report = await store.import_stations("irve", [draft("a", "A"), *odd], NOW, complete=True)
    assert report.notes_count == 1_200
    assert len(report.notes) == 1_000
    assert report.notes[:3] == (RecordNote("o0", "odd"), RecordNote("o0", "odder"), RecordNote("o1", "odd"))


async def test_a_revision_is_made_by_each_import_that_changes_something_and_by_no_other(store: Store) -> None:
    await store.import_stations("irve", [draft("a", "A"), draft("b", "B")], NOW, complete=True)
    assert await store.revision() == 1
    await store.import_stations("irve", [draft("a", "A"), draft("b", "B")], NOW, complete=True)
    await store.import_stations("irve", [RecordRefusal("line 1", "no")], NOW, complete=True)
    assert await store.revision() == 1
    report = await store.import_stations(
        "irve", [draft("a", "A", name="x"), draft("b", "B")], NOW, complete=True
    )
    assert (report.changed, report.unchanged) == (("FRA_00001",), 1)
    delta = await store.registry_since(1)
    assert delta.revision == 2
    assert [each.name for each in delta.stations] == ["x"]
    assert (await store.registry_since(2)).stations == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "another name"},
        {"latitude": 48.85661},
        {"operator": "somebody"},
        {"city": "Lyon"},
        {"outlets": (Outlet(0, Connector("IEC_62196_T2_COMBO", 151.0)),)},
        {"outlets": (Outlet(0, TYPE_2),)},
        {"outlets": (Outlet(0, CCS), Outlet(0, CCS))},
        {"evses": (Evse("A", "", evse_id="A", party="FRXYZ"),)},
    ],
)
async def test_a_station_has_changed_when_anything_of_it_is_another(
    store: Store, changes: dict[str, Any]
) -> None:
    await store.import_stations("irve", [draft("a", "A")], NOW, complete=True)
    report = await store.import_stations("irve", [draft("a", "A", **changes)], NOW, complete=True)
    assert report.changed == ("FRA_00001",)
    report = await store.import_stations("irve", [draft("a", "A", **changes)], NOW, complete=True)
    assert (report.changed, report.unchanged) == ((), 1)


async def test_uuids_are_allotted_by_country_and_kept_through_imports(store: Store) -> None:
    await store.import_stations("irve", [draft("a", "A"), draft("b", "B", country="MCO")], NOW, complete=True)
    await store.import_stations(
        "irve", [draft("c", "C"), draft("b", "B", country="MCO"), draft("a", "A2")], NOW, complete=True
    )
    await store.import_stations("ocpi", [draft("n", "N", country="NOR")], NOW, complete=True)
    found = await stations(store)
    assert {uuid: each.native_id for uuid, each in found.items()} == {
        "FRA_00001": "a",
        "FRA_00002": "c",
        "MCO_00001": "b",
        "NOR_900001": "n",
    }


async def test_a_station_that_its_register_lacks_vanishes_and_returns(store: Store) -> None:
    both = [draft("a", "A"), draft("b", "B")]
    await store.import_stations("irve", both, NOW, complete=True)
    await store.import_stations("ocpi", [draft("c", "C")], NOW, complete=True)
    report = await store.import_stations("irve", both[1:], NOW + 1, complete=True)
    assert (report.vanished, report.evses) == (("FRA_00001",), 1)
    delta = await store.registry_since(2)
    assert [(each.uuid, each.vanished_at) for each in delta.stations] == [("FRA_00001", NOW + 1)]
    assert [evse.key for evse in delta.stations[0].evses] == ["A"]
    report = await store.import_stations("irve", both[1:], NOW + 2, complete=True)
    assert report.vanished == ()
    report = await store.import_stations("irve", both, NOW + 3, complete=True)
    assert (report.returned, report.changed, report.evses) == (("FRA_00001",), (), 2)
    assert not any(each.vanished_at for each in (await stations(store)).values())


async def test_a_part_of_a_register_makes_nothing_vanish(store: Store) -> None:
    await store.import_stations("irve", [draft("a", "A"), draft("b", "B")], NOW, complete=True)
    report = await store.import_stations("irve", [draft("c", "C")], NOW, complete=False)
    assert (report.vanished, report.evses) == ((), 3)


async def test_more_than_half_of_a_register_vanishes_only_when_forced(store: Store) -> None:
    drafts = [draft(str(place), f"K{place}") for place in range(203)]
    await store.import_stations("irve", drafts, NOW, complete=True)
    with pytest.raises(Conflict, match="--force-removal"):
        await store.import_stations("irve", drafts[:101], NOW, complete=True)
    assert await store.revision() == 1
    report = await store.import_stations("irve", drafts[:101], NOW, complete=True, force_vanish=True)
    assert len(report.vanished) == 102


async def test_a_key_of_another_present_station_is_refused_and_costs_the_others_nothing(store: Store) -> None:
    await store.import_stations("irve", [draft("a", "K")], NOW, complete=True)
    report = await store.import_stations("ocpi", [draft("b", "K"), draft("c", "L")], NOW, complete=True)
    assert report.added == ("FRA_00003",)
    assert report.refused_count == 1
    assert report.refused[0].record == "b"
    assert "FRA_00001" in report.refused[0].reason


async def test_an_evse_that_moves_to_another_station_takes_its_reading_along(store: Store) -> None:
    read = ((0, reading(Status.CHARGING, 5)),)
    await store.import_stations(
        "irve", [draft("a", "K", "L", readings=read), draft("b", "M")], NOW, complete=True
    )
    await store.import_stations("irve", [draft("b", "M", "K"), draft("a", "L")], NOW, complete=True)
    delta = await store.registry_since(0)
    held = {evse.key: evse.station for each in delta.stations for evse in each.evses}
    assert held == {"K": "FRA_00002", "L": "FRA_00001", "M": "FRA_00002"}
    assert [each.evse for each in delta.readings] == ["K"]


async def test_an_evse_moves_away_from_a_station_that_has_vanished(store: Store) -> None:
    await store.import_stations("irve", [draft("a", "K", "L"), draft("b", "M")], NOW, complete=True)
    await store.import_stations("irve", [draft("b", "M")], NOW, complete=True)
    report = await store.import_stations("irve", [draft("b", "M", "K")], NOW, complete=True)
    assert (report.changed, report.refused) == (("FRA_00002",), ())
    delta = await store.registry_since(2)
    assert [(each.uuid, [evse.key for evse in each.evses]) for each in delta.stations] == [
        ("FRA_00001", ["L"]),
        ("FRA_00002", ["M", "K"]),
    ]


async def test_an_evse_that_is_gone_may_come_back_anywhere(store: Store) -> None:
    read = ((0, reading(Status.CHARGING, 5)),)
    await store.import_stations("irve", [draft("a", "K", "L", readings=read)], NOW, complete=True)
    await store.import_stations("irve", [draft("a", "L")], NOW, complete=True)
    assert (await store.registry_since(0)).readings == ()
    report = await store.import_stations("ocpi", [draft("b", "K")], NOW, complete=True)
    assert report.refused == ()


async def test_the_newest_reading_of_an_evse_is_kept(store: Store) -> None:
    async def read(status: Status, observed_at: int) -> list[tuple[Status, int]]:
        before = await store.revision()
        given = draft("a", "A", readings=((0, reading(status, observed_at)),))
        report = await store.import_stations("irve", [given], NOW, complete=True)
        assert report.changed == ()
        return [(each.status, each.observed_at) for each in (await store.registry_since(before)).readings]

    assert await read(Status.AVAILABLE, 1000) == [(Status.AVAILABLE, 1000)]
    assert await read(Status.AVAILABLE, 1000) == []
    assert await read(Status.CHARGING, 999) == []
    assert await read(Status.CHARGING, 1001) == [(Status.CHARGING, 1001)]
    assert await store.revision() == 2


async def test_a_register_that_breaks_off_changes_nothing(store: Store) -> None:
    await store.import_stations("irve", [draft("a", "A")], NOW, complete=True)

    def broken() -> Iterator[StationDraft]:
        yield draft("b", "B")
        raise InvalidRegister("cut off")

    with pytest.raises(InvalidRegister, match="cut off"):
        await store.import_stations("irve", broken(), NOW, complete=True)
    assert await store.revision() == 1
    assert list(await stations(store)) == ["FRA_00001"]


async def test_refusals_of_the_register_and_of_the_store_are_counted_together(store: Store) -> None:
    records: list[StationDraft | RecordRefusal] = [
        RecordRefusal("line 1", "no position"),
        draft("a", "A"),
        draft("b", "A"),
        draft("", "C"),
    ]
    report = await store.import_stations("irve", records, NOW, complete=True)
    assert [each.record for each in report.refused] == ["line 1", "record 4", "a"]
    assert report.refused_count == 3
    many = [RecordRefusal(f"line {line}", "no") for line in range(1_200)]
    report = await store.import_stations("irve", many, NOW, complete=False)
    assert (len(report.refused), report.refused_count) == (1_000, 1_200)


async def test_hostile_drafts_are_refused_one_by_one(store: Store) -> None:
    drafts = [
        draft("1", "A", name="N\0L"),
        draft("2", "B", latitude=float("nan")),
        draft("3", "C", name="\ud800"),
        draft("4", "D", readings=((0, reading(Status.AVAILABLE, 2**70)),)),
        draft("5", "'; DROP TABLE stations; --"),
    ]
    report = await store.import_stations("irve", drafts, NOW, complete=True)
    assert (report.refused_count, len(report.added)) == (4, 1)
    assert next(iter((await stations(store)).values())).evses[0].evse_id == "'; DROP TABLE stations; --"


async def test_thousands_of_stations_fit_in_one_import(store: Store) -> None:
    drafts = [draft(str(place), f"A{place}", f"B{place}", f"C{place}") for place in range(3_000)]
    report = await store.import_stations("irve", drafts, NOW, complete=True)
    assert (len(report.added), report.evses) == (3_000, 9_000)
    again = await store.import_stations("irve", drafts, NOW, complete=True)
    assert again.unchanged == 3_000
    assert len(await stations(store)) == 3_000


async def test_two_imports_at_once_leave_no_number_and_no_key_twice(store: Store, opened: Open) -> None:
    other = await opened()
    reports = await asyncio.gather(
        *(
            each.import_stations(
                name, [draft(f"{name}{place}", f"K{place}") for place in range(200)], NOW, complete=True
            )
            for each, name in ((store, "irve"), (other, "ocpi"))
        )
    )
    assert sorted(len(report.added) for report in reports) == [0, 200]
    assert sum(report.refused_count for report in reports) == 200
    assert await store.revision() == 1


# -- operators ---------------------------------------------------------------------------------------------


async def test_an_operator_is_added_then_replaced(store: Store, opened: Open) -> None:
    first = Operator("Acme", parties=("FRABC", "FRABD"), prefixes=("FRX",), stale_after_s=60)
    assert await store.put_operator(first, NOW)
    assert list(await store.operators()) == [first]
    second = Operator("Acme", all=True)
    assert not await store.put_operator(second, NOW + 1)
    assert await store.put_operator(Operator("Aaron", prefixes=("DE",)), NOW)
    assert list(await (await opened()).operators()) == [Operator("Aaron", prefixes=("DE",)), second]
    assert await store.revision() == 3


# -- keys --------------------------------------------------------------------------------------------------


async def test_an_operator_that_nothing_needs_is_removed(store: Store) -> None:
    await store.put_operator(Operator("acme", all=True), NOW)
    await store.put_operator(Operator("zeta", all=True), NOW)
    await store.put_key(key("AAAAAAAAAA", operator="acme", revoked_at=NOW))
    await store.put_key(key("BBBBBBBBBB", operator="acme", expires_at=NOW))
    await store.put_key(key("CCCCCCCCCC", operator="zeta"))
    revision = await store.revision()
    assert await store.remove_operator("acme", NOW) == OperatorUse()
    assert [each.name for each in await store.operators()] == ["zeta"]
    assert [each.id for each in await store.keys()] == ["CCCCCCCCCC"]
    assert await store.revision() == revision + 1
    with pytest.raises(NotFound):
        await store.remove_operator("acme", NOW)


async def test_an_operator_that_is_needed_stays_unless_all_that_needs_it_goes_with_it(
    points: Stores,
) -> None:
    await points.put_key(key("AAAAAAAAAA", operator="acme"))
    await points.put_key(key("BBBBBBBBBB", operator="acme", revoked_at=NOW))
    await points.put_charge_point(charge_point())
    await points.put_source(
        SourceRecord(
            name="s", operator="acme", protocol="irve", address="https://x", added_at=NOW, changed_at=NOW
        )
    )
    await points.peers.put(Peer(id="p", operator="acme", state="fixed", token_sha256=bytes(32), made_at=NOW))
    await points.peers.put_locations({("acme", "FR*ABC*L"): b"{}"}, NOW)
    revision = await points.revision()
    use = OperatorUse(keys=("AAAAAAAAAA",), sources=("s",), charge_points=("CP1",), peers=("p",))
    with pytest.raises(
        Conflict, match=r"1 key .AAAAAAAAAA., 1 source .s., 1 charge point .CP1., 1 OCPI peer"
    ):
        await points.remove_operator("acme", NOW)
    assert [each.name for each in await points.operators()] == ["acme"]
    assert await points.revision() == revision
    assert await points.remove_operator("acme", NOW, force=True) == use
    assert list(await points.operators()) == []
    assert list(await points.keys()) == []
    assert list(await points.sources()) == []
    assert list(await points.charge_points()) == []
    assert list(await points.peers.every()) == []
    assert list(await points.peers.locations("acme")) == []


async def test_a_key_comes_back_as_it_was_put(store: Store, opened: Open) -> None:
    await store.put_operator(Operator("Acme", all=True), NOW)
    full = key(
        scopes=("stream", "report"),
        operator="Acme",
        created_at=NOW + 1,
        expires_at=NOW + 2,
        revoked_at=NOW + 3,
        last_used_at=NOW + 4,
    )
    await store.put_key(full)
    await store.put_key(key("BBBBBBBBBB"))
    assert list(await (await opened()).keys()) == [key("BBBBBBBBBB"), full]
    assert await store.revision() == 3


async def test_a_key_that_its_holder_made_comes_back_with_what_was_said(store: Store, opened: Open) -> None:
    made = key(self_made=True, email="navn@blåbær.example", purpose="viser «ledige»", approved_at=NOW + 1)
    await store.put_key(made, self_made_max=1)
    assert list(await (await opened()).keys()) == [made]


async def test_a_key_that_waits_is_approved_once_and_others_stay_as_they_are(store: Store) -> None:
    await store.put_key(key(self_made=True))
    await store.put_key(key("BBBBBBBBBB"))
    for at in (NOW + 5, NOW + 9):
        await store.approve_key("AAAAAAAAAA", at)
        await store.approve_key("BBBBBBBBBB", at)
    assert list(await store.keys()) == [key(self_made=True, approved_at=NOW + 5), key("BBBBBBBBBB")]
    with pytest.raises(NotFound, match='"nobody"'):
        await store.approve_key("nobody", NOW)


@pytest.mark.parametrize("ended", [{"revoked_at": NOW}, {"expires_at": NOW}])
async def test_a_key_that_ended_cannot_be_approved(store: Store, ended: dict[str, Any]) -> None:
    await store.put_key(key(self_made=True, **ended))
    revision = await store.revision()
    with pytest.raises(Conflict, match="AAAAAAAAAA"):
        await store.approve_key("AAAAAAAAAA", NOW)
    assert await store.revision() == revision


async def test_there_are_no_more_keys_that_people_made_than_the_limit(store: Store) -> None:
    for name in "ABC":
        await store.put_key(key(name * 10, self_made=True, expires_at=NOW + 100), self_made_max=3)
    await store.put_key(key("F" * 10), self_made_max=None)
    more = key("D" * 10, self_made=True)
    with pytest.raises(TooManyRequests):
        await store.put_key(more, self_made_max=3)
    await store.revoke_key("B" * 10, NOW)
    await store.put_key(more, self_made_max=3)
    with pytest.raises(TooManyRequests):
        await store.put_key(key("E" * 10, self_made=True), self_made_max=3)
    # Those that have expired by then do not count.
    await store.put_key(key("E" * 10, self_made=True, created_at=NOW + 100), self_made_max=3)
    assert {each.id[0] for each in await store.keys()} == set("ABCDEF")


async def test_of_keys_that_people_made_and_that_ended_the_oldest_are_forgotten(store: Store) -> None:
    await store.put_key(key("F" * 10, revoked_at=NOW))
    for number in range(5):
        made = key(f"{number:010}", self_made=True, created_at=NOW + number, revoked_at=NOW + number)
        await store.put_key(made, self_made_max=2)
    kept = {each.id[-1] for each in await store.keys()}
    assert {"F", "4"} <= kept
    assert len(kept) <= 4


async def test_a_key_whose_id_is_taken_or_whose_operator_is_missing_is_refused(store: Store) -> None:
    await store.put_key(key())
    with pytest.raises(Conflict, match="AAAAAAAAAA"):
        await store.put_key(key(name="other"))
    with pytest.raises(NotFound, match="Nobody"):
        await store.put_key(key("BBBBBBBBBB", operator="Nobody"))
    assert list(await store.keys()) == [key()]
    assert await store.revision() == 1


async def test_a_key_is_revoked_once_and_for_good(store: Store) -> None:
    await store.put_key(key())
    await store.revoke_key("AAAAAAAAAA", NOW + 5)
    await store.revoke_key("AAAAAAAAAA", NOW + 9)
    assert [each.revoked_at for each in await store.keys()] == [NOW + 5]
    with pytest.raises(NotFound, match='"nobody"'):
        await store.revoke_key("nobody", NOW)


async def test_a_key_that_is_erased_is_gone_and_others_stay(store: Store) -> None:
    await store.put_key(key(self_made=True))
    await store.put_key(key("B" * 10))
    before = await store.revision()
    await store.erase_key("AAAAAAAAAA")
    assert [each.id for each in await store.keys()] == ["B" * 10]
    assert await store.revision() > before
    with pytest.raises(NotFound, match='"AAAAAAAAAA"'):
        await store.erase_key("AAAAAAAAAA")


async def test_expiry_is_brought_forward_and_never_back(store: Store) -> None:
    await store.put_key(key())
    for expires_at, expected in ((NOW + 9, NOW + 9), (NOW + 5, NOW + 5), (NOW + 7, NOW + 5)):
        await store.expire_key("AAAAAAAAAA", expires_at)
        assert [each.expires_at for each in await store.keys()] == [expected]
    with pytest.raises(NotFound):
        await store.expire_key("nobody", NOW)


async def test_use_is_noted_to_the_minute_and_is_no_revision(store: Store) -> None:
    await store.put_key(key())
    await store.put_key(key("BBBBBBBBBB"))
    minute = NOW - NOW % 60_000
    for used, expected in (
        (minute + 59_999, minute),
        (minute - 1, minute),
        (minute + 60_000, minute + 60_000),
    ):
        await store.touch_keys({"AAAAAAAAAA": used, "gone": used})
        assert [each.last_used_at for each in await store.keys()] == [expected, None]
    await store.touch_keys({})
    assert await store.revision() == 2


async def test_a_store_learns_what_another_one_wrote(store: Store, opened: Open) -> None:
    other = await opened()
    assert await store.revision() == 0
    await other.put_operator(Operator("Acme", all=True), NOW)
    await other.import_stations("irve", [draft("a", "A")], NOW, complete=True)
    assert await store.revision() == 2
    assert [each.uuid for each in (await store.registry_since(0)).stations] == ["FRA_00001"]


# -- charge points -----------------------------------------------------------------------------------------


def charge_point(name: str = "CP1", **changes: Any) -> ChargePoint:
    point = ChargePoint(
        id=name,
        operator="acme",
        station="FRA_00001",
        evses=(),
        secret_sha256=bytes(range(32)),
        added_at=NOW,
        last_seen_at=None,
    )
    return msgspec.structs.replace(point, **changes)


@pytest.fixture
async def points(opened: Open) -> Stores:
    """A store with an operator, and a station of two EVSEs."""
    found = await opened()
    await found.put_operator(Operator("acme", all=True), NOW)
    await found.import_stations("irve", [draft("a", "FRABCE1", "FRABCE2")], NOW, complete=True)
    return found


async def test_a_charge_point_comes_back_with_its_evses_by_their_keys(points: Stores) -> None:
    revision = await points.revision()
    given = charge_point("CP*2 å", evses=((1, "fr*abc*e2"), (7, "FRABCE1")))
    put = await points.put_charge_point(given)
    assert put.evses == ((1, "FRABCE2"), (7, "FRABCE1"))
    await points.put_charge_point(charge_point("CP*1"))
    assert await points.charge_points() == [charge_point("CP*1"), put]
    assert await points.revision() == revision + 2


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"operator": "nobody"}, NotFound),
        ({"station": "FRA_00009"}, NotFound),
        ({"evses": ((1, "FRABCE3"),)}, BadRequest),
    ],
)
async def test_a_charge_point_needs_what_it_names(
    points: Stores, changes: dict[str, Any], error: type[Exception]
) -> None:
    revision = await points.revision()
    with pytest.raises(error):
        await points.put_charge_point(charge_point(**changes))
    assert list(await points.charge_points()) == []
    assert await points.revision() == revision


async def test_an_id_is_one_charge_points(points: Stores) -> None:
    await points.put_charge_point(charge_point())
    with pytest.raises(Conflict):
        await points.put_charge_point(charge_point())


async def test_a_charge_point_gets_another_password_or_goes(points: Stores) -> None:
    await points.put_charge_point(charge_point())
    revision = await points.revision()
    await points.rotate_charge_point("CP1", bytes(32))
    assert [each.secret_sha256 for each in await points.charge_points()] == [bytes(32)]
    await points.remove_charge_point("CP1")
    assert list(await points.charge_points()) == []
    assert await points.revision() == revision + 2
    for missing in (points.rotate_charge_point("CP1", bytes(32)), points.remove_charge_point("CP1")):
        with pytest.raises(NotFound):
            await missing


async def test_when_a_charge_point_was_there_is_noted_to_the_minute_and_is_no_revision(
    points: Stores,
) -> None:
    await points.put_charge_point(charge_point())
    revision = await points.revision()
    await points.touch_charge_points({})
    await points.touch_charge_points({"CP1": NOW + 61_234, "gone": NOW})
    await points.touch_charge_points({"CP1": NOW})
    (found,) = await points.charge_points()
    assert found.last_seen_at == (NOW + 61_234) // 60_000 * 60_000
    assert await points.revision() == revision

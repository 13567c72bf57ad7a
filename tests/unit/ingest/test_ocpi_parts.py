"""What the OCPI server is made of: the store of Locations, calls to peers, stations into the registry."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import pytest
from tests.building import NOW, make_operator, make_report, make_station
from tests.e2e.peers.ocpi_sender import OcpiSender
from tests.patience import come_true, turns

from ladestrom import tasks
from ladestrom.config import Settings
from ladestrom.core.directory import Directory
from ladestrom.core.drafts import fingerprint
from ladestrom.errors import NotReady, SourceFailure, TooLarge
from ladestrom.ingest import location_store
from ladestrom.ingest.location_store import LocationStore
from ladestrom.ingest.ocpi_calls import calls
from ladestrom.ingest.ocpi_peers import reconciled
from ladestrom.ingest.registrar import STATIONS_PER_LOOK, Registrar
from ladestrom.model import Status
from ladestrom.ports.calls import Answered, Ask
from ladestrom.ports.peers import Peer
from ladestrom.ports.registry import ImportReport, RecordRefusal, StationDraft
from ladestrom.protocols.delivery import Delivery
from ladestrom.protocols.ocpi_pull import WHOLE_EVERY_S
from ladestrom.protocols.ocpi_records import LOOKS_AT_ONCE

KEY = ("abc", "NO*ABC*LOC1")


class Kept:
    """Locations in memory; each write waits for the gate, and fails where it is told to."""

    def __init__(self) -> None:
        self.documents: dict[tuple[str, str], bytes] = {}
        self.batches: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fails = False

    async def location(self, operator: str, location_id: str) -> bytes | None:
        return self.documents.get((operator, location_id))

    async def locations(
        self, operator: str, after: str = "", count_max: int = 1_000
    ) -> list[tuple[str, bytes]]:
        found = sorted((key[1], document) for key, document in self.documents.items() if key[0] == operator)
        return [each for each in found if each[0] > after][:count_max]

    async def some_locations(self, operator: str, location_ids: Sequence[str]) -> dict[str, bytes]:
        keys = [(operator, each) for each in location_ids]
        return {key[1]: self.documents[key] for key in keys if key in self.documents}

    async def stored_bytes(self, operator: str) -> int:
        return sum(len(document) for key, document in self.documents.items() if key[0] == operator)

    async def put_locations(self, documents: Mapping[tuple[str, str], bytes], now: int) -> None:
        await self.gate.wait()
        if self.fails:
            raise NotReady("the store cannot be written now")
        self.batches.append(len(documents))
        self.documents.update(documents)


def store_of(kept: Any) -> LocationStore:
    return LocationStore(kept, Directory(), lambda: NOW)


def dated(day: int, name: str = "Torget", **members: object) -> bytes:
    """A Location that was updated on a day of November."""
    return json.dumps({"name": name, **members, "last_updated": f"2026-11-{day:02}T10:00:00Z"}).encode()


def pulled(**documents: bytes) -> Delivery:
    return Delivery(reports=[], documents=documents)


class TestPulled:
    async def test_what_was_pulled_is_kept_beside_what_was_put(self) -> None:
        kept = Kept()
        await store_of(kept).pulled(make_operator(), pulled(A=dated(1), B=dated(2)))
        assert kept.documents == {("abc", "A"): dated(1), ("abc", "B"): dated(2)}
        async with store_of(kept).held(("abc", "A")) as document:
            assert document == dated(1)

    @pytest.mark.parametrize(
        ("document", "is_kept"),
        [
            (dated(3, "New"), True),
            (dated(2, "New"), True),
            (dated(1, "Old"), False),
            (b'{"name":"Undated"}', True),
            (dated(3), False),
        ],
        ids=["newer", "as old", "older", "undated", "nothing but its time"],
    )
    async def test_what_is_older_or_no_news_is_not_kept(self, document: bytes, is_kept: bool) -> None:
        kept = Kept()
        kept.documents["abc", "A"] = dated(2)
        await store_of(kept).pulled(make_operator(), pulled(A=document))
        assert (kept.documents["abc", "A"] == document) is is_kept
        assert bool(kept.batches) is is_kept

    async def test_who_changes_a_location_meanwhile_is_waited_for(self) -> None:
        kept = Kept()
        store = store_of(kept)
        async with store.held(("abc", "A")) as before:
            task = asyncio.create_task(store.pulled(make_operator(), pulled(A=dated(1, "Old"))))
            for _ in range(5):
                await asyncio.sleep(0)
            await store.put(("abc", "A"), dated(2), before)
        await task
        assert kept.documents["abc", "A"] == dated(2)

    async def test_an_operator_that_has_stored_enough_is_no_failure_of_its_source(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(location_store, "OPERATOR_BYTES_MAX", len(dated(1)))
        kept = Kept()
        await store_of(kept).pulled(make_operator(), pulled(A=dated(1), B=dated(2), C=dated(3)))
        assert kept.documents == {("abc", "A"): dated(1)}

    async def test_what_cannot_be_stored_now_is_not_taken(self) -> None:
        kept = Kept()
        kept.fails = True
        with pytest.raises(NotReady):
            await store_of(kept).pulled(make_operator(), pulled(A=dated(1)))

    async def test_a_large_page_is_gone_through_in_turns_with_others(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tasks, "TURN_S", 0)
        count = 10 * LOOKS_AT_ONCE
        reports = [make_report(f"NO*ABC*E{each}") for each in range(count)]
        removed = [make_report(f"NO*ABC*F{each}", Status.REMOVED) for each in range(count)]
        store, kept = store_of(Kept()), Kept()
        records = await store.records("abc")
        for delivery, least in (
            (Delivery(reports=reports), 10),
            (Delivery(reports=[*reports, *removed]), 50),
            (Delivery(reports=[], left=[(each.evse, "", "") for each in removed]), 10),
        ):
            settling = asyncio.create_task(store.settled(records, make_operator(), delivery))
            assert await turns(settling) >= least
            assert settling.result().reports == delivery.reports
        documents = {f"L{each}": dated(1, f"{each}") for each in range(30)}
        pulling = asyncio.create_task(
            store_of(kept).pulled(make_operator(), Delivery(reports=[], documents=documents))
        )
        assert await turns(pulling) >= len(documents)

    async def test_what_lists_an_evse_is_known_from_all_that_is_stored(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(location_store, "READ_AT_ONCE_MAX", 1)
        kept = Kept()
        for name in ("A", "B", "C"):
            kept.documents["abc", name] = dated(1, evses=[{"uid": "1", "evse_id": f"NO*ABC*E{name}"}])
        records = await store_of(kept).records("abc")
        assert all(records.is_listed(f"NOABCE{name}") for name in "ABC")


class TestLocationStore:
    async def test_what_was_put_is_durable_and_given_back(self) -> None:
        kept = Kept()
        store = store_of(kept)
        async with store.held(KEY) as before:
            assert before is None
            await store.put(KEY, b"{}", before)
        assert kept.documents == {KEY: b"{}"}
        async with store_of(kept).held(KEY) as document:
            assert document == b"{}"

    async def test_what_waits_is_written_in_one(self) -> None:
        kept = Kept()
        store = store_of(kept)
        kept.gate.clear()
        putting = [asyncio.create_task(store.put(("abc", str(number)), b"{}", None)) for number in range(10)]
        for _ in range(5):
            await asyncio.sleep(0)
        kept.gate.set()
        await asyncio.gather(*putting)
        assert sum(kept.batches) == 10
        assert len(kept.batches) <= 2

    async def test_changes_of_one_location_come_one_after_the_other(self) -> None:
        kept = Kept()
        store = store_of(kept)

        async def grow() -> None:
            async with store.held(KEY) as before:
                await store.put(KEY, (before or b"") + b"x", before)

        await asyncio.gather(*(grow() for _ in range(20)))
        assert kept.documents[KEY] == b"x" * 20

    async def test_a_failed_write_leaves_what_was_there(self) -> None:
        kept = Kept()
        store = store_of(kept)
        await store.put(KEY, b"1", None)
        kept.fails = True
        with pytest.raises(NotReady):
            await store.put(KEY, b"2", b"1")
        assert await store.get(KEY) == b"1"
        kept.fails = False
        await store.put(KEY, b"3", b"1")
        assert kept.documents[KEY] == b"3"

    async def test_a_defect_of_ours_leaves_nobody_waiting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(location_store, "BATCH_DOCUMENTS_MAX", 1)
        kept = Kept()

        async def wrong(*_: Any) -> None:
            await kept.gate.wait()
            raise ValueError("a defect")

        monkeypatch.setattr(kept, "put_locations", wrong)
        store = store_of(kept)
        kept.gate.clear()
        putting = [asyncio.create_task(store.put(("abc", str(number)), b"{}", None)) for number in range(3)]
        for _ in range(5):
            await asyncio.sleep(0)
        kept.gate.set()
        for each in putting:
            with pytest.raises(NotReady):
                await each

    async def test_an_operator_stores_so_much_and_no_more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(location_store, "OPERATOR_BYTES_MAX", 10)
        store = store_of(Kept())
        await store.put(KEY, b"x" * 10, None)
        with pytest.raises(TooLarge):
            await store.put(("abc", "2"), b"x", None)
        await store.put(KEY, b"x", b"x" * 10)
        await store.put(("abc", "2"), b"x", None)

    async def test_memory_holds_so_much_and_no_more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(location_store, "CACHE_BYTES_MAX", 10)
        kept = Kept()
        store = store_of(kept)
        for number in range(5):
            await store.put(("abc", str(number)), b"x" * 4, None)
        assert len(store._cache) == 2
        assert await store.get(("abc", "0")) == b"x" * 4


def asking(url: str) -> Generator[Ask, Answered, Answered]:
    return (yield Ask(url))


class TestCalls:
    @pytest.mark.parametrize(
        "url", ["http://193.0.0.1/", "https://127.0.0.1/", "https://localhost/", "https://[::1]/"]
    )
    async def test_other_addresses_are_not_called(self, url: str) -> None:
        with pytest.raises(SourceFailure):
            await calls(lambda: NOW).run(asking(url))

    async def test_an_answer_that_does_not_come_is_a_failure(self) -> None:
        with pytest.raises(SourceFailure):
            await calls(lambda: NOW, anywhere=True).run(asking("http://127.0.0.1:9/"))

    async def test_an_answer_comes_back(self) -> None:
        with OcpiSender() as peer:
            found = await calls(lambda: NOW, anywhere=True).run(asking(peer.versions_url))
        assert (found.status, found.received_at) == (200, NOW)


class Store:
    """Notes what is imported; a report of an import that took all."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self.imports: list[tuple[str, list[str]]] = []
        self.fails = False

    async def import_stations(
        self, register: str, records: Iterable[StationDraft | RecordRefusal], now: int, **_: Any
    ) -> ImportReport:
        if self.fails:
            raise NotReady("the store cannot be written now")
        drafts = [each for each in records if isinstance(each, StationDraft)]
        self.imports.append((register, [each.station.native_id for each in drafts]))
        for number, each in enumerate(drafts):
            own = each.station
            uuid = f"NOR_{len(self.imports) * 100 + number:05d}"
            evses = tuple(msgspec.structs.replace(evse, station=uuid) for evse in own.evses)
            told = fingerprint(own)
            station = msgspec.structs.replace(own, uuid=uuid, register=register, evses=evses, told=told)
            self.directory.put(station)
        return ImportReport((), (), 0, (), (), (), 0, 0)


def drafted(number: int, party: str = "NOABC", **members: Any) -> StationDraft:
    """A station as a protocol describes it."""
    made = make_station(f"NOR_{number:05d}", native_id=f"L{number}", register="ocpi", **members)
    evses = tuple(msgspec.structs.replace(evse, station="", party=party) for evse in made.evses)
    return StationDraft(msgspec.structs.replace(made, uuid="", evses=evses))


class TestRegistrar:
    OPERATOR = make_operator(may_register=True)

    @pytest.fixture
    def parts(self) -> tuple[Registrar, Store]:
        directory = Directory()
        store: Any = Store(directory)

        async def refresh() -> None:
            await asyncio.sleep(0)

        return Registrar(store, directory, refresh, lambda: NOW), store

    def delivery(self, *stations: StationDraft | RecordRefusal, **members: Any) -> Delivery:
        given: dict[str, Any] = {"reports": [], "stations": list(stations), **members}
        return Delivery(**given)

    async def test_each_operator_has_a_register_of_its_own(self, parts: tuple[Registrar, Store]) -> None:
        registrar, store = parts
        await registrar.register(self.OPERATOR, self.delivery(drafted(1)))
        assert store.imports == [("ocpi:abc", ["L1"])]

    async def test_what_is_there_already_is_not_written_again(self, parts: tuple[Registrar, Store]) -> None:
        registrar, store = parts
        for _ in range(2):
            await registrar.register(self.OPERATOR, self.delivery(drafted(1)))
        await registrar.register(self.OPERATOR, self.delivery(drafted(1, name="Another")))
        assert [names for _, names in store.imports] == [["L1"], ["L1"]]

    async def test_stations_of_others_and_what_was_refused_are_left_out(
        self, parts: tuple[Registrar, Store]
    ) -> None:
        registrar, store = parts
        refused = RecordRefusal("L3", "no position")
        await registrar.register(self.OPERATOR, self.delivery(drafted(1, "SEBET"), refused, drafted(2)))
        assert store.imports == [("ocpi:abc", ["L2"])]

    async def test_a_station_that_shows_nothing_matters_only_where_it_is_known(
        self, parts: tuple[Registrar, Store]
    ) -> None:
        registrar, store = parts
        empty = drafted(1, evses=(), outlets=())
        await registrar.register(self.OPERATOR, self.delivery(empty))
        assert store.imports == []
        await registrar.register(self.OPERATOR, self.delivery(drafted(1)))
        key = drafted(1).station.evses[0].key
        await registrar.register(self.OPERATOR, self.delivery(empty, unknown=[key]))
        await registrar.register(self.OPERATOR, self.delivery(empty, reports=[make_report(key)]))
        assert len(store.imports) >= 2

    async def test_an_import_that_waited_is_held_against_the_rights_that_hold_then(self) -> None:
        directory = Directory()
        store: Any = Store(directory)
        rights = {"abc": self.OPERATOR}
        held = asyncio.Event()

        async def refresh() -> None:
            await held.wait()

        registrar = Registrar(store, directory, refresh, lambda: NOW, lambda operator: rights[operator.name])
        first = asyncio.create_task(registrar.register(self.OPERATOR, self.delivery(drafted(1))))
        await come_true(lambda: bool(store.imports))
        second = asyncio.create_task(registrar.register(self.OPERATOR, self.delivery(drafted(2))))
        await asyncio.sleep(0)
        rights["abc"] = make_operator()
        held.set()
        await asyncio.gather(first, second)
        assert store.imports == [("ocpi:abc", ["L1"])]

    async def test_deliveries_that_wait_share_an_import(self, parts: tuple[Registrar, Store]) -> None:
        registrar, store = parts
        await asyncio.gather(
            *(registrar.register(self.OPERATOR, self.delivery(drafted(number))) for number in range(1, 20))
        )
        assert sum(len(names) for _, names in store.imports) == 19
        assert len(store.imports) <= 2

    async def test_while_many_stations_are_looked_at_others_have_their_turn(
        self, parts: tuple[Registrar, Store], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tasks, "TURN_S", 0)
        registrar, store = parts
        drafts = [drafted(number) for number in range(1, 1 + 10 * STATIONS_PER_LOOK)]
        registering = asyncio.create_task(registrar.register(self.OPERATOR, self.delivery(*drafts)))
        # They are looked at once more when they are imported.
        assert await turns(registering) >= 20
        assert len(store.imports[0][1]) == len(drafts)

    async def test_of_two_deliveries_that_describe_a_station_the_later_is_the_newer(
        self, parts: tuple[Registrar, Store], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tasks, "TURN_S", 0)
        registrar, store = parts
        many = [drafted(number, name="Old") for number in range(1, 1 + 10 * STATIONS_PER_LOOK)]
        await asyncio.gather(
            registrar.register(self.OPERATOR, self.delivery(*many)),
            registrar.register(self.OPERATOR, self.delivery(drafted(1, name="New"))),
        )
        found = store.directory.described("ocpi:abc", "L1")
        assert found is not None
        assert found.name == "New"

    async def test_a_store_that_cannot_be_written_costs_no_status(
        self, parts: tuple[Registrar, Store]
    ) -> None:
        registrar, store = parts
        store.fails = True
        await registrar.register(self.OPERATOR, self.delivery(drafted(1)))
        assert store.imports == []


def registered(**changes: Any) -> Peer:
    peer = Peer(
        id="p1",
        operator="abc",
        state="registered",
        token_sha256=b"",
        made_at=NOW,
        their_token="t",
        version="2.1.1",
        endpoints=(("locations", "", "https://p.example/l"),),
        roles=(("", "NOABC", ""),),
    )
    return msgspec.structs.replace(peer, **changes)


def names(peers: Sequence[Peer], every_s: int = 60) -> list[str]:
    return [source.name for source in reconciled(peers, every_s, anywhere=False)]


def test_only_registered_peers_that_can_be_asked_are_asked() -> None:
    others = [registered(state="invited"), registered(endpoints=()), registered(their_token=None)]
    assert names([registered(), *others]) == ["ocpi:p1"]
    assert names([registered()], 0) == []


def test_a_peer_is_asked_for_everything_on_the_public_network_only() -> None:
    (source,) = reconciled([registered()], 60, anywhere=False)
    asked = {"whole_every_s": "0", "to": "NOABC"}
    assert source.options == asked | {"public_only": "yes", "party": "NOABC", "version": "2.1.1"}
    (source,) = reconciled([registered(version="2.2.1")], 60, anywhere=True)
    assert source.options == asked | {"anywhere": "yes", "version": "2.2.1"}


def test_by_default_everything_is_asked_for_twice_before_what_did_not_change_expires() -> None:
    settings = Settings()
    assert 2 * settings.ocpi.reconcile_s <= settings.rules.stale_after_s
    assert settings.rules.stale_after_s >= 2 * WHOLE_EVERY_S, "of a source that is polled"

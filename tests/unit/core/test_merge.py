from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ladestrom.core import merge
from ladestrom.errors import Conflict
from ladestrom.model import NEVER, Connector, Evse, Operator, Outlet, Station
from ladestrom.ports.registry import RecordRefusal, StationDraft

CCS = Connector("IEC_62196_T2_COMBO", 150.0)


def draft(
    native_id: str,
    keys: Sequence[str],
    *,
    uuid: str = "",
    name: str = "",
    country: str = "FRA",
    updated_at: int = NEVER,
) -> StationDraft:
    return StationDraft(
        Station(
            uuid=uuid,
            name=name or native_id,
            country=country,
            latitude=48.0,
            longitude=2.0,
            evses=tuple(Evse(key, "") for key in keys),
            outlets=tuple(Outlet(index, CCS) for index in range(len(keys))),
            native_id=native_id,
        ),
        updated_at=updated_at,
    )


class Register:
    """The plainest store: it does with every settlement what a database does, in a dict."""

    def __init__(self, **parties: Sequence[str]) -> None:
        """Operators whose stations are in `ocpi:NAME`, and their parties."""
        self.owners = {
            f"ocpi:{name}": Operator(name, parties=tuple(own), may_register=True)
            for name, own in parties.items()
        }
        self.stations: dict[str, Station] = {}
        self.numbers: dict[str, int] = {}
        self.refused: tuple[RecordRefusal, ...] = ()
        self.gone: tuple[str, ...] = ()

    def holders(self) -> dict[str, merge.Holder]:
        return {
            evse.key: merge.Holder(station.uuid, station.vanished_at is not None, station.register)
            for station in self.stations.values()
            for evse in station.evses
        }

    def take(
        self,
        drafts: Iterable[StationDraft | RecordRefusal],
        register: str = "irve",
        *,
        complete: bool = True,
        force: bool = False,
        room: float = math.inf,
    ) -> merge.Settlement:
        gathered = merge.gather(drafts)
        ids, uuids = gathered.native_ids(), gathered.uuids()
        known = [
            each
            for each in self.stations.values()
            if each.uuid in uuids or (each.register == register and each.native_id in ids)
        ]
        named = merge.name(register, gathered, known, self.numbers, room)
        present = {
            uuid: each.native_id
            for uuid, each in self.stations.items()
            if each.register == register and each.vanished_at is None
        }
        wanted = named.keys()
        holders = {key: holder for key, holder in self.holders().items() if key in wanted}
        gone = merge.vanishing(register, named, present, holders, force=force) if complete else ()
        accepted = merge.claim(register, named, holders, gone, self.owners)
        settlement = merge.settle(accepted, holders, self.numbers)
        for station in (*settlement.added, *settlement.written.values()):
            self.stations[station.uuid] = station
        for uuid in gone:
            self.stations[uuid] = msgspec.structs.replace(self.stations[uuid], vanished_at=1)
        for uuid, keys in settlement.stripped.items():
            self.stations[uuid] = merge.stripped(self.stations[uuid], keys)
        self.numbers.update(settlement.numbers)
        self.refused = gathered.refused + accepted.refused
        self.gone = gone
        return settlement

    def keys(self, uuid: str) -> list[str]:
        return [evse.key for evse in self.stations[uuid].evses]


# -- uuids -------------------------------------------------------------------------------------------------


def test_stations_without_uuid_get_numbers_of_their_country_in_the_registers_order() -> None:
    register = Register()
    register.take([draft("b", ["B"]), draft("a", ["A"]), draft("m", ["M"], country="MCO")])
    assert {uuid: each.native_id for uuid, each in register.stations.items()} == {
        "FRA_00001": "b",
        "FRA_00002": "a",
        "MCO_00001": "m",
    }


def test_a_station_keeps_its_uuid_as_long_as_its_register_keeps_its_id() -> None:
    register = Register()
    register.take([draft("a", ["A"]), draft("b", ["B"])])
    register.take([draft("b", ["B2"]), draft("c", ["C"]), draft("a", ["A"], country="MCO")])
    assert {each.native_id: uuid for uuid, each in register.stations.items()} == {
        "a": "FRA_00001",
        "b": "FRA_00002",
        "c": "FRA_00003",
    }


def test_the_same_id_in_two_registers_is_two_stations() -> None:
    register = Register()
    register.take([draft("a", ["A"])], "irve")
    register.take([draft("a", ["B"])], "ocpi")
    assert sorted(register.stations) == ["FRA_00001", "FRA_00002"]


@pytest.mark.parametrize("country", ["NOR", "SWE", "FIN", "DAN", "ISL"])
def test_where_nobil_gives_out_uuids_ours_begin_at_900001(country: str) -> None:
    register = Register()
    register.take(
        [draft("x", ["X"], uuid=f"{country}_01333", country=country), draft("y", ["Y"], country=country)]
    )
    assert sorted(register.stations) == [f"{country}_01333", f"{country}_900001"]


def test_a_number_that_a_register_brought_is_not_given_out_again() -> None:
    register = Register()
    register.take([draft("y", ["Y"]), draft("x", ["X"], uuid="FRA_00001")])
    assert {each.native_id: uuid for uuid, each in register.stations.items()} == {
        "y": "FRA_00002",
        "x": "FRA_00001",
    }
    register.take([draft("z", ["Z"])], "ocpi")
    assert "FRA_00003" in register.stations


def test_a_refused_station_uses_no_number_up() -> None:
    register = Register()
    register.take([draft("a", ["A"])])
    for _ in range(3):
        register.take([draft("a", ["A"]), draft("b", ["A"])])
    register.take([draft("a", ["A"]), draft("b", ["B"])])
    assert sorted(register.stations) == ["FRA_00001", "FRA_00002"]


def test_a_uuid_of_another_register_is_refused() -> None:
    register = Register()
    register.take([draft("a", ["A"], uuid="NOR_00001")], "nobil")
    register.take([draft("a", ["B"], uuid="NOR_00001")], "ocpi")
    assert [each.reason for each in register.refused] == ["NOR_00001 is a station of the register nobil"]
    assert register.keys("NOR_00001") == ["A"]


def test_of_two_records_of_one_station_the_first_counts() -> None:
    register = Register()
    register.take([draft("a", ["A"]), draft("a", ["B"]), draft("c", ["C"], uuid="NOR_00001")])
    register.take(
        [draft("a", ["A"]), draft("c", ["C"], uuid="NOR_00001"), draft("d", ["D"], uuid="NOR_00001")]
    )
    assert [each.record for each in register.refused] == ["d"]
    assert "stands in the register before" in register.refused[0].reason
    assert register.keys("FRA_00001") == ["A"]


@pytest.mark.parametrize("order", [1, -1])
def test_a_record_without_uuid_is_the_station_of_the_record_with_its_id_and_a_uuid(order: int) -> None:
    register = Register()
    register.take([draft("a", ["A"], uuid="FRA_00007"), draft("a", ["A"])][::order])
    assert list(register.stations) == ["FRA_00007"]
    assert [each.record for each in register.refused] == ["a"]


def test_an_evse_that_stands_twice_in_a_station_is_refused() -> None:
    register = Register()
    register.take([draft("a", ["FR*A", "fra"])])
    assert [each.reason for each in register.refused] == ["its EVSE FRA stands in it twice"]


def test_a_record_without_any_id_is_named_by_its_place() -> None:
    register = Register()
    register.take([draft("a", ["A"]), draft("", ["B"])])
    assert [each.record for each in register.refused] == ["record 2"]


# -- EVSE keys ---------------------------------------------------------------------------------------------


def test_an_evse_of_another_register_stays_there_and_costs_its_station_nothing_else() -> None:
    register = Register()
    register.take([draft("a", ["K"])], "irve")
    register.take([draft("b", ["K", "L"]), draft("c", ["M"])], "datex")
    assert register.refused == ()
    assert register.keys("FRA_00001") == ["K"]
    assert register.keys("FRA_00002") == ["L"]
    assert [outlet.evse for outlet in register.stations["FRA_00002"].outlets] == [0]


def test_a_new_station_all_of_whose_evses_are_elsewhere_is_refused_and_their_holder_named() -> None:
    register = Register()
    register.take([draft("a", ["K"])], "irve")
    register.take([draft("b", ["K"])], "datex")
    assert register.refused == (
        RecordRefusal("b", "its EVSE K belongs to FRA_00001; one EVSE cannot be at two stations"),
    )


def test_the_operators_own_description_takes_its_evses_from_other_registers_whoever_was_first() -> None:
    register = Register(abc=("FRABC",), hub=())
    register.take([draft("a", ["FRABCE1", "FRXYZE1"])], "nobil")
    register.take([draft("h", ["FRABCE2"])], "ocpi:hub")
    register.take([draft("o", ["FRABCE1", "FRABCE2", "FRXYZE1"])], "ocpi:abc")
    assert register.keys("FRA_00001") == ["FRXYZE1"]
    assert register.keys("FRA_00002") == []
    assert register.keys("FRA_00003") == ["FRABCE1", "FRABCE2"]
    register.take([draft("a", ["FRABCE1", "FRXYZE1"], name="changed")], "nobil")
    register.take([draft("h", ["FRABCE2"], name="changed")], "ocpi:hub")
    assert register.refused == ()
    assert register.keys("FRA_00003") == ["FRABCE1", "FRABCE2"]


def test_of_two_operators_with_the_same_party_the_one_that_had_an_evse_keeps_it() -> None:
    register = Register(abc=("FRABC",), own=("FRABC",))
    register.take([draft("a", ["FRABCE1"])], "ocpi:abc")
    register.take([draft("b", ["FRABCE1", "FRABCE2"])], "ocpi:own")
    assert register.keys("FRA_00001") == ["FRABCE1"]
    assert register.keys("FRA_00002") == ["FRABCE2"]


def test_an_operators_own_ids_in_digits_are_those_of_its_prefixes() -> None:
    register = Register(own=(), other=())
    register.owners["ocpi:own"] = Operator("own", prefixes=("49810",), may_register=True)
    register.take([draft("a", ["49810000438"])], "nobil")
    register.take([draft("o", ["49810000438"])], "ocpi:own")
    assert register.holders()["49810000438"].register == "ocpi:own"
    register.take([draft("a", ["49810000438"], name="changed")], "nobil")
    register.take([draft("x", ["49810000438"])], "ocpi:other")
    assert register.holders()["49810000438"].register == "ocpi:own"


@pytest.mark.parametrize("has_left", [False, True], ids=["rights taken away", "removed"])
def test_an_operator_that_has_no_right_to_an_id_any_more_keeps_it_from_no_register(has_left: bool) -> None:
    register = Register(evil=("FRABC", "FREVL"))
    register.take([draft("e", ["FRABCE1", "FREVLE1"])], "ocpi:evil")
    if has_left:
        del register.owners["ocpi:evil"]
    else:
        register.owners["ocpi:evil"] = Operator("evil", parties=("FREVL",), may_register=True)
    register.take([draft("a", ["FRABCE1"])], "irve")
    assert register.refused == ()
    assert (register.keys("FRA_00001"), register.keys("FRA_00002")) == (["FREVLE1"], ["FRABCE1"])
    register.take([draft("e", ["FRABCE1", "FREVLE1"], name="again")], "ocpi:evil")
    assert register.keys("FRA_00002") == ["FRABCE1"], "and it does not take it back"


def test_an_operator_that_may_report_on_all_evses_keeps_what_it_described_first() -> None:
    register = Register()
    register.owners["ocpi:hub"] = Operator("hub", all=True, may_register=True)
    register.take([draft("h", ["FRABCE1"])], "ocpi:hub")
    register.take([draft("a", ["FRABCE1", "FRABCE2"])], "irve")
    assert (register.keys("FRA_00001"), register.keys("FRA_00002")) == (["FRABCE1"], ["FRABCE2"])


def test_within_a_register_the_newest_record_that_lists_an_evse_has_it() -> None:
    register = Register()
    register.take([draft("a", ["K", "L"])], complete=False)
    register.take([draft("b", ["K", "M"])], complete=False)
    assert register.refused == ()
    assert (register.keys("FRA_00001"), register.keys("FRA_00002")) == (["L"], ["K", "M"])
    register.take([draft("a", ["K", "L"], name="moved back")], complete=False)
    assert (register.keys("FRA_00001"), register.keys("FRA_00002")) == (["K", "L"], ["M"])


def test_of_two_changed_records_of_one_import_the_one_updated_last_is_the_newest() -> None:
    for late, early in (("a", "b"), ("b", "a")):
        register = Register()
        register.take([draft("a", ["A", "K"]), draft("b", ["B"])])
        given_at = {late: 2, early: 1}
        register.take(
            [draft(each, [each.upper(), "K"], name="new", updated_at=given_at[each]) for each in "ab"]
        )
        assert register.stations[register.holders()["K"].uuid].native_id == late


def test_a_record_that_says_what_it_said_before_never_takes_an_evse() -> None:
    register = Register(abc=("FRABC",))
    register.take([draft("a", ["K", "L"])], complete=False)
    register.take([draft("b", ["K", "M"])], complete=False)
    for _ in range(2):
        settlement = register.take([draft("a", ["K", "L"])], complete=False)
        assert (settlement.changed, settlement.moved_keys) == ((), {})
    register.take([draft("a", ["K", "L"]), draft("b", ["K", "M"])])
    assert (register.keys("FRA_00001"), register.keys("FRA_00002")) == (["L"], ["K", "M"])


def test_it_has_the_evse_again_once_no_other_station_does() -> None:
    register = Register()
    register.take([draft("a", ["K", "L"])], complete=False)
    register.take([draft("b", ["K", "M"])], complete=False)
    register.take([draft("a", ["K", "L"]), draft("b", ["M"])])
    assert (register.keys("FRA_00001"), register.keys("FRA_00002")) == (["K", "L"], ["M"])


def test_an_evse_is_not_held_by_an_id_of_another_party_than_its_records() -> None:
    own = Evse("FRABCE1", "", evse_id="FR*ABC*E1", party="FRXYZ")
    register = Register(xyz=("FRXYZ",))
    given_draft = draft("b", ["FRXYZE2"])
    station = msgspec.structs.replace(
        given_draft.station,
        evses=(own, *given_draft.station.evses),
        outlets=(Outlet(0, CCS), Outlet(1, CCS)),
    )
    register.take([msgspec.structs.replace(given_draft, station=station)], "ocpi:xyz")
    assert register.keys("FRA_00001") == ["FRA_00001_01", "FRXYZE2"]
    assert register.stations["FRA_00001"].evses[0].name == "FRA_00001_01"
    register.take([draft("a", ["FRABCE1"])], "irve")
    assert register.refused == ()
    assert register.keys("FRA_00002") == ["FRABCE1"]


@pytest.mark.parametrize(("name", "kept"), [("ocpi:xyz", None), ("datex", "FR*ABC*E1")])
def test_such_an_id_is_dropped_from_an_operators_record_where_another_station_holds_it(
    name: str, kept: str | None
) -> None:
    register = Register(xyz=("FRXYZ",))
    register.take([draft("a", ["FRABCE1"])], "irve")
    given_draft = draft("b", ["FRABCE1"])
    evse = Evse("FRABCE1", "", evse_id="FR*ABC*E1", party="FRXYZ")
    station = msgspec.structs.replace(given_draft.station, evses=(evse,))
    register.take([msgspec.structs.replace(given_draft, station=station)], name)
    assert register.stations["FRA_00002"].evses == (
        Evse("FRA_00002_01", "FRA_00002", evse_id=kept, party="FRXYZ", max_kw=CCS.max_kw),
    )


def test_a_record_with_more_evses_than_there_is_room_for_is_refused_and_a_smaller_one_is_not() -> None:
    register = Register(abc=("FRABC",))
    given_drafts = [draft("a", ["A1", "A2"]), draft("b", ["B1", "B2"]), draft("c", ["C1"])]
    register.take(given_drafts, "ocpi:abc", room=3, complete=False)
    assert [(each.record, each.reason) for each in register.refused] == [
        ("b", "its operator has described 1000000 EVSEs; no more are taken")
    ]
    assert set(register.holders()) == {"A1", "A2", "C1"}
    register.take([draft("a", ["A1", "A3"]), draft("c", ["C1", "C2"])], "ocpi:abc", room=0, complete=False)
    assert [each.record for each in register.refused] == ["c"]
    assert set(register.holders()) == {"A1", "A3", "C1"}
    register.take([draft("a", ["A3"])], "ocpi:abc", room=-1, complete=False)
    assert register.refused == ()


@pytest.mark.parametrize("order", [1, -1])
def test_a_key_moves_when_its_holder_gives_it_up_in_the_same_import(order: int) -> None:
    register = Register()
    register.take([draft("a", ["K", "L"]), draft("b", ["M"])])
    settlement = register.take([draft("a", ["L"]), draft("b", ["M", "K"])][::order])
    assert register.keys("FRA_00001") == ["L"]
    assert register.keys("FRA_00002") == ["M", "K"]
    assert settlement.moved_keys == {"K": "FRA_00002"}
    assert settlement.lost_keys == frozenset()


def test_two_stations_may_swap_their_evses() -> None:
    register = Register()
    register.take([draft("a", ["K"]), draft("b", ["L"])])
    settlement = register.take([draft("a", ["L"]), draft("b", ["K"])])
    assert register.refused == ()
    assert settlement.moved_keys == {"L": "FRA_00001", "K": "FRA_00002"}


def test_a_key_moves_away_from_a_station_that_vanishes_in_the_same_import() -> None:
    register = Register()
    register.take([draft("a", ["K", "L"])])
    settlement = register.take([draft("b", ["K"])])
    assert register.refused == ()
    assert settlement.stripped == {"FRA_00001": frozenset({"K"})}
    assert register.keys("FRA_00001") == ["L"]
    assert [outlet.evse for outlet in register.stations["FRA_00001"].outlets] == [0]


def test_a_key_moves_away_from_a_station_that_vanished_before_even_of_another_register() -> None:
    register = Register()
    register.take([draft("a", ["K"]), draft("b", ["L"])])
    register.take([draft("b", ["L"])])
    register.take([draft("c", ["K"])], "ocpi")
    assert register.refused == ()
    assert register.holders()["K"].uuid == "FRA_00003"


def test_a_station_that_returns_does_not_get_back_what_moved_away() -> None:
    register = Register()
    register.take([draft("a", ["K"]), draft("b", ["L"])])
    register.take([draft("b", ["L", "K"])])
    register.take([draft("a", ["K"]), draft("b", ["L", "K"])])
    assert [each.record for each in register.refused] == ["a"]
    assert register.stations["FRA_00001"].vanished_at is not None


def test_a_station_that_returns_as_it_was_does_not_take_its_evse_from_a_newer_record() -> None:
    register = Register()
    register.take([draft("a", ["K"]), draft("b", ["L"])])
    register.take([draft("b", ["L"])])
    register.take([draft("c", ["K"]), draft("a", ["K"]), draft("b", ["L"])])
    assert [each.record for each in register.refused] == ["a"]
    assert register.stations[register.holders()["K"].uuid].native_id == "c"


def test_of_two_new_stations_with_one_key_the_later_gets_it() -> None:
    register = Register()
    register.take([draft("a", ["K"]), draft("b", ["K"])])
    assert [each.record for each in register.refused] == ["a"]


def test_a_station_that_cannot_have_what_it_wants_does_not_keep_others_from_what_it_gives_up() -> None:
    register = Register()
    register.take([draft("x", ["X"])], "datex")
    register.take([draft("a", ["K"]), draft("b", ["L"]), draft("c", ["M"])])
    register.take([draft("c", ["L"]), draft("b", ["K"]), draft("a", ["X"])])
    assert register.refused == ()
    assert {key: holder.uuid for key, holder in register.holders().items()} == {
        "X": "FRA_00001",
        "K": "FRA_00003",
        "L": "FRA_00004",
    }
    assert register.keys("FRA_00002") == []


# -- what became of a station ------------------------------------------------------------------------------


def test_an_identical_draft_is_unchanged_and_nothing_is_to_be_written() -> None:
    register = Register()
    drafts = [draft("a", ["A"]), draft("b", ["B"], uuid="NOR_00001", country="NOR")]
    register.take(drafts)
    assert register.take(drafts) == merge.Settlement((), (), (), 2, (), frozenset(), {}, {}, {}, {})


def test_a_station_that_its_register_lacks_vanishes_and_returns() -> None:
    register = Register()
    register.take([draft("a", ["A"]), draft("b", ["B"])])
    register.take([draft("b", ["B"])])
    assert list(register.gone) == ["FRA_00001"]
    register.take([draft("b", ["B"])])
    assert list(register.gone) == []
    settlement = register.take([draft("a", ["A"]), draft("b", ["B"], name="other")])
    assert [each.uuid for each in settlement.returned] == ["FRA_00001"]
    assert [each.uuid for each in settlement.changed] == ["FRA_00002"]


def test_a_station_that_returns_as_another_has_returned_and_changed() -> None:
    register = Register()
    register.take([draft("a", ["A"]), draft("b", ["B"])])
    register.take([draft("b", ["B"])])
    settlement = register.take([draft("a", ["A"], name="other"), draft("b", ["B"])])
    assert settlement.returned == settlement.changed
    assert settlement.unchanged == 1


def test_a_part_of_a_register_makes_nothing_vanish() -> None:
    register = Register()
    register.take([draft("a", ["A"]), draft("b", ["B"])])
    register.take([draft("b", ["B"])], complete=False)
    assert register.gone == ()


def test_a_station_whose_record_was_refused_has_not_vanished() -> None:
    register = Register()
    register.take([draft(name, [name.upper()]) for name in "abcde"])
    register.take(
        [
            draft("d", ["D"]),
            RecordRefusal("a", "no position"),
            RecordRefusal("FRA_00002", "no position"),
            RecordRefusal("E", "no power"),
            draft("c", ["C"], country="?"),
        ]
    )
    assert register.gone == ()


def test_a_register_without_any_station_makes_nothing_vanish_unless_forced() -> None:
    register = Register()
    register.take([draft("a", ["A"])])
    register.take([RecordRefusal("line 1", "no position")])
    assert list(register.gone) == []
    register.take([], force=True)
    assert list(register.gone) == ["FRA_00001"]


@pytest.mark.parametrize(
    ("before", "kept", "refused"), [(201, 101, False), (202, 101, False), (203, 101, True)]
)
def test_more_than_half_and_more_than_a_hundred_vanish_only_when_forced(
    before: int, kept: int, refused: bool
) -> None:
    register = Register()
    drafts = [draft(str(place), [f"K{place}"]) for place in range(before)]
    register.take(drafts)
    if not refused:
        register.take(drafts[:kept])
    else:
        with pytest.raises(
            Conflict, match=r"102 of the 203 stations .* nothing was changed.*--force-removal"
        ):
            register.take(drafts[:kept])
        assert not any(each.vanished_at for each in register.stations.values())
        register.take(drafts[:kept], force=True)
    assert len(register.gone) == before - kept


def test_a_small_register_may_lose_most_of_its_stations() -> None:
    register = Register()
    drafts = [draft(str(place), [f"K{place}"]) for place in range(101)]
    register.take(drafts)
    register.take(drafts[:1])
    assert len(register.gone) == 100


def test_refusals_are_all_counted_and_the_first_thousand_kept() -> None:
    gathered = merge.gather(RecordRefusal(f"line {line}", "no") for line in range(1_500))
    assert gathered.refused_count == 1_500
    assert [each.record for each in gathered.refused] == [f"line {line}" for line in range(1_000)]


# -- any imports in any order ------------------------------------------------------------------------------

keys = st.lists(st.sampled_from("ABCDEF"), max_size=3)
records = st.one_of(
    st.builds(draft, st.sampled_from("abcd"), keys, name=st.sampled_from(["x", "y"])),
    st.builds(
        draft,
        st.sampled_from("abcd"),
        keys,
        uuid=st.sampled_from(["FRA_00001", "FRA_00002", "NOR_00007", "bad"]),
    ),
    st.builds(RecordRefusal, st.sampled_from(["a", "FRA_00001", "line 3"]), st.just("no")),
)
imports = st.lists(
    st.tuples(st.lists(records, max_size=6), st.sampled_from(["irve", "ocpi"]), st.booleans()), max_size=8
)


@given(imports)
def test_after_any_imports_every_key_has_one_station_and_every_draft_one_fate(
    imports: list[tuple[list[StationDraft | RecordRefusal], str, bool]],
) -> None:
    register = Register()
    for given_records, name, complete in imports:
        before = dict(register.stations)
        settlement = register.take(given_records, name, complete=complete)
        held = [evse.key for each in register.stations.values() for evse in each.evses]
        assert len(held) == len(set(held))
        fates = len(settlement.added) + len(
            {each.uuid for each in (*settlement.changed, *settlement.returned)}
        )
        assert fates + settlement.unchanged + len(register.refused) == len(given_records)
        new = set(held) - {evse.key for each in before.values() for evse in each.evses}
        assert new == settlement.new_keys.keys()
        assert set(before) <= set(register.stations)
        for uuid, station in register.stations.items():
            assert station.uuid == uuid
            assert {evse.station for evse in station.evses} <= {uuid}
            assert all(outlet.evse < len(station.evses) for outlet in station.outlets)
        for uuid, station in before.items():
            assert (station.register, uuid) == (register.stations[uuid].register, uuid)


@given(imports)
def test_the_same_import_again_changes_nothing(
    imports: list[tuple[list[StationDraft | RecordRefusal], str, bool]],
) -> None:
    register = Register()
    for given_records, name, complete in imports:
        accepted = [
            each for each in given_records if isinstance(each, StationDraft) and Register().take([each]).added
        ]
        register.take(accepted, name, complete=complete)
        first_refused = {each.record for each in register.refused}
        if first_refused:
            # What another station held at first may be free the second time.
            continue
        stations = dict(register.stations)
        again = register.take(accepted, name, complete=complete)
        assert register.stations == stations
        assert again.unchanged == len(accepted)

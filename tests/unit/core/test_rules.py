from __future__ import annotations

import json
from itertools import pairwise, product

import pytest
from tests.conftest import SharedFile

from ladestrom.core.rules import (
    RANK,
    Inoperative,
    from_nobil_pair,
    nobil_pairs,
    normal_error,
    rank,
    station_status,
)
from ladestrom.model import Status

PAIRS = list(product(Status, (False, True)))


def test_every_status_and_error_has_a_rank_of_its_own() -> None:
    assert set(RANK) == set(Status)
    assert len({rank(status, error) for status, error in PAIRS}) == len(PAIRS)


def test_ranks_order_statuses_first_and_the_error_within_them() -> None:
    ordered = sorted(PAIRS, key=lambda pair: rank(*pair))
    assert all(RANK[low] <= RANK[high] for (low, _), (high, _) in pairwise(ordered))
    assert all(rank(status, False) < rank(status, True) for status in Status)


def test_what_we_set_ourselves_yields_to_every_report() -> None:
    assert min(PAIRS, key=lambda pair: rank(*pair)) == (Status.UNKNOWN, False)


def test_the_less_usable_of_two_statuses_holds() -> None:
    assert sorted(Status, key=RANK.__getitem__, reverse=True) == [
        Status.REMOVED,
        Status.OUTOFORDER,
        Status.INOPERATIVE,
        Status.CHARGING,
        Status.BLOCKED,
        Status.RESERVED,
        Status.AVAILABLE,
        Status.PLANNED,
        Status.UNKNOWN,
    ]


@pytest.mark.parametrize(("status", "error"), PAIRS)
def test_only_an_evse_out_of_order_has_an_error_that_its_source_did_not_tell(
    status: Status, error: bool
) -> None:
    assert normal_error(status, error) is (error or status is Status.OUTOFORDER)


class TestNobilPairs:
    def test_every_status_and_error_has_its_pair(self) -> None:
        assert nobil_pairs() == {
            (Status.AVAILABLE, False): (0, 0),
            (Status.AVAILABLE, True): (0, 1),
            (Status.BLOCKED, False): (1, 0),
            (Status.BLOCKED, True): (1, 1),
            (Status.CHARGING, False): (1, 0),
            (Status.CHARGING, True): (1, 1),
            (Status.INOPERATIVE, False): (-1, 1),
            (Status.INOPERATIVE, True): (-1, 1),
            (Status.OUTOFORDER, False): (-1, 1),
            (Status.OUTOFORDER, True): (-1, 1),
            (Status.PLANNED, False): None,
            (Status.PLANNED, True): None,
            (Status.REMOVED, False): None,
            (Status.REMOVED, True): None,
            (Status.RESERVED, False): (1, 0),
            (Status.RESERVED, True): (1, 1),
            (Status.UNKNOWN, False): (-1, 0),
            (Status.UNKNOWN, True): (-1, 1),
        }

    def test_inoperative_reads_as_occupied_where_the_setting_says_so(self) -> None:
        pairs = nobil_pairs(Inoperative.OCCUPIED)
        assert pairs[Status.INOPERATIVE, False] == (1, 0)
        assert pairs[Status.INOPERATIVE, True] == (1, 1)
        others = {pair: shown for pair, shown in pairs.items() if pair[0] is not Status.INOPERATIVE}
        assert others.items() <= nobil_pairs().items()

    def test_they_are_what_the_table_of_all_protocols_says(self, shared_file: SharedFile) -> None:
        table = json.loads(shared_file("spec/status-mapping.json").read_text())["ocpi"]
        for word, (canonical, status, error) in table.items():
            if word in list(Status):
                expected = None if status == "drop" else (status, error)
                assert nobil_pairs()[Status(canonical), normal_error(Status(canonical), False)] == expected


class TestFromNobilPair:
    @pytest.mark.parametrize(
        ("pair", "expected"),
        [
            ((0, 0), (Status.AVAILABLE, False)),
            ((1, 0), (Status.CHARGING, False)),
            ((-1, 0), (Status.UNKNOWN, False)),
            ((0, 1), (Status.OUTOFORDER, True)),
            ((1, 1), (Status.OUTOFORDER, True)),
            ((-1, 1), (Status.OUTOFORDER, True)),
        ],
    )
    def test_a_pair_of_the_contract_has_its_status(
        self, pair: tuple[int, int], expected: tuple[Status, bool]
    ) -> None:
        assert from_nobil_pair(*pair) == expected

    @pytest.mark.parametrize("pair", [(2, 0), (-2, 0), (2, 1), (0, 2), (0, -1), (10**30, 0), (0, 10**30)])
    def test_a_pair_that_the_contract_lacks_has_none(self, pair: tuple[int, int]) -> None:
        assert from_nobil_pair(*pair) is None

    def test_they_are_what_the_table_of_all_protocols_says(self, shared_file: SharedFile) -> None:
        table = json.loads(shared_file("spec/status-mapping.json").read_text())["legacy_to_ocpi"]
        for pair, word in table.items():
            status, error = pair.split("/")
            for each in (-1, 0, 1) if status == "*" else (int(status),):
                found = from_nobil_pair(each, int(error))
                assert found is not None
                assert found[0] == word


class TestStationStatus:
    @pytest.mark.parametrize(
        ("connectors", "expected"),
        [
            ([], -1),
            ([(0, 0)], 0),
            ([(1, 0)], 1),
            ([(-1, 0)], -1),
            ([(1, 0), (0, 0), (1, 0)], 0),
            ([(1, 0), (1, 0)], 1),
            ([(0, 0), (-1, 0), (1, 0)], -1),
            ([(0, 0), (-1, 0), (-1, 0), (-1, 0), (-1, 0)], -1),
            ([(0, 0), (-1, 0), (-1, 1)], 2),
            ([(0, 1)], 2),
            ([(1, 0), (1, 1)], 2),
        ],
    )
    def test_the_first_that_holds_of_error_unknown_available_occupied(
        self, connectors: list[tuple[int, int]], expected: int
    ) -> None:
        assert station_status(connectors) == expected

    def test_it_does_not_depend_on_the_order_of_connectors(self) -> None:
        shown = [(-1, 0), (0, 0), (1, 0), (-1, 1)]
        for connectors in product(shown, repeat=3):
            assert station_status(connectors) == station_status(reversed(connectors))

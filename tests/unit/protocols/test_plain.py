from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.building import NOW

from ladestrom.core.rules import EARLIEST_AT
from ladestrom.errors import MalformedBody, TooLarge
from ladestrom.model import Position, Reason, Receipt, Refusal, Status, StatusReport, placed_connector
from ladestrom.protocols import plain
from ladestrom.protocols.delivery import Delivery, Ignored

ITEMS_MAX = 10_000
GOOD = {"evse": "FR*ABC*E123", "status": "CHARGING"}


def receive(body: bytes, items_max: int = ITEMS_MAX) -> Delivery:
    return plain.receive(body, "abc", items_max=items_max)


def sent(*items: Any) -> Delivery:
    return receive(json.dumps(items).encode())


def one(**members: Any) -> StatusReport:
    delivery = sent(members)
    assert delivery.refused == []
    return delivery.reports[0]


def refused(**members: Any) -> Refusal:
    delivery = sent(members)
    assert delivery.reports == []
    return delivery.refused[0]


class TestMessages:
    def test_both_forms_of_an_item_are_reports_as_they_were_written(self) -> None:
        body = b"""
        [
          {"evse": "FR*ABC*E123", "status": "CHARGING", "error": 0, "observed_at": "2026-11-18T10:00:00Z"},
          {"uuid": "NOR_01333", "connector": 0, "status": 1, "error": 0, "timestamp": 1362520099000}
        ]
        """
        assert receive(body) == Delivery(
            reports=[
                StatusReport("FR*ABC*E123", Status.CHARGING, False, 1_794_996_000_000, "abc", "CHARGING"),
                StatusReport(
                    "connector 1 of NOR_01333", Status.CHARGING, False, 1_362_520_099_000, "abc", "1/0"
                ),
            ],
            refused=[],
        )

    def test_one_item_may_stand_alone(self) -> None:
        assert receive(json.dumps(GOOD).encode()) == sent(GOOD)

    def test_an_empty_list_is_an_empty_delivery(self) -> None:
        assert receive(b"[]") == Delivery(reports=[])

    def test_unknown_members_are_ignored(self) -> None:
        found = sent(GOOD | {"colour": {"deep": [1, {"x": None}]}, "Status": "x"})
        assert found.ignored == [Ignored(0, ("colour", "Status"))]
        assert msgspec.structs.replace(found, ignored=[]) == sent(GOOD)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b" ",
            b"null",
            b"7",
            b'"text"',
            b"true",
            b"[",
            b"{",
            b"[{}",
            b"[{},]",
            b'{"evse":"E1","status":"CHARGING"}}',
            b'[{"evse":"E1","status":"CHARGING"}] x',
            b'{"evse":"E1" "status":"CHARGING"}',
            b'{"status":"FOO"',
            b'{"status":"FOO","x":tru}',
            b'{"evse":"\xff","status":"CHARGING"}',
            b'[{"evse":"E1","status":"CHARGING"},{"evse":"\xff","status":"CHARGING"}]',
            b'{"status":"FOO","status":"\xff"}',
            b"[" * 100_000,
            b"[" * 100_000 + b"]" * 100_000,
            b'{"status":"FOO","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
            b'[{"status":"FOO"},{"x":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}]",
            b"evse=E1&status=CHARGING",
        ],
        ids=lambda body: repr(body[:30]),
    )
    def test_what_is_no_json_object_or_list_is_refused_as_a_whole(self, body: bytes) -> None:
        with pytest.raises(MalformedBody) as told:
            receive(body)
        assert len(str(told.value)) < 250

    def test_a_list_is_no_longer_than_its_limit(self) -> None:
        assert len(receive(json.dumps([GOOD] * 3).encode(), items_max=3).reports) == 3
        with pytest.raises(TooLarge, match="has 4 items; at most 3"):
            receive(json.dumps([GOOD] * 4).encode(), items_max=3)
        with pytest.raises(TooLarge):
            receive(json.dumps([1] * 4).encode(), items_max=3)

    def test_a_bad_item_costs_no_other(self) -> None:
        bad: list[Any] = [1, None, [], {}, {"status": "FOO"}, GOOD | {"error": 9}]
        items: list[Any] = []
        for item in bad:
            items += [item, GOOD]
        delivery = sent(*items)
        assert [refusal.index for refusal in delivery.refused] == [0, 2, 4, 6, 8, 10]
        assert delivery.reports == [one(**GOOD)] * len(bad)


class TestIdentity:
    @pytest.mark.parametrize(
        ("uuid", "connector", "place"),
        [
            ("NOR_01333", 0, ("NOR_01333", 1)),
            ("nor_01333", 8, ("NOR_01333", 9)),
            ("NOR_01333", 9, ("NOR_01333", 10)),
            ("NOR_01333", 998, ("NOR_01333", 999)),
        ],
    )
    def test_a_connector_is_named_by_its_place(
        self, uuid: str, connector: int, place: tuple[str, int]
    ) -> None:
        assert placed_connector(one(uuid=uuid, connector=connector, status=0).evse) == place

    def test_an_evse_id_is_kept_as_written(self) -> None:
        assert one(evse="fr*abc-E123 ", status="AVAILABLE").evse == "fr*abc-E123 "

    def test_an_evse_id_counts_before_a_connector(self) -> None:
        assert one(evse="E1", uuid="NOR_01333", connector=0, status=0).evse == "E1"

    @pytest.mark.parametrize(
        ("members", "hint"),
        [
            ({}, "write evse, or uuid and connector"),
            ({"connector": 0}, "write evse, or uuid and connector"),
            ({"uuid": "NOR_01333"}, "connector is None"),
            ({"uuid": "NOR_01333", "connector": -1}, "connector is -1"),
            ({"uuid": "NOR_01333", "connector": 999}, "connector is 999"),
            ({"uuid": "NOR_01333", "connector": 10**400}, "connector is 1000"),
            ({"uuid": "NOR_01333", "connector": 0.5}, "$.connector"),
            ({"uuid": "NOR_01333", "connector": "0"}, "$.connector"),
            ({"uuid": "", "connector": 0}, "uuid has 0 characters"),
            ({"uuid": "N" * 256, "connector": 0}, "uuid has 256 characters"),
            ({"uuid": 7, "connector": 0}, "$.uuid"),
            ({"evse": ""}, "evse has 0 characters"),
            ({"evse": "E" * 256}, "evse has 256 characters"),
            ({"evse": 7}, "$.evse"),
            ({"evse": ["E1"]}, "$.evse"),
        ],
    )
    def test_an_item_that_names_no_evse_is_refused_with_a_hint(
        self, members: dict[str, Any], hint: str
    ) -> None:
        refusal = refused(status=0, **members)
        assert refusal.reason is Reason.INVALID_ITEM
        assert hint in refusal.detail
        assert len(refusal.detail) < 250

    def test_the_longest_id_is_taken(self) -> None:
        assert len(one(evse="E" * 255, status=0).evse) == 255


class TestStatus:
    @pytest.mark.parametrize("status", Status)
    def test_each_of_the_nine_words_is_taken_and_kept_as_what_was_said(self, status: Status) -> None:
        report = one(evse="E1", status=status.value)
        assert (report.status, report.error, report.raw) == (status, False, status.value)

    @pytest.mark.parametrize(
        ("pair", "status", "error"),
        [
            ((0, 0), Status.AVAILABLE, False),
            ((1, 0), Status.CHARGING, False),
            ((-1, 0), Status.UNKNOWN, False),
            ((0, 1), Status.OUTOFORDER, True),
            ((1, 1), Status.OUTOFORDER, True),
            ((-1, 1), Status.OUTOFORDER, True),
        ],
    )
    def test_each_pair_of_the_nobil_stream_is_taken_and_kept_as_what_was_said(
        self, pair: tuple[int, int], status: Status, error: bool
    ) -> None:
        report = one(uuid="NOR_01333", connector=0, status=pair[0], error=pair[1])
        assert (report.status, report.error, report.raw) == (status, error, f"{pair[0]}/{pair[1]}")

    @pytest.mark.parametrize(("written", "error"), [(0, False), (1, True), (False, False), (True, True)])
    def test_an_error_is_a_number_or_a_truth(self, written: Any, error: bool) -> None:
        assert one(evse="E1", status="AVAILABLE", error=written).error is error
        assert one(evse="E1", status=-1, error=written).error is error

    @pytest.mark.parametrize(
        ("status", "reason", "hint"),
        [
            ("chargin", Reason.INVALID_STATUS, '"chargin" is none of AVAILABLE, BLOCKED'),
            ("Occupied", Reason.INVALID_STATUS, '"Occupied" is none of'),
            ("", Reason.INVALID_STATUS, '"" is none of'),
            ("x" * 5_000, Reason.INVALID_STATUS, "is none of"),
            (2, Reason.INVALID_STATUS, "status 2 is none of -1 (unknown), 0 (available), 1 (occupied)"),
            (-2, Reason.INVALID_STATUS, "status -2"),
            (10**4_000, Reason.INVALID_STATUS, "status 1000"),
            (True, Reason.INVALID_ITEM, "$.status"),
            (1.0, Reason.INVALID_ITEM, "$.status"),
            (None, Reason.INVALID_ITEM, "$.status"),
            ({"status": "CHARGING"}, Reason.INVALID_ITEM, "$.status"),
        ],
    )
    def test_a_word_that_is_none_is_refused_with_those_that_there_are(
        self, status: Any, reason: Reason, hint: str
    ) -> None:
        refusal = refused(evse="E1", status=status)
        assert refusal.reason is reason
        assert hint in refusal.detail
        assert len(refusal.detail) < 250

    def test_a_missing_status_is_refused(self) -> None:
        assert "`status`" in refused(evse="E1").detail

    @pytest.mark.parametrize("error", [2, -1, 10**4_000, 0.0, "1", None, []])
    def test_another_error_is_refused(self, error: Any) -> None:
        refusal = refused(evse="E1", status="AVAILABLE", error=error)
        assert refusal.reason is Reason.INVALID_ITEM
        assert "error" in refusal.detail
        assert len(refusal.detail) < 250

    @pytest.mark.parametrize(
        "member",
        [b'"\xff"', b"1e999", b"9" * 6_000, b"[[1],{}]", b"null"],
        ids=["not UTF-8", "too large", "too long", "nested", "null"],
    )
    def test_a_wrong_status_is_told_whatever_else_the_item_holds(self, member: bytes) -> None:
        items = b'[{"status":"FOO","x":%s},{"evse":"E1","status":"AVAILABLE"}]' % member
        delivery = receive(items)
        assert [refusal.reason for refusal in delivery.refused] == [Reason.INVALID_STATUS]
        assert len(delivery.reports) == 1


class TestTime:
    AT = NOW - 86_400_000
    UTC_AT = datetime.fromtimestamp(AT / 1000, UTC)

    @pytest.mark.parametrize(
        "written",
        [
            UTC_AT.strftime("%Y-%m-%dT%H:%M:%SZ"),
            UTC_AT.strftime("%Y-%m-%dt%H:%M:%Sz"),
            UTC_AT.strftime("%Y-%m-%d %H:%M:%SZ"),
            UTC_AT.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            UTC_AT.strftime("%Y-%m-%dT%H:%M:%S+00:00"),
            UTC_AT.strftime("%Y-%m-%dT%H:%M:%S"),
            UTC_AT.astimezone(timezone(timedelta(hours=2))).isoformat(),
            UTC_AT.astimezone(timezone(timedelta(hours=-9, minutes=-30))).isoformat(),
            AT,
        ],
    )
    def test_an_instant_is_taken_in_every_form(self, written: Any) -> None:
        assert one(evse="E1", status="AVAILABLE", observed_at=written).observed_at == self.AT

    def test_it_is_taken_to_the_millisecond(self) -> None:
        written = self.UTC_AT.strftime("%Y-%m-%dT%H:%M:%S.123456789Z")
        assert one(evse="E1", status="AVAILABLE", observed_at=written).observed_at == self.AT + 123

    @given(st.integers(EARLIEST_AT, NOW))
    def test_milliseconds_and_iso_8601_mean_the_same(self, at: int) -> None:
        seconds, ms = divmod(at, 1000)
        written = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"
        assert one(evse="E1", status="AVAILABLE", observed_at=written).observed_at == at

    def test_a_nobil_timestamp_is_an_instant_too_and_observed_at_counts_before_it(self) -> None:
        assert one(uuid="NOR_01333", connector=0, status=0, timestamp=self.AT).observed_at == self.AT
        both = one(evse="E1", status="AVAILABLE", timestamp=self.AT, observed_at=self.AT + 1)
        assert both.observed_at == self.AT + 1

    @pytest.mark.parametrize("members", [{}, {"observed_at": None}, {"timestamp": None}])
    def test_there_is_none_where_none_is_given(self, members: dict[str, Any]) -> None:
        assert sent(GOOD | members).reports[0].observed_at is None

    def test_seconds_for_milliseconds_are_refused_with_a_hint(self) -> None:
        for member in ("observed_at", "timestamp"):
            refusal = refused(evse="E1", status="AVAILABLE", **{member: self.AT // 1000})
            assert refusal.reason is Reason.INVALID_TIME
            assert "write milliseconds since 1970 (not seconds)" in refusal.detail

    def test_nothing_before_the_year_2000_is_taken(self) -> None:
        assert one(evse="E1", status="AVAILABLE", observed_at=EARLIEST_AT).observed_at == EARLIEST_AT
        for early in (
            EARLIEST_AT - 1,
            0,
            -1,
            -(10**4_000),
            "1999-12-31T23:59:59Z",
            "0001-01-01T00:00:00+14:00",
        ):
            refusal = refused(evse="E1", status="AVAILABLE", observed_at=early)
            assert refusal.reason is Reason.INVALID_TIME
            assert len(refusal.detail) < 250

    @pytest.mark.parametrize(
        "written", ["yesterday", "", "2026-11-18", "2026-13-18T10:00:00Z", "1795000000000", 1.5, True, []]
    )
    def test_what_is_no_instant_is_refused_with_the_forms_that_are(self, written: Any) -> None:
        refusal = refused(evse="E1", status="AVAILABLE", observed_at=written)
        assert refusal.reason is Reason.INVALID_TIME
        assert "write ISO 8601 with its zone, or milliseconds since 1970" in refusal.detail

    @pytest.mark.parametrize(
        ("written", "at"),
        [
            (NOW + 300_001, NOW + 300_001),
            (NOW * 1000, NOW * 1000),
            ("2999-12-31T23:59:59Z", 32_503_679_999_000),
        ],
    )
    def test_one_that_is_ahead_is_handed_on_as_it_is_written(self, written: Any, at: int) -> None:
        assert sent(GOOD | {"observed_at": written}).reports[0].observed_at == at


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from([*Status, "2026-11-18T10:00:00Z", NOW, 0, 1, -1, "NOR_01333", "E1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = ("evse", "uuid", "connector", "status", "error", "observed_at", "timestamp", "x")
ITEMS = st.dictionaries(st.sampled_from(MEMBERS), JSON_VALUES) | JSON_VALUES


@given(st.lists(ITEMS, max_size=6), st.integers(0, 6))
def test_any_json_value_at_any_place_is_taken_or_refused_by_its_place_and_costs_no_other(
    items: list[Any], place: int
) -> None:
    items.insert(place, GOOD)
    delivery = sent(*items)
    good = min(place, len(items) - 1)
    bad = [refusal.index for refusal in delivery.refused]
    taken = [index for index in range(len(items)) if index not in bad]
    assert bad == sorted(set(bad))
    assert good in taken
    assert len(delivery.reports) == len(taken)
    assert delivery.reports[taken.index(good)] == one(**GOOD)
    for report in delivery.reports:
        assert report.observed_at is None or report.observed_at >= EARLIEST_AT
        assert 0 < len(report.evse) <= 512


@given(st.binary())
@example(b"[\xff")
@example(b'{"a":"\xed\xa0\x80"}')
def test_any_bytes_are_read_or_refused_as_a_whole(noise: bytes) -> None:
    for body in (noise, b"[" + noise + b"]", b'{"evse":"E1","status":"CHARGING"' + noise + b"}"):
        with contextlib.suppress(MalformedBody):
            receive(body)


@given(st.integers(0, 200), st.binary(min_size=1, max_size=3))
def test_a_damaged_message_is_read_or_refused_as_a_whole(place: int, damage: bytes) -> None:
    body = bytearray(
        json.dumps([GOOD, {"uuid": "NOR_01333", "connector": 0, "status": 9, "error": 0}]).encode()
    )
    body[place : place + len(damage)] = damage
    try:
        delivery = receive(bytes(body))
    except MalformedBody:
        return
    assert len(delivery.reports) + len(delivery.refused) <= 2


class TestAnswer:
    def test_a_receipt_says_how_many_and_which_not_and_where_the_log_stands(self) -> None:
        refusals = (Refusal(3, Reason.UNKNOWN_EVSE, "no EVSE"),)
        receipt = Receipt(2, 5, refusals, Position("k3x9", 4711), stale=1)
        assert plain.answer(receipt) == (
            b'{"accepted":2,"unchanged":5,'
            b'"refused":[{"index":3,"reason":"unknown_evse","detail":"no EVSE"}],'
            b'"position":"k3x9-4711","stale":1}'
        )

    def test_times_that_were_replaced_are_told_where_there_are_any(self) -> None:
        adjusted = (Refusal(0, Reason.FUTURE_TIME, "ahead"),)
        receipt = Receipt(1, 0, (), Position("k3x9", 1), adjusted=adjusted)
        answer = json.loads(plain.answer(receipt))
        assert answer == {
            "accepted": 1,
            "unchanged": 0,
            "refused": [],
            "position": "k3x9-1",
            "stale": 0,
            "adjusted": [{"index": 0, "reason": "future_time", "detail": "ahead"}],
        }

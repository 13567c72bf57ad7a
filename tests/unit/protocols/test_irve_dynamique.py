from __future__ import annotations

import json

import pytest
from tests.building import NOW, make_operator
from tests.conftest import SharedFile
from tests.unit.protocols.test_oicp_pull import Conversation

from ladestrom.core.rules import nobil_pairs
from ladestrom.errors import BadRequest, MalformedBody, SourceFailure, TooLarge
from ladestrom.model import Position, Reason, Receipt, Refusal, Status
from ladestrom.protocols import irve_dynamique
from ladestrom.protocols.conditional import WHOLE_EVERY_MS
from ladestrom.protocols.delivery import Delivery, ParseLimits
from ladestrom.protocols.interfaces import PARTIAL, PullSettings, Request
from ladestrom.protocols.irve_dynamique import PAIRS, IrveDynamique

HEADER = "id_pdc_itinerance,etat_pdc,occupation_pdc,horodatage"
ROW = "FRABCE1,en_service,libre,2026-11-01T08:00:00Z"
AT = 1_793_520_000_000
ADDRESS = "https://irve.example.org/dynamique.csv"


def receive(*lines: str, limits: ParseLimits | None = None) -> Delivery:
    return irve_dynamique.receive("\n".join(lines).encode(), "abc", limits or ParseLimits())


def push(query: dict[str, str], body: bytes | None = None) -> Delivery:
    request = Request("POST", "", query, {}, f"{HEADER}\n{ROW}\n".encode() if body is None else body)
    return IrveDynamique().receive(request, make_operator(), ParseLimits())


def test_statuses_are_those_of_the_mapping(shared_file: SharedFile) -> None:
    mapping = json.loads(shared_file("spec/status-mapping.json").read_text())["irve_etat_x_occupation"]
    assert {"/".join(pair): status.value for pair, status in PAIRS.items()} == {
        pair: row[0] for pair, row in mapping.items()
    }
    projected = nobil_pairs()
    for pair, (_, _, error) in mapping.items():
        state, occupation = pair.split("/")
        own = PAIRS[state, occupation]
        found = projected[own, own is Status.OUTOFORDER]
        assert found is not None
        assert found[1] == error


@pytest.mark.parametrize(
    "written",
    [
        "2026-11-01T08:00:00Z",
        "2026-11-01T08:00:00+00:00",
        "2026-11-01T09:00:00+01:00",
        "2026-11-01T08:00:00+0000",
        "2026-11-01T08:00:00.000Z",
        "2026-11-01 08:00:00",
        "20261101T080000Z",
        "2026-11-01T08:00:00",
    ],
)
def test_a_time_is_any_instant_of_iso_8601_and_utc_without_zone(written: str) -> None:
    (report,) = receive(HEADER, f"FRABCE1,en_service,libre,{written}").reports
    assert report.observed_at == AT


def test_a_time_ahead_of_ours_is_handed_on_as_it_is_written() -> None:
    delivery = receive(HEADER, ROW, "FRABCE2,en_service,libre,2099-01-01T00:00:00Z")
    assert [report.observed_at for report in delivery.reports] == [AT, 4_070_908_800_000]


@pytest.mark.parametrize("written", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_no_clock_has_costs_its_row_only(written: str) -> None:
    delivery = receive(HEADER, f"FRABCE1,en_service,libre,{written}", ROW)
    assert "FRABCE1" in [report.evse for report in delivery.reports]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_is_delimited_as_it_is(delimiter: str, end: str) -> None:
    body = f"{HEADER}{end}{ROW}{end}".replace(",", delimiter)
    assert len(irve_dynamique.receive(body.encode(), "abc", ParseLimits()).reports) == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"\n", b"id_pdc_itinerance,etat_pdc", b"[]", b"\x00", b'"a"b,c\n', b'"'],
)
def test_what_is_no_such_file_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        push({}, body)


def test_a_file_may_have_no_rows() -> None:
    assert receive(HEADER).reports == []


def test_rows_are_limited() -> None:
    limits = ParseLimits(items_max=2)
    assert len(receive(HEADER, ROW, ROW, limits=limits).reports) == 2
    with pytest.raises(TooLarge, match="more than 2 rows"):
        receive(HEADER, ROW, ROW, ROW, limits=limits)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_rows_with_a_wrong_quote_cost_no_other_however_many_follow_each_other(count: int) -> None:
    delivery = receive(HEADER, ROW, *['"FRABCE2"x,en_service,libre,'] * count, ROW, ROW)
    assert len(delivery.reports) == 3
    assert [(each.index, each.reason) for each in delivery.refused] == [
        (place, Reason.INVALID_ITEM) for place in range(1, 1 + count)
    ]


WIDE = f"{HEADER},etat_prise_type_2,etat_prise_type_ef"
WIDE_ROW = f"{ROW},fonctionnel,inconnu"
OTHER = "FRABCE2,en_service,libre,2026-11-01T08:00:00Z,fonctionnel,inconnu"


class TestCutOff:
    """A file that has not its end says nothing of the points that it does not name."""

    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    @pytest.mark.parametrize("length", [1, 7, 12, 20, 30, 45, 54])
    def test_a_last_row_that_is_cut_makes_a_file_a_part(self, length: int, end: str) -> None:
        whole = end.join([WIDE, WIDE_ROW, OTHER])
        cut = end.join([WIDE, WIDE_ROW, OTHER[:length]])
        for lines, complete in ((whole, True), (whole + end, True), (cut, False)):
            delivery = irve_dynamique.receive(lines.encode(), "abc", ParseLimits(), complete=True)
            assert delivery.complete is complete
            assert delivery.reports[0].evse == "FRABCE1"

    @pytest.mark.parametrize("length", [3, 12, 20, 30, 40])
    def test_so_does_one_that_is_cut_in_its_last_column(self, length: int) -> None:
        assert not push({"extent": "snapshot"}, f"{HEADER}\n{ROW}\n{ROW[:length]}".encode()).complete
        assert push({"extent": "snapshot"}, f"{HEADER}\n{ROW}\n{ROW}".encode()).complete

    @pytest.mark.parametrize("row", ['"FRABCE2,en_ser', "FRABCE2,en_service", "Total", " ,en_service,libre,"])
    def test_so_does_a_row_that_names_no_point_or_cannot_be_read(self, row: str) -> None:
        assert not push({"extent": "snapshot"}, f"{HEADER}\n{row}\n{ROW}\n".encode()).complete

    def test_rows_that_are_all_shorter_than_the_header_are_whole(self) -> None:
        assert push({"extent": "snapshot"}, f"{WIDE}\n{ROW}\n{ROW}".encode()).complete
        assert push({"extent": "snapshot"}, f"{WIDE}\n{ROW}\n".encode()).complete

    def test_a_row_that_is_refused_but_names_its_point_leaves_a_file_whole(self) -> None:
        refused = ROW.replace("2026-11-01T08:00:00Z", "today")
        assert push({"extent": "snapshot"}, f"{HEADER}\n{refused}\n{ROW}\n".encode()).complete

    def test_a_file_that_is_cut_is_asked_for_again_as_a_whole(self) -> None:
        round_ = Conversation(
            irve_dynamique.pull,
            PullSettings(source="abc", address=ADDRESS),
            f"{HEADER}\n{ROW}\n{ROW[:9]}".encode(),
            headers={"etag": '"a"'},
        )
        assert not round_.deliveries[0].complete
        assert round_.memory.keys() == {"read_at", PARTIAL}
        assert "cut off" in round_.memory[PARTIAL]


class TestPush:
    @pytest.mark.parametrize(
        ("query", "complete"), [({}, False), ({"extent": "delta"}, False), ({"extent": "snapshot"}, True)]
    )
    def test_the_sender_says_whether_it_is_all(self, query: dict[str, str], complete: bool) -> None:
        assert push(query).complete is complete

    def test_and_nothing_else(self) -> None:
        with pytest.raises(BadRequest, match='"all"'):
            push({"extent": "all"})

    def test_it_is_answered_as_the_plain_interface_does(self) -> None:
        receipt = Receipt(1, 2, (Refusal(3, Reason.UNKNOWN_EVSE, "which?"),), Position("epoch", 9))
        request = Request("POST", "", {}, {}, b"")
        answer = IrveDynamique().answer(request, Delivery(reports=[]), receipt)
        assert answer.status == 200
        assert json.loads(answer.body)["refused"] == [
            {"index": 3, "reason": "unknown_evse", "detail": "which?"}
        ]
        refused = IrveDynamique().refuse(request, MalformedBody("what?"))
        assert (refused.status, json.loads(refused.body)["code"]) == (400, "malformed_body")


class TestPull:
    body = f"{HEADER}\n{ROW}\n".encode()

    def settings(self, **options: str) -> PullSettings:
        return PullSettings(source="abc", address=ADDRESS, secret="token", options=options)

    def test_a_file_is_read_as_all_that_there_is_and_remembered(self) -> None:
        round_ = Conversation(
            irve_dynamique.pull, self.settings(), self.body, headers={"etag": '"a"', "last-modified": "then"}
        )
        (ask,) = round_.asked
        assert (ask.method, ask.url) == ("GET", ADDRESS)
        assert ask.headers == {"accept": "text/csv", "authorization": "Bearer token"}
        (delivery,) = round_.deliveries
        assert [report.status for report in delivery.reports] == [Status.AVAILABLE]
        assert delivery.complete
        assert round_.memory == {"etag": '"a"', "last-modified": "then", "read_at": str(NOW)}

    def test_a_file_may_have_a_part_only(self) -> None:
        round_ = Conversation(irve_dynamique.pull, self.settings(extent="delta"), self.body)
        assert not round_.deliveries[0].complete

    def test_only_a_new_one_is_asked_for_and_after_a_while_the_whole(self) -> None:
        memory = {"etag": '"a"', "last-modified": "then", "read_at": str(NOW)}
        again = Conversation(
            irve_dynamique.pull, self.settings(), b"", memory=memory, now=NOW + 1, status=304
        )
        assert again.asked[0].headers["if-none-match"] == '"a"'
        assert again.asked[0].headers["if-modified-since"] == "then"
        assert (again.deliveries, again.memory) == ([], memory)
        later = Conversation(
            irve_dynamique.pull,
            self.settings(),
            self.body,
            memory=memory,
            now=NOW + WHOLE_EVERY_MS,
        )
        assert "if-none-match" not in later.asked[0].headers

    def test_any_other_answer_is_a_failure_of_the_source(self) -> None:
        with pytest.raises(SourceFailure, match="404"):
            Conversation(irve_dynamique.pull, self.settings(), b"", status=404)

    def test_without_a_token_none_is_shown(self) -> None:
        round_ = Conversation(irve_dynamique.pull, PullSettings(source="abc", address=ADDRESS), self.body)
        assert "authorization" not in round_.asked[0].headers

    def test_an_ask_wants_what_came_back(self) -> None:
        round_ = irve_dynamique.pull(self.settings(), {}, NOW)
        next(round_)
        with pytest.raises(TypeError):
            round_.send(Receipt(0, 0, (), Position("epoch", 1)))

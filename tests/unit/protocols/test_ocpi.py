"""OCPI's transport, credentials and Locations: what is understood, refused and answered."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from tests.building import NOW

from ladestrom.core.drafts import fingerprint
from ladestrom.model import Status
from ladestrom.ports.calls import Answered, Ask
from ladestrom.ports.registry import StationDraft
from ladestrom.protocols import ocpi, ocpi_credentials, ocpi_receiver
from ladestrom.protocols.delivery import Delivery, ParseLimits
from ladestrom.protocols.ocpi import Refused
from ladestrom.protocols.ocpi_locations import Page, read_page
from ladestrom.protocols.ocpi_modules import MODULES, details

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "ocpi"
OWN = ocpi_credentials.Self("NO", "LDS", "ladestrom")


def coded(token: str) -> str:
    return base64.b64encode(token.encode()).decode()


class TestTokens:
    def test_a_token_is_understood_as_it_is_and_in_base64(self) -> None:
        assert "ebf3b399-779f" in ocpi.presented("Token ebf3b399-779f")
        assert "ebf3b399-779f" in ocpi.presented(f"token {coded('ebf3b399-779f')}")

    def test_white_space_at_the_end_of_an_encoded_token_does_not_count(self) -> None:
        assert "example-token" in ocpi.presented(f"Token {coded('example-token' + chr(10))}")

    @pytest.mark.parametrize("header", [None, "", "Token", "Token ", "Bearer abc", "Basic YTpi"])
    def test_other_headers_show_no_token(self, header: str | None) -> None:
        assert ocpi.presented(header) == ()

    def test_a_token_is_shown_as_the_version_wants_it(self) -> None:
        assert ocpi.authorization("abc", "2.1.1") == "Token abc"
        assert ocpi.authorization("abc", "2.2.1") == f"Token {coded('abc')}"
        assert ocpi.authorization("abc", None) == f"Token {coded('abc')}"


class TestEnvelopes:
    def test_ids_of_requests_are_sent_back_and_nothing_that_could_be_another_header(self) -> None:
        answer = ocpi.envelope(ocpi.Reply(), NOW)
        assert ocpi.echoed({"x-request-id": "r1", "x-correlation-id": "a\r\nb: c"}) == (
            ("x-request-id", "r1"),
        )
        assert json.loads(answer.body) == {
            "status_code": 1000,
            "status_message": "Success",
            "timestamp": ocpi.written(NOW),
        }

    def test_a_status_code_from_2000_on_is_a_failure_whatever_http_says(self) -> None:
        with pytest.raises(ocpi.PeerFailed):
            ocpi.opened(200, b'{"status_code":3000,"data":[]}', "the peer")

    def test_a_null_for_data_is_data(self) -> None:
        assert bytes(ocpi.opened(200, b'{"status_code":1000,"data":null}', "the peer")) == b"null"

    @pytest.mark.parametrize(
        ("status", "body", "data"),
        [
            (204, b"", b"null"),
            (200, b'{"data":[]}', b"[]"),
            (200, b'{"status_code":"1000"}', b"null"),
            (200, b'{"status_code":null,"data":{}}', b"{}"),
        ],
    )
    def test_what_is_missing_where_all_is_well_is_no_failure(
        self, status: int, body: bytes, data: bytes
    ) -> None:
        assert bytes(ocpi.opened(status, body, "the peer")) == data

    @pytest.mark.parametrize("body", [b"{}", b'{"message":"no"}', b'{"data":null}', b"[]"])
    def test_an_answer_without_status_and_data_is_a_failure(self, body: bytes) -> None:
        with pytest.raises(ocpi.PeerFailed):
            ocpi.opened(200, body, "the peer")

    def test_a_denied_token_is_told_from_other_failures(self) -> None:
        with pytest.raises(ocpi.PeerDenies):
            ocpi.opened(401, b"", "the peer")


class TestVersions:
    def test_details_have_no_roles_in_2_1_1_and_locations_end_in_a_slash(self) -> None:
        flat: Any = details(MODULES, "https://hub.example", "2.1.1", "registered")
        roled: Any = details(MODULES, "https://hub.example", "2.3.0", "registered")
        assert all("role" not in each for each in flat["endpoints"])
        assert {(each["identifier"], each["role"]) for each in roled["endpoints"]} == {
            ("credentials", "SENDER"),
            ("locations", "RECEIVER"),
            ("locations", "SENDER"),
        }
        assert all(
            each["url"].endswith("/") for each in roled["endpoints"] if each["identifier"] == "locations"
        )

    def test_the_best_version_that_both_speak_is_taken(self) -> None:
        offered = [ocpi.Version(version, "https://p.example") for version in ("2.0", "2.1.1", "2.2.1")]
        best = ocpi.best(offered)
        assert best is not None
        assert best.version == "2.2.1"
        assert ocpi.best(offered[:1]) is None

    @pytest.mark.parametrize(
        "url",
        ["", "ftp://p.example", "https://", "https://u:p@p.example", "https://p.example/a b", "https://[::"],
    )
    def test_an_address_that_cannot_be_asked_is_none(self, url: str) -> None:
        assert not ocpi.is_address(url)


class TestCredentials:
    def test_those_of_the_specification_are_read(self, shared_file: Any) -> None:
        for version in ("2.2.1", "2.3.0"):
            for number in ("", "2", "3", "4"):
                path = shared_file(f"reference/ocpi/{version}/credentials_example{number}.json")
                said = ocpi_credentials.read(path.read_bytes())
                assert said.token
                assert all(role.party.startswith("NL") for role in said.roles)

    def test_those_of_2_1_1_are_one_party(self) -> None:
        said = ocpi_credentials.read(
            b'{"token":"t","url":"https://p.example/v","party_id":"ABC","country_code":"NO",'
            b'"business_details":{"name":"ABC"}}'
        )
        assert said.roles == (ocpi_credentials.Role("", "NOABC", "ABC"),)

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"{", 400),
            (b"[]", 200),
            (b'{"token":"","url":"https://p.example","roles":[]}', 200),
            (b'{"token":"t","url":"file:///etc/passwd","roles":[]}', 200),
            (
                b'{"token":"t","url":"https://p.example","roles":[{"role":"CPO","party_id":"A","country_code":"NO"}]}',
                200,
            ),
        ],
    )
    def test_others_are_refused_with_2001(self, body: bytes, status: int) -> None:
        with pytest.raises(Refused) as refused:
            ocpi_credentials.read(body)
        assert (refused.value.reply.code, refused.value.reply.status) == (2001, status)

    @pytest.mark.parametrize(
        "odd",
        [
            {"business_details": "ABC"},
            {"business_details": []},
            {"business_details": {"name": 7, "logo": []}},
            {"role": None},
            {"role": 7, "hub_party_id": 7},
        ],
    )
    @pytest.mark.parametrize("is_flat", [False, True])
    def test_what_does_not_decide_may_be_anything(self, odd: dict[str, Any], is_flat: bool) -> None:
        party = {"party_id": "abc", "country_code": "no", **odd}
        said: dict[str, Any] = {"token": "t", "url": "https://p.example/v"}
        said |= party if is_flat else {"roles": [party]}
        assert ocpi_credentials.read(json.dumps(said).encode()).roles == (
            ocpi_credentials.Role("", "NOABC", ""),
        )

    def test_ours_are_as_the_version_has_them(self) -> None:
        flat = ocpi_credentials.write(OWN, "t", "https://hub.example/ocpi/versions", "2.1.1")
        roled: Any = ocpi_credentials.write(OWN, "t", "https://hub.example/ocpi/versions", "2.2.1")
        assert (flat["party_id"], "roles" in flat) == ("LDS", False)
        assert roled["roles"][0]["role"] == "NAP"


def answer(step: Ask, data: object, status: int = 200, code: int = 1000) -> Answered:
    body = json.dumps({"status_code": code, "data": data, "timestamp": "2026-11-18T10:00:00Z"}).encode()
    return Answered(step.url, status, {}, body, NOW)


class TestIntroduction:
    def meet(
        self,
        walk: Generator[Ask, Answered, ocpi_credentials.Introduction],
        answers: list[tuple[object, int, int]],
    ) -> tuple[ocpi_credentials.Introduction | None, list[Ask]]:
        asked = [next(walk)]
        try:
            for data, status, code in answers:
                asked.append(walk.send(answer(asked[-1], data, status, code)))
        except StopIteration as over:
            return over.value, asked
        return None, asked

    VERSIONS = ([{"version": "2.2.1", "url": "https://p.example/2.2.1"}], 200, 1000)
    DETAILS = (
        {
            "version": "2.2.1",
            "endpoints": [{"identifier": "locations", "role": "SENDER", "url": "https://p.example/l"}],
        },
        200,
        1000,
    )

    def test_both_encodings_of_the_token_are_tried_and_the_good_one_is_kept(self) -> None:
        walk = ocpi_credentials.introduce("https://p.example/v", "secret", "2.2.1")
        met, asked = self.meet(walk, [(None, 200, 3000), self.VERSIONS, self.DETAILS])
        assert met is not None
        shown = [step.headers["authorization"] for step in asked]
        assert shown == [f"Token {coded('secret')}", "Token secret", "Token secret"]

    @pytest.mark.parametrize(
        ("answers", "code"),
        [
            ([(None, 401, 2000), (None, 401, 2000)], 3001),
            ([("no list", 200, 1000)], 3001),
            ([([{"version": "2.0", "url": "https://p.example"}], 200, 1000)], 3002),
            ([([], 200, 1000)], 3002),
            ([VERSIONS, ({"version": "2.2.1", "endpoints": []}, 200, 1000)], 3003),
            (
                [
                    VERSIONS,
                    (
                        {
                            "version": "2.2.1",
                            "endpoints": [{"identifier": "locations", "role": "RECEIVER", "url": "u"}],
                        },
                        200,
                        1000,
                    ),
                ],
                3003,
            ),
            ([VERSIONS, ({"endpoints": 1}, 200, 1000)], 3001),
            ([([None], 200, 1000)], 3001),
            ([VERSIONS, ({"endpoints": [7]}, 200, 1000)], 3001),
        ],
    )
    def test_what_cannot_be_used_is_refused_as_the_specification_says(
        self, answers: list[tuple[object, int, int]], code: int
    ) -> None:
        with pytest.raises(Refused) as refused:
            self.meet(ocpi_credentials.introduce("https://p.example/v", "secret", "2.2.1"), answers)
        assert refused.value.reply.code == code


# -- statuses of pages ---------------------------------------------------------------------------------------


def page(name: str) -> Page:
    return read_page((GOLDEN / name).read_bytes(), "abc", ParseLimits(), party="NOABC", with_stations=True)


def test_a_location_with_text_that_is_no_utf_8_costs_no_other() -> None:
    odd = b'{"id": "LOC1", "evses": [{"uid": 7, "evse_id": "\x80", "status": "CHARGING"}]}'
    good = b'{"id": "LOC2", "evses": [{"uid": "2", "evse_id": "NO*ABC*E2", "status": "CHARGING"}]}'
    read = read_page(b"[%s,%s]" % (odd, good), "abc", ParseLimits(), party="NOABC")
    assert [report.evse for report in read.delivery.reports] == ["NO*ABC*E2"]


def test_a_list_of_which_the_writer_made_an_object_is_read() -> None:
    one, two = ({"id": f"L{each}", "evses": [{"uid": each, "status": "CHARGING"}]} for each in "12")
    read = read_page(json.dumps({"0": one, "2": two}).encode(), "abc", ParseLimits(), party="NOABC")
    assert [report.evse for report in read.delivery.reports] == ["1", "2"]


def test_an_evse_that_is_listed_twice_keeps_its_id() -> None:
    def ids(*uids: str) -> list[tuple[str | None, str | None]]:
        evses = [{**LOCATION["evses"][0], "uid": uid} for uid in uids]
        made = read_page(
            json.dumps([{**LOCATION, "evses": evses}]).encode(), "abc", ParseLimits(), with_stations=True
        ).delivery.stations[0]
        assert isinstance(made, StationDraft)
        return [(evse.evse_id, evse.uid) for evse in made.station.evses]

    assert ids("1", "1") == [("NO*ABC*E1001", "1")]
    assert ids("1", "2") == [(None, "1"), (None, "2")]


def told(delivery: Delivery) -> dict[str, Any]:
    """A delivery as the golden samples write it."""
    made: dict[str, Any] = msgspec.to_builtins(delivery)
    return {name: value for name, value in made.items() if value}


@pytest.mark.parametrize("name", ["page.json", "wild.json"])
def test_a_page_is_read_as_the_sample_says(name: str) -> None:
    found = page(name)
    seen = {"newest_at": found.newest_at, "parties": sorted(found.parties), **told(found.delivery)}
    expected = json.loads((GOLDEN / f"{name}.out").read_text(encoding="utf-8"))
    assert json.loads(json.dumps(seen)) == expected


def test_what_is_not_to_be_published_is_not_reported_and_is_unknown() -> None:
    found = page("page.json").delivery
    assert found.left == [("NO*ABC*E2001", "2001", "")]
    assert "NO*ABC*E2001" not in {report.evse for report in found.reports}
    hidden = found.stations[1]
    assert isinstance(hidden, StationDraft)
    assert hidden.station.evses == ()


def test_a_removed_evse_is_reported_and_no_part_of_the_station() -> None:
    found = page("page.json").delivery
    assert found.reports[2].status is Status.REMOVED
    shown = found.stations[0]
    assert isinstance(shown, StationDraft)
    assert [evse.uid for evse in shown.station.evses] == ["1001", "1002"]


# -- the Receiver --------------------------------------------------------------------------------------------

LOCATION: dict[str, Any] = json.loads((GOLDEN / "page.json").read_text(encoding="utf-8"))[0]


def sent(body: object, version: str = "2.2.1", **members: Any) -> ocpi_receiver.Sent:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ocpi_receiver.Sent(body=content, version=version, source="abc", received_at=NOW, **members)


def at(path: str) -> ocpi_receiver.Target:
    return ocpi_receiver.target(path)


def stored(**changes: Any) -> bytes:
    outcome = ocpi_receiver.put(None, at("NO/ABC/LOC1"), sent({**LOCATION, **changes}))
    assert outcome.document is not None
    return outcome.document


class TestPaths:
    def test_slashes_may_be_doubled_and_ids_are_decoded(self) -> None:
        assert at("//no/abc//LOC%2F1/E1/1/") == ocpi_receiver.Target("NOABC", "LOC/1", "E1", "1")

    @pytest.mark.parametrize(
        "path", ["", "NO", "NO/ABC", "NOR/ABC/LOC1", "NO/ABC/1/2/3/4", f"NO/ABC/{'x' * 300}"]
    )
    def test_others_name_nothing(self, path: str) -> None:
        with pytest.raises(Refused) as refused:
            at(path)
        assert refused.value.reply.status == 404


class TestPut:
    def test_a_new_object_is_created_and_an_old_one_replaced(self) -> None:
        made = ocpi_receiver.put(None, at("NO/ABC/LOC1"), sent(LOCATION))
        again = ocpi_receiver.put(made.document, at("NO/ABC/LOC1"), sent(LOCATION))
        assert (made.reply.status, again.reply.status) == (201, 200)
        assert [report.status for report in made.delivery.reports] == ["CHARGING", "OUTOFORDER", "REMOVED"]

    @pytest.mark.parametrize("body", [{}, {"id": "LOC1"}, {"last_updated": "2026-11-18T10:00:00Z"}])
    def test_a_location_with_nothing_in_it_is_refused_with_2001(self, body: dict[str, str]) -> None:
        where = ocpi_receiver.target("NO/ABC/LOC1")
        with pytest.raises(Refused) as refused:
            ocpi_receiver.put(json.dumps(LOCATION).encode(), where, sent(body))
        assert refused.value.reply.code == 2001

    def test_what_only_the_path_says_is_stored_too(self) -> None:
        where = ocpi_receiver.target("NO/ABC/LOC1")
        bare = {
            name: value for name, value in LOCATION.items() if name not in {"id", "country_code", "party_id"}
        }
        document = json.loads(ocpi_receiver.put(None, where, sent(bare)).document or b"")
        assert (document["id"], document["country_code"], document["party_id"]) == ("LOC1", "NO", "ABC")

    def test_ids_compare_without_case(self) -> None:
        made = ocpi_receiver.put(None, at("NO/ABC/LOC1"), sent({**LOCATION, "id": "loc1", "party_id": "abc"}))
        assert ocpi_receiver.get(made.document, at("no/Abc/Loc1/1001")).data is not None

    @pytest.mark.parametrize("changes", [{"id": "LOC2"}, {"party_id": "DEF"}, {"last_updated": "yesterday"}])
    def test_a_body_that_contradicts_its_address_is_refused_with_2001(self, changes: dict[str, str]) -> None:
        with pytest.raises(Refused) as refused:
            ocpi_receiver.put(None, at("NO/ABC/LOC1"), sent({**LOCATION, **changes}))
        assert (refused.value.reply.code, refused.value.reply.status) == (2001, 200)

    def test_what_is_no_json_is_refused_with_http_400(self) -> None:
        with pytest.raises(Refused) as refused:
            ocpi_receiver.put(None, at("NO/ABC/LOC1"), sent(b"{"))
        assert refused.value.reply.status == 400

    def test_an_evse_needs_its_location_and_a_connector_its_evse(self) -> None:
        for document, path, body in (
            (None, "NO/ABC/LOC1/1001", {"status": "CHARGING"}),
            (stored(), "NO/ABC/LOC1/9/1", {"standard": "CHADEMO"}),
        ):
            with pytest.raises(Refused) as refused:
                ocpi_receiver.put(document, at(path), sent(body))
            assert (refused.value.reply.code, refused.value.reply.status) == (2003, 404)

    def test_an_evse_without_status_is_refused_and_nothing_is_stored(self) -> None:
        with pytest.raises(Refused) as refused:
            ocpi_receiver.put(stored(), at("NO/ABC/LOC1/1001"), sent({"uid": "1001"}))
        assert refused.value.reply.code == 2001

    def test_parents_are_updated_with_what_is_in_them(self) -> None:
        connector = {"id": "1", "standard": "CHADEMO", "last_updated": "2026-11-18T11:00:00Z"}
        outcome = ocpi_receiver.put(stored(), at("NO/ABC/LOC1/1001/1"), sent(connector))
        assert outcome.document is not None
        location = json.loads(outcome.document)
        assert location["last_updated"] == "2026-11-18T11:00:00Z"
        assert location["evses"][0]["last_updated"] == "2026-11-18T11:00:00Z"
        assert outcome.delivery.reports == []

    def test_the_example_that_breaks_the_specification_is_understood(self, shared_file: Any) -> None:
        for version, name in (("2.1.1", "block03"), ("2.2.1", "location_put_example_add_evse")):
            body = shared_file(f"reference/ocpi/{version}/{name}.json").read_bytes()
            outcome = ocpi_receiver.put(stored(), at("NO/ABC/LOC1/3256"), sent(body, version))
            assert outcome.reply.status == 201
            assert [report.status for report in outcome.delivery.reports] == [Status.AVAILABLE]

    def test_what_is_older_than_what_is_here_is_not_stored_and_its_statuses_keep_their_times(self) -> None:
        old = {**LOCATION, "name": "Old", "last_updated": "2026-11-01T00:00:00Z"}
        outcome = ocpi_receiver.put(stored(), at("NO/ABC/LOC1"), sent(old))
        assert outcome.document is None
        assert outcome.reply.code == 1000
        assert len(outcome.delivery.reports) == 3

    def test_a_time_ahead_of_us_makes_nothing_older(self) -> None:
        ahead, now = ocpi.written(NOW + 7_200_000), ocpi.written(NOW)
        first = {**LOCATION["evses"][0], "last_updated": ahead}
        document = stored(evses=[first], last_updated=ahead)
        word = {"status": "BLOCKED", "last_updated": now}
        outcome = ocpi_receiver.patch(document, at("NO/ABC/LOC1/1001"), sent(word))
        kept = json.loads(outcome.document or b"{}")
        assert (kept["evses"][0]["status"], kept["evses"][0]["last_updated"]) == ("BLOCKED", now)
        assert kept["last_updated"] == now
        whole = ocpi_receiver.put(document, at("NO/ABC/LOC1"), sent({**LOCATION, "last_updated": now}))
        assert whole.document is not None

    def test_evses_that_a_location_has_no_more_are_unknown(self) -> None:
        outcome = ocpi_receiver.put(
            stored(), at("NO/ABC/LOC1"), sent({**LOCATION, "evses": LOCATION["evses"][:1]})
        )
        assert outcome.delivery.left == [("NO*ABC*E1002", "1002", "")], "one that was REMOVED is gone already"

    @pytest.mark.parametrize(
        ("changes", "left"),
        [
            ({"uid": "new"}, ("", "1001", "NO*ABC*E1001")),
            ({"evse_id": "NO*ABC*E7"}, ("NO*ABC*E1001", "", "")),
            ({"uid": "new", "evse_id": "no-abc-e1001"}, ("", "1001", "NO*ABC*E1001")),
            ({"uid": "new", "evse_id": None}, ("NO*ABC*E1001", "1001", "")),
        ],
    )
    def test_of_ids_that_are_replaced_only_those_that_are_gone_are_unknown(
        self, changes: dict[str, str], left: tuple[str, str, str]
    ) -> None:
        first, *others = LOCATION["evses"]
        outcome = ocpi_receiver.put(
            stored(), at("NO/ABC/LOC1"), sent({**LOCATION, "evses": [{**first, **changes}, *others]})
        )
        assert outcome.delivery.left == [left]

    @pytest.mark.parametrize("version", ocpi.VERSIONS)
    def test_what_only_the_path_says_is_stored_in_every_version(self, version: str) -> None:
        bare = {"name": "Torget", "evses": [], "last_updated": "2026-11-18T10:00:00Z"}
        document = json.loads(ocpi_receiver.put(None, at("NO/ABC/LOC1"), sent(bare, version)).document or b"")
        assert (document["id"], document["country_code"], document["party_id"]) == ("LOC1", "NO", "ABC")

    def test_an_older_word_does_not_decide_what_is_published(self) -> None:
        old = {**LOCATION, "publish": False, "last_updated": "2026-11-01T00:00:00Z"}
        assert ocpi_receiver.put(stored(), at("NO/ABC/LOC1"), sent(old)).delivery.left == []
        assert ocpi_receiver.patch(stored(), at("NO/ABC/LOC1"), sent(old)).delivery.left == []
        old["publish"] = True
        outcome = ocpi_receiver.put(stored(publish=False), at("NO/ABC/LOC1"), sent(old))
        assert outcome.delivery.reports == []


EVSE_OF_IT: dict[str, Any] = LOCATION["evses"][0]
CONNECTOR_OF_IT = {"id": "1", "standard": "CHADEMO", "format": "CABLE", "capabilities": []}
EVSE_WITH_CONNECTOR = {**EVSE_OF_IT, "connectors": [CONNECTOR_OF_IT]}
STAMP = "2026-11-18T10:00:00Z"
PATHS: dict[str, tuple[str, dict[str, Any]]] = {
    "Location": ("NO/ABC/LOC1", LOCATION),
    "EVSE": ("NO/ABC/LOC1/1001", EVSE_OF_IT),
    "Connector": ("NO/ABC/LOC1/1001/1", CONNECTOR_OF_IT),
}


class TestForms:
    """An object that is not what its path names would be stored and say nothing."""

    @pytest.mark.parametrize("kind", PATHS)
    @pytest.mark.parametrize("held", [lambda one: one, lambda one: [one]], ids=["alone", "in a list"])
    @pytest.mark.parametrize("name", ["data", "location", "evse", "Body"])
    def test_one_that_holds_the_object_is_refused_with_what_is_expected(
        self, kind: str, held: Callable[[object], object], name: str
    ) -> None:
        path, one = PATHS[kind]
        for body in ({name: held(one)}, {name: held(one), "status_code": 1000, "timestamp": STAMP}):
            for change, version in ((ocpi_receiver.put, "2.2.1"), (ocpi_receiver.patch, "2.1.1")):
                with pytest.raises(Refused, match=f"expected is the {kind} itself") as refused:
                    change(stored(evses=[EVSE_WITH_CONNECTOR]), at(path), sent(body, version))
                assert refused.value.reply.code == 2001
                assert name in str(refused.value)

    @pytest.mark.parametrize("kind", PATHS)
    @pytest.mark.parametrize("other", PATHS)
    def test_one_of_another_kind_is_refused(self, kind: str, other: str) -> None:
        path, _ = PATHS[kind]
        body = {name: value for name, value in PATHS[other][1].items() if name not in {"id", "uid"}}
        for change in (ocpi_receiver.put, ocpi_receiver.patch):
            document = stored(evses=[EVSE_WITH_CONNECTOR])
            if kind == other:
                assert change(document, at(path), sent(body, "2.1.1")).document is not None
            else:
                with pytest.raises(Refused, match=f"expected is the {kind} itself") as refused:
                    change(document, at(path), sent(body, "2.1.1"))
                assert refused.value.reply.code == 2001

    @pytest.mark.parametrize("kind", PATHS)
    def test_one_without_members_replaces_nothing(self, kind: str) -> None:
        path, _ = PATHS[kind]
        with pytest.raises(Refused, match="no members") as refused:
            ocpi_receiver.put(stored(evses=[EVSE_WITH_CONNECTOR]), at(path), sent({"last_updated": STAMP}))
        assert refused.value.reply.code == 2001

    def test_members_that_nobody_knows_are_kept_beside_others_and_patched_alone(self) -> None:
        own = {"x_more": {"a": [1]}, "status": "of our own"}
        made = ocpi_receiver.put(None, at("NO/ABC/LOC1"), sent({**LOCATION, **own}))
        assert own.items() <= json.loads(made.document or b"").items()
        patched = ocpi_receiver.patch(made.document, at("NO/ABC/LOC1/1001"), sent({"x": {"b": 1}}, "2.1.1"))
        assert json.loads(patched.document or b"")["evses"][0]["x"] == {"b": 1}


class TestPatch:
    STATUS: ClassVar = {"status": "AVAILABLE", "last_updated": "2026-11-18T10:00:00Z"}

    def test_a_status_is_merged_and_reported_by_both_ids(self) -> None:
        outcome = ocpi_receiver.patch(stored(), at("NO/ABC/LOC1/1001"), sent(self.STATUS))
        assert outcome.document is not None
        (report,) = outcome.delivery.reports
        assert (report.evse, report.also, report.status) == ("NO*ABC*E1001", "1001", Status.AVAILABLE)
        assert report.observed_at == 1_794_996_000_000
        location = json.loads(outcome.document)
        assert location["evses"][0]["status"] == "AVAILABLE"
        assert location["evses"][0]["connectors"] == LOCATION["evses"][0]["connectors"]
        assert location["last_updated"] == "2026-11-18T10:00:00Z"

    def test_the_time_is_demanded_from_2_2_1_on_only(self) -> None:
        with pytest.raises(Refused) as refused:
            ocpi_receiver.patch(stored(), at("NO/ABC/LOC1/1001"), sent({"status": "CHARGING"}))
        assert refused.value.reply.code == 2001
        outcome = ocpi_receiver.patch(stored(), at("NO/ABC/LOC1/1001"), sent({"status": "CHARGING"}, "2.1.1"))
        assert outcome.delivery.reports[0].observed_at is None

    def test_an_object_that_is_not_there_has_to_be_put(self) -> None:
        for document, path in (
            (None, "NO/ABC/LOC1"),
            (stored(), "NO/ABC/LOC1/9"),
            (stored(), "NO/ABC/LOC1/1001/9"),
        ):
            with pytest.raises(Refused) as refused:
                ocpi_receiver.patch(document, at(path), sent(self.STATUS))
            assert (refused.value.reply.code, refused.value.reply.status) == (2003, 404)

    def test_a_static_member_reports_nothing_and_makes_the_station_anew(self) -> None:
        body = {"name": "Nytt", "last_updated": "2026-11-18T10:00:00Z"}
        outcome = ocpi_receiver.patch(stored(), at("NO/ABC/LOC1"), sent(body, with_stations=True))
        assert outcome.delivery.reports == []
        (station,) = outcome.delivery.stations
        assert isinstance(station, StationDraft)
        assert station.station.name == "Nytt"

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("NO/ABC/LOC1", {"opening_times": {"twentyfourseven": True}}),
            ("NO/ABC/LOC1", {"postal_code": None}),
            ("NO/ABC/LOC1/1001", {"physical_reference": "7"}),
            ("NO/ABC/LOC1/1001", {"capabilities": []}),
            ("NO/ABC/LOC1/1001/1", {"format": "SOCKET"}),
        ],
    )
    def test_each_static_member_of_each_kind_of_object_makes_another_record(
        self, path: str, body: dict[str, Any]
    ) -> None:
        stamped = {**body, "last_updated": "2026-11-18T10:00:00Z"}
        (was,) = ocpi_receiver.put(
            None, at("NO/ABC/LOC1"), sent(LOCATION, with_stations=True)
        ).delivery.stations
        outcome = ocpi_receiver.patch(stored(), at(path), sent(stamped, with_stations=True))
        (station,) = outcome.delivery.stations
        assert isinstance(was, StationDraft)
        assert isinstance(station, StationDraft)
        assert fingerprint(station.station) != fingerprint(was.station)

    def test_a_status_does_not_make_the_station_anew_unless_the_evse_is_removed(self) -> None:
        changed = ocpi_receiver.patch(stored(), at("NO/ABC/LOC1/1001"), sent(self.STATUS, with_stations=True))
        removed = ocpi_receiver.patch(
            stored(), at("NO/ABC/LOC1/1001"), sent({**self.STATUS, "status": "REMOVED"}, with_stations=True)
        )
        assert changed.delivery.stations == []
        (station,) = removed.delivery.stations
        assert isinstance(station, StationDraft)
        assert [evse.uid for evse in station.station.evses] == ["1002"]

    @pytest.mark.parametrize("publish", [False, "false", "False", 0])
    def test_a_location_that_is_published_no_more_is_unknown_and_one_that_is_again_is_reported(
        self, publish: object
    ) -> None:
        hide = {"publish": publish, "last_updated": "2026-11-18T10:00:00Z"}
        hidden = ocpi_receiver.patch(stored(), at("NO/ABC/LOC1"), sent(hide))
        assert hidden.delivery.reports == []
        assert ("NO*ABC*E1001", "1001", "") in hidden.delivery.left
        silent = ocpi_receiver.patch(hidden.document, at("NO/ABC/LOC1/1001"), sent(self.STATUS))
        assert silent.delivery.reports == []
        shown = ocpi_receiver.patch(hidden.document, at("NO/ABC/LOC1"), sent({**hide, "publish": True}))
        assert len(shown.delivery.reports) == 3

    def test_evses_that_share_an_id_are_told_apart_by_their_uids(self) -> None:
        evses = [{**LOCATION["evses"][0], "uid": uid} for uid in ("1", "2")]
        outcome = ocpi_receiver.put(None, at("NO/ABC/LOC1"), sent({**LOCATION, "evses": evses}))
        told = [(report.evse, report.also, report.shared) for report in outcome.delivery.reports]
        assert told == [("1", "", "NO*ABC*E1001"), ("2", "NO*ABC*E1001", "")]

    def test_where_nothing_is_known_by_their_uids_the_newest_of_them_has_the_id(self) -> None:
        old, new = ({**LOCATION["evses"][0], "uid": uid} for uid in ("1", "2"))
        outcome = ocpi_receiver.put(
            stored(evses=[old]),
            at("NO/ABC/LOC1/2"),
            sent({**new, "last_updated": "2026-11-18T10:00:00Z"}),
        )
        (report,) = outcome.delivery.reports
        assert (report.evse, report.also) == ("2", "NO*ABC*E1001")

    def test_once_the_old_uid_is_removed_the_new_one_has_its_id_and_its_status(self) -> None:
        old, new = ({**LOCATION["evses"][0], "uid": uid} for uid in ("1", "2"))
        gone = {"status": "REMOVED", "last_updated": "2026-11-18T10:00:00Z"}
        document = stored(evses=[old, {**new, "status": "BLOCKED"}])
        outcome = ocpi_receiver.patch(document, at("NO/ABC/LOC1/1"), sent(gone))
        (report,) = outcome.delivery.reports
        assert (report.evse, report.also, report.status) == ("NO*ABC*E1001", "2", "BLOCKED")
        assert outcome.delivery.left == []
        later = ocpi_receiver.patch(outcome.document, at("NO/ABC/LOC1/2"), sent(self.STATUS))
        assert [each.evse for each in later.delivery.reports] == ["NO*ABC*E1001"]

    def test_an_evse_id_that_is_replaced_brings_the_status_to_the_new_one(self) -> None:
        renamed = {"evse_id": "NO*ABC*E7", "last_updated": "2026-11-18T10:00:00Z"}
        outcome = ocpi_receiver.patch(stored(), at("NO/ABC/LOC1/1001"), sent(renamed))
        assert [(each.evse, each.status) for each in outcome.delivery.reports] == [("NO*ABC*E7", "CHARGING")]
        assert outcome.delivery.left == [("NO*ABC*E1001", "", "")]

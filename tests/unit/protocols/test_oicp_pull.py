from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from jsonschema import Draft4Validator
from tests.building import NOW
from tests.conftest import SharedFile

from ladestrom.errors import BadRequest, MalformedBody, SourceFailure, TooLarge
from ladestrom.model import Position, Receipt
from ladestrom.ports.calls import Answered, Ask
from ladestrom.protocols import oicp_pull
from ladestrom.protocols.conditional import WHOLE_EVERY_MS
from ladestrom.protocols.delivery import Delivery, ParseLimits
from ladestrom.protocols.interfaces import PARTIAL, Memory, Pull, PullSettings, inline

SERVER = "https://oicp.example.org"
RESOURCE = f"{SERVER}/api/oicp/evsepull/v21/providers/NO-ABC/status-records"
RECEIPT = Receipt(0, 0, (), Position("epoch", 1))


def settings(address: str = SERVER, secret: str | None = None, **options: str) -> PullSettings:
    return PullSettings(source="abc", address=address, secret=secret, options=options)


def listing(*evses: str, code: str = "000") -> bytes:
    records = [{"EvseID": evse, "EvseStatus": "Available"} for evse in evses]
    group = {"OperatorID": "NO*ABC", "OperatorName": "ABC", "EvseStatusRecord": records}
    return json.dumps(
        {"EvseStatuses": {"OperatorEvseStatus": [group]}, "StatusCode": {"Code": code, "Description": "so"}}
    ).encode()


class Conversation:
    """One round, with a source that answers the same to every request, or by its number."""

    def __init__(
        self,
        pull: Pull,
        settings: PullSettings,
        *bodies: bytes,
        memory: Memory | None = None,
        now: int = NOW,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.asked: list[Ask] = []
        self.deliveries: list[Delivery] = []
        self.memory: Memory = {}
        round_ = inline(pull(settings, memory or {}, now))
        sent: Answered | Receipt | None = None
        try:
            while True:
                step = next(round_) if sent is None else round_.send(sent)
                if isinstance(step, Ask):
                    self.asked.append(step)
                    body = bodies[min(len(self.asked), len(bodies)) - 1]
                    sent = Answered(step.url, status, headers or {}, body, NOW)
                else:
                    self.deliveries.append(step)
                    sent = RECEIPT
        except StopIteration as end:
            self.memory = end.value


class TestService:
    def test_all_statuses_are_asked_for_and_are_all_that_there_are(self) -> None:
        round_ = Conversation(oicp_pull.pull, settings(provider_id="NO-ABC"), listing("NO*ABC*E1"))
        (ask,) = round_.asked
        assert (ask.method, ask.url) == ("POST", RESOURCE)
        assert json.loads(ask.body) == {"ProviderID": "NO-ABC"}
        (delivery,) = round_.deliveries
        assert [report.evse for report in delivery.reports] == ["NO*ABC*E1"]
        assert delivery.complete

    @pytest.mark.parametrize("odd", ["7", "null", '{"EvseStatus": "Available"}'])
    def test_an_answer_with_a_record_that_names_no_evse_is_a_part(self, odd: str) -> None:
        body = listing("NO*ABC*E1", "?").replace(b'{"EvseID": "?", "EvseStatus": "Available"}', odd.encode())
        round_ = Conversation(oicp_pull.pull, settings(provider_id="NO-ABC"), body)
        assert not round_.deliveries[0].complete
        assert "no EVSE was taken for missing" in round_.memory[PARTIAL]
        file = Conversation(oicp_pull.pull_file, settings(), body, headers={"etag": '"a"'})
        assert not file.deliveries[0].complete
        assert file.memory.keys() == {"read_at", PARTIAL}

    def test_an_answer_in_which_no_operator_has_records_is_refused(self) -> None:
        body = listing("NO*ABC*E1").replace(b"EvseStatusRecord", b"Records")
        with pytest.raises(MalformedBody, match="EvseStatusRecord"):
            Conversation(oicp_pull.pull, settings(provider_id="NO-ABC"), body)
        group = b'{"OperatorID": "NO*XYZ"}, '
        some = listing("NO*ABC*E1").replace(b'"OperatorEvseStatus": [', b'"OperatorEvseStatus": [' + group)
        (delivery,) = Conversation(oicp_pull.pull, settings(provider_id="NO-ABC"), some).deliveries
        assert (len(delivery.reports), delivery.complete) == (1, True)

    def test_the_address_may_be_that_of_the_resource(self) -> None:
        round_ = Conversation(oicp_pull.pull, settings(f"{RESOURCE}/", provider_id="NO-ABC"), listing())
        assert round_.asked[0].url == RESOURCE

    def test_who_asks_has_to_be_known(self) -> None:
        with pytest.raises(BadRequest, match="provider_id"):
            Conversation(oicp_pull.pull, settings(), listing())

    def test_a_provider_is_escaped(self) -> None:
        round_ = Conversation(oicp_pull.pull, settings(provider_id="NO*A/C"), listing())
        assert "/providers/NO%2AA%2FC/" in round_.asked[0].url

    def test_those_of_some_operators_are_asked_for(self) -> None:
        wanted = settings(provider_id="NO-ABC", operator_ids="NO*ABC, SE*XYZ,")
        round_ = Conversation(oicp_pull.pull, wanted, listing("NO*ABC*E1"))
        assert round_.asked[0].url == f"{RESOURCE}-by-operator-id"
        assert json.loads(round_.asked[0].body)["OperatorID"] == ["NO*ABC", "SE*XYZ"]
        assert round_.deliveries[0].complete

    def test_those_of_some_evses_are_asked_for_in_hundreds(self) -> None:
        evses = [f"NO*ABC*E{number}" for number in range(201)]
        wanted = settings(provider_id="NO-ABC", evse_ids=",".join(evses))
        body = json.dumps(
            {"EVSEStatusRecords": {"EvseStatusRecord": [{"EvseID": evses[0], "EvseStatus": "Occupied"}]}}
        ).encode()
        round_ = Conversation(oicp_pull.pull, wanted, body)
        assert [len(json.loads(ask.body)["EvseID"]) for ask in round_.asked] == [100, 100, 1]
        assert all(ask.url == f"{RESOURCE}-by-id" for ask in round_.asked)
        assert [len(delivery.reports) for delivery in round_.deliveries] == [1, 1, 1]
        assert not any(delivery.complete for delivery in round_.deliveries)

    @pytest.mark.parametrize(("secret", "shown"), [("token", "Bearer token"), (None, None)])
    def test_a_token_is_shown_where_there_is_one(self, secret: str | None, shown: str | None) -> None:
        round_ = Conversation(oicp_pull.pull, settings(secret=secret, provider_id="NO-ABC"), listing())
        assert round_.asked[0].headers.get("authorization") == shown

    def test_every_request_is_one_by_the_specifications_schema(self, shared_file: SharedFile) -> None:
        document = json.loads(shared_file("reference/oicp/evse-api-docs-2.2.json").read_text())
        for name, options in (
            ("ERoamingPullEvseStatus", {}),
            ("ERoamingPullEvseStatusByOperatorID", {"operator_ids": "NO*ABC"}),
            ("ERoamingPullEvseStatusByID", {"evse_ids": "NO*ABC*E1"}),
        ):
            wanted = settings(provider_id="NO-ABC", **options)
            (ask,) = Conversation(oicp_pull.pull, wanted, listing()).asked
            schema = {"$ref": f"#/definitions/{name}", "definitions": document["definitions"]}
            assert list(Draft4Validator(schema).iter_errors(json.loads(ask.body))) == []

    @pytest.mark.parametrize("status", [302, 401, 404, 500])
    def test_any_other_answer_is_a_failure_of_the_source(self, status: int) -> None:
        with pytest.raises(SourceFailure, match=str(status)):
            Conversation(oicp_pull.pull, settings(provider_id="NO-ABC"), b"", status=status)

    def test_a_failure_in_its_own_words_is_one(self) -> None:
        with pytest.raises(SourceFailure, match=r"017: so"):
            Conversation(oicp_pull.pull, settings(provider_id="NO-ABC"), listing(code="017"))

    @pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"EvseStatuses":17}', b"<html>"])
    def test_what_is_no_answer_of_the_service_is_refused(self, body: bytes) -> None:
        with pytest.raises(MalformedBody):
            Conversation(oicp_pull.pull, settings(provider_id="NO-ABC"), body)

    def test_records_are_limited(self) -> None:
        limited = PullSettings(
            source="abc",
            address=SERVER,
            options={"provider_id": "NO-ABC"},
            limits=ParseLimits(items_max=1),
        )
        with pytest.raises(TooLarge):
            Conversation(oicp_pull.pull, limited, listing("NO*ABC*E1", "NO*ABC*E2"))


class TestFile:
    body = json.dumps(
        {"EVSEStatuses": [{"EVSEStatusRecord": [{"EvseID": "CH*AAA*E1", "EVSEStatus": "Occupied"}]}]}
    ).encode()

    def round(self, **given: Any) -> Conversation:
        return Conversation(oicp_pull.pull_file, settings(**given.pop("settings", {})), self.body, **given)

    def test_it_is_read_and_remembered(self) -> None:
        round_ = self.round(headers={"etag": '"a"', "last-modified": "yesterday", "age": "3"})
        assert round_.asked == [Ask(SERVER, headers={"accept": "application/json"})]
        assert round_.deliveries[0].complete
        assert round_.memory == {"etag": '"a"', "last-modified": "yesterday", "read_at": str(NOW)}

    def test_only_a_new_one_is_asked_for(self) -> None:
        memory = {"etag": '"a"', "last-modified": "yesterday", "read_at": str(NOW)}
        round_ = self.round(memory=memory, now=NOW + 60_000, status=304)
        headers = round_.asked[0].headers
        assert (headers["if-none-match"], headers["if-modified-since"]) == ('"a"', "yesterday")
        assert round_.deliveries == []
        assert round_.memory == memory

    def test_after_a_while_the_whole_is_asked_for(self) -> None:
        memory = {"etag": '"a"', "read_at": str(NOW)}
        round_ = self.round(memory=memory, now=NOW + WHOLE_EVERY_MS)
        assert "if-none-match" not in round_.asked[0].headers
        assert len(round_.deliveries) == 1

    def test_a_token_is_shown_where_there_is_one(self) -> None:
        round_ = self.round(settings={"secret": "token"})
        assert round_.asked[0].headers["authorization"] == "Bearer token"

    def test_any_other_answer_is_a_failure_of_the_source(self) -> None:
        with pytest.raises(SourceFailure):
            self.round(status=503)


def test_an_ask_wants_what_came_back() -> None:
    round_ = oicp_pull.pull(settings(provider_id="NO-ABC"), {}, NOW)
    next(round_)
    with pytest.raises(TypeError):
        round_.send(RECEIPT)

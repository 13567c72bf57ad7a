"""Sources that are asked: as the command line sets them up, as they behave, as a running server shows it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import Authority
from tests.e2e.answering import (
    Answering,
    Asked,
    Respond,
    flooding,
    plain,
    redirecting,
    silent,
    trickling,
)
from tests.e2e.serving import Serving, now
from tests.patience import scaled, until

from ladestrom.cli import main
from ladestrom.core.access import operator_from
from ladestrom.ports.registry import RegistryDelta
from ladestrom.ports.sources import SourceRecord

E1, E2 = "NO*ALF*E1333*1", "NO*ALF*E1333*2"
SETTINGS = {
    "sources.failures_max": 1,
    "sources.rest_s": 1,
}

Run = Callable[..., tuple[str, str]]


def statuses(**told: str) -> dict[str, Any]:
    """What the Swiss form of OICP says of EVSEs by `E1` and `E2`."""
    ids = {"E1": E1, "E2": E2, "other": "CH*XXX*E1"}
    records = [{"EvseID": ids[name], "EVSEStatus": status} for name, status in told.items()]
    return {"EVSEStatuses": [{"OperatorID": "NO*ALF", "EVSEStatusRecord": records}]}


@pytest.fixture
def answer_s_max() -> int:
    """Long: who answers does so in time, however busy the machine is."""
    return 300


@pytest.fixture
def answer_mib_max() -> int:
    return 1


@pytest.fixture
def server(tmp_path: Path, answer_s_max: int, answer_mib_max: int) -> Iterator[Serving]:
    limits = {"sources.answer_s_max": answer_s_max, "sources.answer_mib_max": answer_mib_max}
    with Serving(tmp_path, {**SETTINGS, **limits}) as running:
        yield running


@pytest.fixture
def other() -> Iterator[Answering]:
    with Answering() as somebody:
        somebody.say(200, json=statuses(E1="Available", E2="Occupied"))
        yield somebody


@pytest.fixture
def run(server: Serving, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """A command on the server's data directory."""
    monkeypatch.setenv("LADESTROM_DATA", str(server.data))

    def call(*arguments: str | Path, code: int = 0) -> tuple[str, str]:
        capsys.readouterr()
        found = main(list(map(str, arguments)))
        told = capsys.readouterr()
        assert found == code, told
        return told.out, told.err

    return call


def add(
    run: Run, other: Answering, name: str = "swiss", *more: str | Path, path: str = "/status.json"
) -> None:
    run(
        *("sources", "add", name, "--operator", "alfa", "--protocol", "oicp-file"),
        *("--address", f"{other.url}{path}", "--poll", "1s", *more),
    )


def status(server: Serving, evse: str = E1) -> str:
    found: str = server.get(f"/api/v2/evses/{evse}").json()["status"]
    return found


def health(server: Serving, name: str = "swiss") -> dict[str, Any]:
    operators = server.get("/api/v2/operators").json()
    found = [each for operator in operators for each in operator["sources"] if each["source"] == name]
    return found[0] if found else {}


def becomes(server: Serving, what: str, evse: str = E1) -> None:
    until(lambda: status(server, evse) == what, f"{evse} is {what}")


def is_in(server: Serving, state: str, name: str = "swiss") -> dict[str, Any]:
    until(lambda: health(server, name).get("state") == state, f"{name} is {state}")
    return health(server, name)


def test_a_source_that_is_added_while_the_server_takes_other_changes_is_asked_too(
    server: Serving, other: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = server.app.store
    read = store.registry_since
    source = SourceRecord(
        name="swiss",
        operator="alfa",
        protocol="oicp-file",
        address=f"{other.url}/status.json",
        poll_s=1,
        added_at=now(),
        changed_at=now(),
    )

    async def registry_since(revision: int) -> RegistryDelta:
        """The registry is read after the rights: what is added in between is among neither's news."""
        monkeypatch.undo()
        await store.put_source(source)
        return await read(revision)

    monkeypatch.setattr(store, "registry_since", registry_since)
    server.write(lambda store: store.put_operator(operator_from("third", parties=["NO*THI"]), now()))
    becomes(server, "AVAILABLE")


def test_a_source_that_is_added_while_the_server_runs_brings_its_statuses(
    server: Serving, other: Answering, run: Run
) -> None:
    add(run, other)
    becomes(server, "AVAILABLE")
    becomes(server, "CHARGING", E2)
    other.say(200, json=statuses(E1="OutOfService", E2="Occupied"))
    becomes(server, "OUTOFORDER")
    found = is_in(server, "fresh")
    assert (found["protocol"], found["kind"], found["poll_s"], found["breaker"]) == (
        "oicp-file",
        "pull",
        1,
        "closed",
    )
    assert found["changes"] == 3
    assert found["late"] == 0
    assert sum(found["delay"]["counts"]) == 1, "what became known first is no change that could be late"


def test_what_the_last_round_lacks_is_unknown_and_what_is_not_ours_is_refused(
    server: Serving, other: Answering, run: Run
) -> None:
    add(run, other)
    becomes(server, "CHARGING", E2)
    other.say(200, json=statuses(E1="Available", other="Available"))
    becomes(server, "UNKNOWN", E2)
    until(lambda: health(server)["refused"].get("unknown_evse", 0) > 0, "the refusal is counted")


def test_a_source_that_is_paused_is_not_asked_and_goes_on_when_resumed(
    server: Serving, other: Answering, run: Run
) -> None:
    add(run, other)
    becomes(server, "AVAILABLE")
    add(run, other, "beside", path="/beside.json")
    run("sources", "pause", "swiss")
    is_in(server, "paused")
    asked, beside = (other.paths().count(path) for path in ("/status.json", "/beside.json"))
    until(lambda: other.paths().count("/beside.json") > beside + 1, "another is asked, and asked again")
    assert other.paths().count("/status.json") == asked
    other.say(200, json=statuses(E1="Reserved"))
    run("sources", "resume", "swiss")
    becomes(server, "RESERVED")


@pytest.mark.parametrize("is_down", [False, True])
def test_a_source_that_is_removed_is_forgotten_and_what_it_told_is_unknown(
    server: Serving, other: Answering, run: Run, is_down: bool
) -> None:
    pushed = "SE*BET*E7*1"
    server.report({"evse": pushed, "status": "AVAILABLE"}, key="beta")
    add(run, other)
    becomes(server, "AVAILABLE")
    if is_down:
        server.stop()
    run("sources", "remove", "swiss")
    if is_down:
        server.start()
    until(lambda: health(server) == {}, "it is not shown any more")
    becomes(server, "UNKNOWN")
    assert server.get(f"/api/v2/evses/{E1}").json()["cause"] == "disconnected"
    assert status(server, pushed) == "AVAILABLE", "those who push have not left"


def test_what_a_round_remembers_holds_over_a_restart(server: Serving, other: Answering, run: Run) -> None:
    other.say(200, json=statuses(E1="Available"), headers={"ETag": '"one"'})
    add(run, other)
    becomes(server, "AVAILABLE")
    until(lambda: any("if-none-match" in asked.headers for asked in other.requests), "it asks for news")
    server.stop()
    other.requests.clear()
    other.say(304, headers={"ETag": '"one"'})
    server.start()
    until(lambda: len(other.requests) > 0, "it asks after the restart")
    assert other.requests[0].headers["if-none-match"] == '"one"'
    is_in(server, "fresh")


MISBEHAVIOUR: dict[str, Callable[[Answering], Any]] = {
    "silent": silent,
    "trickling": lambda other: trickling(other, b"{"),
    "flooding": flooding,
}


@pytest.mark.parametrize("answer_s_max", [scaled(1)])
@pytest.mark.parametrize("kind", MISBEHAVIOUR)
def test_a_source_that_misbehaves_rests_and_recovers_by_itself(
    server: Serving, other: Answering, run: Run, kind: str
) -> None:
    add(run, other)
    becomes(server, "AVAILABLE")
    other.respond = MISBEHAVIOUR[kind](other)
    found = is_in(server, "resting")
    assert found["failures_in_row"] >= 1
    assert found["error"] == "source_failure"
    assert server.report({"evse": "NO*ALF*E1342", "status": "CHARGING"})["accepted"] == 1
    other.say(200, json=statuses(E1="Reserved"))
    becomes(server, "RESERVED")
    until(lambda: is_in(server, "fresh")["breaker"] == "closed", "it is asked as before")


@pytest.mark.parametrize("answer", [401, 404])
def test_an_answer_that_only_a_person_can_change_opens_the_breaker_at_once(
    server: Serving, other: Answering, run: Run, answer: int
) -> None:
    other.say(answer)
    add(run, other)
    found = is_in(server, "resting")
    assert found["failures_in_row"] == 1


@pytest.mark.parametrize("answer_mib_max", [8])
def test_a_file_above_1_mib_is_read_in_another_process_also_when_it_is_read_again(
    server: Serving, other: Answering, run: Run
) -> None:
    said = statuses(E1="Occupied")
    records = said["EVSEStatuses"][0]["EVSEStatusRecord"]
    records += [{"EvseID": f"CH*XXX*E{number}", "EVSEStatus": "Available"} for number in range(25_000)]
    body = json.dumps(said).encode()
    assert len(body) > 1024 * 1024
    other.say(200, body=body)
    add(run, other)
    becomes(server, "CHARGING")
    first = server.app.ingest.parsing.pid
    assert first is not None
    assert first != os.getpid()
    other.say(200, body=body[:-1])
    until(lambda: "-000" in run("sources", "quarantine", "swiss")[0], "one is kept that cannot be read")
    run("sources", "pause", "swiss")
    until(lambda: health(server)["state"] == "paused", "it is paused")
    os.kill(first, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{first}").exists(), "that process has ended")
    for file in (server.data / "quarantine" / "swiss").glob("*.kept"):
        # As if the parser had learnt to read it.
        head = file.read_bytes().partition(b"\n")[0]
        file.write_bytes(head + b"\n" + body.replace(E1.encode(), E2.encode()))
    run("sources", "replay", "swiss")
    becomes(server, "CHARGING", E2)
    assert server.app.ingest.parsing.pid != first


def test_what_cannot_be_read_is_kept_shown_and_read_again(
    server: Serving, other: Answering, run: Run
) -> None:
    other.say(200, body=b'{"EVSEStatuses": "lst_0123456789_secretsecret"')
    add(run, other)
    until(lambda: health(server).get("unreadable", 0) >= 1, "it is counted")
    until(lambda: "-000" in run("sources", "quarantine", "swiss")[0], "it is kept")
    run("sources", "pause", "swiss")
    out, _ = run("sources", "quarantine", "swiss")
    delivery = out.splitlines()[1].split()[0]
    folder = server.data / "quarantine" / "swiss"
    (file,) = folder.glob(f"{delivery}*")
    assert file.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    content = file.read_bytes()
    assert b"secretsecret" not in content
    out, _ = run("sources", "replay", "swiss", delivery, code=1)
    assert "still unreadable" in out
    # As if the parser had learnt to read it.
    file.write_bytes(content.partition(b"\n")[0] + b"\n" + json.dumps(statuses(E1="Reserved")).encode())
    out, _ = run("sources", "replay", "swiss", delivery)
    assert "1 reports" in out
    becomes(server, "RESERVED")
    until(lambda: not file.with_suffix(".again").exists(), "it is done with")


def test_an_unreadable_push_is_kept_and_read_again(server: Serving, run: Run) -> None:
    assert server.post(b'[{"evse": ').status_code == 400
    found = is_in(server, "failing", "alfa/plain")
    assert (found["kind"], found["unreadable"], found["error"]) == ("push", 1, "malformed_body")
    until(lambda: len(run("sources", "quarantine", "alfa/plain")[0].splitlines()) == 2, "it is kept")
    (file,) = (server.data / "quarantine").glob("*/*.kept")
    head = file.read_bytes().partition(b"\n")[0]
    assert server.keys["alfa"].encode() not in file.read_bytes()
    file.write_bytes(head + b"\n" + json.dumps([{"evse": E1, "status": "BLOCKED"}]).encode())
    run("sources", "replay", "alfa/plain")
    becomes(server, "BLOCKED")


def test_a_trial_says_what_would_be_taken_and_writes_nothing(
    server: Serving, other: Answering, run: Run
) -> None:
    other.say(200, json=statuses(E1="Available", E2="Bogus", other="Available"))
    add(run, other)
    run("sources", "pause", "swiss")
    is_in(server, "paused")
    seq = server.settled()[1]
    out, _ = run("sources", "test", "swiss")
    assert "1 unknown_evse" in out
    assert "would change an EVSE" in out
    other.say(500)
    out, _ = run("sources", "test", "swiss", code=1)
    assert "failed: the source answered 500" in out
    assert server.settled()[1] == seq


def test_the_list_shows_sources_that_are_asked_and_those_that_push(
    server: Serving, other: Answering, run: Run
) -> None:
    add(run, other)
    server.report({"evse": E1, "status": "CHARGING"})
    until(lambda: run("sources", "list")[0].count("fresh") == 2, "the server has noted both")
    assert "alfa/plain" in run("sources", "list")[0]
    rows = {row["name"]: row for row in json.loads(run("sources", "list", "--json")[0])}
    assert rows["swiss"]["has_secret"] is False
    assert rows["alfa/plain"]["freshness"]["kind"] == "push"
    (server.data / "freshness.json").write_text("{}")
    assert "plain fresh, swiss fresh" in run("operators", "list")[0]


def ocpi(data: object, **headers: str) -> Respond:
    body = json.dumps({"data": data, "status_code": 1000, "timestamp": "2026-11-22T10:00:00Z"}).encode()
    return plain(200, body, headers)


def location(name: str, evse: str) -> dict[str, Any]:
    """A Location of the operator, with one EVSE that charges."""
    at = "2026-11-22T10:00:00Z"
    return {
        "id": name,
        "country_code": "NO",
        "party_id": "ALF",
        "publish": True,
        "last_updated": at,
        "evses": [{"uid": "1", "evse_id": evse, "status": "CHARGING", "last_updated": at}],
    }


def by_path(**answers: Respond) -> Respond:
    """Answers by the last part of the path."""

    def respond(asked: Asked, send: Callable[[bytes], None]) -> None:
        answers[asked.path.partition("?")[0].rpartition("/")[2].partition(".")[0]](asked, send)

    return respond


def leading(kind: str, inside: Answering) -> tuple[str, str, Respond]:
    """A source that leads elsewhere: its protocol, its path, and what it answers. `inside` is asked there."""
    inside.respond = by_path(
        status=plain(200, json.dumps(statuses(E1="Occupied")).encode()),
        locations=ocpi([location("L1", E1)]),
    )
    match kind:
        case "redirect":
            return "oicp-file", "/status.json", redirecting(f"{inside.url}/status.json")
        case "next page":
            first = ocpi([location("L2", E2)], Link='<?offset=1>; rel="next"', **{"X-Total-Count": "2"})

            def page(asked: Asked, send: Callable[[bytes], None]) -> None:
                is_next = "offset=1" in asked.path
                (redirecting(f"{inside.url}/locations", 307) if is_next else first)(asked, send)

            return "ocpi", "/locations", page
        case _:
            named = {"identifier": "locations", "role": "SENDER", "url": f"{inside.url}/locations"}
            return "ocpi", "/details", ocpi({"version": "2.2.1", "endpoints": [named]})


@pytest.mark.parametrize("kind", ["redirect", "next page", "endpoint"])
def test_where_a_source_leads_into_a_private_network_it_is_followed_only_with_anywhere(
    server: Serving, other: Answering, run: Run, kind: str
) -> None:
    with Answering() as inside:
        protocol, path, other.respond = leading(kind, inside)
        added = ("sources", "add", "leading", "--operator", "alfa", "--protocol", protocol, "--poll", "1s")
        address = ("--address", f"{other.url}{path}")
        run(*added, *address)
        assert "is not a public address" in "".join(run("sources", "test", "leading", code=1))
        until(lambda: bool(health(server, "leading").get("error")), "the server has tried it")
        until(lambda: "is not a public address" in run("sources", "list")[0], "it is noted")
        assert "--anywhere" not in run("sources", "list")[0]
        assert (inside.requests, status(server)) == ([], "UNKNOWN")

        run(*added, *address, "--anywhere")
        assert "0 would be refused" in run("sources", "test", "leading")[0]
        becomes(server, "CHARGING")
        assert inside.requests
        assert f"{protocol} --anywhere" in run("sources", "list")[0]
        rows = {row["name"]: row for row in json.loads(run("sources", "list", "--json")[0])}
        assert rows["leading"]["options"] == {"anywhere": "yes"}


def test_a_secret_is_shown_to_the_source_and_to_nobody_else(
    server: Serving, other: Answering, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("s3cret-token\n")
    add(run, other, "swiss", "--secret-file", tmp_path / "secret")
    becomes(server, "AVAILABLE")
    assert other.requests[0].headers["authorization"] == "Bearer s3cret-token"
    other.say(401, body=b"wrong: s3cret-token")
    is_in(server, "resting")
    until(lambda: "resting" in run("sources", "list")[0], "the server has noted it")
    shown = [
        *run("sources", "list"),
        *run("sources", "list", "--json"),
        server.get("/api/v2/operators").text,
        server.get("/metrics", key="admin").text,
        (server.data / "sources.json").read_text(),
        str(server._log.entries),
    ]
    assert not [text for text in shown if "s3cret" in text]


def test_metrics_tell_how_each_source_does(server: Serving, other: Answering, run: Run) -> None:
    add(run, other)
    becomes(server, "AVAILABLE")
    found = server.get("/metrics", key="admin").text
    own = '{protocol="oicp-file",source="swiss"}'
    for line in (
        'ladestrom_source_state{protocol="oicp-file",source="swiss",state="fresh"} 1.0',
        f"ladestrom_source_changes_total{own} 2.0",
        f"ladestrom_source_late_total{own} 0.0",
        f"ladestrom_source_delay_seconds_count{own} 0.0",
    ):
        assert line in found, found


def test_a_change_that_was_public_too_late_is_flagged(server: Serving) -> None:
    at = int(time.time() * 1000)
    server.report({"evse": E1, "status": "AVAILABLE", "observed_at": at - 300_000})
    assert health(server, "alfa/plain")["late_share"] is None, "an EVSE that becomes known is not late"
    server.report({"evse": E1, "status": "CHARGING", "observed_at": at - 90_000})
    server.report({"evse": E1, "status": "AVAILABLE", "observed_at": at - 1_500})
    found = health(server, "alfa/plain")
    assert (found["late"], found["late_share"]) == (1, 0.5)
    counts = dict(zip([*found["delay"]["bounds_s"], None], found["delay"]["counts"], strict=True))
    assert (counts[2] + counts[5], counts[120], sum(counts.values())) == (1, 1, 2)


class TestCertificates:
    def test_a_source_over_https_shows_until_when_its_certificate_is_good(
        self, server: Serving, run: Run, tmp_path: Path
    ) -> None:
        authority = Authority(tmp_path / "authority")
        certificate, key = authority.sign("ours")
        with Answering(authority.server(asks=True)) as other:
            other.say(200, json=statuses(E1="Available"))
            pair = ("--certificate", certificate, "--certificate-key", key)
            add(run, other, "swiss", "--option", f"ca={authority.file}", *pair)
            becomes(server, "AVAILABLE")
            found = health(server)
            assert found["certificate_expires_at"] is not None
            assert found["own_certificate_expires_at"] is not None
            assert "its certificate expires in 2" in run("sources", "test", "swiss")[0]

    def test_a_source_whose_certificate_has_expired_is_not_believed(
        self, server: Serving, run: Run, tmp_path: Path
    ) -> None:
        authority = Authority(tmp_path / "authority")
        with Answering(authority.server(days=1)) as other:
            other.say(200, json=statuses(E1="Available"))
            add(run, other, "swiss", "--option", f"ca={authority.file}")
            until(lambda: health(server).get("error") == "source_failure", "it fails")
            assert other.requests == []
            assert "has expired" in run("sources", "test", "swiss", code=1)[0]
            assert status(server) == "UNKNOWN"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--protocol", "oipc-file"], '"oipc-file" is not a protocol'),
        (["--option", "prvider_id=x", "--protocol", "oicp"], "did you mean provider_id"),
        (["--protocol", "oicp"], "requires --option provider_id"),
        (["--option", "nonsense"], "has no value"),
        (["--address", "example.org"], "is not an address"),
        (["--address", "https://me:pw@example.org/"], "must not contain a user name or password"),
        (["--poll", "0s"], "not between 1s and"),
        (["--protocol", "ladestrom", "--poll", "5s"], "is followed"),
        (["--operator", "nobody"], 'no operator "nobody"'),
        (["--secret-env", "LADESTROM_NOTHING"], "LADESTROM_NOTHING is not set"),
        (["--certificate", "nothing.pem"], "no such file"),
    ],
)
def test_a_source_that_cannot_work_is_refused_with_what_to_do(
    run: Run, other: Answering, arguments: list[str], why: str
) -> None:
    given = {"--operator": "alfa", "--protocol": "oicp-file", "--address": other.url}
    given |= dict(zip(arguments[::2], arguments[1::2], strict=True))
    _, err = run("sources", "add", "swiss", *(word for pair in given.items() for word in pair), code=2)
    assert why in err

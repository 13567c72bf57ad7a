"""NOBIL's `search.php` and `datadump.php` from outside, as their clients ask: by GET, by forms, by JSON, by scripts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
from lxml import etree
from tests.e2e.serving import STATIONS, UID, Serving

from ladestrom.core.drafts import completed
from ladestrom.outputs.nobil_v3.edge import BODY_BYTES_MAX, DUMP, SEARCH
from ladestrom.ports.registry import StationDraft
from ladestrom.registers import nobil

RECTANGLE: Final = {"type": "rectangle", "northeast": "(62.0, 11.0)", "southwest": "(58.0, 5.0)"}
LISTED: Final = [1333, 1342, 1523, 7, 11]
NAMED: Final = "NO*ALF*E1342"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that the tests of this file share."""
    with Serving(tmp_path_factory.mktemp("nobil")) as made:
        made.report({"evse": NAMED, "status": "CHARGING", "observed_at": "2026-11-22T10:00:00Z"})
        made.settled()
        yield made


def asked(server: Serving, path: str = SEARCH, **parameters: Any) -> Any:
    """What is answered to a GET with the key in the query."""
    query = {"apikey": server.keys["stream"], "format": "json", **parameters}
    answer = server.request("GET", path, params=query)
    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"
    return answer.json()


def ids(found: Any) -> list[int]:
    return [station["csmd"]["id"] for station in found["chargerstations"]]


def test_evmap_asks_with_json_and_others_with_forms_or_the_query(server: Serving) -> None:
    evmap = {
        "apikey": server.keys["stream"],
        "northeast": "(62.0, 11.0)",
        "southwest": "(58.0, 5.0)",
        "limit": 2000,
        "action": "search",
        "type": "rectangle",
        "format": "json",
        "apiversion": "3",
    }
    found = [
        server.request("POST", SEARCH, json=evmap).json(),
        server.request("POST", SEARCH, data={**evmap, "existingids": ""}).json(),
        server.request("GET", SEARCH, params={**evmap, "_": "1699999999"}).json(),
        server.request("POST", SEARCH, params=evmap, headers={"Content-Length": "0"}).json(),
        server.get(f"{SEARCH}?type=rectangle&northeast=62,11&southwest=58,5").json(),
    ]
    assert all(each == found[0] for each in found)
    assert ids(found[0]) == [1333, 1342]
    connector = found[0]["chargerstations"][1]["attr"]["conn"]["1"]
    assert (connector["27"]["attrval"], connector["8"]["trans"]) == (UID, "Busy (charging)")
    assert connector["16"]["attrval"] == "2026-11-22T10:00:00Z"


def test_each_type_of_search(server: Serving) -> None:
    assert ids(asked(server, **RECTANGLE, existingids="1333,NOR_00007")) == [1342]
    assert ids(asked(server, **RECTANGLE, limit=1)) == [1333]
    assert ids(asked(server, type="near", lat=60, long=10, distance=500_000)) == [1333, 1342, 7]
    assert ids(asked(server, type="near", lat="60.39", long="5.32", limit=1)) == [1342]
    assert sorted(ids(asked(server, type="near", lat=-89, long=0))) == sorted(LISTED)
    assert ids(asked(server, type="id", id="NOR_01342,nor_01333")) == [1333, 1342]
    assert ids(asked(server, type="id", id="NOR_99999")) == []
    assert asked(server, type="stats_GetSumChargerstations", countrycode="NOR")["chargerstations"] == [
        {"count": 3}
    ]
    assert asked(server, type="stats_TotalsAllCounties", countrycode="no")["chargerstations"] == []
    everywhere = {"northeast": "(90,180)", "southwest": "(-90,-180)"}
    assert sorted(ids(asked(server, type="rectangle", **everywhere))) == sorted(LISTED)
    assert ids(asked(server, type="rectangle", **everywhere, country="DAN")) == [11]
    assert ids(asked(server, **RECTANGLE, status="CHARGING", connector="ccs", min_kw=100)) == [1342]


def test_a_dump_is_read_by_our_own_importer(server: Serving) -> None:
    answer = server.request("GET", DUMP, params={"apikey": server.keys["stream"]})
    assert answer.headers["content-type"].startswith("application/xml")
    assert answer.headers["content-disposition"] == 'attachment; filename="datadump.xml"'
    assert answer.headers["ladestrom-position"]
    assert len(etree.fromstring(answer.content).findall("chargerstation")) == len(LISTED)
    inline = server.request(
        "GET", DUMP, params={"apikey": server.keys["stream"], "file": "false", "format": "json"}
    )
    assert "content-disposition" not in inline.headers
    for body in (answer.content, inline.content):
        drafts = [each for each in nobil.parse([body]) if isinstance(each, StationDraft)]
        known = {draft.station.uuid: draft.station for draft in STATIONS}
        for draft in drafts:
            station, readings = completed(draft, "nobil", draft.station.uuid)
            own = known[station.uuid]
            assert [evse.evse_id for evse in station.evses] == [evse.evse_id for evse in own.evses]
            assert [each.evse for each in station.outlets] == [each.evse for each in own.outlets]
            assert [(each.status, each.observed_at) for each in readings] == (
                [("CHARGING", 1_795_341_600_000)] if station.uuid == "NOR_01342" else []
            )


def test_a_dump_may_be_narrowed(server: Serving) -> None:
    assert sorted(ids(asked(server, DUMP, countrycode="SWE"))) == [7]
    assert sorted(ids(asked(server, DUMP, norealtime="true"))) == [7, 11, 1333, 1523]
    assert sorted(ids(asked(server, DUMP, fromdate="2005-01-01"))) == sorted(LISTED)
    # Nobody says when these records were updated, so that all may have been.
    assert sorted(ids(asked(server, DUMP, fromdate="2030-01-01", nonimupdate="1"))) == sorted(LISTED)


def test_who_has_a_document_is_told_so_and_a_change_makes_another(server: Serving) -> None:
    path = f"{DUMP}?format=json&station=NOR_01523"
    first = server.get(path)
    assert "max-age" in first.headers["cache-control"]
    assert "accept-encoding" in first.headers["vary"]
    for headers in (
        {"If-None-Match": first.headers["etag"]},
        {"If-Modified-Since": first.headers["last-modified"]},
    ):
        assert server.get(path, headers=headers).status_code == 304
    called = server.get(f"{path}&callback=show")
    again = server.get(f"{path}&callback=show", headers={"If-None-Match": called.headers["etag"]})
    assert again.status_code == 304
    posted = server.request("POST", path, headers={**server.bearer(), "If-None-Match": first.headers["etag"]})
    assert posted.status_code == 200
    packed = server.get(DUMP, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    plain = server.get(DUMP, headers={"Accept-Encoding": "identity"})
    assert plain.content == packed.content


def test_a_script_calls_a_function_and_nothing_else(server: Serving) -> None:
    key = server.keys["stream"]
    answer = server.request("GET", SEARCH, params={"apikey": key, **RECTANGLE, "callback": "jQuery_1$"})
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.text.startswith("/**/jQuery_1$({")
    assert answer.text.endswith(");\n")
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert "content-encoding" not in answer.headers
    assert ids(json.loads(answer.text.removeprefix("/**/jQuery_1$(").removesuffix(");\n"))) == [1333, 1342]
    dumped = server.request("GET", DUMP, params={"apikey": key, "callback": "show"})
    assert dumped.text.startswith('/**/show({"Provider"')
    assert "content-disposition" not in dumped.headers
    wrong = server.request("GET", SEARCH, params={"apikey": key, "type": "all", "callback": "show"})
    assert wrong.text.startswith('/**/show({"error":"type=')
    xml = server.request("GET", DUMP, params={"apikey": key, "callback": "show", "format": "xml"})
    assert xml.headers["content-type"].startswith("application/xml")
    for name in ("alert(1)", "a.b", "a;b", "</script>", "a\u2028", "1a", "a" * 200, "a b"):
        refused = server.request("GET", SEARCH, params={"apikey": key, **RECTANGLE, "callback": name})
        assert refused.headers["content-type"] == "application/json"
        assert "callback" in refused.json()["error"]
        assert name not in refused.text or name == "a b"
    twice = server.get(f"{SEARCH}?type=id&id=NOR_01333&callback=a&callback=b")
    assert "callback" in twice.json()["error"]


@pytest.mark.parametrize(
    ("parameters", "part"),
    [
        ({}, "type="),
        ({"type": "rectangel"}, "did you mean rectangle"),
        ({"type": "rectangle", "northeast": "(1,2)"}, "southwest is missing"),
        ({**RECTANGLE, "southwest": "(63,5)"}, "north of"),
        ({**RECTANGLE, "southwest": "(99,5)"}, "out of range"),
        ({**RECTANGLE, "southwest": "here"}, "no place"),
        ({**RECTANGLE, "bbox": "1,2,3,4"}, "bbox"),
        ({**RECTANGLE, "limit": "-1"}, "limit"),
        ({**RECTANGLE, "contry": "NOR"}, "contry"),
        ({**RECTANGLE, "country": "NOR", "countrycode": "SWE"}, "contradict"),
        ({**RECTANGLE, "countrycode": "Atlantis"}, "is not a country"),
        ({**RECTANGLE, "existingids": "1,x"}, "existingids"),
        ({**RECTANGLE, "apiversion": "2"}, "apiversion"),
        ({**RECTANGLE, "action": "drop"}, "action"),
        ({**RECTANGLE, "format": "yaml"}, "format"),
        ({"type": "near", "lat": "1"}, "long is missing"),
        ({"type": "near", "lat": "1", "long": "1e999"}, "no number"),
        ({"type": "near", "lat": "91", "long": "1"}, "out of range"),
        ({"type": "near", "lat": "1", "long": "1", "distance": "-5"}, "distance"),
        ({"type": "id"}, "id is missing"),
        ({"type": "id", "id": "17"}, "is no id"),
        ({"type": "id", "id": "NOR_01333", "station": "NOR_01333"}, "station"),
        ({"type": "stats_TotalsByCountyId"}, "id is missing"),
    ],
)
def test_what_is_not_understood_is_told_within_the_answer(
    server: Serving, parameters: dict[str, str], part: str
) -> None:
    found = asked(server, **parameters)
    assert list(found) == ["error"]
    assert part in found["error"]


@pytest.mark.parametrize(
    ("parameters", "part"),
    [
        ({"fromdate": "yesterday"}, "fromdate"),
        ({"fromdate": "2026-02-30"}, "fromdate"),
        ({"norealtime": "maybe"}, "norealtime"),
        ({"type": "id"}, "type"),
    ],
)
def test_and_so_is_that_of_a_dump_in_its_form(server: Serving, parameters: dict[str, str], part: str) -> None:
    assert part in asked(server, DUMP, **parameters)["error"]
    answer = server.get(
        f"{DUMP}?format=xml&{'&'.join(f'{name}={value}' for name, value in parameters.items())}"
    )
    assert part in (etree.fromstring(answer.content).text or "")


def test_bodies_that_are_no_parameters(server: Serving) -> None:
    headers = {**server.bearer(), "Content-Type": "application/json"}
    for body in (b"{", b"[]", b'{"type": ["id"]}', b'{"type": {"a": 1}}', b"\xff", b"[" * 10_000):
        answer = server.request("POST", SEARCH, content=body, headers=headers)
        assert (answer.status_code, list(answer.json())) == (200, ["error"])
    other = server.request("POST", SEARCH, content=b"x", headers={**headers, "Content-Type": "image/png"})
    assert "form" in other.json()["error"]
    assert (
        server.request("POST", SEARCH, content=b" " * (BODY_BYTES_MAX + 1), headers=headers).status_code
        == 413
    )


def test_a_key_is_wrong_or_missing_and_is_never_told(server: Serving) -> None:
    for key in ("", "lst_0_secret", server.keys["revoked"], server.keys["alfa"]):
        answer = server.request("GET", SEARCH, params={"apikey": key, **RECTANGLE})
        assert (answer.status_code, list(answer.json())) == (200, ["error"])
        assert not key or key not in answer.text
        assert answer.headers["cache-control"] == "no-store"
    good = {"X-Api-Key": server.keys["stream"]}
    headed = server.request("GET", SEARCH, params={"apikey": "wrong", **RECTANGLE}, headers=good)
    assert ids(headed.json()) == [1333, 1342]


def test_many_at_once_are_given_the_same_document(server: Serving) -> None:
    tally = server.app.reader.documents.tallies
    made = tally["nobil_v3_json"].made
    with ThreadPoolExecutor(8) as pool:
        bodies = list(pool.map(lambda _: server.get(f"{DUMP}?format=json&country=NOR").content, range(200)))
    assert len(set(bodies)) == 1
    assert tally["nobil_v3_json"].made - made < 100
    server.get(f"{DUMP}?format=json")
    metrics = server.get("/metrics", key="admin").text
    assert 'ladestrom_output_evses{output="nobil_v3_json"}' in metrics


def test_visitors_read_where_they_may(tmp_path: Path) -> None:
    with Serving(tmp_path, {"page.visitors": "anyone"}) as open_:
        assert len(open_.get(f"{DUMP}?format=json", key=None).json()["chargerstations"]) == len(LISTED)
        assert "error" in open_.get(f"{DUMP}?format=json&apikey=wrong", key=None).json()

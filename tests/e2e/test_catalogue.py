"""The catalogue from outside: anybody reads it, and each address in it leads somewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.e2e.serving import Serving
from tests.unit.outputs.test_catalogue import nodes

PATH: Final = "/api/v2/catalogue"
SETTINGS: Final = {
    "server.url_public": "https://status.example.org",
    "registry.publisher": "NO-NAP",
    "registry.publisher_country": "NO",
    "registry.licence": "CC BY 4.0",
    "page.contact": "post@example.org",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that the tests of this file share."""
    with Serving(tmp_path_factory.mktemp("catalogue")) as made:
        yield made


def distributions(document: Any) -> list[dict[str, Any]]:
    return [each for each in nodes(document) if each["@type"] == "dcat:Distribution"]


def test_anybody_reads_it_and_whoever_has_it_is_told_so(server: Serving) -> None:
    answer = server.get(PATH, key=None)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/ld+json"
    assert answer.headers["cache-control"] == "public, max-age=60"
    assert answer.headers["ladestrom-position"]
    assert answer.headers["last-modified"]
    assert "host" in answer.headers["vary"]
    again = server.get(PATH, key=None, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
    other = server.get(PATH, key=None, headers={"Host": "other.example"})
    assert other.json()["@id"] == f"http://other.example{PATH}"
    assert other.headers["etag"] != answer.headers["etag"]
    assert server.get(f"{PATH}?format=ttl", key=None).status_code == 400
    assert server.get(PATH, key=None, headers={"Host": "<script>"}).status_code == 400


def test_each_address_in_it_answers(server: Serving) -> None:
    document = server.get(PATH, key=None).json()
    found = {each["dcat:accessURL"]["@id"] for each in distributions(document)}
    assert len(found) > 20
    for address in sorted(found):
        path = address.removeprefix(server.url)
        assert path.startswith("/"), address
        if path == "/api/v2/events":
            continue  # endless
        # A stream tells a plain request to upgrade; another method, or another secret, may be asked for.
        assert server.get(path).status_code in {200, 401, 405, 426}, address


def test_the_settings_say_who_publishes(tmp_path: Path) -> None:
    with Serving(tmp_path, SETTINGS) as server:
        document = server.get(PATH, key=None).json()
    assert document["dct:publisher"]["foaf:name"] == "NO-NAP"
    for each in distributions(document):
        assert each["dcat:accessURL"]["@id"].startswith("https://status.example.org/")
        assert each["dct:license"]["@id"] == "https://creativecommons.org/licenses/by/4.0/"
    kinds = [each for each in nodes(document) if each["@type"] == "vcard:Kind"]
    assert kinds[0]["vcard:hasEmail"] == {"@id": "mailto:post@example.org"}

"""Archives of map tiles: the page's own, and one of whoever runs the server, in parts."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

import pytest
from tests.browser.archives import HEADER_BYTES, archive, vector_tile
from tests.e2e.serving import Serving

from ladestrom.edges.page import TILES_PATH, Assets
from ladestrom.edges.page.archives import PART_BYTES_MAX, Archive, Damaged

SMALL: Final = archive("mvt", vector_tile("earth"))


def served(directory: Path, content: bytes | None) -> Serving:
    path = directory / "country.pmtiles"
    if content is not None:
        path.write_bytes(content)
    return Serving(directory, {"page.tiles_file": str(path), "page.visitors": "anyone"})


def test_an_archive_is_served_in_parts(tmp_path: Path) -> None:
    with served(tmp_path, SMALL) as server:
        assert server.get("/api/v2/page", key=None).json()["tiles"] == TILES_PATH
        whole = server.get(TILES_PATH, key=None)
        assert (whole.status_code, whole.content) == (200, SMALL)
        assert whole.headers["accept-ranges"] == "bytes"
        tag, size = whole.headers["etag"], len(SMALL)
        same = server.get(TILES_PATH, key=None, headers={"If-None-Match": tag})
        assert (same.status_code, same.content) == (304, b"")
        for asked, first, last in (
            ("bytes=0-6", 0, 6),
            ("bytes=5-", 5, size - 1),
            ("bytes=-4", size - 4, size - 1),
            (f"bytes=-{size + 9}", 0, size - 1),
            (f"bytes=3-{size + 9}", 3, size - 1),
        ):
            for more in ({}, {"If-Range": tag}):
                part = server.get(TILES_PATH, key=None, headers={"Range": asked, **more})
                assert (part.status_code, part.content) == (206, SMALL[first : last + 1]), asked
                assert part.headers["content-range"] == f"bytes {first}-{last}/{size}"
                assert part.headers["etag"] == tag
        for asked, more in (
            ("bytes=0-6", {"If-Range": '"another"'}),
            ("bytes=0-1,4-5", {}),
            ("bytes=6-x", {}),
            ("bytes=-", {}),
            ("lines=0-6", {}),
        ):
            part = server.get(TILES_PATH, key=None, headers={"Range": asked, **more})
            assert (part.status_code, part.content) == (200, SMALL), asked
        for asked in (f"bytes={size}-", "bytes=9-8", "bytes=-0"):
            part = server.get(TILES_PATH, key=None, headers={"Range": asked})
            assert (part.status_code, part.headers["content-range"]) == (416, f"bytes */{size}"), asked
        own = f"/page/{Assets().digest()}/ground/ground.pmtiles"
        refused = server.get(own, key=None)
        assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")
        part = server.get(own, key=None, headers={"Range": "bytes=0-99999999999"})
        assert (part.status_code, len(part.content)) == (206, PART_BYTES_MAX)
        assert "immutable" in part.headers["cache-control"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file"),
        (b"", "is no PMTiles archive"),
        (b"<html>" * 99, "is no PMTiles archive"),
        (b"PMTiles\x02" + bytes(HEADER_BYTES), "is PMTiles version 2; version 3 is needed"),
        (SMALL[:-1], "is cut off"),
        (SMALL[:8] + struct.pack("<8Q", *[2**64 - 1] * 8) + SMALL[72:], "is cut off"),
    ],
)
def test_a_file_that_is_none_is_said_and_not_served(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "country.pmtiles"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Damaged, match=said):
        Archive(path)


def test_a_server_starts_without_its_archive(tmp_path: Path) -> None:
    with served(tmp_path, SMALL[:-1]) as server:
        (warning,) = [each for each in server.logged() if "tiles_file" in each["event"]]
        assert "is cut off" in warning["reason"]
        assert server.get(TILES_PATH, key=None).status_code == 404

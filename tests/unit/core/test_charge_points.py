"""Charge points' passwords: how they are made, and when they are right."""

from __future__ import annotations

import base64
import hashlib

import pytest
from tests.building import NOW

from ladestrom.core.charge_points import admit, as_hexadecimal, enrol, new_password
from ladestrom.errors import BadRequest, Unauthenticated
from ladestrom.ports.charge_points import ChargePoint

BYTES = bytes(range(20))


def make(name: str = "CP1", **members: object) -> tuple[str, ChargePoint]:
    given = {"operator": "abc", "station": "NOR_00001", "evses": {}, "added_at": NOW, **members}
    return enrol(BYTES, charge_point=name, **given)  # type: ignore[arg-type]


def header(name: str, password: bytes | str) -> str:
    content = password if isinstance(password, bytes) else password.encode()
    return "Basic " + base64.b64encode(name.encode() + b":" + content).decode()


def test_a_password_fits_all_versions_and_is_not_kept() -> None:
    password, point = make()
    assert len(password) == 20
    assert password.isalnum()
    assert password.isascii()
    assert point.secret_sha256 == hashlib.sha256(password.encode()).digest()
    assert password not in repr(point)
    assert new_password(bytes(20))[0] != new_password(bytes([1]) * 20)[0]


def test_too_few_random_bytes_are_a_mistake() -> None:
    with pytest.raises(ValueError):
        new_password(bytes(19))


def test_the_right_name_and_password_are_admitted() -> None:
    password, point = make()
    admit(point, header("CP1", password))
    admit(point, header("CP1", password).replace("Basic", "basic"))
    admit(point, header("CP1", as_hexadecimal(password)))
    admit(point, header("CP1", as_hexadecimal(password).lower()))


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Basic",
        "Basic ",
        "Bearer x",
        "Basic ????",
        "Basic " + "A" * 5_000,
        header("CP1", b""),
        header("CP1", b"\xff\xfe"),
        header("CP1", "00" * 32),
        header("CP1", "x" * 20),
        base64.b64encode(b"CP1").decode(),
        "Basic " + base64.b64encode(b"CP1").decode(),
        "Basic ä",
    ],
)
def test_anything_else_is_turned_away(authorization: str | None) -> None:
    with pytest.raises(Unauthenticated):
        admit(make()[1], authorization)


def test_the_password_of_one_is_not_for_the_name_of_another() -> None:
    password, point = make()
    with pytest.raises(Unauthenticated):
        admit(point, header("CP2", password))


@pytest.mark.parametrize("name", ["", "x" * 49, "a:b", " CP1", "CP1 ", "a\nb"])
def test_an_id_has_a_form(name: str) -> None:
    with pytest.raises(BadRequest):
        make(name)


@pytest.mark.parametrize("number", [0, -1, 10_000])
def test_numbers_have_a_range(number: int) -> None:
    with pytest.raises(BadRequest):
        make(evses={number: "NO*ABC*E1"})


def test_a_charge_point_has_a_limited_number_of_evses() -> None:
    with pytest.raises(BadRequest):
        make(evses={number: f"E{number}" for number in range(1, 258)})

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ladestrom.core.electrical import (
    PHASES,
    RATINGS,
    completed,
    kw,
    line_to_neutral,
    powers,
    said,
    strongest_kw,
)
from ladestrom.model import Connector, Evse, Outlet, Station
from ladestrom.record import Format, PowerType

AC_1, AC_3, DC = PowerType.AC_1_PHASE, PowerType.AC_3_PHASE, PowerType.DC
SOCKET, CABLE = Format.SOCKET, Format.CABLE
STANDARDS = sorted({standard for rating in RATINGS for standard in rating.standards})


def facts(
    connector: Connector,
) -> tuple[float | None, PowerType | None, float | None, float | None, str | None]:
    one = completed(connector)
    return one.max_kw, one.power_type, one.max_v, one.max_a, one.format


@pytest.mark.parametrize(
    ("standard", "max_kw", "expected"),
    [
        ("IEC_62196_T2", 3.7, (3.7, AC_1, 230, 16, SOCKET)),
        ("IEC_62196_T2", 7.4, (7.4, AC_1, 230, 32, SOCKET)),
        ("IEC_62196_T2", 11.0, (11.0, AC_3, 230, 16, SOCKET)),
        ("IEC_62196_T2", 12.0, (12.0, AC_3, 230, 32, SOCKET)),
        ("IEC_62196_T2", 22.08, (22.08, AC_3, 230, 32, SOCKET)),
        ("IEC_62196_T2", 43.0, (43.0, AC_3, 230, 63, CABLE)),
        ("IEC_62196_T2_COMBO", 150.0, (150.0, DC, 920, 164, CABLE)),
        ("IEC_62196_T2_COMBO", 350.0, (350.0, DC, 920, 381, CABLE)),
        ("CHADEMO", 50.0, (50.0, DC, 500, 100, CABLE)),
        ("DOMESTIC_E", None, (3.68, AC_1, 230, 16, SOCKET)),
        ("IEC_60309_2_three_32", None, (22.08, AC_3, 230, 32, SOCKET)),
        ("IEC_62196_T2_COMBO", None, (None, DC, 920, None, CABLE)),
    ],
)
def test_standard_and_power_make_the_rest(
    standard: str, max_kw: float | None, expected: tuple[object, ...]
) -> None:
    assert facts(Connector(standard, max_kw)) == expected


@pytest.mark.parametrize(
    "connector",
    [
        Connector("UNKNOWN", 22.0),
        Connector("UNKNOWN", None, format=CABLE, max_v=400),
        Connector("IEC_62196_T2"),
        Connector("IEC_62196_T2", 120.0),
        Connector("IEC_62196_T2", 22.0, power_type=DC),
        Connector("PANTOGRAPH_TOP_DOWN", 300.0),
    ],
)
def test_where_no_row_is_for_it_nothing_is_made_up(connector: Connector) -> None:
    assert completed(connector) == connector


def test_what_is_derived_is_named_and_what_was_said_is_not() -> None:
    one = completed(Connector("IEC_62196_T2", 22.0, format=CABLE))
    assert one.derived == ("max_a", "max_v", "power_type")


def test_a_row_that_contradicts_what_was_said_does_not_count() -> None:
    assert facts(Connector("IEC_62196_T2", 7.4, power_type=AC_3)) == (7.4, AC_3, 230, 16, SOCKET)
    assert facts(Connector("IEC_62196_T2", 11.0, power_type=AC_1)) == (11.0, AC_1, None, None, None)
    assert facts(Connector("IEC_62196_T1", 11.0, power_type=AC_1)) == (11.0, AC_1, None, None, CABLE)


def test_a_voltage_that_was_said_makes_the_current() -> None:
    assert facts(Connector("IEC_62196_T2_COMBO", 300.0, max_v=1_000)) == (300.0, DC, 1_000, 300, CABLE)


@pytest.mark.parametrize(
    ("connector", "max_kw"),
    [
        (Connector("UNKNOWN", power_type=AC_3, max_v=230, max_a=32), 22.08),
        (Connector("UNKNOWN", power_type=DC, max_v=500, max_a=125), 62.5),
        (Connector("CHADEMO", max_v=400, max_a=125), 50.0),
        (Connector("DOMESTIC_F", max_a=10), 2.3),
        (Connector("IEC_62196_T2", max_v=230, max_a=32), None),
        (Connector("IEC_62196_T2_COMBO", max_a=200), None),
    ],
)
def test_a_power_follows_from_voltage_current_and_phases_alone(
    connector: Connector, max_kw: float | None
) -> None:
    one = completed(connector)
    assert one.max_kw == max_kw
    assert ("max_kw" in one.derived) is (max_kw is not None)


@pytest.mark.parametrize(
    ("max_v", "power_type", "expected"),
    [
        (400, AC_3, 230),
        (230, AC_3, 230),
        (415.0, AC_3, 240),
        (480, AC_3, 277),
        (433, AC_3, 250),
        (400, DC, 400),
        (400, AC_1, 400),
        (400, None, 400),
    ],
)
def test_three_phases_are_counted_from_a_line_to_neutral(
    max_v: float, power_type: PowerType | None, expected: float
) -> None:
    assert line_to_neutral(max_v, power_type) == expected


OPTIONAL = st.none() | st.floats(0.1, 10_000)
CONNECTORS = st.builds(
    Connector,
    st.sampled_from([*STANDARDS, "UNKNOWN", "PANTOGRAPH_BOTTOM_UP"]),
    OPTIONAL,
    st.none() | st.sampled_from(Format),
    st.none() | st.sampled_from(PowerType),
    OPTIONAL,
    OPTIONAL,
)


@given(CONNECTORS)
def test_what_a_register_said_stays_and_can_be_had_again(connector: Connector) -> None:
    one = completed(connector)
    assert said(one) == connector
    assert completed(one) == one
    for name in ("max_kw", "format", "power_type", "max_v", "max_a"):
        own, made = getattr(connector, name), getattr(one, name)
        assert (name in one.derived) is (own is None and made is not None)
        assert made == own or own is None


@given(CONNECTORS)
def test_those_that_are_alike_are_one_object(connector: Connector) -> None:
    again = Connector(*(getattr(connector, name) for name in Connector.__struct_fields__))
    assert completed(again) is completed(connector)


def test_a_row_gives_the_power_up_to_which_it_is() -> None:
    for each in RATINGS:
        if each.up_to_kw is None or each.power_type is None:
            continue
        made = kw(each.max_v, each.max_a, each.power_type)
        assert made is not None
        assert made <= each.up_to_kw <= made * 1.07


def test_every_power_type_has_phases() -> None:
    assert set(PHASES) == set(PowerType)


def test_an_evse_has_the_power_of_its_strongest_connector() -> None:
    outlets = (
        Outlet(0, Connector("IEC_62196_T2", 22.0)),
        Outlet(0, Connector("CHADEMO", max_v=500, max_a=125)),
        Outlet(1, Connector("UNKNOWN")),
        Outlet(7, Connector("UNKNOWN", 22.0)),
    )
    evses = (Evse("A", ""), Evse("B", ""), Evse("C", ""))
    assert powers(Station("", "", "NOR", 0, 0, evses, outlets)) == [62.5, None, None]
    assert strongest_kw([]) is None

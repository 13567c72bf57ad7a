from __future__ import annotations

import pytest

from ladestrom.core.organisations import is_of_organisation


@pytest.mark.parametrize(
    "email",
    [
        "support.france@example.org",
        "contact@example.org",
        "charging-france@example.org",
        "supervision-ev.france@example.org",
        "assistance-technique@example.org",
        "HELLO@example.org",
        "irve2@example.org",
        "rivemont@rivemont.example",
        "fjord-lading@fjord-lading.example",
        "lading@fjord.lading.example",
    ],
)
def test_an_address_of_a_role_or_of_the_organisation_itself_is_an_organisations(email: str) -> None:
    assert is_of_organisation(email)


@pytest.mark.parametrize(
    "email",
    [
        "kari.nordmann@example.org",
        "knordmann@example.org",
        "kari@example.org",
        "kari.nordmann@nord.example",
        "k.n@example.org",
        "42@example.org",
        "org@example.org",
        "",
        "@",
    ],
)
def test_what_may_be_a_persons_name_is_not(email: str) -> None:
    assert not is_of_organisation(email)

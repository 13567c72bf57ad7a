"""Contact data of organisations, told from that of people.

Knows what addresses of organisations are called. Must not know of any register.
"""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final = re.compile(r"[^\W\d_]+")
_ROLES: Final = frozenset(
    [
        "accueil",
        "acces",
        "admin",
        "administration",
        "agence",
        "aide",
        "assistance",
        "bonjour",
        "borne",
        "bornes",
        "bureau",
        "care",
        "charge",
        "charger",
        "charging",
        "client",
        "clients",
        "clientele",
        "cm",
        "commercial",
        "communication",
        "contact",
        "contacts",
        "customer",
        "customercare",
        "customerservice",
        "data",
        "depannage",
        "dispatch",
        "drive",
        "electromobilite",
        "electromobility",
        "elektromobilitet",
        "emob",
        "emobilite",
        "emobility",
        "energie",
        "energies",
        "energy",
        "ev",
        "evcharging",
        "evse",
        "exploitation",
        "fleet",
        "gestion",
        "hallo",
        "hei",
        "hej",
        "hello",
        "help",
        "helpdesk",
        "hotline",
        "info",
        "infos",
        "infrastructure",
        "irve",
        "itinerance",
        "kontakt",
        "kunde",
        "kundcenter",
        "kundeservice",
        "kundservice",
        "kundtjanst",
        "lade",
        "laden",
        "ladestation",
        "mail",
        "mairie",
        "maintenance",
        "mobilite",
        "mobilites",
        "mobility",
        "noc",
        "office",
        "operations",
        "ops",
        "post",
        "postmaster",
        "qualicharge",
        "reception",
        "recharge",
        "renseignement",
        "renseignements",
        "roaming",
        "sav",
        "secretariat",
        "service",
        "serviceclient",
        "services",
        "servicesclients",
        "station",
        "stations",
        "supervision",
        "support",
        "supportev",
        "technical",
        "technique",
        "teknisk",
        "team",
        "ve",
        "vehicule",
        "vehicules",
        "ville",
        "webmaster",
    ]
)
"""What organisations call their mailboxes, in the languages of the registers. A name of a person is none."""


def is_of_organisation(email: str) -> bool:
    """Whether an e-mail address is plainly that of an organisation: it names a role (`support.f@...`), or
    the organisation itself (`rivemont@rivemont.fr`). What may be a person's name is not.
    """
    mailbox, _, host = email.casefold().rpartition("@")
    own = host.split(".")[:-1]
    return any(word in _ROLES or word in own for word in (*_WORDS.findall(mailbox), mailbox))

"""What a commit of this PostgreSQL survives: proven by its settings, or refused. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from ladestrom.backends.blocks import End
from ladestrom.errors import InvalidSetting

CLOSED: Final = "closed"
"""Session of a log that was closed."""
RELAXED: Final = {"synchronous_commit": "off"}
"""Of a session whose commits are not waited for: PostgreSQL syncs them within 0.6 s."""


class Facts(msgspec.Struct, frozen=True):
    """What the server says of itself."""

    fsync: str
    synchronous_commit: str
    full_page_writes: str
    standbys: str
    is_standby: bool
    started: str
    timeline: str
    source: str
    schema: str | None


def require(facts: Facts, durability: str) -> None:
    """Refuses a durability that the server does not give.

    Raises:
        InvalidSetting: says which of its settings is why, and what to do.
    """
    if durability != "full":
        return
    if facts.fsync != "on":
        raise InvalidSetting(
            'log.durability = "full" needs fsync = on in PostgreSQL, which has it off: a power cut would '
            "lose or damage the log"
        )
    if facts.synchronous_commit not in {"on", "remote_apply"}:
        raise InvalidSetting(
            'log.durability = "full" needs synchronous_commit = on or remote_apply in PostgreSQL, which has '
            f"{facts.synchronous_commit} for this user: ALTER ROLE ... SET synchronous_commit = on"
        )


def survives(facts: Facts, durability: str) -> str:
    """What an acknowledgement survives, in words."""
    if durability != "full":
        return "a crash of this program, but not one of PostgreSQL or a power cut: they lose up to a second"
    if facts.standbys:
        return f"a power cut, and the loss of the primary (synchronous_standby_names = {facts.standbys})"
    return "a power cut, not the loss of the primary: synchronous_standby_names is empty"


def doubts(facts: Facts) -> str:
    """What is only right on some machines; empty where nothing is."""
    if facts.full_page_writes == "off":
        return "full_page_writes is off: a power cut can damage the log, unless the file system is like ZFS"
    return ""


def session(facts: Facts, durability: str) -> str:
    """What the log notes of who writes it, for who takes over."""
    standby = "synchronous" if facts.standbys else "alone"
    return f"{durability} {standby} {facts.started}"


class Before(msgspec.Struct, frozen=True):
    """What the writer before noted."""

    session: str
    source: str
    timeline: str
    renew: str


def renewal(before: Before, facts: Facts, end: End) -> str:
    """Why a new epoch has to begin, as numbers may have been given out that the log does not have any more.

    Empty where it goes on.
    """
    if before.renew:
        return before.renew
    if not end.block:
        return ""
    if before.source and before.source != facts.source:
        return "the log was copied from another database, or restored from a dump"
    kind, _, rest = before.session.partition(" ")
    standby, _, started = rest.partition(" ")
    if before.timeline and before.timeline != facts.timeline and standby != "synchronous":
        return (
            "PostgreSQL was restored or failed over, and its standby was not synchronous: the last entries "
            "may be lost"
        )
    if kind == "relaxed" and started != facts.started:
        return (
            "PostgreSQL was started again under a log that does not wait for it: the last entries may be lost"
        )
    return ""

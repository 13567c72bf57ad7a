"""The operators of the simulated country, none of which exists, and how each one reports.

Facts and habits only; must not know the traffic.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec


class Form(StrEnum):
    """How an operator writes which EVSE it means, and in whose terms it reports."""

    EVSE_ID = "evse_id"
    """`NO*FJL*E8000101`, as the register has it."""
    COMPACT = "compact"
    """The same in lower case, without separators."""
    UID = "uid"
    """The operator's own id."""
    NOBIL = "nobil"
    """Station uuid and connector, status -1, 0 or 1 and the error flag."""


class Habit(msgspec.Struct, frozen=True, kw_only=True):
    """When and in what form an operator reports. Times are seconds of simulated time."""

    form: Form = Form.EVSE_ID
    batch_s: float | None = 0
    """Changes: 0 each by itself at once, else gathered for so long; None: in the next snapshot only."""
    snapshot_s: float | None = None
    """Every so often all EVSEs in one list, compressed: mostly confirmations."""
    keep_alive_s: float | None = None
    """Every EVSE is confirmed so often, one after the other."""
    late_share: float = 0
    """Share of changes that arrive late, and so after newer ones."""
    late_s_max: float = 0
    silent_every_s: float | None = None
    """Each such period ends with a silence of `silent_s`, after which what was missed is told."""
    silent_s: float = 0
    iso_times: bool = True
    """Instants as ISO 8601; else as milliseconds."""

    @property
    def confirm_s(self) -> float:
        """How long an EVSE's last report stays unconfirmed, silences left out.

        Raises:
            ValueError: the habit confirms nothing, which no operator here does.
        """
        periods = [period for period in (self.snapshot_s, self.keep_alive_s) if period is not None]
        if not periods:
            raise ValueError("a habit needs snapshot_s or keep_alive_s")
        return min(periods)


class Company(msgspec.Struct, frozen=True):
    """An operator: `slow` and `fast` are its shares of the country's AC and DC stations."""

    name: str
    party: str
    """Country and party without separator."""
    slow: float
    fast: float
    habit: Habit


COMPANIES: Final[tuple[Company, ...]] = (
    Company("Fjordlys Lading", "NOFJL", 0.14, 0.30, Habit(keep_alive_s=1800)),
    Company("Nordstrøm", "NONSM", 0.22, 0.18, Habit(batch_s=5, snapshot_s=600)),
    Company("Elvekraft", "NOELV", 0.24, 0.06, Habit(batch_s=None, snapshot_s=60, iso_times=False)),
    Company("Tindelad", "NOTDL", 0.05, 0.19, Habit(keep_alive_s=1200, late_share=0.15, late_s_max=180)),
    Company("Blålys Mobilitet", "NOBLM", 0.10, 0.11, Habit(form=Form.UID, batch_s=2, keep_alive_s=600)),
    Company("Hverdagslading", "NOHVD", 0.15, 0.01, Habit(form=Form.NOBIL, keep_alive_s=900, iso_times=False)),
    Company(
        "Skjærgård Strøm",
        "NOSKS",
        0.06,
        0.07,
        Habit(batch_s=5, snapshot_s=120, silent_every_s=3600, silent_s=1200),
    ),
    Company(
        "Viddelading",
        "NOVDL",
        0.04,
        0.08,
        Habit(form=Form.COMPACT, batch_s=10, keep_alive_s=600, late_share=0.1, late_s_max=60),
    ),
)

HABITS: Final = {company.name: company.habit for company in COMPANIES}

DEFAULT_HABIT: Final = Habit(batch_s=5, snapshot_s=600)
"""For operators of another register."""

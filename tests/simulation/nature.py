"""What kind of world a seed makes: its limits, its pace, and what befalls it.

The kinds lean towards different troubles; every one of them can have all.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec
from tests.simulation.network import ROADS, Road
from tests.simulation.registry import (
    COMING,
    FINER_SUBSCRIPTIONS,
    GUEST_SUBSCRIPTIONS,
    MOVING,
    RENEWING,
    SUBSCRIPTIONS,
)
from tests.simulation.truth import Wish

from ladestrom.tasks import TURN_S

EVENTFUL: Final[Mapping[str, int]] = {
    "cut": 4,
    "leave": 2,
    "repave": 2,
    "select": 3,
    "join": 1,
    "sign off": 1,
    "fail": 1,
    "restart": 2,
}
"""How often what happens, compared with the others."""


class Kind(StrEnum):
    """What a world leans towards."""

    MIXED = "mixed"
    TORRENT = "torrent"
    """Many changes, slow roads, logs that keep little."""
    CHOOSY = "choosy"
    """Consumers that want every change and change their minds."""
    COMING = "coming"
    """EVSEs and stations that leave the registry and come back."""
    MOVING = "moving"
    """EVSEs that go from one station to another."""
    RENEWED = "renewed"
    """Stations that come to another operator, country or place, and all else that a register may come to say."""
    RETURNING = "returning"
    """Servers that begin anew, and consumers that come back to them, while registers change."""
    FORGETFUL = "forgetful"
    """The same with logs that keep little, and consumers that stay away for long."""


class Nature(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a world that is settled when it begins."""

    kind: Kind
    events: Mapping[str, int]
    whims: tuple[str, ...]
    """What may become of the registry."""
    roads: tuple[Road, ...]
    palette: tuple[Wish, ...]
    """Selections that consumers come with."""
    framings: tuple[str, ...]
    batches_ms: tuple[int, ...]
    every_share: float
    """Share of version 2's consumers that want every change."""
    records_share: float
    """Share of them that want records of stations, too."""
    by_time_share: float
    """Share of them that resume by time."""
    aways_s: tuple[float, ...]
    """For how long who leaves stays away."""
    restarts_max: int
    has_guest: bool
    """Whether three operators report, and not two."""
    is_old: bool
    """Until the first restart, a program serves whose log has no records of stations."""
    burst: int
    """Most reports of one delivery."""
    pause_s: float
    """Mean time between two deliveries of an operator."""
    heartbeat_s: float
    checkpoint_s: float
    log_delay_s: float
    checkpoint_delay_s: float
    """Most that a part of a checkpoint takes."""
    keep: int
    """Entries that the log keeps at least."""
    tick_s: float
    """Most that passes between two looks at the clock."""
    window_bytes_max: int
    chunk_bytes_max: int
    batch_rows_max: int
    replay_entries_max: int
    turn_entries_max: int
    compressed_frames_max: int
    part_bytes_max: int
    recent_entries_max: int
    snapshot_reuse: int
    buffer_bytes_max: int
    turn_s: float
    """How long work holds the loop before others have their turn."""
    stations_at_once: int
    """Stations of a snapshot or a digest that is made in one step."""
    missed_at_once: int
    """Stations that a consumer missed and is told in one step."""
    turn_of_others_s: float
    """Most that passes after each station of one that is not."""


def nature_of(seed: int, kind: Kind | None = None) -> Nature:
    """The nature of a seed's world; of the kind that is asked for, or its own."""
    rng = random.Random(f"nature {seed}")
    kind = kind or list(Kind)[seed % len(Kind)]
    turns = random.Random(f"turns {seed}")
    log_delay_s = rng.choice((0.001, 0.02, 0.2))
    mixed = Nature(
        kind=kind,
        events=EVENTFUL,
        whims=COMING,
        roads=ROADS,
        palette=tuple(rng.sample(FINER_SUBSCRIPTIONS, 3)),
        framings=tuple(rng.sample(("text", "deflate", "event"), 2)),
        batches_ms=tuple(rng.sample((0, 100, 1_000), 2)),
        every_share=0.5,
        records_share=0.4,
        by_time_share=0.4,
        aways_s=(0.0, 1.0, 10.0),
        restarts_max=rng.choice((0, 1, 1, 2, 3)),
        has_guest=False,
        is_old=turns.random() < 0.1,
        burst=rng.choice((2, 8, 30)),
        pause_s=rng.choice((0.2, 0.4, 1.0)),
        heartbeat_s=rng.choice((1.1, 3.0, 8.0)),
        checkpoint_s=rng.choice((0.5, 6.0)),
        log_delay_s=log_delay_s,
        checkpoint_delay_s=random.Random(f"checkpoints {seed}").choice((0.0, 0.1, 0.4)),
        # Far more than is appended while the broadcast reads: it must not fall behind what is kept.
        keep=rng.choice((40, 80, 100_000)) * (3 if log_delay_s > 0.1 else 1),
        tick_s=rng.choice((0.0, 0.0005, 0.005)),
        window_bytes_max=rng.choice((1_500, 6_000, 30_000)),
        chunk_bytes_max=rng.choice((600, 2_000, 16_000)),
        batch_rows_max=rng.choice((2, 7, 500)),
        replay_entries_max=rng.choice((1, 5, 30)),
        turn_entries_max=rng.choice((3, 1_000)),
        compressed_frames_max=rng.choice((2, 50)),
        part_bytes_max=rng.choice((300, 1_000, 100_000)),
        recent_entries_max=rng.choice((4, 10_000)),
        snapshot_reuse=rng.choice((20, 1_000)),
        buffer_bytes_max=rng.choice((1_000, 4_096)),
        turn_s=(0.0, TURN_S)[seed % 2],
        stations_at_once=turns.choice((0, 0, 2, 50)),
        turn_of_others_s=turns.choice((0.0, 0.05, 0.5)),
        missed_at_once=turns.choice((1, 1, 50)),
    )
    return msgspec.structs.replace(mixed, **_LEANINGS[kind](rng))


def _torrent(rng: random.Random) -> dict[str, object]:
    return {
        "roads": ROADS[1:],
        "events": {**EVENTFUL, "leave": 5},
        "burst": 30,
        "pause_s": rng.choice((0.1, 0.3)),
        "keep": 40,
        "checkpoint_s": 0.5,
        "log_delay_s": 0.02,
        "replay_entries_max": rng.choice((1, 5)),
        "recent_entries_max": 10_000,
        "buffer_bytes_max": 1_000,
        "chunk_bytes_max": 600,
        "part_bytes_max": rng.choice((300, 1_000)),
        "restarts_max": rng.choice((0, 1)),
    }


def _choosy(rng: random.Random) -> dict[str, object]:
    return {
        "roads": ROADS[2:5],
        "events": {**EVENTFUL, "select": 12},
        "every_share": 0.8,
        "framings": ("text", "deflate"),
        "burst": 30,
        "batches_ms": (100, 1_000),
        "batch_rows_max": 500,
        "part_bytes_max": rng.choice((300, 1_000)),
        "buffer_bytes_max": 1_000,
        "chunk_bytes_max": 600,
        "snapshot_reuse": 1_000,
        "tick_s": 0.005,
    }


def _coming(rng: random.Random) -> dict[str, object]:
    return {
        "events": {**EVENTFUL, "registry": 8},
        "heartbeat_s": rng.choice((0.3, 3.0)),
        "log_delay_s": rng.choice((0.02, 0.2)),
        "keep": 240,
    }


def _moving(rng: random.Random) -> dict[str, object]:
    return {
        "events": {**EVENTFUL, "registry": 8, "leave": 4},
        "every_share": 0.2,
        "whims": MOVING,
        "pause_s": rng.choice((0.2, 0.4)),
        "palette": (FINER_SUBSCRIPTIONS[0], *rng.sample(FINER_SUBSCRIPTIONS, 2)),
    }


def _renewed(rng: random.Random) -> dict[str, object]:
    return {
        "events": {**EVENTFUL, "registry": 10, "leave": 5, "select": 1},
        "whims": RENEWING,
        "pause_s": rng.choice((0.2, 0.4, 1.0)),
        "heartbeat_s": rng.choice((0.3, 1.1, 3.0)),
        "keep": rng.choice((40, 80, 240)),
        "palette": (*SUBSCRIPTIONS[1:3], SUBSCRIPTIONS[4], *rng.sample(FINER_SUBSCRIPTIONS, 2)),
    }


def _returning(rng: random.Random) -> dict[str, object]:
    return {
        **_renewed(rng),
        "events": {**EVENTFUL, "registry": 10, "leave": 8, "select": 1, "restart": 8},
        "whims": (*RENEWING, "move", "move", "vanish"),
        "checkpoint_s": 0.5,
        "restarts_max": 6,
        "has_guest": True,
        "palette": (*SUBSCRIPTIONS[1:], *GUEST_SUBSCRIPTIONS, *rng.sample(FINER_SUBSCRIPTIONS, 2)),
    }


def _forgetful(rng: random.Random) -> dict[str, object]:
    return {
        **_returning(rng),
        "events": {"leave": 8, "registry": 12, "restart": 4, "cut": 1, "fail": 1, "sign off": 1},
        "aways_s": (2.0, 4.0, 6.0),
        "every_share": 0.2,
        "records_share": 0.6,
        "pause_s": rng.choice((0.2, 0.4)),
        "burst": 8,
        "log_delay_s": 0.02,
        "keep": 40,
    }


_LEANINGS: Final = {
    Kind.MIXED: lambda _: {},
    Kind.TORRENT: _torrent,
    Kind.CHOOSY: _choosy,
    Kind.COMING: _coming,
    Kind.MOVING: _moving,
    Kind.RENEWED: _renewed,
    Kind.RETURNING: _returning,
    Kind.FORGETFUL: _forgetful,
}

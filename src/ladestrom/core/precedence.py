"""Which word about an EVSE holds: the newest observation, and among the words of one feed their order.

Knows words, rows of the board and instants. Must not know how rows are kept.

| the board has | a word of another status is taken |
|---|---|
| nothing yet, or a stamp that only a wrong clock can give | always |
| a status that was lost | if it is a new word of who lost it, or the same status again, or not older |
| a word of the same feed | if it is later in the feed's order |
| a word of another feed | if it was observed later, or at the same instant and its rank is higher |
"""

from __future__ import annotations

from typing import Final

import msgspec

from ladestrom.core.rules import STEP_BACK_MS_MAX, normal_error, rank
from ladestrom.model import (
    AS_OBSERVED,
    NEVER,
    Beginning,
    Cause,
    Feed,
    Millis,
    Order,
    Status,
    StatusReport,
)
from ladestrom.ports.log import BoardRow, Said

LOSSES: Final = frozenset({Cause.EXPIRED, Cause.DISCONNECTED, Cause.WITHDRAWN})
"""Why a status was lost; logs of before the second format say `withdrawn` of a source that signed off."""


class Taking(msgspec.Struct, frozen=True, gc=False):
    """How a delivery was taken: what its words have in common."""

    feed: str
    order: Order
    by_receipt: bool
    """Whether its stamps say nothing."""
    received_at: Millis
    heard_at: Millis
    """The same instant on the clock by which silence is judged."""
    arrival: int
    """Its place in the order of arrivals: that of its round, where it is part of one."""
    arrived_at: Millis
    """From when words without a stamp count."""
    horizon: Millis
    """A stamp on the board that lies behind this was given by a clock that was wrong."""
    oldest: Millis
    """A word with an older stamp is taken as UNKNOWN."""
    is_new: bool
    """Whether its words were said since what is on the board was: in an ordered conversation, or a round."""


def taking(
    feed: Feed, received_at: Millis, heard_at: Millis, arrival: int, began: Beginning | None = None
) -> Taking:
    """How a delivery is taken.

    Args:
        feed: on which it came.
        received_at: now, as the writer gives it.
        heard_at: likewise, on the clock by which silence is judged.
        arrival: its own place in the order of arrivals.
        began: the round that it is part of.
    """
    order = Order.ARRIVAL if feed.by_receipt else feed.order
    return Taking(
        feed.name,
        order,
        feed.by_receipt,
        received_at,
        heard_at,
        arrival if began is None else began.arrival,
        received_at if began is None else min(received_at, began.at),
        received_at + STEP_BACK_MS_MAX,
        NEVER if feed.max_age_s is None else received_at - feed.max_age_s * 1000,
        order is Order.ARRIVAL or began is not None,
    )


def observation(report: StatusReport, taking: Taking) -> Millis:
    """From when a report counts, as far as it says so itself."""
    stamp = report.observed_at
    return taking.arrived_at if stamp is None or taking.by_receipt or stamp > taking.received_at else stamp


def counted(report: StatusReport, taking: Taking, row: BoardRow | None) -> Said:
    """A report as a word, with the instant from which it counts.

    One whose stamp is ahead of its receipt counts as received; the same word again counts as it did.
    """
    status, error = report.status, normal_error(report.status, report.error)
    stamp = None if taking.by_receipt else report.observed_at
    if stamp is None:
        return Said(taking.feed, report.source, status, error, NEVER, taking.arrived_at, taking.arrival)
    at = stamp
    more = None if row is None else row.more
    before = None if more is None else more.capped
    if (
        before is not None
        and (before.stamp, before.source, before.status, before.error)
        == (stamp, report.source, status, error)
        and before.at <= taking.horizon
    ):
        at = min(before.at, taking.received_at)
    elif stamp > taking.received_at:
        return Said(taking.feed, report.source, status, error, stamp, taking.arrived_at, taking.arrival)
    if at < taking.oldest:
        # It is no word that was ahead any more: the one that was stays kept.
        status, error, stamp = Status.UNKNOWN, False, at
    return Said(taking.feed, report.source, status, error, stamp, at, taking.arrival)


def is_of(row: BoardRow, word: Said) -> bool:
    """Whether a row is of the feed of a word; after a crash it is known whose it is, not of which feed."""
    return row.source == word.source and (row.feed == word.feed or not row.feed or not word.feed)


def is_same_feed(one: Said, other: Said) -> bool:
    """Whether two words are of one feed; after a crash the source of one may be all that is known."""
    return one.source == other.source and (one.feed == other.feed or not one.feed or not other.feed)


def own_word(row: BoardRow) -> Said | None:
    """The last word of the feed that a row is of; None where that was lost, or nobody said anything."""
    if not row.source or is_lost(row):
        return None
    return Said(
        row.feed,
        row.source,
        row.change.status,
        row.change.error,
        row.observed_at if row.stamp == AS_OBSERVED else row.stamp,
        row.observed_at,
        row.arrival if row.more is None else row.more.own_arrival,
    )


def last_word(row: BoardRow, word: Said, taking: Taking) -> Said | None:
    """The last word of the same feed, where it is known and no wrong clock gave its time."""
    found = own_word(row) if is_of(row, word) else None
    if found is None and row.more is not None:
        # Of a feed that lost the status: what it said since.
        found = next((each for each in row.more.others if is_same_feed(each, word)), None)
    return None if found is None or found.at > taking.horizon else found


def raised(word: Said, own: Said, taking: Taking) -> Said:
    """A word that is later than another of its feed counts from that one on, whatever its stamp says."""
    at = min(own.at, taking.received_at)
    if taking.order is Order.STAMPS or word.at >= at or not supersedes(word, own, taking.order):
        return word
    return msgspec.structs.replace(word, at=at)


def supersedes(word: Said, own: Said, order: Order) -> bool:
    """Whether a word is the last one of its feed, after another of the same feed."""
    is_later = word.arrival >= own.arrival
    if order is Order.ARRIVAL:
        return is_later
    are_stamped = _is_stamped(word) and _is_stamped(own)
    if order is Order.UPDATES:
        if are_stamped and word.stamp != own.stamp:
            return word.stamp > own.stamp
        # Our clock was set back: a word that was not ahead does not become so when it comes again.
        is_again = _is_stamped(own) and _is_same(word, own)
        return is_later and (are_stamped or not is_again)
    if word.at != own.at:
        # One without a stamp was observed when it arrived, whatever our clock said then and says now.
        return word.at > own.at or (word.stamp == NEVER and word.arrival > own.arrival)
    if are_stamped:
        return rank(word.status, word.error) >= rank(own.status, own.error)
    return is_later


def precedes(row: BoardRow, word: Said, own: Said | None, taking: Taking) -> Millis | None:
    """From when a word counts that says another status than the board has; None where it does not hold."""
    observed_at = row.observed_at
    if observed_at == NEVER or observed_at > taking.horizon:
        return word.at
    if is_lost(row):
        return _after_loss(row, word, taking)
    if own is not None:
        # What is too old to be believed says that its source has died, at the stamp that it had in its life.
        has_aged = word.at < taking.oldest and word.at == own.at and _is_stamped(word)
        if not (has_aged or supersedes(word, own, taking.order)):
            return None
        if (word.status, word.error) == (own.status, own.error) and word.stamp in {NEVER, own.stamp}:
            # Its own last word once more. Another source said otherwise since.
            return None
        if is_of(row, word):
            return min(max(word.at, observed_at), taking.received_at)
    return word.at if _is_newer(row, word, taking) else None


def is_lost(row: BoardRow) -> bool:
    """Whether a status was on the board and ended because nobody vouched for it any more.

    A later word that says UNKNOWN settles it: then nothing is lost.
    """
    change = row.change
    return (
        change.cause in LOSSES
        and change.status is Status.UNKNOWN
        and not change.error
        and row.observed_at == change.observed_at
    )


def _is_newer(row: BoardRow, word: Said, taking: Taking) -> bool:
    """Whether a word was observed later than another feed's, or at the same instant with a higher rank."""
    if word.at == row.observed_at:
        return rank(word.status, word.error) > rank(row.change.status, row.change.error)
    # One without a stamp is observed now, though our clock went back a little since the board's was.
    is_now = word.stamp == NEVER and word.arrival > row.arrival and row.observed_at > taking.received_at
    return word.at > row.observed_at or is_now


def _after_loss(row: BoardRow, word: Said, taking: Taking) -> Millis | None:
    change = row.change
    lost_after = row.arrival if row.more is None else row.more.own_arrival
    if word.source == row.source and taking.is_new and word.arrival > lost_after:
        return word.at
    if (word.status, word.error) == (change.was_status, change.was_error):
        return min(max(word.at, row.observed_at), taking.received_at)
    return word.at if word.at >= row.observed_at else None


def _is_same(one: Said, other: Said) -> bool:
    return (one.status, one.error, one.stamp) == (other.status, other.error, other.stamp)


def _is_stamped(word: Said) -> bool:
    """Whether its stamp says when it was observed."""
    return NEVER < word.stamp <= word.at

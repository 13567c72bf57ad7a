"""The board by its rules, in the plainest way: everything that was ever said is kept, nothing is made fast.

Written from the rules of the domain model alone; imports nothing of ladestrom but its nouns, so that a mistake
there cannot repeat itself here.
"""

from __future__ import annotations

import copy
from typing import Final, NamedTuple

FIVE_MINUTES_MS: Final = 300_000
NOTHING_AT: Final = -1
RANKS: Final = (
    "UNKNOWN",
    "PLANNED",
    "AVAILABLE",
    "RESERVED",
    "BLOCKED",
    "CHARGING",
    "INOPERATIVE",
    "OUTOFORDER",
    "REMOVED",
)
"""The lowest first; a status with an error is above the same one without."""
LASTING: Final = frozenset({"UNKNOWN", "PLANNED", "REMOVED"})
"""What does not end by silence."""

State = tuple[str, bool]
"""Status and error."""


class Word(NamedTuple):
    """What a feed said, and how it came."""

    source: str
    feed: str
    order: str
    """`arrival`, `updates` or `stamps`."""
    state: State
    stamp: int | None
    received_at: int
    arrival: int
    arrived_at: int
    """When its round began, or when it was received."""
    in_round: bool
    max_age_ms: int | None = None
    heard_at: int | None = None
    """By the clock by which silence is judged; when it was received, where it is None."""


class Counted(NamedTuple):
    """A word, and from when it counts."""

    word: Word
    state: State
    at: int
    has_aged: bool = False
    """Too old to be believed."""

    @property
    def is_capped(self) -> bool:
        return self.word.stamp is not None and self.word.stamp > self.at

    @property
    def is_stamped(self) -> bool:
        return self.word.stamp is not None and not self.is_capped


class Place:
    """One EVSE."""

    def __init__(self) -> None:
        self.is_there = False
        self.state: State = ("REMOVED", False)
        self.observed_at = NOTHING_AT
        self.changed_at = NOTHING_AT
        self.source = ""
        self.feed = ""
        self.heard_at = NOTHING_AT
        self.heard_by = NOTHING_AT
        """No later than this: after a crash nobody knows when it was confirmed last."""
        self.heard_on = ""
        """The feed on which it was heard last; empty where nobody knows."""
        self.lost: tuple[State, str, int] | None = None
        """The status that was lost, whose it was, and after which arrival."""
        self.last: dict[str, Counted] = {}
        """By feed."""
        self.capped: Counted | None = None
        self.arrival = 0
        """Of the last word that was heard of it, or of its loss."""

    # -- our own decisions -------------------------------------------------------------------------------

    def register(self) -> bool:
        """It comes onto the board with nothing known; says whether it was not there."""
        if self.is_there:
            return False
        self.is_there = True
        self.state = ("UNKNOWN", False)
        self.changed_at = NOTHING_AT
        return True

    def leave(self) -> bool:
        """It leaves its register: what was said of it counts no more. Says whether it was there."""
        was_there = self.is_there
        self._forget()
        return was_there

    def move(self, *, vouched: bool) -> None:
        """It goes to another station, and what was said of it with it, where who said it may say it there.

        How a status was lost stays with the station.
        """
        if self.lost is not None or not vouched:
            self._forget()
            self.register()

    def _forget(self) -> None:
        arrival = self.arrival
        self.__dict__.update(Place().__dict__)
        self.arrival = arrival

    def lose(self, received_at: int, arrival: int) -> bool:
        """Its source is silent, or gone."""
        status, error = self.state
        if not self.is_there or (status in LASTING and not (status == "UNKNOWN" and error)):
            return False
        self.lost = (self.state, self.source, arrival)
        self.arrival = max(self.arrival, arrival)
        self.last.pop(self.feed, None)
        self.state = ("UNKNOWN", False)
        self._change(received_at, received_at)
        return True

    def _change(self, at: int, received_at: int) -> None:
        was_right = self.changed_at <= received_at + FIVE_MINUTES_MS
        self.changed_at = max(at, self.changed_at) if was_right else at

    # -- a crash ----------------------------------------------------------------------------------------

    def copied(self) -> Place:
        """As it is now."""
        found = copy.copy(self)
        found.last = dict(self.last)
        return found

    def pass_to(self, source: str) -> None:
        """An entry says whose it is: that of another source by a confirmation, which no entry tells."""
        if self.source != source:
            self._drop(source)
            self.source, self.feed, self.heard_on = source, unknown_feed(source), ""

    def _drop(self, source: str) -> None:
        self.last = {feed: said for feed, said in self.last.items() if said.word.source != source}

    def learn(self, live: Place, *, said: bool = False, heard: bool = False) -> None:
        """What a log says of a place that was changed just now, and is `live`.

        It says whose the status is, since when, and what its stamp was; not on which feed it came.

        Args:
            live: what it is now.
            said: whether the entry says what a source said.
            heard: whether a source said it just now.
        """
        self.is_there = live.is_there
        self.state, self.changed_at = live.state, live.changed_at
        self.observed_at, self.source = live.observed_at, live.source
        self.lost = live.lost
        if heard:
            self.heard_at, self.heard_by = live.heard_at, live.heard_by
        if not said or live.feed not in live.last:
            return
        own = live.last[live.feed]
        feed = live.feed
        if heard or self.feed != live.feed:
            feed = unknown_feed(live.source)
            self._drop(live.source)
        self.feed, self.heard_on = feed, "" if heard else self.heard_on
        self.last[feed] = own._replace(word=own.word._replace(feed=feed, arrival=self.arrival))
        if own.is_capped and (heard or self.capped is None):
            self.capped = own

    # -- words -------------------------------------------------------------------------------------------

    def take(self, word: Word) -> str:
        """Says `change`, `unchanged` or `stale`."""
        said = self._counted(word)
        horizon = word.received_at + FIVE_MINUTES_MS
        before = self._before(word)
        if before is not None and before.at > horizon:
            before = None
        if before is not None and word.order != "stamps" and supersedes(said, before):
            # Later than what it said before, whatever its stamp says.
            said = said._replace(at=max(said.at, min(before.at, word.received_at)))
        if self.is_there and said.state == self.state:
            outcome = "unchanged"
            is_taken = self._confirm(said, horizon)
        else:
            at = self._holds_from(said, before, horizon)
            outcome = "stale" if at is None else "change"
            is_taken = at is not None
            if at is not None:
                self.is_there = True
                self.state = said.state
                self.observed_at = at
                self._change(at, word.received_at)
                self.lost = None
                said = said._replace(at=at)
                self._own(said)
                self._hear(said)
        if is_taken or before is None or supersedes(said, before):
            # What the board has of a feed is its word, whatever it said before: after a loss, or a wrong clock.
            is_own = self.feed in {word.feed, unknown_feed(word.source)} and self.lost is None
            # What it repeats it has observed before: the observation does not go back with our clock.
            self.last[word.feed] = said._replace(at=self.observed_at) if is_own else said
            self.last.pop(unknown_feed(word.source), None)
        if said.is_capped:
            self.capped = said
        return outcome

    def _counted(self, word: Word) -> Counted:
        """Rules 4 and 7: from when a word counts, and as what."""
        if word.stamp is None:
            return Counted(word, word.state, word.arrived_at)
        kept = self.capped
        if (
            kept is not None
            and (kept.word.source, kept.word.state, kept.word.stamp) == (word.source, word.state, word.stamp)
            and kept.at <= word.received_at + FIVE_MINUTES_MS
        ):
            at = min(kept.at, word.received_at)
        elif word.stamp > word.received_at:
            return Counted(word, word.state, word.arrived_at)
        else:
            at = word.stamp
        if word.max_age_ms is not None and at < word.received_at - word.max_age_ms:
            return Counted(word._replace(stamp=at), ("UNKNOWN", False), at, has_aged=True)
        return Counted(word, word.state, at)

    def _confirm(self, said: Counted, horizon: int) -> bool:
        """Rule 2. Says whether the EVSE is its own from now on."""
        is_later = said.at > self.observed_at or self.observed_at > horizon
        if is_later:
            self.observed_at = said.at
            self._own(said)
            # A later word that says UNKNOWN: nothing is lost any more.
            self.lost = None
        elif self.feed == unknown_feed(said.word.source) and self.lost is None:
            # Whose it is has been known all the time.
            self.feed = said.word.feed
            self.last[self.feed] = self.last.pop(unknown_feed(said.word.source))
        self._hear(said)
        return is_later

    def _before(self, word: Word) -> Counted | None:
        """The last word of its feed; after a crash, that of its source of which nobody knows the feed."""
        return self.last.get(word.feed) or self.last.get(unknown_feed(word.source))

    def _own(self, said: Counted) -> None:
        self.source, self.feed = said.word.source, said.word.feed

    def _hear(self, said: Counted) -> None:
        word = said.word
        self.hear(word.received_at if word.heard_at is None else word.heard_at, word.feed, word.arrival)

    def hear(self, at: int, feed: str, arrival: int) -> None:
        """What is on the board holds: somebody said it again, or that all holds that was said on a feed."""
        self.heard_at = self.heard_by = at
        self.heard_on = feed
        self.arrival = max(self.arrival, arrival)

    def _holds_from(  # noqa: PLR0911 - one for each rule
        self, said: Counted, before: Counted | None, horizon: int
    ) -> int | None:
        """From when a word of another status counts; None where it does not hold."""
        word = said.word
        if not self.is_there or self.observed_at == NOTHING_AT or self.observed_at > horizon:
            return said.at
        if self.lost is not None:
            had, source, arrival = self.lost
            if (
                word.source == source
                and word.arrival > arrival
                and (word.order == "arrival" or word.in_round)
            ):
                return said.at
            if said.state == had:
                return min(max(said.at, self.observed_at), word.received_at)
            return said.at if said.at >= self.observed_at else None
        if before is not None:
            has_aged = said.has_aged and said.at == before.at
            if not supersedes(said, before) and not has_aged:
                return None
            if said.state == before.state and said.word.stamp in {None, before.word.stamp}:
                return None
            if self.feed in {word.feed, unknown_feed(word.source)}:
                return min(max(said.at, self.observed_at), word.received_at)
        if said.at == self.observed_at:
            return said.at if rank(said.state) > rank(self.state) else None
        is_now = word.stamp is None and word.arrival > self.arrival and self.observed_at > word.received_at
        return said.at if said.at > self.observed_at or is_now else None


def unknown_feed(source: str) -> str:
    """Stands for the feed of a word of which a crash left its source only."""
    return f"? {source}"


def rank(state: State) -> tuple[int, bool]:
    """Rule 3: of two that were observed at once, the higher one holds."""
    return RANKS.index(state[0]), state[1]


def supersedes(said: Counted, before: Counted) -> bool:
    """Rule 5: whether it is the later one of two words of one feed."""
    is_later = said.word.arrival >= before.word.arrival
    are_stamped = said.is_stamped and before.is_stamped
    if said.word.order == "arrival":
        return is_later
    if said.word.order == "updates":
        if are_stamped and said.word.stamp != before.word.stamp:
            assert said.word.stamp is not None
            assert before.word.stamp is not None
            return said.word.stamp > before.word.stamp
        # Our clock was set back: a word that was not ahead does not become so when it comes again.
        is_same = (said.state, said.word.stamp) == (before.state, before.word.stamp)
        return is_later and not (is_same and before.is_stamped and said.is_capped)
    if said.at == before.at:
        return rank(said.state) >= rank(before.state) if are_stamped else is_later
    return said.at > before.at or (said.word.stamp is None and said.word.arrival > before.word.arrival)

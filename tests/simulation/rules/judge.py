"""What the board must be by the rules, as a world goes on: `tests/properties/reference_board.py` of each EVSE,
with rights, registry, silences, sign-offs and restarts around it.

Imports nothing of ladestrom that decides: nouns only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from tests.properties.reference_board import (
    FIVE_MINUTES_MS,
    LASTING,
    NOTHING_AT,
    Place,
    State,
    Word,
    unknown_feed,
)
from tests.simulation.rules.speakers import Speaker

from ladestrom.model import Change, Evse, Millis, Operator, Reason, Receipt, Station
from ladestrom.ports.log import BoardRow

JUMP_MS: Final = 60_000
GONE: Final = ("REMOVED", False)


class Item(NamedTuple):
    """An item of a delivery, by what it means."""

    written: str
    state: State | Reason
    """Or why it is refused before anybody looks for its EVSE."""
    stamp: Millis | None


class Round(NamedTuple):
    """When a round began."""

    arrival: int
    at: Millis


class Fact(NamedTuple):
    """What an entry of the log says."""

    evse: str
    station: str
    status: str
    error: bool
    cause: str
    was: State
    changed_at: Millis
    observed_at: Millis
    source: str

    @classmethod
    def of(cls, change: Change) -> Fact:
        """What an entry says."""
        return cls(
            change.evse,
            change.station,
            change.status.value,
            change.error,
            change.cause.value,
            (change.was_status.value, change.was_error),
            change.changed_at,
            change.observed_at,
            change.source,
        )


class Verdict(NamedTuple):
    """What the receipt of a delivery must say."""

    accepted: int
    unchanged: int
    stale: int
    refused: tuple[tuple[int, str], ...]
    adjusted: tuple[int, ...]
    received_at: Millis

    @classmethod
    def of(cls, receipt: Receipt) -> Verdict:
        """What it says."""
        return cls(
            receipt.accepted,
            receipt.unchanged,
            receipt.stale,
            tuple((refusal.index, refusal.reason.value) for refusal in receipt.refused),
            tuple(each.index for each in receipt.adjusted),
            receipt.received_at,
        )


class Judge:
    """Holds what must be. `wrong` is told what is not so."""

    def __init__(
        self, wrong: Callable[[str], None], operators: Iterable[Operator], stale_s: int, grace_s: int
    ) -> None:
        self.places: dict[str, Place] = {}
        self.at: dict[str, str] = {}
        """Station of each EVSE that is on the board."""
        self.evses: dict[str, Evse] = {}
        """Those that the registry has."""
        self._outlets: dict[str, list[Evse]] = {}
        """Of each station, by its connectors."""
        self.operators = {operator.name: operator for operator in operators}
        self.wall: Millis = 0
        self.lived: Millis = 0
        """The clock by which silence is judged: it goes on while the server runs, whatever the wall's does."""
        self.given: Millis = NOTHING_AT
        """The last receive time."""
        self.facts: list[Fact] = []
        """What the log must have got since it was last looked at."""
        self._wrong = wrong
        self._stale_ms = stale_s * 1000
        self._grace_ms = grace_s * 1000
        self._arrivals = 0
        self._deaf_until = self._grace_ms
        self._looked_at = 0
        self._jumped = 0
        self._started = (0, 0)
        """Both clocks when it started."""
        self._was_ahead_ms = 0
        self._durable: dict[str, Place] = {}
        """What a crash would leave."""
        self._durable_given: Millis = NOTHING_AT
        self._durable_offset = 0
        """By how much the wall's clock was ahead of the other then."""
        self._durable_at: Millis = 0
        """When that was, by the clock of silences."""
        self._has_gap = False
        """Whether more than five minutes went by between two entries: less counts as silence then."""
        self._slack_ms = 0
        """By how much silences are uncertain after a crash, as the clock was set between entries."""

    # -- time ----------------------------------------------------------------------------------------------

    def pass_time(self, ms: int) -> None:
        """Time goes on, by both clocks."""
        self.wall += ms
        self.lived += ms

    def jump(self, ms: int) -> None:
        """The wall's clock is set, or the machine slept."""
        self.wall += ms
        self._jumped += ms

    def receive(self) -> Millis:
        """The receive time of what is taken now."""
        if not self.wall < self.given <= self.wall + FIVE_MINUTES_MS:
            self.given = self.wall
        return self.given

    def arrive(self) -> int:
        """A delivery, a round or a decision of ours: one after the other."""
        self._arrivals += 1
        return self._arrivals

    def begin(self) -> Round:
        """A round begins."""
        return Round(self.arrive(), self.receive())

    # -- words ---------------------------------------------------------------------------------------------

    def take(self, speaker: Speaker, items: Sequence[Item], began: Round | None, skew_ms: int) -> Verdict:
        """A delivery, or a page of a round."""
        received_at, arrival = self.receive(), self.arrive()
        outcomes = {"change": 0, "unchanged": 0, "stale": 0}
        refused: list[tuple[int, str]] = []
        adjusted: list[int] = []
        for place, item in enumerate(items):
            evse = (
                item.state if isinstance(item.state, Reason) else self.meant(item.written, speaker.operator)
            )
            if isinstance(evse, Reason):
                refused.append((place, evse.value))
                continue
            assert not isinstance(item.state, Reason)
            word = Word(
                speaker.operator,
                speaker.name,
                "arrival" if speaker.by_receipt else speaker.order.value,
                (item.state[0], item.state[1] or item.state[0] == "OUTOFORDER"),
                None if speaker.by_receipt else item.stamp,
                received_at,
                arrival if began is None else began.arrival,
                received_at if began is None else min(received_at, began.at),
                in_round=began is not None,
                max_age_ms=None if speaker.max_age_s is None else speaker.max_age_s * 1000,
                heard_at=self.lived,
            )
            outcomes[self._hear(evse, word)] += 1
            if word.stamp is not None and word.stamp > received_at + skew_ms:
                adjusted.append(place)
        return Verdict(
            outcomes["change"],
            outcomes["unchanged"] + outcomes["stale"],
            outcomes["stale"],
            tuple(refused),
            tuple(adjusted),
            received_at,
        )

    def _hear(self, evse: Evse, word: Word) -> str:
        place = self.places.setdefault(evse.key, Place())
        was = place.state
        outcome = place.take(word)
        if outcome == "change":
            self.at[evse.key] = evse.station
            self._fact(evse.key, "reported", was)
            self._keep(evse.key).learn(place, said=True, heard=True)
        return outcome

    # -- our own decisions ---------------------------------------------------------------------------------

    def sign_off(
        self,
        operator: str,
        *,
        only: Collection[str] | None = None,
        keep: Iterable[str] = (),
        within: Sequence[str] = (),
        feed: str | None = None,
        before: Round | None = None,
        by: bool = False,
    ) -> None:
        """A source takes back what was last heard of it on a feed, or before a round.

        Args:
            operator: whose words are taken back.
            only: of these EVSEs, by their ids; of all where it is None.
            keep: but not of these.
            within: of these parties, or of ids that begin so.
            feed: what was last heard on it; on any where it is None.
            before: what was last heard before this round.
            by: whether the operator says so, and so for its own EVSEs only.
        """
        until = self._arrivals if before is None else before.arrival - 1
        kept = {evse.key for each in keep for evse in self._own(each, operator)}
        named = None if only is None else {key for each in only for key in self._named(each)}
        for key, place in self.places.items():
            evse = self.evses.get(key)
            is_meant = named is None or key in named
            is_within = not within or (
                evse is not None
                and (evse.party in within or any(f.startswith(tuple(within)) for f in forms(evse)))
            )
            is_allowed = not by or (evse is not None and self.may(operator, evse))
            was_heard_so = place.arrival <= until and (feed is None or place.heard_on in {feed, ""})
            if (
                place.source == operator
                and key not in kept
                and is_meant
                and is_within
                and is_allowed
                and was_heard_so
            ):
                self._lose(key, "disconnected")

    def confirm(self, operator: str, feed: str) -> None:
        """All that was said on a feed holds."""
        arrival = self.arrive()
        for key, place in self.places.items():
            evse = self.evses.get(key)
            is_told = place.source == operator and place.feed in {feed, unknown_feed(operator)}
            if is_told and evse is not None and self.may(operator, evse):
                place.hear(self.lived, feed, arrival)

    def look(self) -> tuple[set[str], set[str]]:
        """It is looked who is silent: those who must be lost by now, and those who may be."""
        since = self.lived - self._looked_at
        if abs(self._jumped) >= JUMP_MS or since >= JUMP_MS:
            self._deaf_until = self.lived + self._grace_ms
        self._looked_at, self._jumped = self.lived, 0
        self._put_right()
        must: set[str] = set()
        may: set[str] = set()
        if self.lived < self._deaf_until:
            return must, may
        for key, place in self.places.items():
            if not claims(place):
                continue
            operator = self.operators.get(place.source)
            own_s = None if operator is None else operator.stale_after_s
            stale_ms = self._stale_ms if own_s is None else own_s * 1000
            if self.lived - place.heard_by > stale_ms:
                must.add(key)
            if self.lived - place.heard_at > stale_ms:
                may.add(key)
        return must, may

    def _put_right(self) -> None:
        """A clock that is set back shows that we were down for less than it seemed: rule 7, deafness."""
        ahead_ms = self._started[0] + self.lived - self._started[1] - self.wall
        if ahead_ms >= JUMP_MS and ahead_ms > self._was_ahead_ms:
            for place in self.places.values():
                if place.heard_at <= self._started[1]:
                    place.heard_by += ahead_ms - self._was_ahead_ms
            self._was_ahead_ms = ahead_ms

    def expire(self, key: str) -> None:
        """An EVSE whose source was silent."""
        self._lose(key, "expired")

    def _lose(self, key: str, cause: str) -> None:
        place = self.places[key]
        was = place.state
        arrival = self.arrive()
        if place.lose(self.receive(), arrival):
            self._fact(key, cause, was)
            kept = self._keep(key)
            kept.pass_to(place.source)
            kept.lose(self.given, arrival)
            kept.learn(place)

    # -- registry ------------------------------------------------------------------------------------------

    def register(self, stations: Iterable[Station]) -> None:
        """The registry is so now: EVSEs leave, come and move."""
        self._outlets = {each.uuid: [] if each.vanished_at else list(each.evses) for each in stations}
        self.evses = {evse.key: evse for evses in self._outlets.values() for evse in evses}
        for key, place in self.places.items():
            if key not in self.evses and place.is_there:
                was, changed_at, observed_at = place.state, place.changed_at, place.observed_at
                source = place.source
                place.leave()
                at = self._not_back(changed_at)
                self._entry(key, "withdrawn", was, GONE, at, observed_at, source)
                self._keep(key).leave()
        for key, evse in self.evses.items():
            place = self.places.get(key) or Place()
            if key not in self.places and not self._is_wanted(evse):
                continue
            self.places[key] = place
            if place.register():
                self.at[key] = evse.station
                self._entry(key, "registered", GONE, ("UNKNOWN", False), NOTHING_AT, NOTHING_AT, "")
                kept = self._keep(key)
                kept.register()
            elif self.at[key] != evse.station:
                self._move(key, evse)

    def _move(self, key: str, evse: Evse) -> None:
        place = self.places[key]
        source = place.source
        vouched = source not in self.operators or self.may(source, evse)
        at = self._not_back(place.changed_at)
        self._entry(key, "withdrawn", place.state, GONE, at, place.observed_at, source)
        self.at[key] = evse.station
        place.move(vouched=vouched)
        self._fact(key, "registered", GONE)
        kept = self._keep(key)
        kept.pass_to(source)
        kept.move(vouched=vouched and kept.lost is None)
        kept.learn(place, said=place.source != "")

    def _is_wanted(self, evse: Evse) -> bool:
        return any(self.may(name, evse) for name in self.operators)

    def _not_back(self, changed_at: Millis) -> Millis:
        return max(self.given, changed_at) if changed_at <= self.given + FIVE_MINUTES_MS else self.given

    # -- restarts ------------------------------------------------------------------------------------------

    def checkpoint(self) -> None:
        """All that is known is kept."""
        self._durable = {key: place.copied() for key, place in self.places.items()}
        self._log_time()
        self._has_gap, self._slack_ms = False, 0

    def _log_time(self) -> None:
        """The log knows what time it is."""
        offset = self.wall - self.lived
        if offset != self._durable_offset:
            self._slack_ms += FIVE_MINUTES_MS
        self._has_gap |= self.lived - self._durable_at > FIVE_MINUTES_MS
        self._durable_given, self._durable_offset, self._durable_at = self.given, offset, self.lived

    def crash(self) -> None:
        """What was not logged, nor kept, is forgotten."""
        # A clock that was set since is taken for time that went by.
        set_ms = self.wall - self.lived - self._durable_offset
        slack_ms = self._slack_ms + (abs(set_ms) + FIVE_MINUTES_MS if set_ms else 0)
        for key in self.places:
            place = self._durable[key].copied()
            # How long before the crash it was heard last, nobody knows.
            is_sure = place.heard_at == self.places[key].heard_at and not self._has_gap
            place.heard_by = (place.heard_by if is_sure else self.lived) + slack_ms
            place.heard_at -= slack_ms
            self.places[key] = place
        self.given = self._durable_given

    def start(self, down_ms: int, wall_ms: int) -> None:
        """It runs again, after so long by a clock that only goes on, and by the wall's."""
        short, long = min(down_ms, max(0, wall_ms)), max(down_ms, wall_ms)
        if self.wall < self.given:
            # A time that is held is ahead of the wall's: less than that seems to have gone by.
            short = max(0, short - FIVE_MINUTES_MS)
        is_sure = down_ms == wall_ms == short
        # A clock that was set back hides what went by since the log last knew the time, too.
        quiet_ms = self.lived - self._durable_at
        self.wall += wall_ms
        self.lived += down_ms
        for place in self.places.values():
            if not is_sure:
                place.heard_by += down_ms - short + quiet_ms + FIVE_MINUTES_MS
                place.heard_at -= long - down_ms + FIVE_MINUTES_MS
        self._deaf_until = self.lived + self._grace_ms
        self._looked_at, self._jumped = self.lived, 0
        self._started, self._was_ahead_ms = (self.wall, self.lived), 0
        self.checkpoint_heard()

    def checkpoint_heard(self) -> None:
        """What is known of silences after a start is what the next checkpoint keeps."""
        for key, place in self.places.items():
            kept = self._durable.get(key)
            if kept is not None:
                kept.heard_at, kept.heard_by = place.heard_at, place.heard_by

    # -- ids and rights ------------------------------------------------------------------------------------

    def may(self, operator: str, evse: Evse) -> bool:
        """Whether an operator may report on an EVSE: rule 10."""
        found = self.operators.get(operator)
        if found is None:
            return operator == "register"
        if found.all or evse.party in found.parties:
            return True
        return any(form.startswith(prefix) for prefix in found.prefixes for form in forms(evse))

    def meant(self, written: str, operator: str) -> Evse | Reason:
        """Which EVSE an operator means: rules 11 to 13."""
        own = self._own(written, operator)
        if len(own) == 1:
            return own[0]
        return Reason.NOT_ALLOWED if self._by_id(written) and not own else Reason.UNKNOWN_EVSE

    def _own(self, written: str, operator: str) -> list[Evse]:
        """EVSEs of an operator that an id may mean: a uid means more than one where it has more such."""
        own = [evse for evse in self._by_id(written) if self.may(operator, evse)]
        return own or [evse for evse in self._by_uid(written) if self.may(operator, evse)]

    def _by_uid(self, written: str) -> list[Evse]:
        uid = written.strip().upper()
        return [evse for evse in self.evses.values() if evse.uid is not None and evse.uid.upper() == uid]

    def _named(self, written: str) -> list[str]:
        return [evse.key for evse in (*self._by_id(written), *self._by_uid(written))]

    def _by_id(self, written: str) -> list[Evse]:
        """By an EVSE id or a registry key; else by the NOBIL id of a connector, of which each EVSE has one."""
        found = [evse for evse in self.evses.values() if id_of(written) in forms(evse)]
        uuid, _, place = written.upper().rpartition("_")
        if not found and uuid in self._outlets and place.isdigit():
            found = self._outlets[uuid][int(place) - 1 : int(place)]
        return found

    # -- comparing -----------------------------------------------------------------------------------------

    def compare(self, cells: Mapping[str, BoardRow], changes: Sequence[Change], given: Millis) -> None:
        """The board, and what the log got since the last time, are as they must be."""
        self._compare_log(changes)
        if given != self.given:
            self._wrong(f"the last receive time is {given}, by the rules {self.given}")
        if cells.keys() != self.places.keys():
            self._wrong(f"on the board are {sorted(cells)}, by the rules {sorted(self.places)}")
            return
        for key, place in self.places.items():
            row = cells[key]
            change = row.change
            found: tuple[object, ...] = (change.status.value, change.error, change.station)
            right: tuple[object, ...] = (*place.state, self.at[key])
            if place.is_there:
                found += (row.observed_at, change.changed_at, row.source)
                right += (place.observed_at, place.changed_at, place.source)
            if found != right:
                self._wrong(f"{key} is {found}, by the rules {right}")

    def _compare_log(self, changes: Sequence[Change]) -> None:
        facts, self.facts = self.facts, []
        found: dict[str, list[Fact]] = {}
        right: dict[str, list[Fact]] = {}
        for change in changes:
            found.setdefault(change.evse, []).append(Fact.of(change))
        for fact in facts:
            right.setdefault(fact.evse, []).append(fact)
        for key in sorted({*found, *right}):
            if found.get(key) != right.get(key):
                self._wrong(f"the log got {found.get(key)}, by the rules {right.get(key)}")

    def _keep(self, key: str) -> Place:
        self._log_time()
        return self._durable.setdefault(key, Place())

    def _fact(self, key: str, cause: str, was: State) -> None:
        place = self.places[key]
        self._entry(key, cause, was, place.state, place.changed_at, place.observed_at, place.source)

    def _entry(
        self,
        key: str,
        cause: str,
        was: State,
        state: State,
        changed_at: Millis,
        observed_at: Millis,
        source: str,
    ) -> None:
        self.facts.append(Fact(key, self.at[key], *state, cause, was, changed_at, observed_at, source))


def claims(place: Place) -> bool:
    """Whether it says something of this moment."""
    status, error = place.state
    return place.is_there and (status not in LASTING or (status == "UNKNOWN" and error))


def id_of(written: str) -> str:
    """Rule 13: without case, `*`, `-` and spaces; of ids in digits without their `+`."""
    form = written.upper().replace("*", "").replace("-", "").replace(" ", "")
    return form[1:] if form[:1] == "+" and form[1:].isdigit() else form


def forms(evse: Evse) -> tuple[str, ...]:
    """In what forms the ids of an EVSE compare: its key, and the id that its record has."""
    return (evse.key,) if evse.evse_id is None else (evse.key, id_of(evse.evse_id))

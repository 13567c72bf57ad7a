"""What the ingest asks of the writer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

from ladestrom.model import Beginning, Feed, Ids, Millis, Operator, Receipt, Refusal, StatusReport


class Writer(Protocol):
    """Decides what is a change, and logs it."""

    rights: Callable[[Operator], Operator]
    """Gives an operator with the rights that it has now; what is handed in may be old."""

    def now(self) -> Millis:
        """The time."""
        ...

    def begin(self) -> Beginning:
        """A round begins in which a source is asked, or a delivery that is complete begins to arrive."""
        ...

    async def submit(
        self,
        operator: Operator,
        reports: Sequence[StatusReport],
        refused: Sequence[Refusal] = (),
        feed: Feed | None = None,
        began: Beginning | None = None,
    ) -> Receipt:
        """Returns once every accepted report is in the log.

        Args:
            operator: whose reports these are.
            reports: in the order in which they were told.
            refused: items that the parser refused.
            feed: on which they came; a feed of the operator's own where it is None.
            began: when the round began of which this is a page; its words arrived then.

        Raises:
            Overloaded: the queue is full; nothing was changed; the operator may try again.
            LogFailure: the append failed; nothing was changed; the operator may try again.
        """
        ...

    async def tried(
        self,
        operator: Operator,
        reports: Sequence[StatusReport],
        refused: Sequence[Refusal] = (),
        feed: Feed | None = None,
    ) -> Receipt:
        """What `submit` would answer now. Nothing is logged, counted or told to anybody."""
        ...

    async def sign_off(
        self,
        source: str,
        *,
        only: Collection[str] | None = None,
        keep: Iterable[Ids] = (),
        within: tuple[str, ...] = (),
        feed: str | None = None,
        before: Beginning | None = None,
        by: Operator | None = None,
    ) -> int:
        """A source is lost: EVSEs whose status it told last become UNKNOWN. Says how many, once durable.

        Args:
            source: name of the operator.
            only: these EVSEs, by any of their ids; all of them where it is None.
            keep: except these, found as those of a report are.
            within: of all of them, those of these parties, or whose key begins so; empty is no bound.
            feed: only what was heard last on this feed; on any of the source's where it is None.
            before: only what was heard last before this; before now where it is None.
            by: who says so, in a delivery: only what it may report on then. None where we decide ourselves,
                as whoever told those statuses is gone.

        Raises:
            LogFailure: the append failed; calling again may succeed.
        """
        ...

    async def sign_off_left(self, has_left: Callable[[str, str], bool]) -> int:
        """Feeds on which nobody speaks any more are lost; `has_left` says it of a source and a feed.

        Raises:
            LogFailure: the append failed; calling again may succeed.
        """
        ...

    async def confirm(self, operator: Operator, feed: str) -> int:
        """A source showed that all holds that it told on a feed: its EVSEs count as heard now.

        Returns how many. Nothing is logged, as with every confirmation, and no observation gets another time.
        What the operator may not report on any more is not confirmed.
        """
        ...

"""What the ingest asks of the writer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ladestrom.model import Beginning, Feed, Operator, Receipt, Refusal, StatusReport


class Writer(Protocol):
    """Decides what is a change, and logs it."""

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

"""When a process may write a log that several can reach: what to do about the record of the lease. Pure.

A standby takes over when its own clock saw the record unchanged for as long as the lease lasts, so that no
two clocks have to agree. The holder changes it each second. Whoever stood still for longer than that finds
another term in the record, and its blocks are refused by the log: that, and not the lease, keeps two from
writing.
"""

from __future__ import annotations

import msgspec

from ladestrom.ports.lease import Held


class Tenure:
    """What one process knows of the lease."""

    def __init__(self, node: str, run: str, url: str, lease_s: float) -> None:
        """It does not hold it.

        Args:
            node: who it is; no two processes of one node run at the same time.
            run: of this process alone.
            url: where it takes submissions.
            lease_s: how long a record that does not change is waited for.
        """
        self.holds = False
        self.run = run
        self._node, self._url = node, url
        self._lease_s = lease_s
        self._seen: Held | None = None
        self._since_s = 0.0

    @property
    def seen(self) -> Held:
        """The record as it was seen last."""
        return self._seen or Held()

    def look(self, held: Held, now_s: float, log_term: int = 0) -> Held | None:
        """What to write in place of the record; None where nothing is to be written.

        Args:
            held: what the record says.
            now_s: by a clock of this process that never goes back.
            log_term: the last term in the log, which a new one has to exceed.
        """
        if held != self._seen:
            self._seen, self._since_s = held, now_s
        if held.run == self.run:
            # Also where it was not known whether the record was written.
            self.holds = True
            return msgspec.structs.replace(held, beat=held.beat + 1)
        self.holds = False
        # A node that starts again need not wait for itself.
        is_free = held.holder in {"", self._node} or now_s - self._since_s >= self._lease_s
        if not is_free:
            return None
        term = max(held.term, log_term) + 1
        return Held(self._node, self.run, self._url, term, held.beat + 1)

    def wrote(self, held: Held, *, done: bool, now_s: float) -> None:
        """What became of what `look` asked for; not called where that is not known."""
        if done:
            self._seen, self._since_s, self.holds = held, now_s, True
        else:
            # Somebody was faster: `look` again.
            self.holds = False

    def released(self) -> Held | None:
        """What to write to let the next one have it at once; None where it is not held."""
        if not self.holds or self._seen is None:
            return None
        return msgspec.structs.replace(self._seen, holder="", run="", url="", beat=self._seen.beat + 1)

"""Keys, as they are kept."""

from __future__ import annotations

import msgspec

from ladestrom.model import Millis


class KeyRecord(msgspec.Struct, frozen=True):
    """A key as the store keeps it: never the secret, only its SHA-256. Its e-mail is not for logs."""

    id: str
    name: str
    secret_sha256: bytes
    scopes: tuple[str, ...]
    operator: str | None
    created_at: Millis
    expires_at: Millis | None
    revoked_at: Millis | None
    last_used_at: Millis | None
    """To the minute."""
    email: str | None = None
    """Whom to write to about it."""
    purpose: str | None = None
    self_made: bool = False
    """Whether its holder made it, and not who runs the server."""
    approved_at: Millis | None = None
    """Of one that its holder made: since when it is good; None while it waits for that."""

    @property
    def pending(self) -> bool:
        """Whether it waits to be approved."""
        return self.self_made and self.approved_at is None

    def __repr__(self) -> str:
        return f"KeyRecord({self.id!r})"

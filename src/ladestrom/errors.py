"""One tree of errors. Each class has a stable `code`, an HTTP status, and says whether trying again helps.

Expected non-events of the board are values (`model.Suppression`), not exceptions.
"""

from __future__ import annotations

from typing import ClassVar


class LadestromError(Exception):
    """Root. `str(error)` says what, where and what to do, and may be shown to anyone."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    close_code: ClassVar[int] = 1011
    """WebSocket close code. 4400 to 4499 say: do not reconnect before something was changed."""
    retry: ClassVar[bool] = False
    """Whether the same request may succeed later without being changed."""
    retry_after_s: int = 1
    """How long to wait before that."""


class BadRequest(LadestromError):
    """The request cannot be understood; nothing was changed."""

    code = "bad_request"
    status = 400
    close_code = 4400


class MalformedBody(BadRequest):
    """The body is not what its content type says."""

    code = "malformed_body"


class InvalidPosition(BadRequest):
    """`since` is not of the form EPOCH-SEQ."""

    code = "invalid_position"


class InvalidSelection(BadRequest):
    """A filter's value cannot be understood."""

    code = "invalid_filter"


class Unauthenticated(LadestromError):
    """The key is missing, wrong, revoked or expired."""

    code = "unauthenticated"
    status = 401
    close_code = 4401


class NotAllowed(LadestromError):
    """The key is good, but not for this."""

    code = "not_allowed"
    status = 403
    close_code = 4403


class KeyPending(NotAllowed):
    """The key waits until whoever runs the server approves it; a program need not try again before."""

    code = "key_pending"


class KeysClosed(NotAllowed):
    """Keys are made by whoever runs the server only."""

    code = "keys_closed"


class NotFound(LadestromError):
    code = "not_found"
    status = 404
    close_code = 4404


class MethodNotAllowed(BadRequest):
    """The path takes other methods; the header Allow says which."""

    code = "method_not_allowed"
    status = 405


class UpgradeRequired(BadRequest):
    """The path is a WebSocket, and the request does not ask for one."""

    code = "upgrade_required"
    status = 426


class IdempotencyConflict(LadestromError):
    """The idempotency key was used before with another body."""

    code = "idempotency_conflict"
    status = 422
    close_code = 4422


class TooLarge(LadestromError):
    """A body, message or list is over its limit."""

    code = "too_large"
    status = 413
    close_code = 1009


class UnsupportedEncoding(LadestromError):
    """Content-Encoding is neither absent nor gzip nor identity."""

    code = "unsupported_encoding"
    status = 415
    close_code = 1003


class UnsupportedMediaType(LadestromError):
    """Content-Type is not application/json."""

    code = "unsupported_media_type"
    status = 415
    close_code = 1003


class TooManyRequests(LadestromError):
    """A rate or a number of connections is over its limit."""

    code = "too_many_requests"
    status = 429
    close_code = 4129
    retry = True

    def __init__(self, text: str, *, retry_after_s: int = 1) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class Overloaded(LadestromError):
    """A bounded queue is full; nothing was changed."""

    code = "overloaded"
    status = 503
    close_code = 1013
    retry = True


class NotReady(LadestromError):
    """The log cannot be written or the board is not recovered yet."""

    code = "not_ready"
    status = 503
    close_code = 1013
    retry = True


class LogFailure(NotReady):
    """An append failed; nothing of it is visible, and nothing of it was acknowledged."""

    code = "log_failure"


class SourceFailure(LadestromError):
    """A source that was asked did not answer as its protocol says; asking again may succeed."""

    code = "source_failure"
    status = 502
    close_code = 1013
    retry = True


class Conflict(LadestromError):
    """It exists already, or exists in another form."""

    code = "conflict"
    status = 409
    close_code = 4409


class InvalidSetting(LadestromError):
    """A setting's name or value is wrong. Shown at start; the program exits with 2."""

    code = "invalid_setting"


class InvalidRegister(LadestromError):
    """A register file as a whole cannot be read (not one record of it)."""

    code = "invalid_register"
    status = 400

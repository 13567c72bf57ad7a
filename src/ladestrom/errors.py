"""One tree of errors. Each class has a stable `code`, an HTTP status, what it means and what to do.

Expected non-events of the board are values (`model.Suppression`), not exceptions.
"""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec


class LadestromError(Exception):
    """Root. `str(error)` says what, where and what to do, and may be shown to anyone."""

    means: ClassVar[str] = "A fault of the server stopped the request. It was logged."
    """What happened, for whoever sent the request. One sentence or two; shown at `/docs/errors/CODE`."""
    advice: ClassVar[str] = (
        "Try again later. If it happens again, tell the administrator what you sent and when."
    )
    """What to do about it."""
    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    close_code: ClassVar[int] = 1011
    """WebSocket close code. 4400 to 4499 say: do not reconnect before something was changed."""
    retry: ClassVar[bool] = False
    """Whether the same request may succeed later without being changed."""
    retry_after_s: int = 1
    """How long to wait before that."""


class BadRequest(LadestromError):
    means = "The request cannot be understood. Nothing was changed."
    advice = "Read `detail`: it names the part that is wrong. Correct the request before you send it again."
    code = "bad_request"
    status = 400
    close_code = 4400


class MalformedBody(BadRequest):
    means = "The body is not what its content type says, for example JSON that ends in the middle."
    advice = "Check the body at the place that `detail` names. Nothing of it was used."
    code = "malformed_body"


class InvalidPosition(BadRequest):
    means = "`since` is not a position of the form `EPOCH-SEQ`."
    advice = (
        "Send the `epoch` and `seq` of the last message you took, joined by a hyphen, or leave `since` "
        "out to get a snapshot."
    )
    code = "invalid_position"


class InvalidSelection(BadRequest):
    means = "A filter has a value, or a name, that the server does not know."
    advice = (
        "Correct the parameter that `detail` names. Parameters and their values are listed in the guide "
        "for consumers."
    )
    code = "invalid_filter"


class Unauthenticated(LadestromError):
    means = "The key or ticket is missing, wrong, revoked or expired."
    advice = (
        "Send a valid key in `Authorization: Bearer KEY` or `X-Api-Key: KEY`. A ticket is valid for 60 s "
        "and can be used once. Do not retry with the same key."
    )
    code = "unauthenticated"
    status = 401
    close_code = 4401


class NotAllowed(LadestromError):
    means = "The key is valid, but does not allow this request."
    advice = (
        "Use a key with the scope that `detail` names, or ask the administrator to extend what the "
        "operator may report on."
    )
    code = "not_allowed"
    status = 403
    close_code = 4403


class KeyPending(NotAllowed):
    means = "The key was created but not approved yet."
    advice = "Wait until the administrator has approved it. Trying again before then does not help."
    code = "key_pending"


class KeysClosed(NotAllowed):
    means = "On this server only the administrator creates keys."
    advice = "Ask the administrator for a key. The contact is on the page `/consumers`, if there is one."
    code = "keys_closed"


class NotFound(LadestromError):
    means = "There is nothing at this path, or no object with this id."
    advice = "Check the id and the path. All paths are in `/openapi.json`."
    code = "not_found"
    status = 404
    close_code = 4404


class MethodNotAllowed(BadRequest):
    means = "The path does not support this HTTP method."
    advice = "Use one of the methods in the response header `Allow`."
    code = "method_not_allowed"
    status = 405


class UpgradeRequired(BadRequest):
    means = "The path is a WebSocket, and the request did not ask for an upgrade."
    advice = "Connect with a WebSocket client. For plain HTTP use server-sent events at `/api/v2/events`."
    code = "upgrade_required"
    status = 426


class IdempotencyConflict(LadestromError):
    means = "The same `Idempotency-Key` was sent before with another body."
    advice = "Use a new key for each delivery; repeat a key only with exactly the same body."
    code = "idempotency_conflict"
    status = 422
    close_code = 4422


class TooLarge(LadestromError):
    means = "A body, a message or a list is larger than its limit."
    advice = "Split it. `detail` gives the limit."
    code = "too_large"
    status = 413
    close_code = 1009


class UnsupportedEncoding(LadestromError):
    means = "`Content-Encoding` is something other than `gzip` or `identity`."
    advice = "Compress with gzip, or do not compress."
    code = "unsupported_encoding"
    status = 415
    close_code = 1003


class UnsupportedMediaType(LadestromError):
    means = "The `Content-Type` is not one that this path accepts."
    advice = "Send the content type that `detail` names; for JSON, `application/json`."
    code = "unsupported_media_type"
    status = 415
    close_code = 1003


class TooManyRequests(LadestromError):
    means = "A rate or a number of connections is above its limit for this key or address."
    advice = "Wait for the number of seconds in `Retry-After`, then send less. `detail` names the limit."
    code = "too_many_requests"
    status = 429
    close_code = 4129
    retry = True

    def __init__(self, text: str, *, retry_after_s: int = 1) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class Overloaded(LadestromError):
    means = "The server is full, or stopping, or a queue has reached its limit. Nothing was changed."
    advice = "Send the same request again after the number of seconds in `Retry-After`."
    code = "overloaded"
    status = 503
    close_code = 1013
    retry = True


class NotReady(LadestromError):
    means = "The server cannot write its log, or has not finished starting."
    advice = (
        "Send the same request again after the number of seconds in `Retry-After`. Administrators find "
        "the reason at `/readyz`."
    )
    code = "not_ready"
    status = 503
    close_code = 1013
    retry = True


class LogFailure(NotReady):
    means = "Writing to the log failed. Nothing of this request was accepted, unless `detail` says otherwise."
    advice = (
        "Send the same delivery again after the number of seconds in `Retry-After`; repeating a delivery "
        "does no harm. Administrators find the reason at `/readyz` and in the log."
    )
    code = "log_failure"


class LogMisplaced(LogFailure):
    means = "A file of the server's data directory was moved, replaced or deleted. Nothing was accepted."
    advice = (
        "Send the same delivery again later. Administrators find at `/readyz` which file it is: put it back, "
        "or restart the server."
    )
    code = "log_misplaced"


class LogDamaged(LogFailure):
    means = "An entry of the log cannot be read, or is missing. The administrator was told which one."
    advice = (
        "A consumer that asked for every change from before that entry starts again without `since`. "
        "Administrators find the entry at `/readyz` and in the log, and restore a backup."
    )
    code = "log_damaged"

    def __init__(self, text: str, seq: int | None = None) -> None:
        super().__init__(text)
        self.seq = seq
        """Sequence of the first entry that cannot be read; None where the damage is not in an entry."""


class LogTrimmed(LadestromError):
    means = "Changes after the position asked for are no longer kept in the log."
    advice = "Start again without `since`; the answer begins with a snapshot."
    code = "log_trimmed"
    status = 410


class Taken(msgspec.Struct, frozen=True):
    """How much of a delivery was taken before the server failed; all of it is in the log."""

    items: int
    """Items that were decided, of all that were sent."""
    accepted: int
    unchanged: int
    refused: int


class PartlyTaken(NotReady):
    means = "The server took a part of the delivery and then failed. `taken` says how much is in the log."
    advice = (
        "Send the same delivery again after the number of seconds in `Retry-After`. Items that were taken "
        "already count as unchanged then; nothing is counted twice."
    )
    code = "partly_taken"

    def __init__(self, text: str, taken: Taken | None = None) -> None:
        super().__init__(text)
        self.taken = taken or Taken(0, 0, 0, 0)


OWN_FAILURES: Final = (NotReady, Overloaded)
"""Failures of this server. They say nothing about whoever sent, was asked or is followed."""


class SourceFailure(LadestromError):
    means = "A source that the server asked did not answer as its protocol requires."
    advice = "The server tries again by itself. Administrators see the reason in `ladestrom sources list`."
    code = "source_failure"
    status = 502
    close_code = 1013
    retry = True


class Conflict(LadestromError):
    means = "It exists already, or it exists in another form."
    advice = "Read `detail`: it names what exists. Choose another name or change the existing object."
    code = "conflict"
    status = 409
    close_code = 4409


class InvalidSetting(LadestromError):
    means = "A setting has a wrong name or value. The program ends with exit code 2."
    advice = (
        "Correct the file, variable or flag that the message names. `ladestrom config check` lists "
        "everything that is wrong."
    )
    code = "invalid_setting"


class InvalidBackup(LadestromError):
    means = "A backup is not whole, is damaged, or was made by a newer version. Nothing was restored."
    advice = "Use another backup, or, if the message says so, the version of the program that made it."
    code = "invalid_backup"


class InvalidRegister(LadestromError):
    means = "A register file cannot be read as a whole."
    advice = (
        "Check that the file is complete and of the format that you named. Single bad records do not "
        "cause this error; they are refused one by one."
    )
    code = "invalid_register"
    status = 400

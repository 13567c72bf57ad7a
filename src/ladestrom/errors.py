"""One tree of errors. Each class has a stable `code`, an HTTP status, what it means and what to do.

Expected non-events of the board are values (`model.Suppression`), not exceptions.
"""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec


class LadestromError(Exception):
    """Root. `str(error)` says what, where and what to do, and may be shown to anyone."""

    means: ClassVar[str] = "An internal error of the server stopped the request. It was logged."
    """What happened, for whoever sent the request. One sentence or two; shown at `/docs/errors/CODE`."""
    advice: ClassVar[str] = "Do not retry automatically. Tell the administrator what you sent and when."
    """What to do about it."""
    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    close_code: ClassVar[int] = 1011
    """WebSocket close code. 4400 to 4499 say: do not reconnect before something was changed."""
    on_websocket: ClassVar[bool] = True
    """Whether a WebSocket can be closed, or refused, with this error."""
    retry: ClassVar[bool] = False
    """Whether the same request may succeed later without being changed."""
    retry_after_s: int = 1
    """How long to wait before that."""


class BadRequest(LadestromError):
    means = "The request is not valid. Nothing was changed."
    advice = "Correct what `detail` names before you send the request again."
    code = "bad_request"
    status = 400
    close_code = 4400


class MalformedBody(BadRequest):
    means = "The body cannot be parsed, for example because the JSON is incomplete."
    advice = "Correct the body at the place that `detail` names. None of it was accepted."
    code = "malformed_body"


class InvalidPosition(BadRequest):
    means = "`since` is not a position of the form `EPOCH-SEQ`."
    advice = (
        "Send the `epoch` and `seq` of the last message that you processed, joined by a hyphen, or omit "
        "`since` to get a snapshot."
    )
    code = "invalid_position"


class InvalidSelection(BadRequest):
    means = "The server does not know this filter, or this value of a filter."
    advice = (
        "Correct the parameter that `detail` names. The guide for consumers lists all parameters and their "
        "values."
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
        "Use a key with the scope that `detail` names, or ask the administrator to let your account report "
        "on the EVSE."
    )
    code = "not_allowed"
    status = 403
    close_code = 4403


class KeyPending(NotAllowed):
    means = "The key has been created but not yet approved."
    advice = "Wait until the administrator has approved it. Do not retry before then."
    code = "key_pending"


class KeysClosed(NotAllowed):
    means = "On this server, only the administrator can create keys."
    advice = "Ask the administrator for a key. The page `/consumers` shows the contact, if there is one."
    code = "keys_closed"


class NotFound(LadestromError):
    means = "Nothing exists at this path, or no object has this id."
    advice = "Check the path and the id. `/openapi.json` lists all paths."
    code = "not_found"
    status = 404
    close_code = 4404


class MethodNotAllowed(BadRequest):
    means = "The path does not support this HTTP method."
    advice = "Use one of the methods that the response header `Allow` lists."
    code = "method_not_allowed"
    on_websocket = False
    status = 405


class UpgradeRequired(BadRequest):
    means = "The path is for WebSockets, and the request did not ask for an upgrade."
    advice = "Connect with a WebSocket client. For plain HTTP use server-sent events at `/api/v2/events`."
    code = "upgrade_required"
    on_websocket = False
    status = 426


class IdempotencyConflict(LadestromError):
    means = "The same `Idempotency-Key` was used before with a different body."
    advice = "Use a new `Idempotency-Key` for each request. Reuse one only with exactly the same body."
    code = "idempotency_conflict"
    on_websocket = False
    status = 422
    close_code = 4422


class TooLarge(LadestromError):
    means = "A body, a message or a list exceeds its limit."
    advice = "Send it in smaller parts. `detail` states the limit."
    code = "too_large"
    status = 413
    close_code = 1009


class UnsupportedEncoding(LadestromError):
    means = "The `Content-Encoding` is neither `gzip` nor `identity`."
    advice = "Compress the body with gzip, or do not compress it."
    code = "unsupported_encoding"
    on_websocket = False
    status = 415
    close_code = 1003


class UnsupportedMediaType(LadestromError):
    means = "This path does not accept this `Content-Type`."
    advice = "Send the content type that `detail` names, for example `application/json`."
    code = "unsupported_media_type"
    on_websocket = False
    status = 415
    close_code = 1003


class TooManyRequests(LadestromError):
    means = "This key, operator or IP address has exceeded its limit of requests, connections or items."
    advice = "Wait for the number of seconds in `Retry-After`, then send less. `detail` states the limit."
    code = "too_many_requests"
    status = 429
    close_code = 4129
    retry = True

    def __init__(self, text: str, *, retry_after_s: int = 1) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class Overloaded(LadestromError):
    means = "The server is at capacity or is shutting down. Nothing was changed."
    advice = "Send the same request again after the number of seconds in `Retry-After`."
    code = "overloaded"
    status = 503
    close_code = 1013
    retry = True


class NotReady(LadestromError):
    means = "The server is still starting, or cannot write its log."
    advice = (
        "Send the same request again after the number of seconds in `Retry-After`. Administrators find "
        "the reason at `/readyz`."
    )
    code = "not_ready"
    status = 503
    close_code = 1013
    retry = True


class LogFailure(NotReady):
    means = "Writing to the log failed. No part of this request was accepted, unless `detail` says otherwise."
    advice = (
        "Send the same request again after the number of seconds in `Retry-After`; repetitions do no harm. "
        "Administrators find the reason at `/readyz` and in the server's log messages."
    )
    code = "log_failure"


class LogMisplaced(LogFailure):
    means = "A file of the server's data directory was moved, replaced or deleted. Nothing was accepted."
    advice = (
        "Send the same request again later. Administrators: `/readyz` names the file. Put it back, or "
        "restart the server."
    )
    code = "log_misplaced"


class LogDamaged(LogFailure):
    means = "An entry of the log is missing or cannot be read."
    advice = (
        "If you asked for every change from a position before that entry, start again without `since`. "
        "Administrators: `/readyz` names the entry. Restore a backup."
    )
    code = "log_damaged"

    def __init__(self, text: str, seq: int | None = None) -> None:
        super().__init__(text)
        self.seq = seq
        """Sequence of the first entry that cannot be read; None where the damage is not in an entry."""


class Deposed(LogFailure):
    means = (
        "This server cannot write the log any more, because another one does, or because the log was "
        "restored. It starts again. No part of this request was accepted."
    )
    advice = "Send the same request again: it goes to the server that writes. Repetitions do no harm."
    code = "deposed"


class LogTrimmed(LadestromError):
    means = "The log no longer contains all changes after a position from which the server was reading it."
    advice = (
        "Consumers do not see this code: a stream that cannot be resumed sends `reset` with the reason "
        "`expired`. Administrators: keep the log for longer (`log.retention_days`)."
    )
    code = "log_trimmed"
    status = 410


class LogReplaced(LogTrimmed):
    means = "The log that the server was reading began a new epoch, or is not the same log any more."
    advice = (
        "Consumers do not see this code: the server starts again and sends `reset`. Administrators: the "
        "server's log messages say what happened; it is expected after a restore."
    )
    code = "log_replaced"


class PositionLost(LadestromError):
    means = (
        "The position in `since` cannot be resumed, and `on_reset=refuse` asked for no snapshot instead, or "
        "the path gives nothing but changes since a position (DATEX II)."
    )
    advice = (
        "`detail` names the oldest position that is kept. Resume from there if you can do without what was "
        "before it, or connect without `since` to get a snapshot."
    )
    code = "position_lost"
    status = 410
    close_code = 4410


class Taken(msgspec.Struct, frozen=True):
    """How much of a delivery was taken before the server failed; all of it is in the log."""

    items: int
    """Items that were decided, of all that were sent."""
    accepted: int
    unchanged: int
    refused: int


class PartlyTaken(NotReady):
    means = "The server stored a part of the request and then failed. `taken` says how much is in the log."
    advice = (
        "Send the whole request again after the number of seconds in `Retry-After`. Items that are already "
        "stored are then counted as unchanged; nothing is stored twice."
    )
    code = "partly_taken"

    def __init__(self, text: str, taken: Taken | None = None) -> None:
        super().__init__(text)
        self.taken = taken or Taken(0, 0, 0, 0)


OWN_FAILURES: Final = (NotReady, Overloaded)
"""Failures of this server. They say nothing about whoever sent, was asked or is followed."""


class SourceFailure(LadestromError):
    means = "A source did not respond to the server as its protocol requires."
    advice = "The server retries automatically. Administrators see the reason in `ladestrom sources list`."
    code = "source_failure"
    on_websocket = False
    status = 502
    close_code = 1013
    retry = True


class Conflict(LadestromError):
    means = "An object with this name or id already exists, or its state does not allow the request."
    advice = "`detail` names the object. Choose another name, or change the existing object."
    code = "conflict"
    status = 409
    close_code = 4409


class InvalidSetting(LadestromError):
    means = "A setting has an invalid name or value. The program ends with exit code 2."
    advice = (
        "Correct the file, variable or option that the message names. `ladestrom config check` lists all "
        "problems."
    )
    code = "invalid_setting"
    on_websocket = False


class InvalidBackup(LadestromError):
    means = "A backup is incomplete or damaged, or was made by a newer version. Nothing was restored."
    advice = "Use another backup or, if the message says so, the version of the program that made the backup."
    code = "invalid_backup"
    on_websocket = False


class InvalidRegister(LadestromError):
    means = "A register file cannot be read."
    advice = (
        "Check that the file is complete and in the format that you named. Individual bad records do not "
        "cause this error; each is refused separately."
    )
    code = "invalid_register"
    on_websocket = False
    status = 400

"""What the program says of itself: structlog and the standard library's logging through one pipeline.

Knows how a line looks and what must never be in one. Must not know who logs, or what.

Everything that leaves passes `redact`: keys (`lst_...`), credentials in addresses and headers, and values
whose name says that they are secret, wherever they stand: in the message, in a value, in a traceback.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Literal

from ladestrom.errors import InvalidSetting

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

    from ladestrom.formats.administration import LogLine

REDACTED: Final = "***"

SECRET_NAMES: Final = frozenset(
    {
        "api_key",
        "apikey",
        "authorization",
        "cookie",
        "email",
        "key",
        "password",
        "secret",
        "ticket",
        "token",
    }
)
"""Names of values that are never written; compared in lower case, `-` as `_`, and without `x_`."""

SILENT: Final = ("aiosqlite",)
"""Loggers that tell what the store is given, word for word, at `debug`: only their warnings are written."""
QUIET: Final = ("alembic", "asyncio", "httpcore2", "httpx2", "websockets")
"""Loggers that tell every step at `info`; below `debug`, only their warnings are written."""

RECENT_MAX: Final = 200
"""Lines that are kept in memory for whoever runs the server."""
VALUE_CHARACTERS_MAX: Final = 2_000
"""Of each value of these: the end of a traceback is in the log itself."""
_RECENT: Final[deque[LogLine]] = deque(maxlen=RECENT_MAX)
"""The newest last. Of the process, as is the logging that it is of."""
NESTING_MAX: Final = 8
"""Values nested deeper than this are written as text."""

_CONTROL: Final = {
    number: f"\\x{number:02x}" for number in (*range(0x20), *range(0x7F, 0xA0)) if chr(number) not in "\n\t"
}
"""Written as escapes: a terminal obeys them, and what was logged may come from a stranger."""

_KEY: Final = re.compile(r"lst_[A-Za-z0-9_-]+", re.IGNORECASE)
_QUERY: Final = re.compile(
    r"((?:(?<![a-z0-9])|(?<=%3F)|(?<=%26))(?:api_?key|key|ticket)(?:=|%3D))[^&\s#]+", re.IGNORECASE
)
_HEADER: Final = re.compile(
    r"(authorization|x-api-key)(['\"]?\s*[:=,]\s*(?:b?['\"])?)(?:(?:bearer|basic|token)\s+)?[^\s'\",]+",
    re.IGNORECASE,
)
_BEARER: Final = re.compile(r"(\bbearer\s+)[^\s'\",]+", re.IGNORECASE)
_USER_INFO: Final = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/@:]*:)[^\s/@]+(?=@)", re.IGNORECASE)


def redact(text: str) -> str:
    """The text without secrets: keys, credentials in queries, headers and addresses become `***`."""
    text = _HEADER.sub(rf"\1\2{REDACTED}", text)
    text = _BEARER.sub(rf"\1{REDACTED}", text)
    text = _QUERY.sub(rf"\1{REDACTED}", text)
    text = _USER_INFO.sub(rf"\1{REDACTED}", text)
    return _KEY.sub(f"lst_{REDACTED}", text)


def configure(
    level: Literal["debug", "info", "warning", "error"] = "info",
    style: Literal["auto", "json", "console"] = "auto",
    stream: IO[str] | None = None,
    *,
    file: str = "",
) -> None:
    """Sets up logging for the process: one line per event, to `stream` (standard error where None).

    Calling it again replaces what was set up before. Servers started in code must be kept from setting up
    logging of their own (uvicorn: `log_config=None`).

    Args:
        level: the least level that is written.
        style: `json` is one object a line, `console` is for people, `auto` is console on a terminal.
        stream: where to write.
        file: name of the file to write to instead; it is opened anew by each call.

    Raises:
        InvalidSetting: the file cannot be opened; what was set up before stays.
    """
    import structlog  # noqa: PLC0415 - a command that only prints a version does without

    target = _opened(file) if file else sys.stderr if stream is None else stream
    terminal = target.isatty()
    console = style == "console" or (style == "auto" and terminal)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(
            colors=terminal, exception_formatter=structlog.dev.plain_traceback, sort_keys=False
        )
        if console
        else structlog.processors.JSONRenderer(serializer=_json)
    )
    handler = _Handler(target)
    handler.owns_stream = bool(file)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _redacted,
                _kept,
                renderer,
            ],
        )
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.captureWarnings(capture=True)
    root = logging.getLogger()
    root.addHandler(handler)
    for old in list(root.handlers):
        if isinstance(old, _Handler) and old is not handler:
            root.removeHandler(old)
            if old.owns_stream:
                old.stream.close()
    root.setLevel(number)
    for name in (*QUIET, *SILENT):
        tells = number <= logging.DEBUG and name not in SILENT
        logging.getLogger(name).setLevel(number if tells else max(number, logging.WARNING))


def recent() -> list[LogLine]:
    """The last lines that were logged, the newest first."""
    return list(reversed(_RECENT))


def _kept(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Keeps a line as it is about to be written, that is without secrets."""
    from ladestrom.formats.administration import LogLine  # noqa: PLC0415 - see `configure`

    values = {
        name: str(value)[:VALUE_CHARACTERS_MAX]
        for name, value in event.items()
        if name not in {"event", "level", "timestamp"} and value is not None
    }
    told = str(event.get("event", ""))[:VALUE_CHARACTERS_MAX]
    _RECENT.append(LogLine(str(event.get("timestamp", "")), str(event.get("level", "")), told, values))
    return event


class _Handler(logging.StreamHandler[IO[str]]):
    """Never prints a record that cannot be written: the standard library would show its arguments."""

    owns_stream = False
    """Whether the stream was opened for it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the standard library's name
        error = sys.exc_info()[1]
        if isinstance(error, (OSError, ValueError)) and self.stream.closed:
            return
        try:
            sys.stderr.write(
                f"a log line of {record.name} ({record.pathname}:{record.lineno}) "
                f"cannot be written: {type(error).__name__}\n"
            )
        except (OSError, ValueError):
            return


def _opened(file: str) -> IO[str]:
    try:
        return Path(file).open("a", encoding="utf-8", errors="backslashreplace", buffering=1)
    except OSError as error:
        raise InvalidSetting(f"logging.file: {file} cannot be opened ({error.strerror or error})") from error


def redacted_traceback(error: BaseException) -> str:
    """The error's traceback as Python prints it, without secrets."""
    return redact("".join(traceback.format_exception(error)))


def _redacted(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {name: _value(name, value, 0) for name, value in event.items()}


def _value(name: str, value: object, depth: int) -> object:
    if name.lower().replace("-", "_").removeprefix("x_") in SECRET_NAMES:
        return REDACTED
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return _text(value)
    if depth < NESTING_MAX:
        if isinstance(value, Mapping):
            return {_text(str(key)): _value(str(key), inner, depth + 1) for key, inner in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [_value("", inner, depth + 1) for inner in value]
    return _text(repr(value))


def _text(text: str) -> str:
    return redact(text).translate(_CONTROL).encode(errors="backslashreplace").decode()


def _json(value: object, **_: object) -> str:
    import msgspec  # noqa: PLC0415 - see `configure`

    return msgspec.json.encode(value).decode()

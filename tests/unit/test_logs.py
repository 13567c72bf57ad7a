from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from ladestrom.logs import (
    NESTING_MAX,
    QUIET,
    RECENT_MAX,
    REDACTED,
    SILENT,
    configure,
    recent,
    redact,
    redacted_traceback,
)

CANARY = "lst_abc123_CanaryCanaryCanary"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leaves logging as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    logging.captureWarnings(capture=False)
    for handler in list(root.handlers):
        if handler not in handlers:
            root.removeHandler(handler)
    root.setLevel(level)
    for name in (*QUIET, *SILENT):
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Opaque:
    def __repr__(self) -> str:
        return f"Opaque({CANARY!r})"


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


class TestRedact:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (CANARY, "lst_***"),
            (f"the key {CANARY}, revoked", "the key lst_***, revoked"),
            (f"x{CANARY.upper()}", "xlst_***"),
            ("/api/v1/stream?key=secret", "/api/v1/stream?key=***"),
            ("/api/v1/stream?a=1&apikey=secret&b=2", "/api/v1/stream?a=1&apikey=***&b=2"),
            ("/x?API_KEY=secret HTTP/1.1", "/x?API_KEY=*** HTTP/1.1"),
            ("wss://h/x?ticket=sec%20ret#f", "wss://h/x?ticket=***#f"),
            ("/x?next=%2Fy%3Fkey%3Dsecret", "/x?next=%2Fy%3Fkey%3D***"),
            ("Authorization: Bearer secret", "Authorization: ***"),
            ("authorization: Basic c2VjcmV0", "authorization: ***"),
            ("'X-Api-Key': 'secret', 'a': 1", "'X-Api-Key': '***', 'a': 1"),
            ("(b'x-api-key', b'secret')", "(b'x-api-key', b'***')"),
            ("Bearer secret", "Bearer ***"),
            ("https://user:secret@example.org/x", "https://user:***@example.org/x"),
        ],
    )
    def test_a_secret_becomes_stars_wherever_it_stands(self, text: str, expected: str) -> None:
        assert redact(text) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "a monkey=banana",
            "GET /api/v2/stations?country=NOR&limit=10 HTTP/1.1",
            "FR*ABC*E123 is AVAILABLE",
            "the last_seen of NOR_01333_01",
            "http://127.0.0.1:8383/docs",
        ],
    )
    def test_what_is_no_secret_stays(self, text: str) -> None:
        assert redact(text) == text

    @given(st.text(), st.text(alphabet=st.characters(exclude_characters="&#", exclude_categories=["Z", "C"])))
    def test_the_value_of_a_key_in_a_query_never_stays(self, before: str, value: str) -> None:
        canary = f"Kanarienvogel{value}"
        assert "Kanarienvogel" not in redact(f"{before}?key={canary}")

    @given(st.text())
    def test_redacting_twice_is_redacting_once(self, text: str) -> None:
        assert redact(redact(text)) == redact(text)


class TestPipeline:
    @pytest.mark.parametrize("style", ["json", "console"])
    @pytest.mark.parametrize(
        "value",
        [
            CANARY,
            {"inner": [CANARY, {"deep": CANARY}]},
            {CANARY: 1},
            (CANARY,),
            {CANARY},
            CANARY.encode(),
            Opaque(),
            ValueError(CANARY),
            f"ws://127.0.0.1/api/v1/stream?apikey={CANARY}",
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_a_key_in_any_value_is_not_written(self, value: object, style: str) -> None:
        stream = io.StringIO()
        configure("info", style, stream)  # type: ignore[arg-type] # from the parameters above
        structlog.get_logger("test").info("connected", value=value)
        assert "connected" in stream.getvalue()
        assert "Canary" not in stream.getvalue()

    @pytest.mark.parametrize("name", ["key", "apikey", "X-Api-Key", "Authorization", "secret", "ticket"])
    def test_a_value_with_a_secret_name_is_not_written_whatever_it_is(self, name: str) -> None:
        stream = io.StringIO()
        configure("info", "json", stream)
        structlog.get_logger("test").info("x", **{name: "canary", "headers": {name: "canary"}})
        assert lines(stream)[0][name] == REDACTED
        assert lines(stream)[0]["headers"] == {name: REDACTED}

    @pytest.mark.parametrize("style", ["json", "console"])
    def test_a_key_in_a_message_an_argument_or_a_traceback_is_not_written(self, style: str) -> None:
        stream = io.StringIO()
        configure("info", style, stream)  # type: ignore[arg-type] # from the parameters above
        structlog.get_logger("a").warning(f"bad {CANARY}")
        logging.getLogger("b").warning("bad %s", CANARY)
        try:
            int(CANARY)
        except ValueError:
            structlog.get_logger("c").exception("failed")
            logging.getLogger("d").exception("failed")
        structlog.contextvars.bind_contextvars(consumer=CANARY)
        structlog.get_logger("e").info("bound")
        assert stream.getvalue().count("ValueError: invalid literal") == 2
        assert "Canary" not in stream.getvalue()

    def test_uvicorns_access_log_goes_through_the_pipeline_without_its_keys(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # A server that ran in this process may have turned it off.
        monkeypatch.setattr(logging.getLogger("uvicorn.access"), "propagate", True)
        stream = io.StringIO()
        configure("info", "json", stream)
        logging.getLogger("uvicorn.access").info(
            '%s - "%s %s HTTP/%s" %d',
            "127.0.0.1:1",
            "GET",
            f"/api/v1/rest/chargers?apikey={CANARY}",
            "1.1",
            200,
        )
        (line,) = lines(stream)
        assert line["event"] == '127.0.0.1:1 - "GET /api/v1/rest/chargers?apikey=*** HTTP/1.1" 200'
        assert line["logger"] == "uvicorn.access"

    def test_json_is_one_object_a_line_with_instant_level_and_logger(self) -> None:
        stream = io.StringIO()
        configure("info", "json", stream)
        structlog.get_logger("ladestrom.writer.hub").info(
            "two\nlines", count=3, ratio=0.5, none=None, yes=True
        )
        (line,) = lines(stream)
        assert str(line.pop("timestamp")).endswith("Z")
        assert line == {
            "event": "two\nlines",
            "level": "info",
            "logger": "ladestrom.writer.hub",
            "count": 3,
            "ratio": 0.5,
            "none": None,
            "yes": True,
        }

    @pytest.mark.parametrize("value", ["\ud800", b"\xff", float("nan"), 2**80, object(), [[]]])
    def test_any_value_can_be_written(self, value: object) -> None:
        stream = io.StringIO()
        configure("info", "json", stream)
        structlog.get_logger("test").info("x", value=value)
        assert lines(stream)[0]["event"] == "x"

    def test_deep_nesting_ends_as_text(self) -> None:
        value: list[object] = []
        for _ in range(NESTING_MAX * 3):
            value = [value]
        stream = io.StringIO()
        configure("info", "json", stream)
        structlog.get_logger("test").info("x", value=[value, CANARY])
        assert "Canary" not in stream.getvalue()
        assert lines(stream)[0]["event"] == "x"

    def test_a_terminal_is_not_obeyed_by_what_is_logged(self) -> None:
        stream = Terminal()
        configure("info", "console", stream)
        structlog.get_logger("test").info("x\x1b]0;owned\x07", value="\x1b[2J")
        assert "\x1b]" not in stream.getvalue()
        assert "\x1b[2J" not in stream.getvalue()

    @pytest.mark.parametrize(("stream", "json_lines"), [(io.StringIO(), True), (Terminal(), False)])
    def test_auto_is_console_on_a_terminal_and_json_elsewhere(
        self, stream: io.StringIO, json_lines: bool
    ) -> None:
        configure("info", "auto", stream)
        structlog.get_logger("test").info("hello")
        assert stream.getvalue().startswith("{") is json_lines

    def test_less_than_the_level_is_not_written(self) -> None:
        stream = io.StringIO()
        configure("warning", "json", stream)
        structlog.get_logger("a").info("no")
        logging.getLogger("b").info("no")
        structlog.get_logger("a").warning("yes")
        assert [line["event"] for line in lines(stream)] == ["yes"]

    @pytest.mark.parametrize("name", QUIET)
    def test_talkative_libraries_are_heard_at_debug_only(self, name: str) -> None:
        stream = io.StringIO()
        configure("info", "json", stream)
        logging.getLogger(name).info("chatter")
        configure("debug", "json", stream)
        logging.getLogger(name).info("heard")
        assert [line["event"] for line in lines(stream)] == ["heard"]

    @pytest.mark.parametrize("name", SILENT)
    @pytest.mark.parametrize(("level", "heard"), [("debug", ["trouble"]), ("error", [])])
    def test_what_would_tell_everything_warns_only_at_whatever_level(
        self, name: str, level: Literal["debug", "error"], heard: list[str]
    ) -> None:
        stream = io.StringIO()
        configure(level, "json", stream)
        for number, text in (
            (logging.DEBUG, "everything"),
            (logging.INFO, "more"),
            (logging.WARNING, "trouble"),
        ):
            logging.getLogger(name).log(number, text)
        assert [line["event"] for line in lines(stream)] == heard

    def test_setting_up_again_replaces_and_does_not_double(self) -> None:
        first, second = io.StringIO(), io.StringIO()
        configure("info", "json", first)
        configure("info", "json", second)
        structlog.get_logger("test").info("once")
        assert first.getvalue() == ""
        assert len(lines(second)) == 1

    def test_python_warnings_are_logged(self) -> None:
        stream = io.StringIO()
        configure("info", "json", stream)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(capture=False)
            logging.captureWarnings(capture=True)
            warnings.warn(f"old {CANARY}", UserWarning, stacklevel=1)
        assert "old lst_***" in stream.getvalue()

    def test_a_record_that_cannot_be_formatted_costs_its_arguments_not_the_program(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        configure("info", "json", io.StringIO())
        root = logging.getLogger()
        with pytest.MonkeyPatch.context() as patch:
            # pytest's own handlers raise what they cannot format.
            patch.setattr(root, "handlers", root.handlers[-1:])
            logging.getLogger("broken").warning("%d items", CANARY)
        shown = capsys.readouterr().err
        assert "broken" in shown
        assert "TypeError" in shown
        assert "Canary" not in shown

    def test_a_stream_that_was_closed_is_no_error(self, capsys: pytest.CaptureFixture[str]) -> None:
        stream = io.StringIO()
        configure("info", "json", stream)
        stream.close()
        structlog.get_logger("test").info("late")
        assert capsys.readouterr().err == ""


def test_a_traceback_is_shown_without_keys() -> None:
    with pytest.raises(ValueError) as caught:
        int(CANARY)
    text = redacted_traceback(caught.value)
    assert text.startswith("Traceback")
    assert "Canary" not in text.splitlines()[-1]


def test_the_last_lines_are_kept_without_secrets_and_within_bounds() -> None:
    stream = io.StringIO()
    configure(style="json", stream=stream)
    log = structlog.get_logger("own")
    for number in range(RECENT_MAX + 5):
        log.info("counted", number=number)
    log.warning("refused", token=CANARY, address=f"https://x/?key={CANARY}", long="x" * 9_999, nothing=None)
    logging.getLogger("other").error("broken: %s\x1b[31m", CANARY)
    log.debug("below the level that is written")
    last, before, *rest = recent()
    assert (last.level, last.event, last.values["logger"]) == ("error", "broken: lst_***\\x1b[31m", "other")
    assert (before.level, before.values["token"], len(before.values["long"])) == ("warning", REDACTED, 2_000)
    assert "nothing" not in before.values
    assert CANARY not in repr(recent())
    assert (len(rest), rest[0].values["number"], rest[-1].values["number"]) == (198, "204", "7")
    assert rest[0].at == lines(stream)[-3]["timestamp"]

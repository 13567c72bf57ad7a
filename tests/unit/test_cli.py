from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import cyclopts
import pytest
from tests.programs import Done, run

from ladestrom import __version__, cli
from ladestrom.config import Settings, load
from ladestrom.errors import InvalidSetting, LadestromError

CANARY = "lst_abc123_CanaryCanaryCanary"


def ladestrom(*arguments: str, **environ: str) -> Done:
    """Runs the program as a process of its own."""
    return run([sys.executable, "-m", "ladestrom", *arguments], env=os.environ | environ)


class Failing:
    """A command line that raises what the test puts into `raised`."""

    raised: BaseException = LadestromError("nothing yet")

    def __call__(self, _: object) -> int:
        raise self.raised


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Failing:
    command_line = Failing()
    monkeypatch.setattr(cli, "_run", command_line)
    return command_line


class TestErrors:
    def test_a_known_error_is_a_line_on_standard_error_and_2(
        self, failing: Failing, capsys: pytest.CaptureFixture[str]
    ) -> None:
        failing.raised = LadestromError("the data directory is in use")
        assert cli.main([]) == 2
        assert capsys.readouterr() == ("", "ladestrom: the data directory is in use\n")

    def test_an_error_with_several_problems_is_a_line_for_each(
        self, failing: Failing, capsys: pytest.CaptureFixture[str]
    ) -> None:
        failing.raised = InvalidSetting("one\ntwo")
        assert cli.main([]) == 2
        assert capsys.readouterr().err == "ladestrom: one\nladestrom: two\n"

    def test_an_error_without_words_is_named_by_its_code(
        self, failing: Failing, capsys: pytest.CaptureFixture[str]
    ) -> None:
        failing.raised = InvalidSetting()
        assert cli.main([]) == 2
        assert capsys.readouterr().err == "ladestrom: invalid_setting\n"

    @pytest.mark.parametrize("by_flag", [True, False])
    def test_debug_shows_the_traceback(
        self,
        failing: Failing,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        by_flag: bool,
    ) -> None:
        failing.raised = LadestromError("no")
        if not by_flag:
            monkeypatch.setenv("LADESTROM_DEBUG", "1")
        assert cli.main(["--debug"] if by_flag else []) == 2
        assert "Traceback" in capsys.readouterr().err

    def test_a_defect_shows_its_traceback_and_ends_with_1(
        self, failing: Failing, capsys: pytest.CaptureFixture[str]
    ) -> None:
        failing.raised = ZeroDivisionError(f"with {CANARY}")
        assert cli.main([]) == 1
        shown = capsys.readouterr().err
        assert "Traceback" in shown
        assert "ZeroDivisionError: with lst_***" in shown

    @pytest.mark.parametrize("arguments", [[], ["--debug"]])
    def test_no_error_shows_a_key(
        self, failing: Failing, capsys: pytest.CaptureFixture[str], arguments: list[str]
    ) -> None:
        failing.raised = LadestromError(f"{CANARY} is wrong")
        cli.main(arguments)
        assert "Canary" not in capsys.readouterr().err

    def test_an_interrupt_ends_with_130(self, failing: Failing) -> None:
        failing.raised = KeyboardInterrupt()
        assert cli.main([]) == 130

    def test_a_setting_that_is_wrong_ends_with_2(self) -> None:
        done = ladestrom("config", "check", LADESTROM_SERVER__PROT="1")
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr == (
            "ladestrom: environment variable LADESTROM_SERVER__PROT is unknown; "
            "did you mean LADESTROM_SERVER__PORT?\n"
        )

    def test_a_wrong_option_ends_with_2_and_says_what_may_be_meant(self) -> None:
        done = ladestrom("doctor", "--dta", "x")
        assert done.returncode == 2
        assert "--data" in done.stderr
        assert done.stderr.startswith("ladestrom: ")

    def test_a_reader_that_goes_away_is_no_error(self) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        try:
            done = run([sys.executable, "-m", "ladestrom", "config", "doc"], stdout=writer)
        finally:
            os.close(writer)
        assert (done.returncode, done.stderr) == (141, "")


class TestCommands:
    def test_the_version_is_that_of_the_package(self) -> None:
        done = ladestrom("--version")
        assert (done.returncode, done.stdout) == (0, f"ladestrom {__version__}\n")

    def test_version_and_help_import_no_command(self) -> None:
        program = (
            "import sys\n"
            "from ladestrom.cli import main\n"
            "for option in ('--version', '--help'):\n"
            "    assert main([option]) == 0\n"
            "heavy = {'ladestrom.app', 'ladestrom.roles', 'ladestrom.config', 'litestar', 'sqlalchemy', 'apsw', 'structlog'}\n"
            "commands = {name for name in sys.modules if name.startswith('ladestrom.cli.')}\n"
            "print('imported', sorted(commands | heavy & set(sys.modules)))\n"
        )
        done = run([sys.executable, "-c", program], check=True)
        assert done.stdout.splitlines()[-1] == "imported []"

    def test_help_lists_every_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["--help"]) == 0
        shown = capsys.readouterr().out
        for command in cli.COMMANDS:
            assert command.name in shown
            assert command.help in " ".join(shown.split())

    @pytest.mark.parametrize("command", cli.COMMANDS, ids=lambda command: command.name)
    def test_every_command_answers_to_help(
        self, command: cli.Command, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main([command.name, "--help"]) == 0
        assert f"ladestrom {command.name}" in capsys.readouterr().out

    def test_completion_is_installed_for_a_shell(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        target = tmp_path / "ladestrom.bash"
        assert cli.main(["--install-completion", "--shell", "bash", "--output", str(target)]) == 0
        assert "doctor" in target.read_text(encoding="utf-8")

    def test_the_frame_is_built_anew_each_time(self) -> None:
        assert isinstance(cli.build(), cyclopts.App)
        assert cli.build() is not cli.build()


class TestConfig:
    def test_check_says_how_many_settings_are_given(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["config", "check", "--server.port", "9000"]) == 0
        assert capsys.readouterr().out.startswith("no problems: 1 of ")

    def test_check_reads_the_file(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = tmp_path / "x.toml"
        file.write_text("[server]\nport = 'x'\n[log]\ndurability = 'x'\n", encoding="utf-8")
        assert cli.main(["config", "check", str(file)]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 2

    def test_show_says_where_each_value_comes_from(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LADESTROM_STREAM__GATHER_MS_MAX", "5")
        assert cli.main(["config", "show", "--port", "9000"]) == 0
        shown = capsys.readouterr().out.splitlines()
        assert "port = 9000  # flag --port" in shown
        assert "gather_ms_max = 5  # environment LADESTROM_STREAM__GATHER_MS_MAX" in shown
        assert 'host = "127.0.0.1"  # default' in shown

    def test_show_speaks_json_too(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["config", "show", "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown["server.port"] == {"value": 8383, "origin": "default"}

    def test_env_is_an_env_file_of_the_defaults(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["config", "env"]) == 0
        rows = [line for line in capsys.readouterr().out.splitlines() if line and not line.startswith("#")]
        environ = dict(row.split("=", 1) for row in rows)
        loaded = load(None, environ, {})
        assert loaded.settings == Settings()
        assert {origin.kind for origin in loaded.origins.values()} == {"environment"}

    def test_doc_is_markdown(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["config", "doc"]) == 0
        shown = capsys.readouterr().out
        assert shown.startswith("# Settings\n")
        assert "## `[stream]`" in shown

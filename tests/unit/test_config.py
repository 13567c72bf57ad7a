from __future__ import annotations

import contextlib
import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ladestrom.backends.table import LOGS, STORES
from ladestrom.cli import main
from ladestrom.cli.config import markdown
from ladestrom.cli.flags import SettingFlags
from ladestrom.config import SETTINGS, SPECIALS, Loaded, Setting, Settings, load, shown, special, value_of
from ladestrom.config.loading import SECRET_FILE_KIB_MAX, SETTINGS_FILE_KIB_MAX
from ladestrom.errors import InvalidSetting

INTEGERS = [row for row in SETTINGS if row.type is int]


def by_key(key: str) -> Setting:
    return next(row for row in SETTINGS if row.key == key)


def written(folder: Path, text: str) -> Path:
    path = folder / "ladestrom.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(file: Path | None, environ: dict[str, str], flags: dict[str, object]) -> list[str]:
    with pytest.raises(InvalidSetting) as caught:
        load(file, environ, flags)
    return str(caught.value).splitlines()


def port(loaded: Loaded) -> tuple[int, str]:
    return loaded.settings.server.port, str(loaded.origins["server.port"])


class TestTable:
    @pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row.key)
    def test_every_setting_says_what_it_does_what_it_takes_and_why_it_is_what_it_is(
        self, row: Setting
    ) -> None:
        assert row.help.endswith(".")
        assert row.why.endswith(".")
        assert row.accepts

    @pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row.key)
    def test_every_default_is_within_its_own_limits(self, row: Setting) -> None:
        assert msgspec.convert(row.default, row.annotation) == row.default

    @pytest.mark.parametrize("row", INTEGERS, ids=lambda row: row.key)
    def test_every_number_has_limits_and_a_unit(self, row: Setting) -> None:
        assert row.minimum is not None
        assert row.maximum is not None
        assert row.unit or row.key == "server.port"

    @pytest.mark.parametrize("row", INTEGERS, ids=lambda row: row.key)
    def test_a_unit_of_time_or_size_stands_in_the_name(self, row: Setting) -> None:
        if row.unit in {"s", "ms", "days", "hours", "MiB", "KiB"}:
            assert f"_{row.name}".removesuffix("_max").removesuffix("_min").endswith(f"_{row.unit.lower()}")

    def test_the_defaults_are_the_settings_made_without_arguments(self) -> None:
        assert load(None, {}, {}).settings == Settings()
        assert {origin.kind for origin in load(None, {}, {}).origins.values()} == {"default"}

    def test_names_in_the_environment_are_unique_and_none_is_special(self) -> None:
        names = [row.environ for row in SETTINGS] + [row.name for row in SPECIALS]
        assert len(names) == len(set(names))

    def test_every_setting_is_a_flag(self) -> None:
        sections = SettingFlags.__annotations__
        flags = {f"{section}.{name}" for section in sections for name in sections[section].__annotations__}
        assert flags == {row.key for row in SETTINGS}

    def test_the_documentation_names_every_setting_with_its_default_and_every_special_variable(self) -> None:
        text = "\n".join(markdown())
        for row in SETTINGS:
            assert f"| `{row.name}` | `{msgspec.json.encode(row.default).decode()}` |" in text
            assert row.why in text
        for variable in SPECIALS:
            assert f"`{variable.name}`" in text


class TestPrecedence:
    def test_file_beats_default_environment_beats_file_and_flag_beats_environment(
        self, tmp_path: Path
    ) -> None:
        file = written(tmp_path, "[server]\nport = 1001\n")
        environ = {"LADESTROM_SERVER__PORT": "1002"}
        assert port(load(None, {}, {})) == (8383, "default")
        assert port(load(file, {}, {})) == (1001, f"file {file}")
        assert port(load(file, environ, {})) == (1002, "environment LADESTROM_SERVER__PORT")
        assert port(load(file, environ, {"server.port": 1003})) == (1003, "flag --port")

    def test_a_flag_that_was_not_given_changes_nothing(self) -> None:
        assert port(load(None, {"LADESTROM_SERVER__PORT": "1002"}, {"server.port": None}))[0] == 1002

    def test_flags_come_by_section_and_name_as_well(self) -> None:
        loaded = load(None, {}, {"stream": {"ping_interval_s": 7}, "server": {"data": Path("d")}})
        assert loaded.settings.stream.ping_interval_s == 7
        assert loaded.settings.server.data == "d"
        assert str(loaded.origins["stream.ping_interval_s"]) == "flag --stream.ping-interval-s"

    def test_ladestrom_config_names_the_file_unless_one_is_given(self, tmp_path: Path) -> None:
        file = written(tmp_path, "[server]\nport = 1001\n")
        other = tmp_path / "other.toml"
        other.write_text("", encoding="utf-8")
        environ = {"LADESTROM_CONFIG": str(file)}
        assert port(load(None, environ, {}))[0] == 1001
        assert port(load(other, environ, {}))[0] == 8383

    def test_ladestrom_data_is_the_data_directory(self) -> None:
        assert load(None, {"LADESTROM_DATA": "/srv/d"}, {}).settings.server.data == "/srv/d"

    def test_two_variables_for_one_setting_are_an_error(self) -> None:
        environ = {"LADESTROM_DATA": "a", "LADESTROM_SERVER__DATA": "b"}
        assert problems(None, environ, {}) == [
            "LADESTROM_DATA and LADESTROM_SERVER__DATA are both set; keep one"
        ]


class TestForms:
    @pytest.mark.parametrize(
        ("word", "value"), [("true", True), ("No", False), ("1", True), (" off ", False), ("YES", True)]
    )
    def test_the_environment_writes_yes_and_no_in_several_ways(self, word: str, value: bool) -> None:
        assert load(None, {"LADESTROM_REGISTRY__READINGS": word}, {}).settings.registry.readings is value

    def test_the_environment_writes_lists_with_commas(self) -> None:
        environ = {"LADESTROM_SERVER__ORIGINS": "https://a.example, http://b.example:81,"}
        origins = load(None, environ, {}).settings.server.origins
        assert origins == ("https://a.example", "http://b.example:81")

    def test_a_file_writes_lists_as_arrays(self, tmp_path: Path) -> None:
        file = written(tmp_path, '[server]\norigins = ["https://a.example"]\n')
        assert load(file, {}, {}).settings.server.origins == ("https://a.example",)

    @pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row.key)
    def test_every_default_can_be_written_into_a_file_and_into_the_environment(
        self, row: Setting, tmp_path: Path
    ) -> None:
        literal = msgspec.json.encode(row.default).decode()
        file = written(tmp_path, f"[{row.section}]\n{row.name} = {literal}\n")
        plain = ",".join(row.default) if isinstance(row.default, tuple) else literal.strip('"')
        for loaded in (load(file, {}, {}), load(None, {row.environ: plain}, {})):
            assert value_of(loaded.settings, row) == row.default
            assert loaded.origins[row.key].kind != "default"

    @given(st.sampled_from(INTEGERS), st.integers())
    def test_a_number_is_taken_exactly_when_it_is_within_its_limits(self, row: Setting, number: int) -> None:
        assert row.minimum is not None
        assert row.maximum is not None
        environ = {row.environ: str(number), "LADESTROM_STREAM__PING_TIMEOUT_S": "3600"}
        if row.key == "stream.ping_timeout_s":
            environ = {row.environ: str(number), "LADESTROM_STREAM__PING_INTERVAL_S": "1"}
        if row.minimum <= number <= row.maximum:
            assert value_of(load(None, environ, {}).settings, row) == number
        else:
            with pytest.raises(InvalidSetting, match=rf"{row.key} = .*from {row.minimum} to {row.maximum}"):
                load(None, environ, {})


class TestProblems:
    def test_a_problem_names_setting_value_origin_and_what_is_expected(self, tmp_path: Path) -> None:
        file = written(tmp_path, '[stream]\nping_interval_s = "soon"\n')
        assert problems(file, {}, {}) == [
            f'stream.ping_interval_s = "soon" (file {file}): expected a whole number from 1 to 600 (s)'
        ]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("[server]\nport = true", "server.port = true"),
            ("[server]\nport = 8.5", "server.port = 8.5"),
            ("[server]\nport = 70000", "server.port = 70000"),
            ("[server]\nport = {a = 1}", 'server.port = {"a":1}'),
            ("[registry]\nreadings = 1", "registry.readings = 1"),
            ("[server]\nhost = 1", "server.host = 1"),
            ('[server]\ndata = ""', 'server.data = ""'),
            ("[server]\nport = 2026-11-22", 'server.port = "2026-11-22"'),
            ('[log]\ndurability = "most"', 'log.durability = "most"'),
            ('[server]\norigins = ["example.org"]', 'server.origins = ["example.org"]'),
            ('[server]\nurl_public = "https://x.example/"', 'server.url_public = "https://x.example/"'),
            ("server = 3", "server = 3"),
            (
                '[page]\ntiles = "https://tiles.example/{z}/{x}.png"',
                'page.tiles = "https://tiles.example/{z}/{x}.png"',
            ),
            ('[page]\ntiles = "tiles.pmtiles"', 'page.tiles = "tiles.pmtiles"'),
        ],
    )
    def test_a_value_of_the_wrong_type_or_form_is_refused(
        self, text: str, expected: str, tmp_path: Path
    ) -> None:
        found = problems(written(tmp_path, text), {}, {})
        assert len(found) == 1
        assert found[0].startswith(f"{expected} (file ")

    @pytest.mark.parametrize(
        ("setting", "address"),
        [
            ("log.url", "sqlite:"),
            ("log.url", "memory:"),
            ("store.url", "sqlite:"),
            ("store.url", "postgresql://me:word@db.example:5432/status"),
            ("store.url", "postgresql://db.example/status?sslmode=require"),
            ("store.url", "postgresql:///status?host=/run/postgresql"),
        ],
    )
    def test_a_log_and_a_store_are_kept_where_a_backend_knows_the_address(
        self, setting: str, address: str
    ) -> None:
        section, name = setting.split(".")
        assert getattr(getattr(load(None, {}, {setting: address}).settings, section), name) == address

    @pytest.mark.parametrize(
        ("setting", "address"),
        [
            ("log.url", ""),
            ("log.url", "memory"),
            ("log.url", "postgresql://db.example"),
            ("log.url", "sqlite:///var/log.db"),
            ("store.url", "memory:"),
            ("store.url", "postgresql://db.example"),
            ("store.url", "mysql://db.example/status"),
        ],
    )
    def test_another_address_of_a_log_or_a_store_is_refused_with_those_that_are_offered(
        self, setting: str, address: str
    ) -> None:
        (problem,) = problems(None, {}, {setting: address})
        assert f'{setting} = "{address}"' in problem
        rows = LOGS if setting == "log.url" else STORES
        assert all(row.address in problem for row in rows.values())

    def test_a_password_is_not_in_what_is_said_of_an_address_that_is_refused(self) -> None:
        for address in ("postgresql://me:can/ary@db.example", "mysql://me:canary@db.example/x"):
            (problem,) = problems(None, {}, {"store.url": address})
            assert "can" not in problem
            assert "***@db.example" in problem

    def test_no_proxy_is_believed_unless_it_is_named_not_even_on_loopback(self) -> None:
        environ = {"LADESTROM_REPORTS__CERTIFICATE_HEADER": "X-Client-Subject"}
        (problem,) = problems(None, environ, {})
        assert "expected reports.certificate_proxies to name the proxies" in problem
        environ["LADESTROM_REPORTS__CERTIFICATE_PROXIES"] = "127.0.0.1"
        assert load(None, environ, {}).settings.reports.certificate_proxies == ("127.0.0.1",)
        assert Settings().reports.certificate_proxies == ()

    @pytest.mark.parametrize(
        ("written", "items"),
        [
            ("Fjordlys=CN=fjordlys", ("Fjordlys=CN=fjordlys",)),
            (
                '["Fjordlys=CN=fjordlys,O=Fjordlys AS", "b=CN=b"]',
                ("Fjordlys=CN=fjordlys,O=Fjordlys AS", "b=CN=b"),
            ),
            ("[]", ()),
        ],
    )
    def test_a_list_in_a_variable_is_separated_by_commas_or_json(
        self, written: str, items: tuple[str, ...]
    ) -> None:
        environ = {"LADESTROM_REPORTS__CERTIFICATES": written}
        assert load(None, environ, {}).settings.reports.certificates == items

    def test_a_list_in_a_variable_that_is_no_json_is_refused(self) -> None:
        (problem,) = problems(None, {"LADESTROM_KEYS__PROXIES": '["127.0.0.1"'}, {})
        assert problem.startswith("keys.proxies = ")

    @pytest.mark.parametrize(
        "tiles",
        [
            "https://tiles.example/norway.pmtiles",
            "/tiles/norway.pmtiles",
            "https://t.example/{z}/{y}/{x}@2x?k=1",
        ],
    )
    def test_tiles_are_an_archive_or_a_template(self, tiles: str) -> None:
        assert load(None, {"LADESTROM_PAGE__TILES": tiles}, {}).settings.page.tiles == tiles

    @pytest.mark.parametrize(
        ("text", "hint"),
        [
            ("[server]\nprot = 1", "setting server.prot (file {}) is unknown; did you mean server.port?"),
            (
                "[steam]\nstalled_s = 1",
                "setting steam.stalled_s (file {}) is unknown; did you mean stream.stalled_s?",
            ),
            ("port = 1", "setting port (file {}) is unknown; did you mean server.port?"),
            ("[steam]", "setting steam (file {}) is unknown; did you mean stream?"),
            ("[qqq]\nzzz = 1", "setting qqq.zzz (file {}) is unknown; `ladestrom config doc` lists all"),
        ],
    )
    def test_an_unknown_name_in_the_file_is_an_error_that_says_what_may_be_meant(
        self, text: str, hint: str, tmp_path: Path
    ) -> None:
        file = written(tmp_path, text)
        assert problems(file, {}, {}) == [hint.format(file)]

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("LADESTROM_SERVER__PROT", "; did you mean LADESTROM_SERVER__PORT?"),
            ("LADESTROM_KEYS", "; did you mean LADESTROM_KEY?"),
            ("LADESTROM_CONFIG_FILE", "; did you mean LADESTROM_CONFIG?"),
            ("LADESTROM_3", "; `ladestrom config env` lists all"),
        ],
    )
    def test_an_unknown_variable_is_an_error_that_says_what_may_be_meant(self, name: str, hint: str) -> None:
        assert problems(None, {name: "1"}, {}) == [f"environment variable {name} is unknown{hint}"]

    def test_variables_of_others_do_not_matter(self) -> None:
        environ = {"HOME": "/", "OTHER_SERVER__PORT": "x", "ladestrom_server__port": "x"}
        assert load(None, environ, {}).settings == Settings()

    def test_special_variables_are_no_settings(self) -> None:
        environ = {row.name: "x" for row in SPECIALS if row.name != "LADESTROM_CONFIG"}
        assert load(None, environ | {"LADESTROM_KEY_FILE": "x"}, {}).settings.server.data == "x"

    def test_what_kubernetes_sets_for_a_service_named_ladestrom_does_not_matter(self) -> None:
        environ = {
            "LADESTROM_PORT": "tcp://10.0.0.1:8383",
            "LADESTROM_PORT_8383_TCP": "tcp://10.0.0.1:8383",
            "LADESTROM_PORT_8383_TCP_ADDR": "10.0.0.1",
            "LADESTROM_PORT_8383_TCP_PROTO": "tcp",
            "LADESTROM_SERVICE_HOST": "10.0.0.1",
            "LADESTROM_SERVICE_PORT": "8383",
            "LADESTROM_SERVICE_PORT_HTTP": "8383",
        }
        assert load(None, environ, {}).settings == Settings()

    def test_all_problems_are_told_at_once(self, tmp_path: Path) -> None:
        file = written(tmp_path, "[server]\nport = -1\nprot = 1\n")
        environ = {"LADESTROM_LOG__RETENTION_DAYS": "x", "LADESTROM_NO": "1"}
        assert len(problems(file, environ, {"stream.gather_ms_max": 5_000})) == 5

    def test_a_ping_timeout_below_the_interval_is_refused(self) -> None:
        (found,) = problems(None, {"LADESTROM_STREAM__PING_INTERVAL_S": "41"}, {})
        assert "stream.ping_timeout_s = 40 (default): expected at least stream.ping_interval_s" in found

    def test_a_long_value_is_shortened(self) -> None:
        (found,) = problems(None, {"LADESTROM_SERVER__PORT": "x" * 10_000}, {})
        assert len(found) < 300


class TestFiles:
    def test_a_missing_file_is_an_error(self, tmp_path: Path) -> None:
        file = tmp_path / "none.toml"
        expected = f"settings file {file} cannot be read: No such file or directory"
        assert problems(file, {}, {}) == [expected]

    def test_a_file_that_is_not_toml_is_an_error_that_names_the_line(self, tmp_path: Path) -> None:
        (found,) = problems(written(tmp_path, "[server]\nport 8\n"), {}, {})
        assert "line 2" in found

    def test_a_file_that_is_not_text_is_an_error(self, tmp_path: Path) -> None:
        file = tmp_path / "bytes.toml"
        file.write_bytes(b"\xff\xfe")
        assert problems(file, {}, {}) == [f"settings file {file} cannot be read: not UTF-8"]

    def test_a_file_over_the_limit_is_not_read(self, tmp_path: Path) -> None:
        file = written(tmp_path, "#" * (SETTINGS_FILE_KIB_MAX * 1024 + 1))
        (found,) = problems(file, {}, {})
        assert found.endswith(f"larger than {SETTINGS_FILE_KIB_MAX} KiB")

    def test_an_empty_section_is_in_order(self, tmp_path: Path) -> None:
        assert load(written(tmp_path, "[server]\n"), {}, {}).settings == Settings()


class TestSecrets:
    def test_a_variable_that_ends_in_file_reads_the_value_from_that_file(self, tmp_path: Path) -> None:
        secret = tmp_path / "port"
        secret.write_text("1004\n", encoding="utf-8")
        loaded = load(None, {"LADESTROM_SERVER__PORT_FILE": str(secret)}, {})
        assert port(loaded) == (1004, "environment LADESTROM_SERVER__PORT_FILE")

    def test_a_variable_and_its_file_together_are_an_error(self) -> None:
        environ = {"LADESTROM_SERVER__PORT": "1", "LADESTROM_SERVER__PORT_FILE": "x"}
        expected = "LADESTROM_SERVER__PORT and LADESTROM_SERVER__PORT_FILE are both set; keep one"
        assert problems(None, environ, {}) == [expected]

    def test_a_wrong_value_from_such_a_file_is_not_shown(self, tmp_path: Path) -> None:
        secret = tmp_path / "port"
        secret.write_text("canary", encoding="utf-8")
        (found,) = problems(None, {"LADESTROM_SERVER__PORT_FILE": str(secret)}, {})
        assert "canary" not in found
        assert "LADESTROM_SERVER__PORT_FILE" in found

    def test_a_file_that_cannot_be_read_is_an_error(self, tmp_path: Path) -> None:
        (found,) = problems(None, {"LADESTROM_SERVER__HOST_FILE": str(tmp_path / "none")}, {})
        assert found.startswith("LADESTROM_SERVER__HOST_FILE: ")
        assert "No such file" in found

    def test_a_file_over_the_limit_is_an_error(self, tmp_path: Path) -> None:
        secret = tmp_path / "host"
        secret.write_bytes(b"x" * (SECRET_FILE_KIB_MAX * 1024 + 1))
        (found,) = problems(None, {"LADESTROM_SERVER__HOST_FILE": str(secret)}, {})
        assert f"larger than {SECRET_FILE_KIB_MAX} KiB" in found

    def test_the_key_comes_from_its_variable_or_from_a_file(self, tmp_path: Path) -> None:
        secret = tmp_path / "key"
        secret.write_text("lst_a_b\n", encoding="utf-8")
        assert special({}, "LADESTROM_KEY") is None
        assert special({"LADESTROM_KEY": "lst_c_d"}, "LADESTROM_KEY") == "lst_c_d"
        assert special({"LADESTROM_KEY_FILE": str(secret)}, "LADESTROM_KEY") == "lst_a_b"
        with pytest.raises(InvalidSetting, match="both set"):
            special({"LADESTROM_KEY_FILE": str(secret), "LADESTROM_KEY": "lst_c_d"}, "LADESTROM_KEY")

    def test_only_secrets_come_from_files(self) -> None:
        assert special({"LADESTROM_URL_FILE": "x"}, "LADESTROM_URL") is None


@given(
    st.dictionaries(
        st.sampled_from([row.key for row in SETTINGS]) | st.text(max_size=12),
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=8)
        | st.lists(st.text(max_size=4), max_size=2),
        max_size=6,
    )
)
def test_whatever_is_given_settings_come_out_or_a_settings_error(flags: dict[str, object]) -> None:
    with contextlib.suppress(InvalidSetting):
        assert isinstance(load(None, {}, flags).settings, Settings)


def test_the_shown_settings_are_a_settings_file_that_gives_the_same_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--server.port", "1", "--server.origins", "https://a.example", "--log.durability", "relaxed"]
    assert main(["config", "show", *arguments]) == 0
    shown = capsys.readouterr().out
    tomllib.loads(shown)
    again = load(written(tmp_path, shown), {}, {}).settings
    assert (again.server.port, again.server.origins) == (1, ("https://a.example",))
    assert again.log.durability == "relaxed"


def test_a_password_in_an_address_is_not_among_the_settings_that_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "url"
    secret.write_text("postgresql://me:canary@db.example/status\n", encoding="utf-8")
    monkeypatch.setenv("LADESTROM_STORE__URL_FILE", str(secret))
    for arguments in ((), ("--json",)):
        assert main(["config", "show", *arguments]) == 0
        printed = capsys.readouterr().out
        assert "postgresql://***@db.example/status" in printed
        assert "canary" not in printed


class TestTelling:
    def test_every_setting_is_told_with_its_value_and_where_that_came_from(self, tmp_path: Path) -> None:
        file = written(tmp_path, "[stream]\nheartbeat_s = 7\n")
        environ = {"LADESTROM_SERVER__ORIGINS": "https://a.example,https://b.example"}
        loaded = load(file, environ, {"server.port": 1})
        told = {each.name: each for each in shown(loaded.settings, loaded.origins)}
        assert list(told) == [row.key for row in SETTINGS]
        assert [told["stream.heartbeat_s"].value, told["stream.heartbeat_s"].unit] == [7, "s"]
        found = {name: (each.origin, each.where) for name, each in told.items() if each.origin != "default"}
        assert found == {
            "stream.heartbeat_s": ("file", str(file)),
            "server.origins": ("environment", "LADESTROM_SERVER__ORIGINS"),
            "server.port": ("flag", "--port"),
        }
        assert told["server.origins"].value == ("https://a.example", "https://b.example")
        assert all(each.value == each.default for each in told.values() if each.origin == "default")

    def test_nothing_secret_is_told(self) -> None:
        loaded = load(
            None,
            {},
            {"server.url_public": "https://me:word@example.org", "page.tiles": "/t/{z}/{x}/{y}?key=word"},
        )
        told = {each.name: each.value for each in shown(loaded.settings, {})}
        assert told["server.url_public"] == "https://me:***@example.org"
        assert told["page.tiles"] == "/t/{z}/{x}/{y}?key=***"

    def test_what_a_program_gave_without_saying_from_where_is_no_default(self) -> None:
        told = {each.name: each for each in shown(load(None, {}, {"server.port": 1}).settings, {})}
        assert told["server.port"].origin == "flag"
        assert told["server.host"].origin == "default"

"""What holds for the project's files as such."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from tests.programs import run

import ladestrom
from ladestrom.backends.table import LOGS, STORES

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "ladestrom"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

NOT_OURS = frozenset(
    {".git", ".venv", "build", "dist", "htmlcov", "ladestrom-data", "node_modules", "out", "vendor"}
)
"""Folders that are made, fetched or brought along; `.git` is a file in a second work tree."""
TEXT_BYTES_MAX = 4_194_304
"""Larger files are data."""

# Written in two parts, so that this file does not hold what it looks for.
MACHINE_PATHS = re.compile(
    "|".join((r"/" + r"work/", r"/" + r"root/", r"/" + r"home/\w", r"/" + r"opt/", r"/" + r"Users/\w"))
)
REGISTRIES = re.compile(
    "|".join(
        (
            r"py" + r"pi\.org",
            r"python" + r"hosted",
            r"npm" + r"js\.(org|com)",
            r"yarn" + r"pkg\.com",
            r"crates" + r"\.io",
            r"proxy\.go" + r"lang",
            r"rubygems" + r"\.org",
            r"--(extra-)?index" + r"-url",
            r"--find" + r"-links",
        )
    )
)
BANNED_NAMES = frozenset(
    {"utils", "util", "helpers", "helper", "common", "manager", "managers", "base", "misc"}
)


def ours(folder: Path = ROOT) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            hidden = path.name.startswith(".") and path.name not in {".ci", ".github"}
            if path.name not in NOT_OURS and path.name != "__pycache__" and not hidden:
                yield from ours(path)
        elif path.name not in NOT_OURS and path.stat().st_size <= TEXT_BYTES_MAX:
            yield path


def matches(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for path in ours():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if hit := pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {hit[0]}")
    return found


def pins(name: str) -> dict[str, str]:
    """Version by project name, of requirements/`name`.txt."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    return {found[1]: found[2] for found in re.finditer(r"^([a-z0-9-]+)==([^ ;\\]+)", text, re.MULTILINE)}


def imported() -> set[str]:
    """Top-level names that the package imports."""
    names: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names


def asked(lines: list[str]) -> list[Requirement]:
    return [Requirement(line) for line in lines]


class TestFiles:
    def test_no_file_names_a_path_of_somebodys_machine(self) -> None:
        assert matches(MACHINE_PATHS) == []

    def test_no_file_names_a_package_registry(self) -> None:
        assert matches(REGISTRIES) == []

    def test_the_licence_is_apache_2_in_full(self) -> None:
        text = (ROOT / "LICENSE").read_text(encoding="utf-8")
        assert "Apache License" in text
        assert "END OF TERMS AND CONDITIONS" in text
        assert PROJECT["project"]["license"] == "Apache-2.0"

    def test_the_changelog_speaks_of_this_version_or_of_what_is_not_released(self) -> None:
        text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
        assert f"## [{ladestrom.__version__}]" in text or "## [Unreleased]" in text

    def test_every_module_has_a_name_that_says_something(self) -> None:
        names = {
            part for path in PACKAGE.rglob("*.py") for part in path.relative_to(PACKAGE).with_suffix("").parts
        }
        assert names & BANNED_NAMES == set()

    @pytest.mark.parametrize(
        "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix()
    )
    def test_every_module_says_what_it_is(self, path: Path) -> None:
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))

    def test_the_package_says_that_it_is_typed(self) -> None:
        assert (PACKAGE / "py.typed").is_file()


class TestTests:
    """Deadlines are those of `tests/patience.py`; programs are started by `tests/programs.py`."""

    OWN: Final = frozenset({"patience.py", "programs.py", "systemctl.py"})
    """The last is itself started as a program, and the test that started it ends what it started."""
    DEADLINES: Final = frozenset({"timeout", "open_timeout", "ping_timeout", "close_timeout", "deadline_s"})
    WAITS: Final = frozenset({"settimeout", "join", "wait", "result"})
    CLIENTS: Final = frozenset({"get", "post", "put", "request", "Client", "AsyncClient"})

    def calls(self) -> Iterator[tuple[str, ast.Call]]:
        """Calls in tests, with where they stand."""
        for path in sorted((ROOT / "tests").rglob("*.py")):
            # Programs of other environments are told their deadline.
            if path.name not in self.OWN and path.parent.name != "peers":
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                    if isinstance(node, ast.Call):
                        yield f"{path.relative_to(ROOT)}:{node.lineno}", node

    def test_no_deadline_is_a_number_of_its_own(self) -> None:
        found = []
        for where, call in self.calls():
            waits = isinstance(call.func, ast.Attribute) and call.func.attr in self.WAITS
            given = [keyword.value for keyword in call.keywords if keyword.arg in self.DEADLINES]
            given += call.args[:1] if waits else []
            # Short ones are for what is expected not to come.
            found += [
                where
                for value in given
                if isinstance(value, ast.Constant)
                and isinstance(value.value, int | float)
                and value.value > 1
            ]
        assert found == []

    def test_every_http_client_has_a_deadline(self) -> None:
        found = [
            where
            for where, call in self.calls()
            if isinstance(call.func, ast.Attribute)
            and isinstance(call.func.value, ast.Name)
            and call.func.value.id == "httpx2"
            and call.func.attr in self.CLIENTS
            and not any(keyword.arg == "timeout" for keyword in call.keywords)
        ]
        assert found == []

    def test_programs_are_started_where_they_are_also_ended(self) -> None:
        starts = {"Popen", "check_call", "check_output", "create_subprocess_exec", "create_subprocess_shell"}
        found = []
        for where, call in self.calls():
            if isinstance(call.func, ast.Attribute):
                of = call.func.value.id if isinstance(call.func.value, ast.Name) else ""
                if call.func.attr in starts or (of == "subprocess" and call.func.attr == "run"):
                    found.append(where)
        assert found == []


class TestPins:
    @pytest.mark.parametrize("name", ["run", "build", "dev"])
    def test_every_pin_has_a_hash_and_no_address(self, name: str) -> None:
        text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        blocks = re.split(r"\n(?=[a-z])", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
        assert all("--hash=sha256:" in block for block in blocks)
        assert "://" not in text
        assert not re.search(r"^-", text, re.MULTILINE)

    @pytest.mark.parametrize("name", ["run", "dev"])
    def test_every_dependency_of_the_package_is_pinned_within_its_bounds(self, name: str) -> None:
        pinned = pins(name)
        for requirement in asked(PROJECT["project"]["dependencies"]):
            version = Version(pinned[canonicalize_name(requirement.name)])
            assert requirement.specifier.contains(version), requirement

    @pytest.mark.parametrize("name", ["build", "dev"])
    def test_what_builds_the_package_is_pinned_within_its_bounds(self, name: str) -> None:
        pinned = pins(name)
        assert PROJECT["dependency-groups"]["build"] == PROJECT["build-system"]["requires"]
        for requirement in asked(PROJECT["build-system"]["requires"]):
            version = Version(pinned[canonicalize_name(requirement.name)])
            assert requirement.specifier.contains(version), requirement

    def test_every_tool_is_pinned_within_its_bounds(self) -> None:
        pinned = pins("dev")
        for requirement in asked(PROJECT["dependency-groups"]["dev"]):
            version = Version(pinned[canonicalize_name(requirement.name)])
            assert requirement.specifier.contains(version), requirement

    def test_tests_run_with_the_versions_that_run(self) -> None:
        assert pins("run").items() <= pins("dev").items()
        assert pins("build").items() <= pins("dev").items()

    def test_every_dependency_has_a_lower_bound(self) -> None:
        for requirement in asked(PROJECT["project"]["dependencies"]):
            assert any(bound.operator == ">=" for bound in requirement.specifier), requirement

    def test_every_driver_of_a_backend_can_be_asked_for_by_its_scheme(self) -> None:
        asked_for = {
            scheme: [requirement.name for requirement in asked(extra)]
            for scheme, extra in PROJECT["project"]["optional-dependencies"].items()
        }
        assert asked_for == {scheme: [row.driver] for scheme, row in {**LOGS, **STORES}.items() if row.driver}

    def test_every_dependency_is_one_that_the_program_uses(self) -> None:
        source = "\n".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
        unused = [
            requirement.name
            for requirement in asked(PROJECT["project"]["dependencies"])
            if not re.search(rf"\b{requirement.name.removesuffix('-py').replace('-', '_')}\b", source)
        ]
        assert unused == []

    def test_everything_that_the_program_imports_comes_with_what_running_needs(self) -> None:
        running = pins("run")
        providers = importlib.metadata.packages_distributions()
        extras = PROJECT["project"]["optional-dependencies"].values()
        optional = {requirement.name for extra in extras for requirement in asked(extra)}
        missing = {
            name
            for name in imported()
            if name not in sys.stdlib_module_names | {"ladestrom"} | optional
            and not any(canonicalize_name(provider) in running for provider in providers.get(name, ()))
        }
        assert missing == set()


class TestMake:
    """`make -n` prints what it would do."""

    @pytest.fixture
    def fresh(self, tmp_path: Path) -> Path:
        """A copy of what `make` looks at, without `.venv`."""
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy(ROOT / name, tmp_path)
        shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
        return tmp_path

    def plan(self, folder: Path, target: str) -> set[str]:
        """The files of requirements that would be installed."""
        done = run(["make", "-n", target], cwd=folder, check=True)
        return set(re.findall(r"-r requirements/(\w+)\.txt", done.stdout))

    def did(self, folder: Path, *stamps: str) -> None:
        (folder / ".venv").mkdir()
        for stamp in stamps:
            (folder / ".venv" / stamp).touch()

    @pytest.mark.parametrize("target", ["setup", "run"])
    def test_running_needs_no_tools_of_developers(self, fresh: Path, target: str) -> None:
        assert self.plan(fresh, target) == {"run", "build"}

    @pytest.mark.parametrize("target", ["test", "check"])
    def test_tests_add_the_tools(self, fresh: Path, target: str) -> None:
        assert self.plan(fresh, target) == {"run", "build", "dev"}

    def test_after_a_run_tests_add_only_the_tools(self, fresh: Path) -> None:
        self.did(fresh, ".run")
        assert self.plan(fresh, "run") == set()
        assert self.plan(fresh, "test") == {"dev"}

    def test_after_tests_a_run_installs_nothing(self, fresh: Path) -> None:
        self.did(fresh, ".run", ".dev")
        assert self.plan(fresh, "run") == set()
        assert self.plan(fresh, "test") == set()

    def test_pins_that_changed_are_installed_anew(self, fresh: Path) -> None:
        self.did(fresh, ".run", ".dev")
        newer = (fresh / ".venv" / ".dev").stat().st_mtime + 10
        os.utime(fresh / "requirements" / "run.txt", (newer, newer))
        assert self.plan(fresh, "run") == {"run", "build"}
        assert self.plan(fresh, "test") == {"run", "build", "dev"}


class TestMessages:
    def test_no_text_shows_a_value_as_python_writes_it(self) -> None:
        """`!r` and `repr` are for Python's own: messages quote by `quoting.quoted`."""
        found = []
        for path in sorted(PACKAGE.rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            own = {
                inner
                for node in ast.walk(tree)
                if isinstance(node, ast.FunctionDef) and node.name == "__repr__"
                for inner in ast.walk(node)
            }
            found += [
                f"{path.relative_to(ROOT)}:{node.lineno}"
                for node in ast.walk(tree)
                if isinstance(node, ast.FormattedValue) and node.conversion == ord("r") and node not in own
            ]
        assert found == []


class TestLint:
    def test_every_exception_from_lint_has_a_reason(self) -> None:
        text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        section = text[text.index("[tool.ruff.lint]") : text.index("[tool.ruff.format]")]
        rules = [line for line in section.splitlines() if re.match(r'\s+"[A-Z]+[0-9]+",', line)]
        assert rules
        assert [line for line in rules if not re.search(r"# \S", line)] == []

    def test_every_exception_in_the_code_names_its_rule_and_its_reason(self) -> None:
        suppression = re.compile(
            r"#\s*(noqa|type:\s*ignore)(?!(: [A-Z]+[0-9]+(, ?[A-Z]+[0-9]+)* - \w)|(\[[\w, -]+\]))"
        )
        found = [
            f"{path.relative_to(ROOT)}:{number}"
            for path in PACKAGE.rglob("*.py")
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
            if suppression.search(line)
        ]
        assert found == []

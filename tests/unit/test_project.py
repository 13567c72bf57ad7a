"""What holds for the project's files as such."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import ladestrom

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "ladestrom"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

NOT_OURS = frozenset(
    {".git", ".venv", "build", "dist", "htmlcov", "ladestrom-data", "node_modules", "out", "vendor"}
)
"""Folders that are made, fetched or brought along."""
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
        elif path.stat().st_size <= TEXT_BYTES_MAX:
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


class TestPins:
    @pytest.mark.parametrize("name", ["run", "dev"])
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

    def test_every_tool_is_pinned_within_its_bounds_and_so_is_what_builds_the_package(self) -> None:
        pinned = pins("dev")
        tools = PROJECT["dependency-groups"]["dev"] + PROJECT["build-system"]["requires"]
        for requirement in asked(tools):
            version = Version(pinned[canonicalize_name(requirement.name)])
            assert requirement.specifier.contains(version), requirement

    def test_tests_run_with_the_versions_that_run(self) -> None:
        assert pins("run").items() <= pins("dev").items()

    def test_every_dependency_has_a_lower_bound(self) -> None:
        for requirement in asked(PROJECT["project"]["dependencies"]):
            assert any(bound.operator == ">=" for bound in requirement.specifier), requirement


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

"""The pure packages do no input or output, read no clock and roll no dice: `now` is an argument."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ladestrom

PACKAGE = Path(ladestrom.__file__).parent
PURE = ("core", "protocols", "registers", "formats")
PURE_OF_OUTPUTS = (
    "encoder",
    "messages",
    "activity",
    "columns",
    "history",
    "station_counts",
    "delta",
    "publication",
    "statuses",
    "table",
    "words",
    "xml",
)
ALSO_PURE = (
    "model.py",
    "errors.py",
    "markup.py",
    "client/session.py",
    "unpacking.py",
    "outbound/breaker.py",
    "outbound/pacing.py",
)

IMPORTS = frozenset(
    {
        "apsw",
        "asyncio",
        "concurrent",
        "ctypes",
        "ftplib",
        "getpass",
        "glob",
        "http",
        "httpx",
        "httpx2",
        "litestar",
        "logging",
        "mmap",
        "multiprocessing",
        "os",
        "pathlib",
        "platform",
        "random",
        "requests",
        "resource",
        "sched",
        "secrets",
        "select",
        "selectors",
        "shelve",
        "shutil",
        "signal",
        "socket",
        "socketserver",
        "sqlalchemy",
        "sqlite3",
        "ssl",
        "structlog",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "time",
        "urllib.request",
        "uvicorn",
        "uvloop",
    }
)
"""Modules through which a program reaches the outside."""

CALLS = frozenset({"breakpoint", "input", "open", "print"})
"""Built-in functions that do."""

ATTRIBUTES = frozenset({"now", "open", "read_bytes", "read_text", "today", "utcnow", "uuid1", "uuid4"})
"""Methods that do, whatever they are called on (`datetime.now`, `gzip.open`)."""


def offences(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        line = getattr(node, "lineno", 0)
        yield from (f"line {line}: imports {name}" for name in imported(node) if denied(name))
        match node:
            case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                yield f"line {line}: awaits"
            case ast.Call(func=ast.Name(id=name)) if name in CALLS:
                yield f"line {line}: calls {name}()"
            case ast.Call(func=ast.Attribute(attr=name)) if name in ATTRIBUTES:
                yield f"line {line}: calls .{name}()"


def imported(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(module), names=names, level=0):
            return [f"{module}.{alias.name}" for alias in names]
    return []


def denied(module: str) -> bool:
    parts = module.split(".")
    return any(".".join(parts[:length]) in IMPORTS for length in range(1, len(parts) + 1))


def pure_modules() -> list[Path]:
    found = [path for name in PURE for path in sorted((PACKAGE / name).rglob("*.py"))]
    found += [path for name in PURE_OF_OUTPUTS for path in sorted(PACKAGE.glob(f"outputs/*/{name}.py"))]
    return found + [PACKAGE / name for name in ALSO_PURE]


@pytest.mark.parametrize("path", pure_modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_pure_module_does_no_input_or_output(path: Path) -> None:
    assert list(offences(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("name", PURE)
def test_every_pure_package_is_there(name: str) -> None:
    assert (PACKAGE / name / "__init__.py").is_file()


@pytest.mark.parametrize(
    "source",
    [
        "async def f(): ...",
        "import time",
        "import os.path",
        "import urllib.request",
        "from urllib import request",
        "from asyncio import Queue",
        "from random import random as roll",
        "def f():\n    import socket",
        "open('x')",
        "import gzip\ngzip.open('x')",
        "from datetime import datetime\ndatetime.now()",
        "import datetime\ndatetime.date.today()",
        "import uuid\nuuid.uuid4()",
        "print(1)",
    ],
)
def test_what_is_not_pure_is_noticed(source: str) -> None:
    assert list(offences(source))


@pytest.mark.parametrize(
    "source",
    [
        "import zlib\nzlib.decompress(b'')",
        "from datetime import UTC, datetime\ndatetime.fromtimestamp(0, UTC)",
        "import urllib.parse",
        "def f(now): return now",
        "from uuid import UUID\nUUID(int=1)",
    ],
)
def test_what_is_pure_is_let_pass(source: str) -> None:
    assert not list(offences(source))

"""Makes the code wrong for a while, so that a check can show that it finds it.

A fault is a piece of one function's source and what stands there instead. One that no longer fits the code cannot
be planted, and says so.
"""

from __future__ import annotations
import __future__

import contextlib
import inspect
import sys
import textwrap
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any, Final, Protocol
from unittest import mock

ANNOTATIONS: Final = __future__.annotations.compiler_flag


class Plantable(Protocol):
    """What is needed of a fault."""

    @property
    def what(self) -> str: ...
    @property
    def owner(self) -> type | ModuleType: ...
    @property
    def function(self) -> str: ...
    @property
    def right(self) -> str: ...
    @property
    def wrong(self) -> str: ...


@contextlib.contextmanager
def planted(fault: Plantable) -> Iterator[None]:
    """Makes the code wrong for a while.

    Raises:
        ValueError: the piece of source is not there, or more than once.
    """
    found = inspect.getattr_static(fault.owner, fault.function)
    function: Any = found.fget if isinstance(found, property) else found
    source = textwrap.dedent(inspect.getsource(function))
    if source.count(fault.right) != 1:
        raise ValueError(f"{fault.function} has {fault.right!r} {source.count(fault.right)} times")
    code = compile(
        source.replace(fault.right, fault.wrong), f"<{fault.what}>", "exec", ANNOTATIONS, dont_inherit=True
    )
    names: dict[str, Any] = {}
    exec(code, function.__globals__, names)  # noqa: S102 - our own source, with one piece replaced
    made = names[fault.function]
    with contextlib.ExitStack() as stack:
        for owner in (fault.owner, *_importers(function, fault)):
            stack.enter_context(mock.patch.object(owner, fault.function, made))
        table: dict[str, Any] = getattr(fault.owner, "_handlers", {})
        for name, handler in table.items():
            if handler is function:
                stack.enter_context(mock.patch.dict(table, {name: made}))
        yield


def _importers(function: object, fault: Plantable) -> list[ModuleType]:
    """The other modules that have a module's function by its name."""
    if not isinstance(function, FunctionType) or not isinstance(fault.owner, ModuleType):
        return []
    return [
        module
        for name, module in list(sys.modules.items())
        if name.startswith("ladestrom.")
        and module is not fault.owner
        and module.__dict__.get(fault.function) is function
    ]

"""What a parser must stand: samples with bytes torn out and put in, and with other values in their places."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st


def values(*words: str) -> st.SearchStrategy[Any]:
    """Anything that JSON can hold; these words are among it."""
    scalars = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=40)
        | st.sampled_from(["", "\x00", "9" * 400, *words])
    )
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=8,
    )


@st.composite
def broken(draw: st.DrawFn, samples: list[bytes]) -> bytes:
    """A sample, a piece of which is another."""
    sample = draw(st.sampled_from(samples))
    start = draw(st.integers(0, len(sample)))
    length = draw(st.integers(0, 40))
    return sample[:start] + draw(st.binary(max_size=40)) + sample[start + length :]


@st.composite
def with_other_values(draw: st.DrawFn, samples: list[bytes], others: st.SearchStrategy[Any]) -> bytes:
    """A sample of JSON with up to three of its values replaced."""
    document = json.loads(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(1, 3))):
        places = _places(document)
        if not places:
            break
        holder, name = draw(st.sampled_from(places))
        holder[name] = draw(others)
    return json.dumps(document).encode()


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Each place in a document at which something stands: its holder and its name there."""
    found: list[tuple[Any, Any]] = []
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in pairs:
        found.append((value, name))
        found += _places(inner)
    return found

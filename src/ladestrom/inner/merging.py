"""Metrics of several processes as one text: each sample gets the name of its process."""

from __future__ import annotations

_SAMPLE_END = b" "


class Exposition:
    """Texts in the exposition format of Prometheus, family by family."""

    def __init__(self) -> None:
        self._families: dict[bytes, tuple[list[bytes], list[bytes]]] = {}
        """By name: the lines that say what it is, and its samples."""

    def add(self, process: str, text: bytes) -> None:
        """Takes what one process says."""
        label = b'process="%s",role="%s"' % (process.encode(), process.partition("-")[0].encode())
        about: list[bytes] = []
        samples: list[bytes] = []
        for line in text.splitlines():
            if line.startswith(b"# HELP "):
                name = line.split(b" ", 3)[2]
                is_new = name not in self._families
                head, samples = self._families.setdefault(name, ([], []))
                about = head if is_new else []
            if line.startswith(b"#"):
                about.append(line)
            elif line:
                samples.append(_labelled(line, label))

    def text(self) -> bytes:
        """All of them."""
        lines = [line for about, samples in self._families.values() for line in (*about, *samples)]
        return b"\n".join([*lines, b""])


def _labelled(sample: bytes, label: bytes) -> bytes:
    name, brace, rest = sample.partition(b"{")
    if brace and b" " not in name:
        return b"%s{%s,%s" % (name, label, rest)
    name, _, value = sample.partition(_SAMPLE_END)
    return b"%s{%s} %s" % (name, label, value)

"""Client certificates, as a proxy that ends TLS tells of them: from a certificate's subject to an operator.

Knows which header says so and from whom it is believed. Must not know TLS: the proxy has verified the
certificate, and has to overwrite the header where a client sends one itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from ladestrom.errors import NotAllowed, Unauthenticated
from ladestrom.model import Operator, local_key


class Certificates:
    """One object per server, where `reports.certificate_header` is set."""

    def __init__(
        self,
        header: str,
        proxies: Collection[str],
        subjects: Mapping[str, str],
        find: Callable[[str], Operator | None],
    ) -> None:
        """What is believed.

        Args:
            header: its name; the value is the subject as the proxy writes it (RFC 4514, in nginx
                `$ssl_client_s_dn`).
            proxies: addresses from which it is believed.
            subjects: subject to the name of its operator.
            find: the operator of a name, as the store has it now.
        """
        self._header = header.lower()
        self._proxies = frozenset(proxies)
        self._subjects = {_form(subject): name for subject, name in subjects.items()}
        self._find = find

    def operator(self, headers: Mapping[str, str], peer: str) -> Operator:
        """Whose certificate a request was made with.

        Raises:
            Unauthenticated: no trusted proxy tells of one, or it is nobody's.
            NotAllowed: its operator does not exist.
        """
        subject = headers.get(self._header, "") if peer in self._proxies else ""
        if not subject:
            raise Unauthenticated("neither a key nor a client certificate was sent")
        name = self._subjects.get(_form(subject))
        if name is None:
            raise Unauthenticated("the client certificate belongs to no operator")
        operator = self._find(name)
        if operator is None:
            raise NotAllowed("the client certificate is for an operator that does not exist")
        return operator


def _form(subject: str) -> str:
    """Subjects compare without regard to the case of ASCII letters and to spaces around their parts.

    Case mapping of Unicode would make one of subjects that differ (`ss` and the sharp s).
    """
    return local_key(",".join(part.strip() for part in subject.split(",")))

"""Protocols in which operators' systems send requests: an endpoint for each row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ladestrom import protocols
from ladestrom.clocks import steady
from ladestrom.config import Settings
from ladestrom.errors import InvalidSetting
from ladestrom.ingest.certificates import Certificates
from ladestrom.ingest.http_push import PushEndpoint, PushLimits, PushServices
from ladestrom.ingest.idempotency import Receipts
from ladestrom.ingest.pending import PendingBytes
from ladestrom.ingest.tokens import TokenEndpoint
from ladestrom.ingest.websocket_server import ReportSocket
from ladestrom.protocols import Row
from ladestrom.protocols.delivery import ParseLimits
from ladestrom.quoting import quoted
from ladestrom.transports.serving import Route, Services, Serving


class Pushes(Serving):
    """The endpoints of all rows, with what they share."""

    def __init__(self, rows: Mapping[str, Row], services: Services) -> None:
        self._door = services.door
        self._limits = limits_of(services.settings)
        shared = _shared(services, self._limits)
        self.endpoints: Mapping[str, PushEndpoint] = {
            name: PushEndpoint(row, shared, services.over_view(row.read_back) if row.read_back else None)
            for name, row in rows.items()
        }
        """By the protocol's name."""
        self._rows = rows

    @property
    def routes(self) -> Sequence[Route]:
        """The path of each row, and those that it has beside it."""
        return [route for name, row in self._rows.items() for route in self._routes(name, row)]

    def _routes(self, name: str, row: Row) -> Iterator[Route]:
        endpoint = self.endpoints[name]
        yield Route(
            row.path, endpoint, exact=row.exact, compressed=row.compressed, takes_posts=not row.compressed
        )
        if row.socket:
            socket = ReportSocket(endpoint, self._door, self._limits.sockets_per_key_max)
            yield Route(row.socket, socket, exact=True, compressed=row.compressed)
        if row.tokens:
            yield Route(row.tokens, TokenEndpoint(self._door, protocols.push(row).refuse))

    @property
    def failures(self) -> Mapping[str, int]:
        """Deliveries refused as a whole, by error code."""
        counted: Counter[str] = Counter()
        for endpoint in self.endpoints.values():
            counted.update(endpoint.failures)
        return counted


def limits_of(settings: Settings) -> PushLimits:
    """What one delivery may be."""
    own = settings.reports
    return PushLimits(
        body_bytes_max=own.body_mib_max * 1024 * 1024,
        parse=ParseLimits(items_max=own.items_max),
        sockets_per_key_max=own.sockets_per_key_max,
    )


def _shared(services: Services, limits: PushLimits) -> PushServices:
    own = services.settings.reports
    return PushServices(
        services.intake,
        services.door,
        Receipts(own.idempotency_keys_max, own.idempotency_hours, steady),
        limits,
        _certificates(services),
        PendingBytes(own.pending_per_operator_mib_max * 1024 * 1024),
        services.parsing,
    )


def _certificates(services: Services) -> Certificates | None:
    own = services.settings.reports
    if not own.certificate_header:
        return None
    return Certificates(
        own.certificate_header,
        own.certificate_proxies,
        certificate_subjects(own.certificates),
        services.operator,
    )


def certificate_subjects(pairs: Iterable[str]) -> dict[str, str]:
    """Subject to operator, from what the setting `reports.certificates` has.

    Raises:
        InvalidSetting: a pair is none.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        operator, is_pair, subject = pair.partition("=")
        if not (is_pair and operator.strip() and subject.strip()):
            raise InvalidSetting(
                f"reports.certificates has {quoted(pair, 60)}; write OPERATOR=SUBJECT, such as "
                "abc=CN=abc,O=ABC"
            )
        found[subject] = operator.strip()
    return found

"""The table of settings: name, type, unit, limits, default, help, and why the default is what it is.

Knows nothing of files, variables and flags but how a setting is called there. To add a setting is to add
a field to its section; the loader, the flags and the documentation follow. Longer than other modules
because it is one table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import msgspec

from ladestrom.backends.table import (
    LOGS,
    POSTGRESQL,
    POSTGRESQL_REST,
    STORES,
    Backend,
    accepted,
    pattern,
)

PREFIX: Final = "LADESTROM_"


def _number(description: str, low: int, high: int, why: str, *, unit: str = "") -> msgspec.Meta:
    return msgspec.Meta(ge=low, le=high, description=description, extra={"unit": unit, "why": why})


def _choice(description: str, why: str) -> msgspec.Meta:
    return msgspec.Meta(description=description, extra={"why": why})


def _text(description: str, why: str, *, form: str = "text", short: str = "") -> msgspec.Meta:
    return msgspec.Meta(description=description, extra={"why": why, "form": form, "short": short})


LIVE: Final = frozenset(
    {
        "keys.days",
        "keys.policy",
        "keys.proxies",
        "keys.self_made_max",
        "log.checkpoint_entries",
        "log.checkpoint_s",
        "log.group_items_max",
        "logging.file",
        "logging.format",
        "logging.level",
        "ocpp.connections_max",
        "ocpp.connections_per_operator_max",
        "ocpp.grace_s",
        "ocpp.message_kib_max",
        "ocpp.messages_per_minute_max",
        "page.contact",
        "page.tiles_attribution",
        "page.title",
        "page.visitors_max",
        "page.visitors_per_address_max",
        "registry.readings",
        "reports.queue_items_max",
        "reports.queue_items_per_operator_max",
        "reports.rapid_changes_per_hour_max",
        "rules.stale_after_s",
        "server.cors_origins",
        "server.origins",
        "stream.consumers_max",
        "stream.consumers_per_address_max",
        "stream.consumers_per_key_max",
        "stream.gather_ms_max",
        "stream.gather_ms_min",
        "stream.raw_items_max",
        "stream.selections_max",
        "stream.selections_share_max",
    }
)
"""Settings that SIGHUP changes while the server runs. All others need a restart: consumers are told them on
connecting or in the published contracts, or the server was built with them."""


_ORIGIN: Final = r"^https?://[^/\s]+$"
_READER_ORIGIN: Final = r"^(\*|https?://[^/\s]+)$"
_LOOPBACK_PORT: Final = r"^(((127\.0\.0\.1|\[::1\]):)?[0-9]{1,5})?$"
_PUBLIC_URL: Final = r"^(https?://[^\s]*[^/\s])?$"


class Server(msgspec.Struct, frozen=True):
    """Where the server listens, and how it treats connections. Trusted proxies are in `keys.proxies`."""

    host: Annotated[
        str,
        _text(
            "Address to listen on.",
            "On loopback, no other machine can reach a server that is not configured yet.",
            short="host",
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            le=65_535,
            description="TCP port to listen on; 0 takes any free port.",
            extra={"why": "Away from 8000 and 8080, which many other servers use.", "short": "port"},
        ),
    ] = 8383
    data: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            description=(
                "Directory of the change log and the store, on a local disk. It is created if it "
                "does not exist."
            ),
            extra={
                "why": "In the current directory, so that a first try needs no special rights.",
                "form": "a directory",
                "short": "data",
            },
        ),
    ] = "ladestrom-data"
    processes: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            le=64,
            description=(
                "Number of processes. 1: one process does everything. N: one process writes the log and "
                "takes reports, and N-1 processes serve consumers, beside a small one that starts them."
            ),
            extra={
                "why": "One process serves thousands of consumers; more processes need more processor cores.",
                "unit": "processes",
                "short": "processes",
            },
        ),
    ] = 1
    roles: Annotated[
        tuple[Literal["writer", "ingest", "reader"], ...],
        _text(
            "What this server does; `ladestrom roles` explains each. A log in the data directory needs all.",
            "Everything is needed where there is one server.",
            form="writer, ingest and reader, or some of them",
            short="roles",
        ),
    ] = ("writer", "ingest", "reader")
    header_timeout_s: Annotated[
        int,
        _number(
            "A connection whose request header has not arrived after this time is closed.",
            1,
            300,
            "A poor mobile link sends a header within 1 to 2 s. Prevents attacks with slow requests "
            "(Slowloris).",
            unit="s",
        ),
    ] = 10
    connections_per_address_max: Annotated[
        int,
        _number(
            "Maximum number of connections from one IP address (IPv6: one /64 network), and never more than "
            "half of the process's limit of open files. It counts the other end of each connection, whatever "
            "`X-Forwarded-For` says: loopback and the proxies in `keys.proxies` are exempt.",
            10,
            1_000_000,
            "The 5,000 consumers of `stream.consumers_per_address_max`, and 1,000 other requests.",
            unit="connections",
        ),
    ] = 6_000
    keep_alive_s: Annotated[
        int,
        _number(
            "An idle HTTP connection is closed after this time.",
            1,
            3_600,
            "Longer than the 60 s of nginx and of cloud load balancers, so that they close first.",
            unit="s",
        ),
    ] = 75
    drain_s: Annotated[
        int,
        _number(
            "On SIGTERM, connections get this much time to receive what was sent to them.",
            0,
            300,
            "Half of the 10 s after which container runtimes kill a process.",
            unit="s",
        ),
    ] = 5
    origins: Annotated[
        tuple[Annotated[str, msgspec.Meta(pattern=_ORIGIN)], ...],
        _text(
            "Browser origins whose pages may open the WebSocket streams. If it is empty, only the server's "
            "own pages, and programs that send no `Origin`, may.",
            "Other web sites must not use a visitor's access.",
            form="origins such as https://example.org",
        ),
    ] = ()
    cors_origins: Annotated[
        tuple[Annotated[str, msgspec.Meta(pattern=_READER_ORIGIN)], ...],
        _text(
            "Browser origins whose pages may read the REST interfaces and `/api/v2/events` and ask for "
            "tickets (CORS): `*` for all, or origins such as https://example.org. If it is empty, only "
            "the server's own pages and those of `server.origins` may.",
            "The server uses no cookies, so a page of another origin needs a key or a ticket like every "
            "other program.",
            form="* or origins such as https://example.org",
        ),
    ] = ("*",)
    url_public: Annotated[
        str,
        msgspec.Meta(
            pattern=_PUBLIC_URL,
            description=(
                "Address at which clients reach the server, as API descriptions and commands show it. If it "
                "is empty, the address of the request is used."
            ),
            extra={
                "why": "Only needed behind a proxy.",
                "form": "an http or https address",
            },
        ),
    ] = ""


def _backend(known: Mapping[str, Backend], description: str, why: str) -> msgspec.Meta:
    return msgspec.Meta(
        pattern=pattern(known), description=description, extra={"why": why, "form": accepted(known)}
    )


class Log(msgspec.Struct, frozen=True):
    """The change log."""

    url: Annotated[
        str,
        _backend(
            LOGS,
            "Where the change log is kept.",
            "A file on a local disk needs no other program, and survives a power cut. With PostgreSQL, a "
            "second server can take over.",
        ),
    ] = "sqlite:"
    notify_url: Annotated[
        str,
        msgspec.Meta(
            pattern=f"^(postgresql:{POSTGRESQL_REST})?$",
            description=(
                "Address of the database itself, if `log.url` leads to PostgreSQL through a pool of "
                "connections (PgBouncer): a pool does not pass on notifications of new entries."
            ),
            extra={
                "why": "Without notifications, readers notice new entries after up to 0.5 s.",
                "form": f"`{POSTGRESQL}`",
            },
        ),
    ] = ""
    lease_s: Annotated[
        int,
        _number(
            "If a server that writes a change log in PostgreSQL says nothing for this long, another one that "
            "waits takes over.",
            2,
            600,
            "The writer says that it is there each second; a pause of a virtual machine takes seconds.",
            unit="s",
        ),
    ] = 5
    durability: Annotated[
        Literal["full", "relaxed"],
        _choice(
            "full: changes are synced to the disk before they are acknowledged. relaxed: a power cut "
            "may lose the last acknowledged changes. A log in memory ignores it.",
            "Operators rely on what the server has acknowledged.",
        ),
    ] = "full"
    retention_days: Annotated[
        int,
        _number(
            "Entries of the change log that are older are deleted. A log in memory ignores it.",
            1,
            3_650,
            "A consumer that was down over a long weekend can still resume.",
            unit="days",
        ),
    ] = 7
    retention_mib: Annotated[
        int,
        _number(
            "If the change log is larger, its oldest entries are deleted. A log in memory keeps 2,000 "
            "entries per MiB.",
            16,
            1_048_576,
            "900,000 changes a day of a large country at 300 bytes are 260 MiB: 15 days fit.",
            unit="MiB",
        ),
    ] = 4_096
    checkpoint_s: Annotated[
        int,
        _number(
            "A new checkpoint of the board starts this long after the previous one ended, if anything was "
            "reported meanwhile. On a slow disk a checkpoint can take a minute.",
            1,
            3_600,
            "Limits how much a restart has to replay.",
            unit="s",
        ),
    ] = 30
    checkpoint_entries: Annotated[
        int,
        _number(
            "A checkpoint also starts when this many entries have been written since the last one.",
            1_000,
            10_000_000,
            "A restarted server must be ready within 5 s, replay included.",
            unit="entries",
        ),
    ] = 200_000
    group_items_max: Annotated[
        int,
        _number(
            "Maximum number of reports per commit.",
            1,
            100_000,
            "A commit of 5,000 takes about 14 ms.",
            unit="items",
        ),
    ] = 5_000


class Store(msgspec.Struct, frozen=True):
    """The store: stations, operators, keys, sources, charge points and OCPI peers."""

    url: Annotated[
        str,
        _backend(
            STORES,
            "Where the store is kept. Each server needs a database of its own. Keep an address with a "
            "password in a file, and name it with `LADESTROM_STORE__URL_FILE`; `config show` does not show "
            "the password.",
            "A file needs no other program. Choose PostgreSQL if your databases are backed up and monitored "
            "there.",
        ),
    ] = "sqlite:"


class Rules(msgspec.Struct, frozen=True):
    """How reports become changes."""

    stale_after_s: Annotated[
        int,
        _number(
            "An EVSE without a report for this long becomes UNKNOWN. `operators add --stale-after` sets "
            "another limit for one operator.",
            10,
            31_536_000,
            "OCPI peers are asked for all statuses every 12 hours (`ocpi.reconcile_s`), so those that do not "
            "change are confirmed in time. For an operator that sends its list only once a day, use "
            "`--stale-after 2d`.",
            unit="s",
        ),
    ] = 86_400
    start_grace_s: Annotated[
        int,
        _number(
            "For this long after a start, no EVSE becomes UNKNOWN for lack of reports.",
            0,
            86_400,
            "Operators that could not reach the server retry within minutes.",
            unit="s",
        ),
    ] = 600
    clock_skew_s: Annotated[
        int,
        _number(
            "If an observation is more than this far in the future, the receipt warns about it. Any "
            "observation in the future counts as observed when it is received.",
            0,
            86_400,
            "The five minutes that Kerberos tolerates, too (RFC 4120, section 8.2).",
            unit="s",
        ),
    ] = 300
    inoperative: Annotated[
        Literal["error", "occupied"],
        _choice(
            "How version 1 shows INOPERATIVE. error: status -1 with error 1. occupied: status 1 with error "
            "0.",
            "A driver cannot charge there, and waiting does not help.",
        ),
    ] = "error"


class Reports(msgspec.Struct, frozen=True):
    """What operators may send."""

    items_max: Annotated[
        int,
        _number(
            "Maximum number of reports in one delivery (a request or message).",
            1,
            1_000_000,
            "A third more than the largest deliveries of real operators.",
            unit="items",
        ),
    ] = 10_000
    body_mib_max: Annotated[
        int,
        _number(
            "Maximum size of a delivery's body, after decompression.",
            1,
            1_024,
            "10,000 reports of 800 bytes, several times what one report needs.",
            unit="MiB",
        ),
    ] = 8
    queue_items_max: Annotated[
        int,
        _number(
            "Maximum number of reports in the queue. If it is full, deliveries are refused with 503.",
            1_000,
            10_000_000,
            "Twenty full deliveries, a little over a second of work.",
            unit="items",
        ),
    ] = 200_000
    queue_items_per_operator_max: Annotated[
        int,
        _number(
            "Maximum number of one operator's reports in the queue. Above it, that operator's deliveries are "
            "refused with 429.",
            1_000,
            10_000_000,
            "Half of `reports.queue_items_max`: one operator cannot fill the queue for the others.",
            unit="items",
        ),
    ] = 100_000
    rapid_changes_per_hour_max: Annotated[
        int,
        _number(
            "While the change log is larger than `log.retention_mib`: maximum number of one operator's "
            "changes per hour that come less than 5 minutes after another reported change of the same EVSE. "
            "Above it, that operator's deliveries are refused with 429.",
            100,
            100_000_000,
            "Some 30 MiB of the change log: one operator cannot displace the entries of all others within a "
            "day. The EVSEs of a large country make less than a tenth of it.",
            unit="changes/h",
        ),
    ] = 100_000
    pending_per_operator_mib_max: Annotated[
        int,
        _number(
            "Maximum memory for the deliveries of one operator that are being processed. Further deliveries "
            "wait unread in their connections.",
            1,
            1_024,
            "Four of the largest bodies.",
            unit="MiB",
        ),
    ] = 32
    sockets_per_key_max: Annotated[
        int,
        _number(
            "Maximum number of connections to `/api/v2/reports/stream` with one key.",
            1,
            100_000,
            "An operator needs one per reporting system; each may hold two messages of 8 MiB in memory.",
            unit="connections",
        ),
    ] = 16
    idempotency_keys_max: Annotated[
        int,
        _number(
            "Maximum number of idempotency keys that are remembered. If there are more, the operator with "
            "the most loses its oldest one.",
            0,
            1_000_000,
            "Less than 1 KiB each, 10 MiB in total.",
            unit="keys",
        ),
    ] = 10_000
    idempotency_hours: Annotated[
        int,
        _number(
            "How long an idempotency key is remembered.",
            1,
            720,
            "A sender that retries after a day sends newer statuses instead.",
            unit="hours",
        ),
    ] = 24
    certificate_header: Annotated[
        str,
        _text(
            "Header in which a proxy passes on the subject of a client certificate that it has verified. "
            "Empty: certificates are not used.",
            "Off by default: anyone who can reach the server could send the header. The proxy must "
            "overwrite what clients send.",
            form="the name of a header",
        ),
    ] = ""
    certificate_proxies: Annotated[
        tuple[str, ...],
        _text(
            "Addresses of the proxies that are trusted to set the certificate header. Required with "
            "`certificate_header`.",
            "None is trusted, not even on the same machine: another proxy there may pass on the header that "
            "a client sent.",
            form="IP addresses",
        ),
    ] = ()
    certificates: Annotated[
        tuple[str, ...],
        _text(
            "Which operator reports with which client certificate: OPERATOR=SUBJECT, such as "
            '`["Fjordlys=CN=fjordlys,O=Fjordlys AS"]`. SUBJECT is in the order of RFC 2253, as in nginx\'s '
            "`$ssl_client_s_dn`.",
            "None: a certificate gives no access before it is listed.",
            form="a list of OPERATOR=SUBJECT",
        ),
    ] = ()


class Stream(msgspec.Struct, frozen=True):
    """How consumers are served, and within which limits."""

    consumers_max: Annotated[
        int,
        _number(
            "Maximum number of connected consumers.",
            1,
            1_000_000,
            "160 MiB, at 8 KiB per idle consumer.",
            unit="consumers",
        ),
    ] = 20_000
    consumers_per_key_max: Annotated[
        int,
        _number(
            "Maximum number of connected consumers with one key.",
            1,
            1_000_000,
            "A quarter of all: one application cannot shut out the others.",
            unit="consumers",
        ),
    ] = 5_000
    consumers_per_address_max: Annotated[
        int,
        _number(
            "Maximum number of connected consumers from one IP address (IPv6: one /64 network), with any "
            "keys. Behind a proxy in `keys.proxies`, the client's address counts. Loopback is exempt.",
            1,
            1_000_000,
            "A quarter of all, as with keys: a holder of many keys cannot shut out the others either.",
            unit="consumers",
        ),
    ] = 5_000
    write_buffer_kib_max: Annotated[
        int,
        _number(
            "Maximum size of a consumer's send buffer.",
            16,
            65_536,
            "A consumer that stops reading costs up to 2 MiB in total, including the kernel's buffers.",
            unit="KiB",
        ),
    ] = 512
    gather_ms_min: Annotated[
        int,
        _number(
            "Longest time for which changes are batched into one write while the server has little to do: "
            "the lower of two limits. On an idle server, a change is sent at once.",
            0,
            1_000,
            "5 ms keeps the latency low; a longer time uses less CPU.",
            unit="ms",
        ),
    ] = 5
    gather_ms_max: Annotated[
        int,
        _number(
            "Longest time for which changes are batched into one write under load: the higher of the two "
            "limits.",
            0,
            1_000,
            "One write for twenty messages costs as much as one write for one. Longer than 20 ms saves no "
            "more.",
            unit="ms",
        ),
    ] = 20
    ping_interval_s: Annotated[
        int,
        _number(
            "Every consumer is pinged this often.",
            1,
            600,
            "Proxies and address translators drop connections that are silent for 30 s or more.",
            unit="s",
        ),
    ] = 20
    ping_timeout_s: Annotated[
        int,
        _number(
            "A consumer that has not answered a ping for this long is disconnected. Must be at least "
            "`ping_interval_s`.",
            1,
            3_600,
            "Two intervals: one lost answer is tolerated.",
            unit="s",
        ),
    ] = 40
    heartbeat_s: Annotated[
        int,
        _number(
            "Interval of the heartbeats of version 2, which carry position, time and digest.",
            1,
            600,
            "Three heartbeats a minute: a consumer notices a dead connection within the minute in which a "
            "change must be public (Regulation (EU) 2025/655).",
            unit="s",
        ),
    ] = 20
    stalled_s: Annotated[
        int,
        _number(
            "A consumer that accepts no data for this long, although there is some for it, is disconnected.",
            1,
            3_600,
            "A change must be public within one minute (Regulation (EU) 2025/655).",
            unit="s",
        ),
    ] = 60
    raw_items_max: Annotated[
        int,
        _number(
            "Maximum number of `status:raw` messages per write; version 1 has one for every report, also if "
            "it changes nothing. Further ones are dropped and counted.",
            0,
            1_000_000,
            "One delivery of an operator of the maximum size.",
            unit="items",
        ),
    ] = 10_000
    inbound_kib_max: Annotated[
        int,
        _number(
            "Maximum size of a message from a consumer.",
            1,
            16_384,
            "The OWASP WebSocket Security Cheat Sheet recommends this limit as a starting point.",
            unit="KiB",
        ),
    ] = 64
    inbound_messages_per_minute_max: Annotated[
        int,
        _number(
            "Maximum number of messages per minute from a consumer.",
            1,
            1_000_000,
            "The OWASP WebSocket Security Cheat Sheet recommends this limit as a starting point.",
            unit="messages/min",
        ),
    ] = 100
    selections_max: Annotated[
        int,
        _number(
            "Maximum number of different selections (sets of filters) in use.",
            1,
            1_000_000,
            "Every change is checked against each selection; 1,000 checks take less than a millisecond.",
            unit="selections",
        ),
    ] = 1_000
    selections_share_max: Annotated[
        int,
        _number(
            "Maximum number of different selections in use by one key, or from one IP address. Consumers "
            "with the same filters, version, `batch_ms` (how long changes are collected) and compression "
            "share one.",
            1,
            1_000_000,
            "A quarter of `stream.selections_max`: one application cannot use them up for the others.",
            unit="selections",
        ),
    ] = 250


class Sources(msgspec.Struct, frozen=True):
    """Sources that the server fetches or follows, and the quarantine of unreadable deliveries."""

    answer_mib_max: Annotated[
        int,
        _number(
            "Maximum size of a source's HTTP response, before and after decompression.",
            1,
            1_024,
            "A country of 100,000 EVSEs in DATEX II XML is some 50 MiB.",
            unit="MiB",
        ),
    ] = 64
    answer_s_max: Annotated[
        int,
        _number(
            "A response that has not arrived completely after this time is abandoned.",
            1,
            3_600,
            "Regulation (EU) 2025/655 requires changes to be public within one minute; large files arrive "
            "within seconds.",
            unit="s",
        ),
    ] = 60
    round_s_max: Annotated[
        int,
        _number(
            "A round of requests (all pages of a list) that takes longer than this is abandoned.",
            1,
            86_400,
            "Two thousand pages at 0.3 s each.",
            unit="s",
        ),
    ] = 600
    failures_max: Annotated[
        int,
        _number(
            "After this many failures in a row, the server stops polling the source for a while (state "
            "`resting`).",
            1,
            1_000,
            "Retries after 2, 4, 8 and 16 s bridge a restart of the source.",
            unit="failures",
        ),
    ] = 5
    rest_s: Annotated[
        int,
        _number(
            "How long a resting source is not polled. The time doubles after each further failure, up to one "
            "hour.",
            1,
            3_600,
            "Long enough not to burden the source, short enough to notice its recovery.",
            unit="s",
        ),
    ] = 300
    lost_after_s: Annotated[
        int,
        _number(
            "If the connection to a followed source is lost for longer than this, its EVSEs become UNKNOWN.",
            1,
            86_400,
            "A restart takes some seconds; a change must be public within 60 s.",
            unit="s",
        ),
    ] = 30
    quarantine_files_max: Annotated[
        int,
        _number(
            "Maximum number of quarantined deliveries per source. 0 keeps none.",
            0,
            100_000,
            "Enough to find out what they have in common.",
            unit="deliveries",
        ),
    ] = 100
    quarantine_mib_max: Annotated[
        int,
        _number(
            "Maximum total size of the quarantined deliveries of one source.",
            1,
            10_240,
            "Two of the largest deliveries.",
            unit="MiB",
        ),
    ] = 16


class Registry(msgspec.Struct, frozen=True):
    """How the server notices what commands have changed, and what it says about the registry's data."""

    poll_ms: Annotated[
        int,
        _number(
            "How often the server checks whether a command has changed the store.",
            50,
            60_000,
            "A revoked key must stop working within 5 s. Each check is cheap: it reads a single number.",
            unit="ms",
        ),
    ] = 1_000
    readings: Annotated[
        bool,
        _choice(
            "Whether the statuses that a register file contains are used until the first report arrives.",
            "An older status with its time is better than none.",
        ),
    ] = True
    licence: Annotated[
        str,
        _text(
            "Licence of the data, sent to every consumer of version 2.",
            "It depends on the register: CC BY 4.0 for NOBIL, Licence Ouverte 2.0 for France.",
        ),
    ] = ""
    attribution: Annotated[
        str,
        _text(
            "Who must be named as the source of the data, sent to every consumer of version 2.",
            "Most open licences require it.",
        ),
    ] = ""
    publisher: Annotated[
        str,
        _text(
            "Who publishes the data, by the name that it has in its country (`NO-NAP-ENOVA`); for DATEX II.",
            "Only who runs the server knows it. Without it, publications say `ladestrom`.",
        ),
    ] = ""
    publisher_country: Annotated[
        str,
        msgspec.Meta(
            pattern="^([A-Z]{2})?$",
            description="Country of the publisher; for DATEX II.",
            extra={
                "why": "Without it, publications say `ZZ`, which is no country.",
                "form": "ISO 3166-1 alpha-2",
            },
        ),
    ] = ""


class Keys(msgspec.Struct, frozen=True):
    """Keys that visitors create themselves, all with the scope `stream` only; and trusted proxies."""

    policy: Annotated[
        Literal["closed", "approval", "open"],
        _choice(
            "Who may create keys. closed: only the administrator. approval: anyone, and the administrator "
            "approves each. open: anyone.",
            "Access must be granted explicitly.",
        ),
    ] = "closed"
    per_address_per_hour_max: Annotated[
        int,
        _number(
            "Maximum number of keys that one IP address may create or rotate per hour.",
            1,
            1_000_000,
            "A person needs one or two; an office behind one address a few more.",
            unit="keys",
        ),
    ] = 5
    per_address_per_day_max: Annotated[
        int,
        _number(
            "Maximum number of keys that one IP address may create or rotate per day; at least as many as "
            "per hour.",
            1,
            1_000_000,
            "At 10 a day, one address holds at most 3,650 keys, well below `keys.self_made_max`.",
            unit="keys",
        ),
    ] = 10
    self_made_max: Annotated[
        int,
        _number(
            "Maximum number of keys created by visitors that are valid or wait for approval.",
            1,
            100_000,
            "All of them are read each time one changes, which takes about 10 µs each.",
            unit="keys",
        ),
    ] = 10_000
    days: Annotated[
        int,
        _number(
            "How long a key that a visitor creates is valid.",
            1,
            3_650,
            "Unused keys expire by themselves, and renewing a key once a year is little work.",
            unit="days",
        ),
    ] = 365
    proxies: Annotated[
        tuple[str, ...],
        _text(
            "Addresses of the trusted proxies: their `X-Forwarded-For` header names the client, for all "
            "limits per IP address but `server.connections_per_address_max`.",
            "None is trusted: anyone can send the header. Without this setting, all clients behind a proxy "
            "count as one; if the proxy is on loopback, only the creation of keys is limited.",
            form="IP addresses",
        ),
    ] = ()


class Ocpp(msgspec.Struct, frozen=True):
    """Charge points that report over OCPP."""

    heartbeat_s: Annotated[
        int,
        _number(
            "Heartbeat interval that charge points are told to use. If nothing arrives for two intervals, "
            "the EVSEs of the charge point become UNKNOWN.",
            10,
            86_400,
            "A broken connection is noticed after two minutes; uses about 0.2 MB of mobile data a day.",
            unit="s",
        ),
    ] = 60
    grace_s: Annotated[
        int,
        _number(
            "If a charge point reconnects within this time, its EVSEs keep their statuses.",
            0,
            3_600,
            "Mobile links often return within seconds; an outdated status is shown for at most half a "
            "minute.",
            unit="s",
        ),
    ] = 30
    connections_max: Annotated[
        int,
        _number(
            "Maximum number of connected charge points.",
            1,
            1_000_000,
            "200 MiB, at about 40 KiB each.",
            unit="connections",
        ),
    ] = 5_000
    connections_per_operator_max: Annotated[
        int,
        _number(
            "Maximum number of connected charge points of one operator.",
            1,
            1_000_000,
            "Leaves a fifth of `ocpp.connections_max` to the others.",
            unit="connections",
        ),
    ] = 4_000
    message_kib_max: Annotated[
        int,
        _number(
            "Maximum size of a message from a charge point.",
            1,
            8_192,
            "Even the largest messages, reports of all variables, are sent in much smaller parts.",
            unit="KiB",
        ),
    ] = 256
    messages_per_minute_max: Annotated[
        int,
        _number(
            "Maximum number of messages per minute from a charge point. Above it, the connection is closed.",
            10,
            1_000_000,
            "20 per second: after an interruption a charge point sends everything it has queued.",
            unit="messages/min",
        ),
    ] = 1_200


class Metrics(msgspec.Struct, frozen=True):
    """Metrics for Prometheus. On the server's own port, `/metrics` needs a key with the scope `admin`."""

    listen: Annotated[
        str,
        msgspec.Meta(
            pattern=_LOOPBACK_PORT,
            description="Port on loopback where `/metrics` needs no key. 0 takes any free port. Empty: none.",
            extra={
                "why": "Every program on the machine can read that port, and everybody else if a proxy "
                "forwards to it.",
                "form": "PORT, 127.0.0.1:PORT or [::1]:PORT",
            },
        ),
    ] = ""


class Logging(msgspec.Struct, frozen=True):
    """The server log: the messages of the server, on standard error or in a file."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        _choice(
            "Lowest level of the messages that are written.",
            "Starts, stops and failures; nothing per message.",
        ),
    ] = "info"
    format: Annotated[
        Literal["auto", "json", "console"],
        _choice(
            "json: one object per line. console: for people. auto: console on a terminal, otherwise json.",
            "People read terminals; programs read pipes.",
        ),
    ] = "auto"
    file: Annotated[
        str,
        _text(
            "File that messages are appended to. Empty: standard error. After SIGHUP the server opens the "
            "file again (for logrotate), also under a changed name. With the unit of the installation guide, "
            "its directory must be in `LogsDirectory=`.",
            "systemd and container runtimes read standard error.",
            form="the name of a file",
        ),
    ] = ""


class Ocpi(msgspec.Struct, frozen=True):
    """How OCPI peers see the server, and which peers it calls."""

    country_code: Annotated[
        str,
        msgspec.Meta(
            pattern="^[A-Z]{2}$",
            description="Country code of this server's OCPI party.",
            extra={
                "why": "The country of NOBIL. Set yours before the first peer registers.",
                "form": "two letters",
            },
        ),
    ] = "NO"
    party_id: Annotated[
        str,
        msgspec.Meta(
            pattern="^[A-Z0-9]{3}$",
            description="Party id of this server's OCPI party.",
            extra={
                "why": (
                    "A placeholder. The organisation that assigns party ids in your country gives you one."
                ),
                "form": "three letters or digits",
            },
        ),
    ] = "LDS"
    name: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            max_length=100,
            description="Name of this server, as OCPI peers see it.",
            extra={"why": "Identifies the software until you set your own.", "form": "1 to 100 characters"},
        ),
    ] = "ladestrom"
    peers: Annotated[
        Literal["public", "any"],
        _choice(
            "Which OCPI peers may be called. public: only by HTTPS on the public internet. any: also by "
            "HTTP and on private networks.",
            "A peer chooses its own address; it must not be able to make the server call into your network.",
        ),
    ] = "public"
    reconcile_s: Annotated[
        int,
        _number(
            "How often all Locations of each registered peer are fetched, in addition to what it pushes. "
            "0: never.",
            0,
            604_800,
            "Half of `rules.stale_after_s`: statuses that do not change are confirmed before they become "
            "UNKNOWN. OCPI 2.2.1 recommends once a day (section 8.1).",
            unit="s",
        ),
    ] = 43_200


_TILES: Final = r"^((https?:/)?/[^\s{}]+\.pmtiles|(?=\S*\{z\})(?=\S*\{x\})(?=\S*\{y\})(https?:/)?/\S+)?$"


class Page(msgspec.Struct, frozen=True):
    """The web interface: who may use it, and what it shows."""

    visitors: Annotated[
        Literal["key", "anyone"],
        _choice(
            "Who may use the web interface. key: holders of a key with the scope `stream`. anyone: "
            "everybody, without a key.",
            "Making the data public is the administrator's decision.",
        ),
    ] = "key"
    visitors_max: Annotated[
        int,
        _number(
            "Maximum number of visitors without a key who follow the stream.",
            1,
            1_000_000,
            "Leaves most of the 20,000 connections of `stream.consumers_max` to holders of keys.",
            unit="connections",
        ),
    ] = 500
    visitors_per_address_max: Annotated[
        int,
        _number(
            "Maximum number of visitors without a key who follow the stream from one IP address (IPv6: one "
            "/64 network). Behind a proxy in `keys.proxies`, the client's address counts. Loopback is "
            "exempt.",
            1,
            1_000_000,
            "A tenth of `page.visitors_max`: enough for an office or a mobile network behind one address.",
            unit="connections",
        ),
    ] = 50
    history_changes_max: Annotated[
        int,
        _number(
            "Maximum number of changes in memory for the history of stations.",
            1_000,
            100_000_000,
            "32 MiB, at 16 bytes each: two days of the 900,000 changes a day of a large country.",
            unit="changes",
        ),
    ] = 2_000_000
    title: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            max_length=60,
            description="Title of the pages.",
            extra={"why": "Identifies the software until you set your own.", "form": "1 to 60 characters"},
        ),
    ] = "ladestrom"
    tiles: Annotated[
        str,
        msgspec.Meta(
            pattern=_TILES,
            description="Address of the base map. Empty: built-in coastlines and towns.",
            extra={
                "why": "By default, the pages load nothing from third parties.",
                "form": "an address that ends in .pmtiles, or one with {z}, {x} and {y}",
            },
        ),
    ] = ""
    tiles_file: Annotated[
        str,
        _text(
            "PMTiles archive with the base map, which the server itself serves to the web interface. "
            "Replaces `page.tiles`.",
            "A country's roads and names are some 100 MB to 2 GB, which no package can bring.",
            form="a path that ends in .pmtiles",
        ),
    ] = ""
    tiles_attribution: Annotated[
        str,
        _text("Who is named on the map as the source of the base map.", "Most providers require it."),
    ] = ""
    contact: Annotated[
        str,
        _text(
            "Where visitors can ask questions: the address of a web page, or an e-mail address.",
            "A server without visitors needs none.",
            form="an address",
        ),
    ] = ""


class Settings(msgspec.Struct, frozen=True):
    """All settings, by section. Without arguments: the defaults."""

    server: Server = Server()
    log: Log = Log()
    store: Store = Store()
    rules: Rules = Rules()
    reports: Reports = Reports()
    stream: Stream = Stream()
    sources: Sources = Sources()
    registry: Registry = Registry()
    keys: Keys = Keys()
    ocpp: Ocpp = Ocpp()
    ocpi: Ocpi = Ocpi()
    page: Page = Page()
    metrics: Metrics = Metrics()
    logging: Logging = Logging()


class Setting(msgspec.Struct, frozen=True):
    """One row of the table."""

    section: str
    name: str
    type: Any
    """`int`, `bool`, `str`, a `Literal` or a tuple of texts."""
    annotation: Any
    """The type with its limits."""
    default: object
    help: str
    why: str
    """Where the default comes from."""
    unit: str = ""
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()
    form: str = ""
    """What a text looks like, in words."""
    short: str = ""
    """A second, shorter flag, without the section."""

    @property
    def live(self) -> bool:
        """Whether SIGHUP changes it while the server runs."""
        return self.key in LIVE

    @property
    def key(self) -> str:
        """`section.name`, as in messages."""
        return f"{self.section}.{self.name}"

    @property
    def environ(self) -> str:
        """`LADESTROM_SECTION__NAME`."""
        return f"{PREFIX}{self.section}__{self.name}".upper()

    @property
    def flag(self) -> str:
        """`--section.name-with-hyphens`."""
        return f"--{self.key}".replace("_", "-")

    @property
    def accepts(self) -> str:
        """The values that it takes, in words: `a whole number from 1 to 600 (s)`."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.type is bool:
            return "true or false"
        if self.type is int:
            unit = f" ({self.unit})" if self.unit else ""
            return f"a whole number from {self.minimum} to {self.maximum}{unit}"
        return self.form


class Special(msgspec.Struct, frozen=True):
    """An environment variable that is no setting."""

    name: str
    help: str
    secret: bool = False
    """Whether NAME_FILE, too, is understood."""


SPECIALS: Final = (
    Special("LADESTROM_CONFIG", "Settings file (TOML), if --config is not given."),
    Special("LADESTROM_DATA", "The same as LADESTROM_SERVER__DATA."),
    Special("LADESTROM_DEBUG", "1 shows where in the program an error occurred, as `--debug` does."),
    Special("LADESTROM_KEY", "Key for the commands `ladestrom tail` and `ladestrom replay`.", secret=True),
    Special("LADESTROM_OCPI_TOKEN", "Token for `ocpi register` and `ocpi fix`.", secret=True),
    Special("LADESTROM_SHARED", "Folder of sample data for tests."),
    Special(
        "LADESTROM_TEST_PATIENCE", "Factor by which tests multiply their deadlines; a whole number from 1."
    ),
    Special(
        "LADESTROM_URL", "Address of the server for the commands `ladestrom tail` and `ladestrom replay`."
    ),
)


def _table() -> Iterator[Setting]:
    for section in msgspec.structs.fields(Settings):
        for field in msgspec.structs.fields(section.type):
            bare, meta = get_args(field.type)
            extra = meta.extra or {}
            yield Setting(
                section=section.name,
                name=field.name,
                type=bare,
                annotation=field.type,
                default=field.default,
                help=meta.description,
                why=extra["why"],
                unit=extra.get("unit", ""),
                minimum=meta.ge,
                maximum=meta.le,
                choices=get_args(bare) if get_origin(bare) is Literal else (),
                form=extra.get("form", ""),
                short=extra.get("short", ""),
            )


SETTINGS: Final = tuple(_table())
"""The table, in the order of the sections and of their fields."""
BY_KEY: Final[Mapping[str, Setting]] = MappingProxyType({setting.key: setting for setting in SETTINGS})

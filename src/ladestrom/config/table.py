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
    """Where the server listens, and how it treats connections."""

    host: Annotated[
        str,
        _text(
            "Address to listen on.",
            "On loopback nobody else can reach a server that has not been configured yet.",
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
            description="Directory of the log and the store. It is created if it does not exist.",
            extra={
                "why": "In the current directory, so that a first try needs no special rights.",
                "form": "a directory",
                "short": "data",
            },
        ),
    ] = "ladestrom-data"
    header_timeout_s: Annotated[
        int,
        _number(
            "A connection whose request header has not arrived after this time is closed.",
            1,
            300,
            "A poor mobile link sends a header within 1 to 2 s. Connections that send byte by byte must "
            "not add up.",
            unit="s",
        ),
    ] = 10
    connections_per_address_max: Annotated[
        int,
        _number(
            "Most connections at a time from one IP address (of IPv6: from one /64 network), and at most "
            "half of the files that the process may open. Proxies that `keys.proxies` names, and the machine "
            "itself, have no such limit.",
            10,
            1_000_000,
            "The 5,000 consumers of `stream.consumers_per_address_max`, and 1,000 requests beside them.",
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
            "Browser origins whose pages may open the WebSocket streams. If it is empty, only pages of "
            "the server's own host and programs that send no origin may.",
            "A foreign page must not use a visitor's access.",
            form="origins such as https://example.org",
        ),
    ] = ()
    cors_origins: Annotated[
        tuple[Annotated[str, msgspec.Meta(pattern=_READER_ORIGIN)], ...],
        _text(
            "Browser origins whose pages may read the REST interfaces and `/api/v2/events` and ask for "
            "tickets (CORS): `*` for all, or origins such as https://example.org. If it is empty, only "
            "pages of the server's own host and of `server.origins` may.",
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
                "Address under which others reach the server, as shown in documents and "
                "commands. If it is empty, the address of the request is used."
            ),
            extra={
                "why": "Only a proxy in front of the server makes it differ.",
                "form": "an http or https address",
            },
        ),
    ] = ""


class Log(msgspec.Struct, frozen=True):
    """The durable log of changes."""

    durability: Annotated[
        Literal["full", "relaxed"],
        _choice(
            "full: changes are synced to the disk before they are acknowledged. relaxed: a power cut "
            "may lose the last moments.",
            "An operator that was told `accepted` relies on it.",
        ),
    ] = "full"
    retention_days: Annotated[
        int,
        _number(
            "Entries of the log that are older are deleted.",
            1,
            3_650,
            "A consumer that was down over a long weekend can still resume.",
            unit="days",
        ),
    ] = 7
    retention_mib: Annotated[
        int,
        _number(
            "If the log is larger, its oldest entries are deleted.",
            16,
            1_048_576,
            "900,000 changes a day of a large country at 300 bytes are 260 MiB: 15 days fit.",
            unit="MiB",
        ),
    ] = 4_096
    checkpoint_s: Annotated[
        int,
        _number(
            "While the board changes, a checkpoint is written at least this often.",
            1,
            3_600,
            "Limits what a restart has to replay, and costs one small write.",
            unit="s",
        ),
    ] = 30
    checkpoint_entries: Annotated[
        int,
        _number(
            "A checkpoint is written after this many entries, whatever the time.",
            1_000,
            10_000_000,
            "A restart has to serve again within 5 s, replay included.",
            unit="entries",
        ),
    ] = 200_000
    group_items_max: Annotated[
        int,
        _number(
            "Most reports that are decided and committed together.",
            1,
            100_000,
            "5,000 take 14 ms at 360,000 rows/s, the rate of commits of 100 rows and more.",
            unit="items",
        ),
    ] = 5_000


class Rules(msgspec.Struct, frozen=True):
    """Rules by which reports become changes."""

    stale_after_s: Annotated[
        int,
        _number(
            "An EVSE that nobody reported on for this long becomes UNKNOWN. An operator may have its "
            "own limit.",
            10,
            31_536_000,
            "Operators that send only changes still send their whole list about once a day.",
            unit="s",
        ),
    ] = 86_400
    start_grace_s: Annotated[
        int,
        _number(
            "After a start, silence does not count for this long.",
            0,
            86_400,
            "Operators that could not reach the server retry within minutes.",
            unit="s",
        ),
    ] = 600
    clock_skew_s: Annotated[
        int,
        _number(
            "If an observation lies further ahead of the server's clock, the receipt says so. "
            "Observations in the future always count from their receipt.",
            0,
            86_400,
            "Kerberos tolerates the same five minutes (RFC 4120, section 8.2).",
            unit="s",
        ),
    ] = 300
    inoperative: Annotated[
        Literal["error", "occupied"],
        _choice(
            "How the NOBIL formats show INOPERATIVE. error: (-1, 1). occupied: (1, 0).",
            "A driver cannot charge there, and waiting does not help.",
        ),
    ] = "error"


class Reports(msgspec.Struct, frozen=True):
    """What operators may send."""

    items_max: Annotated[
        int,
        _number(
            "Most reports in one delivery.",
            1,
            1_000_000,
            "A third more than the largest deliveries of real operators.",
            unit="items",
        ),
    ] = 10_000
    body_mib_max: Annotated[
        int,
        _number(
            "Largest body of a delivery, after decompression.",
            1,
            1_024,
            "10,000 reports of 800 bytes, several times what one report needs.",
            unit="MiB",
        ),
    ] = 8
    queue_items_max: Annotated[
        int,
        _number(
            "Most reports that wait for a decision. Above it, deliveries are refused with 503.",
            1_000,
            10_000_000,
            "Twenty full deliveries, a little over a second of work.",
            unit="items",
        ),
    ] = 200_000
    queue_items_per_operator_max: Annotated[
        int,
        _number(
            "Most reports of one operator that wait for a decision. Above it, deliveries of that operator "
            "are refused with 429.",
            1_000,
            10_000_000,
            "Half of `reports.queue_items_max`: one operator cannot fill the queue for the others.",
            unit="items",
        ),
    ] = 100_000
    pending_per_operator_mib_max: Annotated[
        int,
        _number(
            "Most that deliveries of one operator occupy in memory while they are read and decided. Further "
            "deliveries wait and are not read yet.",
            1,
            1_024,
            "Four of the largest bodies.",
            unit="MiB",
        ),
    ] = 32
    sockets_per_key_max: Annotated[
        int,
        _number(
            "Most connections to `/api/v2/reports/stream` at a time with one key.",
            1,
            100_000,
            "An operator needs one for each system that reports; each may hold two messages of 8 MiB.",
            unit="connections",
        ),
    ] = 16
    idempotency_keys_max: Annotated[
        int,
        _number(
            "Most idempotency keys that are remembered. The oldest are forgotten first.",
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
            "Header in which a proxy names the subject of a client certificate that it verified. Empty: "
            "certificates are not used.",
            "Off by default: anyone who can reach the server could send the header. The proxy must "
            "overwrite what clients send.",
            form="the name of a header",
        ),
    ] = ""
    certificate_proxies: Annotated[
        tuple[str, ...],
        _text(
            "Addresses of the proxies whose certificate header is believed. Required with "
            "`certificate_header`.",
            "None, not even those on the same machine: a second proxy there may pass on what clients send.",
            form="IP addresses",
        ),
    ] = ()
    certificates: Annotated[
        tuple[str, ...],
        _text(
            "Which operator reports with which client certificate.",
            "None: a certificate gives no access before it is listed.",
            form="pairs such as abc=CN=abc,O=ABC",
        ),
    ] = ()


class Stream(msgspec.Struct, frozen=True):
    """What consumers may request, and how they are served."""

    consumers_max: Annotated[
        int,
        _number(
            "Most consumers at a time.",
            1,
            1_000_000,
            "160 MiB at 8 KiB for each idle consumer.",
            unit="consumers",
        ),
    ] = 20_000
    consumers_per_key_max: Annotated[
        int,
        _number(
            "Most consumers at a time with one key.",
            1,
            1_000_000,
            "A quarter of all: one application cannot shut out the others.",
            unit="consumers",
        ),
    ] = 5_000
    consumers_per_address_max: Annotated[
        int,
        _number(
            "Most consumers at a time from one IP address (of IPv6: from one /64 network), whatever their "
            "keys. The machine itself has no such limit.",
            1,
            1_000_000,
            "A quarter of all, as with keys: whoever has many keys cannot shut out the others either.",
            unit="consumers",
        ),
    ] = 5_000
    write_buffer_kib_max: Annotated[
        int,
        _number(
            "Most bytes that wait for one consumer to receive them.",
            16,
            65_536,
            "A consumer that stops reading may cost 2 MiB in total, including the kernel's part.",
            unit="KiB",
        ),
    ] = 512
    gather_ms_min: Annotated[
        int,
        _number(
            "Under load, changes are gathered for this long into one write. When the server is idle, a "
            "change is sent at once.",
            0,
            1_000,
            "5 ms keeps latency low; a longer time costs less CPU.",
            unit="ms",
        ),
    ] = 5
    gather_ms_max: Annotated[
        int,
        _number(
            "Under load, changes are gathered for up to this long if the server has much other work.",
            0,
            1_000,
            "One write for twenty messages costs a twentieth. More than 20 ms gains nothing further.",
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
            "A consumer that has not answered a ping for this long is disconnected. At least the interval.",
            1,
            3_600,
            "Two intervals: one lost answer is forgiven.",
            unit="s",
        ),
    ] = 40
    heartbeat_s: Annotated[
        int,
        _number(
            "Version 2 of the stream sends its position, the time and a digest this often.",
            1,
            600,
            "Three times within the minute in which a change must be public, so that a consumer notices "
            "a dead connection.",
            unit="s",
        ),
    ] = 20
    stalled_s: Annotated[
        int,
        _number(
            "A consumer that receives nothing for this long although data is due is disconnected.",
            1,
            3_600,
            "A change must be public within one minute (Regulation (EU) 2025/655).",
            unit="s",
        ),
    ] = 60
    raw_items_max: Annotated[
        int,
        _number(
            "Most `status:raw` messages gathered for one write. The rest is dropped and counted.",
            0,
            1_000_000,
            "One full delivery of an operator.",
            unit="items",
        ),
    ] = 10_000
    inbound_kib_max: Annotated[
        int,
        _number(
            "Largest message from a consumer.",
            1,
            16_384,
            "The OWASP WebSocket Security Cheat Sheet recommends this limit to start from.",
            unit="KiB",
        ),
    ] = 64
    inbound_messages_per_minute_max: Annotated[
        int,
        _number(
            "Most messages per minute from a consumer.",
            1,
            1_000_000,
            "The OWASP WebSocket Security Cheat Sheet recommends this limit to start from.",
            unit="messages/min",
        ),
    ] = 100
    selections_max: Annotated[
        int,
        _number(
            "Most different selections (sets of filters) that are served at a time.",
            1,
            1_000_000,
            "Each costs one look at every change; 1,000 looks take less than a millisecond.",
            unit="selections",
        ),
    ] = 1_000
    selections_share_max: Annotated[
        int,
        _number(
            "Most different selections that one key, or one IP address, uses at a time. `batch_ms`, the "
            "version and the compression are part of a selection.",
            1,
            1_000_000,
            "A quarter of `stream.selections_max`: one application cannot use them up for the others.",
            unit="selections",
        ),
    ] = 250


class Sources(msgspec.Struct, frozen=True):
    """Sources that the server fetches or follows, and deliveries that cannot be read."""

    answer_mib_max: Annotated[
        int,
        _number(
            "Largest response of a source that is read, before and after decompression.",
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
            "The law gives a change one minute to become public; large files arrive within seconds.",
            unit="s",
        ),
    ] = 60
    round_s_max: Annotated[
        int,
        _number(
            "A round of requests (all pages of a list) that takes longer is abandoned.",
            1,
            86_400,
            "Two thousand pages at 0.3 s each.",
            unit="s",
        ),
    ] = 600
    failures_max: Annotated[
        int,
        _number(
            "After this many failures in a row the source rests.",
            1,
            1_000,
            "Retries after 2, 4, 8 and 16 s bridge a restart on the other side.",
            unit="failures",
        ),
    ] = 5
    rest_s: Annotated[
        int,
        _number(
            "How long a source rests at first. The time doubles after each further failure, up to one hour.",
            1,
            3_600,
            "Long enough not to be a burden, short enough to notice a recovery.",
            unit="s",
        ),
    ] = 300
    lost_after_s: Annotated[
        int,
        _number(
            "If a followed stream is away for longer, its EVSEs become UNKNOWN.",
            1,
            86_400,
            "A restart takes some seconds; a change must be public within 60 s.",
            unit="s",
        ),
    ] = 30
    quarantine_files_max: Annotated[
        int,
        _number(
            "Unreadable deliveries that are kept of each source. 0 keeps none.",
            0,
            100_000,
            "Enough to compare them.",
            unit="deliveries",
        ),
    ] = 100
    quarantine_mib_max: Annotated[
        int,
        _number(
            "Size of what is kept of one source.",
            1,
            10_240,
            "Two of the largest deliveries.",
            unit="MiB",
        ),
    ] = 16


class Registry(msgspec.Struct, frozen=True):
    """Stations and keys, which commands can change while the server runs."""

    poll_ms: Annotated[
        int,
        _number(
            "How often the server asks the store whether something changed.",
            50,
            60_000,
            "A revoked key must be cut within 5 s; asking reads one number.",
            unit="ms",
        ),
    ] = 1_000
    readings: Annotated[
        bool,
        _choice(
            "Whether a status in a register becomes an EVSE's first status.",
            "A status with its time is better than none.",
        ),
    ] = True
    licence: Annotated[
        str,
        _text(
            "Licence of the data, sent to every consumer of version 2.",
            "Registers have different ones: NOBIL CC BY 4.0, France Licence Ouverte 2.0.",
        ),
    ] = ""
    attribution: Annotated[
        str,
        _text(
            "Whom to name as the source of the data, sent to every consumer of version 2.",
            "Most open licences require it.",
        ),
    ] = ""


class Keys(msgspec.Struct, frozen=True):
    """Keys that visitors create themselves. They can read, and nothing else."""

    policy: Annotated[
        Literal["closed", "approval", "open"],
        _choice(
            "Who creates keys. closed: only the administrator. approval: anyone may, and the "
            "administrator approves each. open: anyone may.",
            "Nobody gets in whom nobody let in.",
        ),
    ] = "closed"
    per_address_per_hour_max: Annotated[
        int,
        _number(
            "Most keys that one IP address may create or rotate per hour.",
            1,
            1_000_000,
            "A person needs one or two; an office behind one address a few more.",
            unit="keys",
        ),
    ] = 5
    per_address_per_day_max: Annotated[
        int,
        _number(
            "Most keys that one IP address may create or rotate per day; at least as many as per hour.",
            1,
            1_000_000,
            "3,650 in the year for which they are valid: one address never reaches `keys.self_made_max`.",
            unit="keys",
        ),
    ] = 10
    self_made_max: Annotated[
        int,
        _number(
            "Most keys created by visitors that are valid or wait for approval.",
            1,
            100_000,
            "All of them are read each time one changes, at some 10 us each.",
            unit="keys",
        ),
    ] = 10_000
    days: Annotated[
        int,
        _number(
            "How long a key that a visitor created is valid.",
            1,
            3_650,
            "Keys that nobody needs any more end by themselves, and renewing once a year is no burden.",
            unit="days",
        ),
    ] = 365
    proxies: Annotated[
        tuple[str, ...],
        _text(
            "Addresses of proxies whose `X-Forwarded-For` header is believed, for all limits per IP address.",
            "None: anyone could write anything there. Without it, all clients behind a proxy count as "
            "one address.",
            form="IP addresses",
        ),
    ] = ()


class Ocpp(msgspec.Struct, frozen=True):
    """Charge points that report for themselves."""

    heartbeat_s: Annotated[
        int,
        _number(
            "How often a charge point is told to send a sign of life. After two of these intervals "
            "without one, its EVSEs become UNKNOWN.",
            10,
            86_400,
            "A broken connection is noticed after two minutes, and a day costs 0.2 MB of a mobile plan.",
            unit="s",
        ),
    ] = 60
    grace_s: Annotated[
        int,
        _number(
            "A charge point that reconnects within this time counts as connected throughout.",
            0,
            3_600,
            "Mobile links break and return within seconds; a driver is misled for half a minute at most.",
            unit="s",
        ),
    ] = 30
    connections_max: Annotated[
        int,
        _number(
            "Most charge points connected at a time.",
            1,
            1_000_000,
            "200 MiB at some 40 KiB each.",
            unit="connections",
        ),
    ] = 5_000
    connections_per_operator_max: Annotated[
        int,
        _number(
            "Most charge points of one operator connected at a time.",
            1,
            1_000_000,
            "Leaves a fifth of `ocpp.connections_max` to the others.",
            unit="connections",
        ),
    ] = 4_000
    message_kib_max: Annotated[
        int,
        _number(
            "Largest message of a charge point.",
            1,
            8_192,
            "Even the largest messages, reports of all variables, are sent in much smaller parts.",
            unit="KiB",
        ),
    ] = 256
    messages_per_minute_max: Annotated[
        int,
        _number(
            "Most messages per minute from a charge point. Above it the connection is closed.",
            10,
            1_000_000,
            "20 per second: after an interruption a charge point sends everything it has queued.",
            unit="messages/min",
        ),
    ] = 1_200


class Metrics(msgspec.Struct, frozen=True):
    """Metrics for Prometheus. On the server's own port they need a key with the scope `admin`."""

    listen: Annotated[
        str,
        msgspec.Meta(
            pattern=_LOOPBACK_PORT,
            description="Port on loopback where `/metrics` needs no key. 0 takes any free port. Empty: none.",
            extra={
                "why": "Every program on the machine can read that port, and so can everybody for whom a "
                "proxy opens it.",
                "form": "PORT, 127.0.0.1:PORT or [::1]:PORT",
            },
        ),
    ] = ""


class Logging(msgspec.Struct, frozen=True):
    """What the program writes of itself, to standard error or to a file."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        _choice(
            "Lowest level of log messages that are written.",
            "Starts, stops and failures; nothing per message.",
        ),
    ] = "info"
    format: Annotated[
        Literal["auto", "json", "console"],
        _choice(
            "json: one object per line. console: for people. auto: console on a terminal, otherwise json.",
            "People read terminals, programs read pipes.",
        ),
    ] = "auto"
    file: Annotated[
        str,
        _text(
            "File that log messages are appended to. SIGHUP opens it again, for programs that rotate log "
            "files. Empty: standard error.",
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
            description="Country code of our OCPI party.",
            extra={
                "why": "NOBIL's own country. Set yours before the first peer registers.",
                "form": "two letters",
            },
        ),
    ] = "NO"
    party_id: Annotated[
        str,
        msgspec.Meta(
            pattern="^[A-Z0-9]{3}$",
            description="Party id of our OCPI party.",
            extra={
                "why": (
                    "Nobody's id. The organisation that assigns party ids in your country has one for you."
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
            description="Our name, as OCPI peers see it.",
            extra={"why": "Says at least which program answers.", "form": "1 to 100 characters"},
        ),
    ] = "ladestrom"
    peers: Annotated[
        Literal["public", "any"],
        _choice(
            "Which OCPI peers may be called. public: only by HTTPS on the public internet. any: also by "
            "HTTP and on private networks.",
            "A peer names its own address, and must not make the server call into your network.",
        ),
    ] = "public"
    reconcile_s: Annotated[
        int,
        _number(
            "How often all Locations of each registered peer are fetched, in addition to what it "
            "pushes. 0: never.",
            0,
            604_800,
            "Once a day, as OCPI 2.2.1 recommends in section 8.1: a lost push is corrected within a day.",
            unit="s",
        ),
    ] = 86_400


_TILES: Final = r"^((https?:/)?/[^\s{}]+\.pmtiles|(?=\S*\{z\})(?=\S*\{x\})(?=\S*\{y\})(https?:/)?/\S+)?$"


class Page(msgspec.Struct, frozen=True):
    """The web page: who may use it, and what it shows."""

    visitors: Annotated[
        Literal["key", "anyone"],
        _choice(
            "Who may use the page. key: holders of a key with the scope `stream`. anyone: everybody.",
            "The administrator decides whether the data may be public.",
        ),
    ] = "key"
    visitors_max: Annotated[
        int,
        _number(
            "Most visitors without a key who follow the stream at a time.",
            1,
            1_000_000,
            "Leaves most of the 20,000 places of `stream.consumers_max` to holders of keys.",
            unit="connections",
        ),
    ] = 500
    visitors_per_address_max: Annotated[
        int,
        _number(
            "Most visitors without a key who follow the stream at a time from one IP address (of IPv6: from "
            "one /64 network). The machine itself has no such limit.",
            1,
            1_000_000,
            "An office or a mobile network behind one address; a tenth of `page.visitors_max`.",
            unit="connections",
        ),
    ] = 50
    history_changes_max: Annotated[
        int,
        _number(
            "Changes that are remembered for the history of stations.",
            1_000,
            100_000_000,
            "16 bytes each, 32 MiB when full: two days of a large country's 900,000 changes a day.",
            unit="changes",
        ),
    ] = 2_000_000
    title: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            max_length=60,
            description="Title of the page.",
            extra={"why": "Says at least which program it is.", "form": "1 to 60 characters"},
        ),
    ] = "ladestrom"
    tiles: Annotated[
        str,
        msgspec.Meta(
            pattern=_TILES,
            description="Where the base map comes from. Empty: built-in coastlines and towns.",
            extra={
                "why": "A page must not load anything from others that nobody asked for.",
                "form": "an address that ends in .pmtiles, or one with {z}, {x} and {y}",
            },
        ),
    ] = ""
    tiles_attribution: Annotated[
        str,
        _text("Whom the map names as the source of the base map.", "Most providers require it."),
    ] = ""
    contact: Annotated[
        str,
        _text(
            "Where visitors can ask questions: the address of a page, or an e-mail address.",
            "A server that only its owner uses needs none.",
            form="an address",
        ),
    ] = ""


class Settings(msgspec.Struct, frozen=True):
    """All settings, by section. Without arguments: the defaults."""

    server: Server = Server()
    log: Log = Log()
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
    Special("LADESTROM_CONFIG", "Settings file (TOML), where --config names none."),
    Special("LADESTROM_DATA", "The same as LADESTROM_SERVER__DATA."),
    Special("LADESTROM_DEBUG", "1 shows where in the program an error occurred."),
    Special("LADESTROM_KEY", "Key for the commands `tail` and `replay`.", secret=True),
    Special("LADESTROM_OCPI_TOKEN", "Token for `ocpi register` and `ocpi fix`.", secret=True),
    Special("LADESTROM_SHARED", "Folder of sample data for tests."),
    Special(
        "LADESTROM_TEST_PATIENCE", "Factor by which tests multiply their deadlines; a whole number from 1."
    ),
    Special("LADESTROM_URL", "Address of the server for the commands `tail` and `replay`."),
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

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


_ORIGIN: Final = r"^https?://[^/\s]+$"
_PUBLIC_URL: Final = r"^(https?://[^\s]*[^/\s])?$"


class Server(msgspec.Struct, frozen=True):
    """Where the server listens, and how it treats connections."""

    host: Annotated[
        str,
        _text(
            "Address to listen on.",
            "Loopback: nobody else can reach a server that nobody has configured.",
            short="host",
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            le=65_535,
            description="TCP port to listen on; 0 takes any that is free.",
            extra={"why": "Away from 8000 and 8080, which other servers take.", "short": "port"},
        ),
    ] = 8383
    data: Annotated[
        str,
        _text(
            "Directory of the log and the store; made where it is missing.",
            "Beside where the program is started, so that trying it needs no rights.",
            form="a directory",
            short="data",
        ),
    ] = "ladestrom-data"
    header_timeout_s: Annotated[
        int,
        _number(
            "A connection whose request header has not arrived after this is closed.",
            1,
            300,
            "A poor mobile link sends a header in 1 or 2 s; sockets that trickle must not add up.",
            unit="s",
        ),
    ] = 10
    keep_alive_s: Annotated[
        int,
        _number(
            "An idle HTTP connection is closed after this.",
            1,
            3_600,
            "Longer than the 60 s of nginx and of cloud load balancers, so that they close first.",
            unit="s",
        ),
    ] = 75
    drain_s: Annotated[
        int,
        _number(
            "On SIGTERM, connections get this long to take what was sent to them.",
            0,
            300,
            "Half of the 10 s after which container runtimes kill.",
            unit="s",
        ),
    ] = 5
    origins: Annotated[
        tuple[Annotated[str, msgspec.Meta(pattern=_ORIGIN)], ...],
        _text(
            "Browser origins that may open the streams; empty admits the own host and those that send none.",
            "A foreign page must not use a visitor's access.",
            form="origins such as https://example.org",
        ),
    ] = ()
    url_public: Annotated[
        str,
        msgspec.Meta(
            pattern=_PUBLIC_URL,
            description="Address under which others reach the server, as documents show it; empty: as asked.",
            extra={"why": "Only a proxy in front makes it another.", "form": "an http or https address"},
        ),
    ] = ""


class Log(msgspec.Struct, frozen=True):
    """The durable log of changes."""

    durability: Annotated[
        Literal["full", "relaxed"],
        _choice(
            "full: synced to disk before it is acknowledged. relaxed: a power cut may lose the last moments.",
            "An operator that was told `accepted` relies on it.",
        ),
    ] = "full"
    retention_days: Annotated[
        int,
        _number(
            "Older entries are dropped.",
            1,
            3_650,
            "A consumer that was down over a long weekend still resumes.",
            unit="days",
        ),
    ] = 7
    retention_mib: Annotated[
        int,
        _number(
            "The oldest entries are dropped when the log is larger.",
            16,
            1_048_576,
            "A large country's 900,000 changes a day at 300 bytes are 260 MiB: 15 days of them.",
            unit="MiB",
        ),
    ] = 4_096
    checkpoint_s: Annotated[
        int,
        _number(
            "The board is checkpointed at least this often while it changes.",
            1,
            3_600,
            "Bounds what a restart replays; costs one small write.",
            unit="s",
        ),
    ] = 30
    checkpoint_entries: Annotated[
        int,
        _number(
            "The board is checkpointed after this many entries, whatever the time.",
            1_000,
            10_000_000,
            "A restart has to serve again within 5 s, replay included.",
            unit="entries",
        ),
    ] = 200_000
    group_items_max: Annotated[
        int,
        _number(
            "Most reports decided and committed together.",
            1,
            100_000,
            "At 360,000 rows/s, as commits of 100 and more reach, 5,000 are 14 ms.",
            unit="items",
        ),
    ] = 5_000


class Rules(msgspec.Struct, frozen=True):
    """Rules by which reports become changes."""

    stale_after_s: Annotated[
        int,
        _number(
            "An EVSE of which nothing was heard for this long becomes UNKNOWN; operators may have their own.",
            10,
            31_536_000,
            "Operators that send changes only still send their whole list about once a day.",
            unit="s",
        ),
    ] = 86_400
    start_grace_s: Annotated[
        int,
        _number(
            "After a start, silence does not count for this long.",
            0,
            86_400,
            "What was silent while we were down gets the time to return; operators retry within minutes.",
            unit="s",
        ),
    ] = 600
    clock_skew_s: Annotated[
        int,
        _number(
            "An observation further ahead of our clock is taken as made when it was received.",
            0,
            86_400,
            "The five minutes that Kerberos allows clocks to differ (RFC 4120, section 8.2).",
            unit="s",
        ),
    ] = 300
    inoperative: Annotated[
        Literal["error", "occupied"],
        _choice(
            "What the NOBIL formats say of INOPERATIVE. error: (-1, 1). occupied: (1, 0).",
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
            "Largest body, after it was unpacked.",
            1,
            1_024,
            "10,000 reports of 800 bytes, which is several times what one needs.",
            unit="MiB",
        ),
    ] = 8
    queue_items_max: Annotated[
        int,
        _number(
            "Most reports waiting for a decision; over it, deliveries are refused with 503.",
            1_000,
            10_000_000,
            "Twenty full deliveries, and little over a second of work.",
            unit="items",
        ),
    ] = 200_000
    idempotency_keys_max: Annotated[
        int,
        _number(
            "Most idempotency keys remembered; the oldest go first.",
            0,
            1_000_000,
            "Less than 1 KiB each: 10 MiB.",
            unit="keys",
        ),
    ] = 10_000
    idempotency_hours: Annotated[
        int,
        _number(
            "How long an idempotency key is remembered.",
            1,
            720,
            "Whoever retries after a day sends what is newer instead.",
            unit="hours",
        ),
    ] = 24
    certificate_header: Annotated[
        str,
        _text(
            "Header in which a proxy names the subject of a client certificate it verified; empty: none.",
            "Off: whoever can reach the server could send it. The proxy must overwrite what clients send.",
            form="the name of a header",
        ),
    ] = ""
    certificate_proxies: Annotated[
        tuple[str, ...],
        _text(
            "Addresses of the proxies that are believed so.",
            "A proxy on the same machine.",
            form="IP addresses",
        ),
    ] = ("127.0.0.1", "::1")
    certificates: Annotated[
        tuple[str, ...],
        _text(
            "Which operator reports with which certificate.",
            "None: a certificate is good for nothing before it is listed.",
            form="pairs such as abc=CN=abc,O=ABC",
        ),
    ] = ()


class Stream(msgspec.Struct, frozen=True):
    """What consumers may ask, and what is kept for them."""

    consumers_max: Annotated[
        int,
        _number(
            "Most consumers at a time.",
            1,
            1_000_000,
            "At 8 KiB for each that is idle, 160 MiB.",
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
    write_buffer_kib_max: Annotated[
        int,
        _number(
            "Most that is handed to a connection before its consumer took it.",
            16,
            65_536,
            "A consumer that stops reading may cost 2 MiB in all; the queue and the kernel need their part.",
            unit="KiB",
        ),
    ] = 512
    gather_ms_min: Annotated[
        int,
        _number(
            "Under load, changes are gathered this long for one write; idle, they leave at once.",
            0,
            1_000,
            "5 ms keeps changes young; the same as the longest costs the processor least.",
            unit="ms",
        ),
    ] = 5
    gather_ms_max: Annotated[
        int,
        _number(
            "Under load, they are gathered up to this long where the server has much else to do.",
            0,
            1_000,
            "One write for twenty messages costs a twentieth; more than 20 ms gains nothing further.",
            unit="ms",
        ),
    ] = 20
    ping_interval_s: Annotated[
        int,
        _number(
            "Every consumer is pinged this often.",
            1,
            600,
            "Proxies and address translators drop what is silent for 30 s or more.",
            unit="s",
        ),
    ] = 20
    ping_timeout_s: Annotated[
        int,
        _number(
            "A consumer that has not answered a ping for this long is closed; at least the interval.",
            1,
            3_600,
            "Two intervals: one lost answer is forgiven.",
            unit="s",
        ),
    ] = 40
    heartbeat_s: Annotated[
        int,
        _number(
            "The v2 stream says its position, the time and a digest this often.",
            1,
            600,
            "Three within the minute in which a change has to be public: a consumer notices that it hangs.",
            unit="s",
        ),
    ] = 20
    stalled_s: Annotated[
        int,
        _number(
            "A consumer that takes nothing for this long, though something is due, is closed.",
            1,
            3_600,
            "A change has to be public within a minute (EU 2025/655).",
            unit="s",
        ),
    ] = 60
    raw_items_max: Annotated[
        int,
        _number(
            "Most `status:raw` messages gathered for one write; the rest are dropped and counted.",
            0,
            1_000_000,
            "One full delivery of an operator.",
            unit="items",
        ),
    ] = 10_000
    inbound_kib_max: Annotated[
        int,
        _number(
            "Largest message of a consumer.",
            1,
            16_384,
            "The limit that the OWASP WebSocket Security Cheat Sheet starts from.",
            unit="KiB",
        ),
    ] = 64
    inbound_messages_per_minute_max: Annotated[
        int,
        _number(
            "Most messages of a consumer a minute.",
            1,
            1_000_000,
            "The limit that the OWASP WebSocket Security Cheat Sheet starts from.",
            unit="messages/min",
        ),
    ] = 100
    selections_max: Annotated[
        int,
        _number(
            "Most different selections (filters) served at a time.",
            1,
            1_000_000,
            "Each costs one look at every change; 1,000 looks are under a millisecond.",
            unit="selections",
        ),
    ] = 1_000


class Sources(msgspec.Struct, frozen=True):
    """Sources that are asked or followed, and what is kept of deliveries that cannot be read."""

    answer_mib_max: Annotated[
        int,
        _number(
            "Largest answer that is read, before and after decompression.",
            1,
            1_024,
            "A country of 100,000 EVSEs in DATEX II XML has some 50 MiB.",
            unit="MiB",
        ),
    ] = 64
    answer_s_max: Annotated[
        int,
        _number(
            "An answer that has not arrived whole after this is given up.",
            1,
            3_600,
            "As long as the law gives a change to become public; large files come within seconds.",
            unit="s",
        ),
    ] = 60
    round_s_max: Annotated[
        int,
        _number(
            "A round of requests (pages) that takes longer is given up.",
            1,
            86_400,
            "Two thousand pages at 0.3 s each.",
            unit="s",
        ),
    ] = 600
    failures_max: Annotated[
        int,
        _number(
            "So many failures in a row open the breaker: the source is left alone.",
            1,
            1_000,
            "Retries after 2, 4, 8 and 16 s bear a restart on the other side.",
            unit="failures",
        ),
    ] = 5
    rest_s: Annotated[
        int,
        _number(
            "How long it is left alone at first; doubled each time, up to an hour.",
            1,
            3_600,
            "Long enough to not be a burden, short enough to be noticed as well again.",
            unit="s",
        ),
    ] = 300
    lost_after_s: Annotated[
        int,
        _number(
            "A followed stream that is away for longer is lost: its EVSEs become unknown.",
            1,
            86_400,
            "A restart takes some seconds; the law wants a change to be public within 60 s.",
            unit="s",
        ),
    ] = 30
    quarantine_files_max: Annotated[
        int,
        _number(
            "Unreadable deliveries kept of each source; 0 keeps none.",
            0,
            100_000,
            "Enough to see what differs between them.",
            unit="deliveries",
        ),
    ] = 100
    quarantine_mib_max: Annotated[
        int,
        _number(
            "Size of what is kept of one source.",
            1,
            10_240,
            "Two of the largest pushes.",
            unit="MiB",
        ),
    ] = 16


class Registry(msgspec.Struct, frozen=True):
    """Stations and keys, as the command line changes them while the server runs."""

    poll_ms: Annotated[
        int,
        _number(
            "How often the store is asked for its revision.",
            50,
            60_000,
            "A revoked key has to be cut within 5 s; asking reads one number.",
            unit="ms",
        ),
    ] = 1_000
    readings: Annotated[
        bool,
        _choice(
            "Whether a status that a register carries becomes an EVSE's first.",
            "An old status with its time is better than none.",
        ),
    ] = True
    licence: Annotated[
        str,
        _text(
            "Licence of the data, told to every consumer of version 2.",
            "Registers have different ones: NOBIL CC BY 4.0, France Licence Ouverte 2.0.",
        ),
    ] = ""
    attribution: Annotated[
        str,
        _text(
            "Whom to name as the source of the data, told to every consumer of version 2.",
            "Most open licences ask for it.",
        ),
    ] = ""


class Keys(msgspec.Struct, frozen=True):
    """Keys that people make themselves. They read, and nothing else."""

    policy: Annotated[
        Literal["closed", "approval", "open"],
        _choice(
            "closed: who runs the server makes them. approval: anyone may, and each waits to be approved. "
            "open: anyone may.",
            "Nobody gets in whom nobody let in.",
        ),
    ] = "closed"
    per_address_per_hour_max: Annotated[
        int,
        _number(
            "Most keys made or rotated from one address within an hour.",
            1,
            1_000_000,
            "A person needs one or two; an office behind one address some more.",
            unit="keys",
        ),
    ] = 5
    self_made_max: Annotated[
        int,
        _number(
            "Most keys that people made themselves and that are good or wait.",
            1,
            100_000,
            "All are read each time that one changes, at some 10 us each.",
            unit="keys",
        ),
    ] = 10_000
    days: Annotated[
        int,
        _number(
            "How long such a key is good.",
            1,
            3_650,
            "What nobody needs any more ends by itself; once a year is no burden.",
            unit="days",
        ),
    ] = 365
    proxies: Annotated[
        tuple[str, ...],
        _text(
            "Addresses of proxies that are believed when `X-Forwarded-For` says where a request came from.",
            "None: anyone could write there what he likes. Without it, all behind a proxy are one address.",
            form="IP addresses",
        ),
    ] = ()


class Ocpp(msgspec.Struct, frozen=True):
    """Charge points that report for themselves."""

    heartbeat_s: Annotated[
        int,
        _number(
            "How often a charge point is to say that it is there; after two of these without a word from it "
            "its EVSEs are unknown.",
            10,
            86_400,
            "One that broke off is unknown after two minutes, and costs 0.2 MB of its mobile plan a day.",
            unit="s",
        ),
    ] = 60
    grace_s: Annotated[
        int,
        _number(
            "A charge point that is connected again within this was not gone.",
            0,
            3_600,
            "Mobile links break off and return within seconds; a driver is misled for half a minute at most.",
            unit="s",
        ),
    ] = 30
    connections_max: Annotated[
        int,
        _number(
            "Most charge points connected at a time.",
            1,
            1_000_000,
            "At some 40 KiB each, 200 MiB.",
            unit="connections",
        ),
    ] = 5_000
    message_kib_max: Annotated[
        int,
        _number(
            "Largest message of a charge point.",
            1,
            8_192,
            "Reports of all variables, the largest of any, are sent in parts far smaller.",
            unit="KiB",
        ),
    ] = 256
    messages_per_minute_max: Annotated[
        int,
        _number(
            "Most messages of a charge point a minute; over it, the connection is closed.",
            10,
            1_000_000,
            "Twenty a second: what it gathered while it was cut off comes at once.",
            unit="messages/min",
        ),
    ] = 1_200


class Logging(msgspec.Struct, frozen=True):
    """What the program says of itself, on standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        _choice("Least level that is written.", "Starts, stops and what went wrong; nothing per message."),
    ] = "info"
    format: Annotated[
        Literal["auto", "json", "console"],
        _choice(
            "json: one object a line. console: for people. auto: console on a terminal, else json.",
            "People read terminals, programs read pipes.",
        ),
    ] = "auto"


class Ocpi(msgspec.Struct, frozen=True):
    """Who we are for peers of OCPI, and which peers may be called."""

    country_code: Annotated[
        str,
        msgspec.Meta(
            pattern="^[A-Z]{2}$",
            description="Country of our party, as peers see it.",
            extra={
                "why": "NOBIL's own; set it to yours before the first peer registers.",
                "form": "two letters",
            },
        ),
    ] = "NO"
    party_id: Annotated[
        str,
        msgspec.Meta(
            pattern="^[A-Z0-9]{3}$",
            description="Our party, as peers see it.",
            extra={
                "why": "Nobody's: whoever gives out ids in your country has one for you.",
                "form": "three letters or digits",
            },
        ),
    ] = "LDS"
    name: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            max_length=100,
            description="Our name, as peers see it.",
            extra={"why": "Says at least which program answers.", "form": "1 to 100 characters"},
        ),
    ] = "ladestrom"
    peers: Annotated[
        Literal["public", "any"],
        _choice(
            "Peers that are called. public: by HTTPS on the public network. any: by HTTP and beside us too.",
            "A peer names its own address; it must not make us call what is beside us.",
        ),
    ] = "public"
    reconcile_s: Annotated[
        int,
        _number(
            "How often all Locations of each registered peer are asked for, beside what it pushes; 0: never.",
            0,
            604_800,
            "Once a day, as OCPI 2.2.1 advises in section 8.1: what a push missed is a day old at most.",
            unit="s",
        ),
    ] = 86_400


_TILES: Final = r"^((https?:/)?/[^\s{}]+\.pmtiles|(?=\S*\{z\})(?=\S*\{x\})(?=\S*\{y\})(https?:/)?/\S+)?$"


class Page(msgspec.Struct, frozen=True):
    """The page: who may look, and what is shown beside the stations."""

    visitors: Annotated[
        Literal["key", "anyone"],
        _choice(
            "Who may look. key: who has one with the scope stream. anyone: visitors of the page as well.",
            "Whether data may be public is for whoever runs the server to say.",
        ),
    ] = "key"
    visitors_max: Annotated[
        int,
        _number(
            "Visitors without a key who follow the stream at once.",
            1,
            1_000_000,
            "They leave most of the 20,000 places of stream.consumers_max to those who have keys.",
            unit="connections",
        ),
    ] = 500
    history_changes_max: Annotated[
        int,
        _number(
            "Changes that are remembered for the history of stations.",
            1_000,
            100_000_000,
            "16 bytes each, 32 MiB when full: two days of a large country's 900,000 a day.",
            unit="changes",
        ),
    ] = 2_000_000
    title: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            max_length=60,
            description="What the page is called.",
            extra={"why": "Says at least which program it is.", "form": "1 to 60 characters"},
        ),
    ] = "ladestrom"
    tiles: Annotated[
        str,
        msgspec.Meta(
            pattern=_TILES,
            description="Where the map's ground comes from; empty: it has coasts and towns of its own.",
            extra={
                "why": "A page must not load from others what nobody asked it to.",
                "form": "an address that ends in .pmtiles, or one with {z}, {x} and {y}",
            },
        ),
    ] = ""
    tiles_attribution: Annotated[
        str,
        _text("Whom the map names as the source of that ground.", "Most of them ask for it."),
    ] = ""
    contact: Annotated[
        str,
        _text(
            "Where visitors can ask: an address of a page, or of mail.",
            "Nobody's: a server that only its owner sees needs none.",
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
    Special("LADESTROM_CONFIG", "Settings file (TOML), where --config gives none."),
    Special("LADESTROM_DATA", "The same as LADESTROM_SERVER__DATA."),
    Special("LADESTROM_DEBUG", "1 shows where in the program an error arose."),
    Special("LADESTROM_KEY", "Key of the commands that speak to a server.", secret=True),
    Special("LADESTROM_SHARED", "Folder of sample data for tests."),
    Special("LADESTROM_URL", "Server of the commands that speak to one."),
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

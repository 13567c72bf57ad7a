"""Wire types to JSON Schema, for the published contracts.

Shape and members come from the types that encode and decode. What a Python type cannot say stands in one
table, `WORDS`: what each member means, and within which limits. One word means one thing; where a type means
something of its own by it, the row's name is `Type.word`. Every member has a row, and every row a member.

The keywords are those that JSON Schema's drafts 07 (AsyncAPI 3.0) and 2020-12 (OpenAPI 3.1) read alike.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

import msgspec

from ladestrom.core.access import NAME_CHARACTERS_MAX
from ladestrom.core.key_making import EMAIL_CHARACTERS_MAX, EMAIL_FORM, PURPOSE_CHARACTERS_MAX
from ladestrom.core.rules import EARLIEST_AT
from ladestrom.edges.contract.record_words import RECORD_WORDS
from ladestrom.edges.contract.words import Word
from ladestrom.formats.wire import EPOCH, POSITION, STATION_UUID
from ladestrom.model import REFUSALS, Reason

Schema = dict[str, Any]

REFERENCE: Final = "#/components/schemas/{name}"
INSTANT: Final = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z$"
DIGEST: Final = "^[0-9a-f]{8}$"
DEFAULT_TEXT: Final = {"type": "string", "default": ""}


def _instant(description: str) -> Word:
    return Word(
        f"{description} ISO 8601, UTC, to the millisecond.", {"format": "date-time", "pattern": INSTANT}
    )


def _millis(description: str, lowest: int) -> Word:
    return Word(
        f"{description} Milliseconds since 1970-01-01T00:00:00Z.", {"format": "int64", "minimum": lowest}
    )


def _count(description: str) -> Word:
    return Word(description, {"minimum": 0})


_KEY_STATE: Final = Word(
    "live: it is good. pending: it waits to be approved. expired, revoked: it has ended for good."
)
_NULLABLE_MILLIS: Final = {"type": ["integer", "null"], "format": "int64", "minimum": EARLIEST_AT}

_NUMBER: Final = {"format": "int64", "minimum": 0, "maximum": 2**48 - 1}

WORDS: Final[Mapping[str, Word]] = {
    # -- of EVSEs, stations and connectors
    "station": Word("The registry's uuid of the station.", {"pattern": STATION_UUID}),
    "evse": Word(
        "Name of the EVSE, unique on the board: its EVSE id, where the registry lets it hold that one, else "
        "its registry key (`NOR_01333_01`). Names compare in upper case and without `*` and `-`.",
        {"minLength": 1},
    ),
    "uid": Word("The operator's own id of the EVSE, if it has one. Another operator may use the same."),
    "uuid": Word("The registry's uuid of the station.", {"pattern": STATION_UUID}),
    "status": Word("Status of the EVSE."),
    "error": Word("1 while a fault is reported, though the EVSE may be usable; else 0.", {"enum": [0, 1]}),
    "changed_at": _instant("When status or error last changed; null while nothing was ever reported."),
    "observed_at": _instant(
        "When the status was last observed, by the operator's clock; null while it was never."
    ),
    "source": Word("The operator that reported last; empty while none did."),
    "cause": Word("Why the status is what it is."),
    "raw": Word("What the source said, word for word."),
    "was": Word("What the EVSE was before."),
    "name": Word("Name of the station."),
    "operator": Word("Who operates the station, as its register says."),
    "country": Word(
        "NOR, SWE, FIN or DAN as NOBIL writes them; ISO 3166-1 alpha-3 for all others.",
        {"pattern": "^[A-Z]{3}$"},
    ),
    "position": Word(
        "`EPOCH-SEQ`: the answer holds everything up to here. A stream's `since` for what follows.",
        {"pattern": POSITION},
    ),
    "latitude": Word("Degrees, WGS 84, north is positive.", {"minimum": -90, "maximum": 90}),
    "longitude": Word("Degrees, WGS 84, east is positive.", {"minimum": -180, "maximum": 180}),
    "address": Word("Street and number."),
    "city": Word("Town."),
    "register": Word("The register that the station is from: `nobil`, `irve`."),
    "native_id": Word("Id of the station in that register."),
    "vanished_at": _instant("When the register first lacked the station; null while it has it."),
    "evses": Word("EVSEs in the register's order."),
    "connectors": Word("Plugs and sockets in the register's order."),
    **RECORD_WORDS,
    "EvseState.cause": Word(
        "Why the status is what it is; null while the EVSE is not on the board.",
        {"anyOf": [{"$ref": REFERENCE.format(name="Cause")}, {"type": "null"}]},
        replaces=True,
    ),
    "note": Word("There if nothing is listed, whatever is asked for: why, and what to do."),
    # -- of the NOBIL stream
    "timestamp": _millis("When status or error last changed; -1 while nothing is known.", -1),
    "data": Word("The station."),
    "connector": Word("Place in the station's list, from 0.", {"minimum": 0}),
    "SnapshotInit.data": Word("The selected stations."),
    "StatusRaw.data": Word("What was heard."),
    "StatusRaw.code": Word("Always 1."),
    "ConnectorStatus.status": Word("-1 unknown, 0 available, 1 occupied. Look at `error` first."),
    "ConnectorStatus.error": Word("1: an error is on the connector; do not send a driver there."),
    "NamedConnectorStatus.uuid": Word("The connector: its station's uuid, `_`, and its number from 1."),
    "NamedConnectorStatus.status": Word("-1 unknown, 0 available, 1 occupied. Look at `error` first."),
    "NamedConnectorStatus.error": Word("1: an error is on the connector; do not send a driver there."),
    "HeardStatus.status": Word("-1 unknown, 0 available, 1 occupied. Look at `error` first."),
    "HeardStatus.error": Word("1: an error is on the connector."),
    "HeardStatus.timestamp": _millis("When it was so, by the operator's clock.", 0),
    "StationStatus.status": Word(
        "2 a connector has an error, -1 one is unknown, 0 one is available, 1 all are occupied: the first "
        "that holds. A station without connectors is unknown."
    ),
    # -- of messages
    "type": Word("Which message it is."),
    "epoch": Word(
        "The log's epoch. A position is good within its epoch only; another one means a new log.",
        {"pattern": EPOCH},
    ),
    "seq": Word(
        "Position in the log; a consumer that has taken the message stands here.",
        {"format": "int64", "minimum": 0},
    ),
    "prev": Word(
        "`seq` of the message before, within this subscription. Another one than your last `seq`: something "
        "was lost; reconnect.",
        {"format": "int64", "minimum": 0},
    ),
    "changes": Word("Changes in order."),
    "part": Word("Number of this part, from 1.", {"minimum": 1}),
    "parts": Word("Number of parts; the state is complete with part = parts.", {"minimum": 1}),
    "server": Word("Name and version of the server."),
    "server_time": _instant("The server's clock."),
    "limits": Word("What a consumer can count on."),
    "licence": Word("Licence of the data; empty where none is told."),
    "attribution": Word("Whose data it is; empty where that is not told."),
    "history_seq": Word(
        "Oldest position from which `mode=every` can resume.", {"format": "int64", "minimum": 0}
    ),
    "message_bytes_max": Word("Bytes that a message to the consumer has at most, about.", {"minimum": 1}),
    "inbound_bytes_max": Word("Bytes that a message from the consumer may have.", {"minimum": 1}),
    "inbound_messages_per_minute_max": Word(
        "Messages from the consumer that are taken within a minute.", {"minimum": 1}
    ),
    "heartbeat_s": Word("A heartbeat comes this often, in seconds.", {"minimum": 1}),
    "count": Word(
        "Number of selected EVSEs that are neither PLANNED nor REMOVED.", {"format": "int64", "minimum": 0}
    ),
    "digest": Word(
        "Sum modulo 2^32, in hexadecimal, over the EVSEs that `count` counts. Each adds the CRC-32 of "
        "`evse|status|error|changed_at` (`evse` in upper case without `*` and `-`; nothing for null), mixed "
        "by the 32-bit finalizer of MurmurHash3: c ^= c >> 16; c *= 0x85ebca6b; c ^= c >> 13; "
        "c *= 0xc2b2ae35; c ^= c >> 16, all modulo 2^32. A consumer that adds up the same is in step.",
        {"pattern": DIGEST},
    ),
    "Reset.reason": Word(
        "epoch: the position is of another epoch. ahead: it is ahead of the log. expired: changes after it "
        "are kept no more."
    ),
    "retry_after_ms": Word("Reconnect after so many milliseconds; spread by the server.", {"minimum": 0}),
    "Refused.code": Word("Stable word for what is wrong."),
    "Close.code": Word("The WebSocket close code that stands for it.", {"minimum": 1000, "maximum": 4999}),
    "Close.reason": Word("Why, in words."),
    "Select.country": Word("As in the query; empty: all.", DEFAULT_TEXT, replaces=True),
    "Select.operator": Word("As in the query; empty: all.", DEFAULT_TEXT, replaces=True),
    "Select.station": Word("As in the query; empty: all.", DEFAULT_TEXT, replaces=True),
    "Select.evse": Word("As in the query; empty: all.", DEFAULT_TEXT, replaces=True),
    "Select.status": Word("As in the query; empty: all.", DEFAULT_TEXT, replaces=True),
    "Select.bbox": Word("As in the query; empty: everywhere.", DEFAULT_TEXT, replaces=True),
    # -- of reports
    "Report.evse": Word(
        "EVSE id in any written form (`FR*ABC*E123`, `frabce123`, `FR-ABC-E123`), registry key "
        "(`NOR_01333_01`), or your own uid, in small letters or capitals.",
        {"minLength": 1},
    ),
    "Report.uuid": Word("With `connector`, instead of `evse`: uuid of the station.", {"minLength": 1}),
    "Report.connector": Word("Place of the connector in the station's list, from 0.", {"minimum": 0}),
    "Report.status": Word(
        "One of the nine words; or as the NOBIL stream says it: -1 unknown, 0 available, 1 occupied.",
        {"anyOf": [{"$ref": REFERENCE.format(name="Status")}, {"type": "integer", "enum": [-1, 0, 1]}]},
        replaces=True,
    ),
    "Report.error": Word(
        "1 (or true) while a fault is reported, though the EVSE may be usable.",
        {"enum": [0, 1, False, True], "default": 0},
        replaces=True,
    ),
    "Report.observed_at": Word(
        "When it became so, by your clock: ISO 8601 (UTC where it has no zone), or milliseconds since 1970. "
        "Without it, or where it is too far ahead of the server's clock, the time of receipt counts.",
        {"anyOf": [{"type": "string", "format": "date-time"}, _NULLABLE_MILLIS]},
        replaces=True,
    ),
    "Report.timestamp": Word(
        "The same as `observed_at`, in milliseconds since 1970; `observed_at` wins.",
        _NULLABLE_MILLIS,
        replaces=True,
    ),
    "Receipt.position": Word(
        "`EPOCH-SEQ`: what was accepted is in the log up to here.", {"pattern": POSITION}
    ),
    "accepted": _count("Items that became changes. They are durable."),
    "unchanged": _count("Items that confirmed what was known, or were older than it."),
    "stale": _count("Of the unchanged items, those that were older than what was known."),
    "refused": Word("Items that were refused, and why; none costs another."),
    "ignored": Word("Items with members that are not known and were not used; the first hundred."),
    "members": Word("Names of these members."),
    "dry_run": Word("True if nothing was stored, because the request said `dry_run=1`."),
    "adjusted": Word("Items that were taken with the time of receipt, as their own was too far ahead."),
    "index": _count("Place of the item in the delivery, from 0."),
    "detail": Word("What is wrong and what to do, in words."),
    "Refusal.reason": Word(
        "Stable word for why.",
        {"type": "string", "enum": sorted(REFUSALS | {Reason.FUTURE_TIME})},
        replaces=True,
    ),
    # -- of lists, operations and errors
    "items": Word("This page's."),
    "next": Word("Cursor of the next page; null on the last one."),
    "last_report_at": _instant("When the operator last reported."),
    "reports": _count("Items received since the server started."),
    "OperatorFreshness.operator": Word("Name of the operator."),
    "OperatorFreshness.changes": _count("Items that became changes."),
    "OperatorFreshness.stale": _count("Items that were older than what was known."),
    "OperatorFreshness.refused": Word("Items refused, by reason."),
    "sources": Word("Where the operator's statuses come from, by name."),
    "OwnOperator.operator": Word("Name of the operator whose key it is."),
    "parties": Word("Parties whose EVSEs it may report on: country and party, without separator."),
    "prefixes": Word("Beginnings of ids of EVSEs that it may report on."),
    "OwnOperator.all": Word("Whether it may report on every EVSE."),
    "registers": Word("Whether stations that it describes come into the registry."),
    "stale_after_s": _count("Seconds after which an EVSE that it does not report on becomes UNKNOWN."),
    "OwnOperator.evses": _count("EVSEs of the registry that it may report on."),
    "OwnOperator.stations": _count("Stations that have one of them."),
    "freshness": Word("What it delivered since the server started."),
    "RefusedItem.operator": Word("Operator that sent the item."),
    "RefusedItem.at": _instant("When it was refused."),
    "item": Word("The EVSE as it was written; null where the item names none that can be read."),
    "RefusedItem.reason": Word("Stable word for why."),
    # -- of sources
    "SourceFreshness.source": Word("Name of the source; of one that pushes: operator and protocol."),
    "protocol": Word("Name of the protocol."),
    "kind": Word("push: its system sends. pull: it is asked. follow: a connection is kept."),
    "state": Word(
        "The first that holds: paused; resting (failed too often, left alone for a while); lost (no "
        "connection where one is to be kept); failing (the last attempt or delivery failed); new (nothing "
        "came yet); silent (longer than is borne); fresh."
    ),
    "last_delivery_at": _instant("When it last delivered; null while it never did."),
    "last_heard_at": _instant("When it last delivered, or said that there is nothing new."),
    "deliveries": _count("Deliveries taken since the server started."),
    "SourceFreshness.changes": _count("Items that became changes."),
    "change_share": Word("Share of the items that became changes.", {"minimum": 0, "maximum": 1}),
    "SourceFreshness.refused": Word("Items refused, by reason."),
    "unmapped": _count("Items whose status word the protocol does not have; their EVSEs become UNKNOWN."),
    "unreadable": _count("Deliveries of which nothing could be used."),
    "failures": Word("Attempts and deliveries that failed as a whole, by code."),
    "SourceFreshness.error": Word("Code of the last error; null where the last attempt went well."),
    "error_at": _instant("When the last error was; null where there was none."),
    "failing_since": _instant("Since when nothing comes of it; null while it does not fail."),
    "outages": _count("How often it began to fail since the server started."),
    "delay": Word("How long changes took from when they were observed to when they were received."),
    "bounds_s": Word("Upper bounds in seconds; what is above the last one is counted behind it."),
    "counts": Word("Changes within each bound and above the one before; the last is what is above all."),
    "sum_s": Word("Sum of all in seconds.", {"minimum": 0}),
    "late": _count("Changes that were public more than a minute after they were observed."),
    "late_share": Word("Share of the changes that were late.", {"minimum": 0, "maximum": 1}),
    "poll_s": Word("How often it is asked, in seconds; null where it is not.", {"minimum": 1}),
    "next_at": _instant("When it is asked or connected to next."),
    "failures_in_row": _count("Attempts that failed since the last one that went well."),
    "breaker": Word("open: it is left alone. half_open: one attempt shows whether it is well again."),
    "certificate_expires_at": _instant("Until when the certificate is good that it showed last."),
    "own_certificate_expires_at": _instant("Until when the certificate is good that it is shown."),
    # -- of looking
    "PageInfo.title": Word("What the page is called."),
    "version": Word("Version of the server."),
    "demo": Word("Whether what is shown is simulated."),
    "visitors": Word("Who may look: `anyone`, or who has a `key`."),
    "keys": Word(
        "Whether people get keys themselves: `open`; `approval`, once the one who runs the server approves; "
        "`closed`."
    ),
    "tiles": Word("Where the map's ground comes from; empty where it has its own."),
    "tiles_attribution": Word("Whom to name as the source of that ground."),
    "contact": Word("Where visitors can ask: an address of a page, or of mail; empty where none is told."),
    "revision": Word("Which columns the rows belong to: a number that is made of their content.", _NUMBER),
    "MapStations.operators": Word("Operators, as registers name them."),
    "MapStations.standards": Word("Standards of connectors, by bit."),
    "MapStations.countries": Word("Countries, as in `country` of a station."),
    "MapStations.uuid": Word("The registry's uuid of each station."),
    "MapStations.name": Word("Names of the stations."),
    "MapStations.city": Word("Towns; null where the register does not tell."),
    "lon": Word("Longitudes in 1/100,000 of a degree, WGS 84."),
    "lat": Word("Latitudes in 1/100,000 of a degree, WGS 84."),
    "MapStations.operator": Word("Places in `operators`; -1 where the register does not tell."),
    "MapStations.country": Word("Places in `countries`."),
    "MapStations.power_kw": Word("Highest power of a connector in kW; 0 where the register does not tell."),
    "MapStations.standard": Word("Sums of 2 to the power of places in `standards`."),
    "MapStations.evses": Word("EVSEs that the register has."),
    "MapStations.opening": Word("Places in `openings`; -1 where the register does not say."),
    "MapStations.openings": Word("When stations are open; each that there is stands once."),
    "MapStations.classes": Word("What EVSEs have in common; each that there is stands once."),
    "MapStations.evse_class": Word(
        "Places in `classes`, of the EVSEs of the first station, the second and so on."
    ),
    "MapStations.named": Word(
        "Names of EVSEs whose class is not that of their station's first one, in the order of `evse_class`."
    ),
    "EvseClass.kw": Word("Power in kW; 0 where the register does not say."),
    "EvseClass.plugs": Word("Pairs: a place in `standards`, and the power of that plug in kW."),
    "EvseClass.payment": Word("Ways to pay that the register affirms, as in `payment` of a station."),
    "MapOpening.more": Word("Whether the register says more than is in these members."),
    "MapState.evse_groups": Word(
        "A digit for each EVSE: 0 available, 1 occupied, 2 faulty, 3 unknown, 4 not counted.",
        {"pattern": "^[0-4]*$"},
    ),
    "MapTexts.address": Word("Streets and house numbers; null where the register does not say."),
    "MapTexts.postal_code": Word("Postal codes; null where the register does not say."),
    "MapTexts.municipality": Word("Municipalities, name and code; null where the register does not say."),
    "MapTexts.ids": Word("Ids under which publishers know the station, with spaces between them."),
    "at": _instant("When it was so, by the server's clock."),
    "MapState.available": Word("EVSEs that are free, by station."),
    "MapState.occupied": Word("EVSEs that are charging, blocked or reserved, by station."),
    "MapState.faulty": Word("EVSEs with an error or out of service, by station."),
    "MapState.unknown": Word("EVSEs that nobody tells of, by station."),
    "available": _count("EVSEs that are free."),
    "occupied": _count("EVSEs that are charging, blocked or reserved."),
    "faulty": _count("EVSEs with an error or out of service."),
    "unknown": _count("EVSEs that nobody tells of."),
    "started_at": _instant("When the server started."),
    "stations": _count("Stations with an EVSE that is listed."),
    "Overview.evses": _count("EVSEs that are listed."),
    "PlaceActivity.evses": _count("EVSEs that are listed."),
    "statuses": Word("EVSEs by status; PLANNED and REMOVED ones are not listed."),
    "errors": _count("EVSEs for which a fault is reported."),
    "groups": Word("Listed EVSEs by what a driver can do with them."),
    "consumers": Word("Who follows a stream now, visitors too."),
    "total": _count("All of them."),
    "v1": _count("Of version 1."),
    "v2": _count("Of version 2 over WebSocket."),
    "events": _count("Of version 2 as server-sent events."),
    "Overview.visitors": _count("Of those who follow a stream, those without a key."),
    "changes_total": _count("Changes since the server started."),
    "seconds": Word("Changes in each of the last 120 seconds, the oldest first, the running one left out."),
    "minutes": Word("Changes in each of the last 60 minutes, the oldest first, the running one left out."),
    "tens": Word(
        "Changes in each of the last 144 spans of ten minutes, likewise. What was before the server "
        "started is counted in the log, records of stations among it."
    ),
    "hours": Word("Changes in each of the last 168 hours, likewise."),
    "kept_from": _instant("When the oldest change that the log keeps was received; null: all is kept."),
    "PlaceActivity.longitude": Word("Of a station there."),
    "PlaceActivity.latitude": Word("Of a station there."),
    "places": Word("The busiest towns: most changes in the last hour, then the largest share occupied."),
    "place": Word("Town: the register's, or else the nearest one; empty where none is within 8 km."),
    "changes_hour": _count("Changes in the last hour."),
    "from": _instant("From when on."),
    "until": _instant("The server's clock."),
    "complete_from": _instant(
        "Since when nothing is missing: later than `from` where the log or the server's memory is shorter."
    ),
    "segments": Word("What it was, in order, each until the next."),
    "HistorySegment.at": _instant("Since when it was so."),
    # -- of the server
    "uptime_s": _count("How long it has been running, in seconds."),
    "ready": Word("Whether reports are taken: the log can be written."),
    "durability": Word(
        "full: what was acknowledged survives a power cut. relaxed: the last of it may not. none: the log is "
        "in memory and is lost when the server stops."
    ),
    "memory_bytes": _count("What the process has in memory."),
    "log": Word("The log of changes."),
    "LogState.position": Word("`EPOCH-SEQ` of the last change that is durable.", {"pattern": POSITION}),
    "first_seq": _count("Sequence of the oldest change kept; one more than the last where there is none."),
    "last_seq": _count("Sequence of the last change."),
    "LogState.bytes": _count("What the log's files take."),
    "retention_days": _count("Changes older than this are dropped."),
    "retention_mib": _count("The oldest changes are dropped when the log is larger, in MiB."),
    "checkpoint_seq": _count("Up to here the board is kept beside the log; a start replays what follows."),
    "store": Word("The store of registry, operators, keys and sources."),
    "StoreState.address": Word("Where it is."),
    "StoreState.revision": _count("The store's revision that the server has taken."),
    "board": Word("What there is to tell of."),
    "BoardState.stations": _count("Stations of the registry, those that vanished too."),
    "BoardState.evses": _count("EVSEs on the board."),
    "ServerState.consumers": Word("Those who follow streams."),
    "ConsumersState.total": _count("Connections that are open."),
    "channels": _count("Different selections in use."),
    "bytes_out": _count("Bytes handed to consumers since the server started."),
    "frames": _count("Messages made, each of which many consumers may share."),
    "ShownSetting.name": Word("`section.name`."),
    "value": Word("What holds; secrets are `***`."),
    "unit": Word("Unit of the number; empty where there is none."),
    "default": Word("What holds where nothing is given."),
    "origin": Word("Where the value came from."),
    "ShownSetting.from": Word("The file's path, the variable or the flag; empty for the others."),
    "help": Word("What the setting does."),
    "SettingList.items": Word("All of them, in the order of their table."),
    "ToldSource.source": Word("Name of the source; of one that pushes: operator and protocol."),
    "ToldSource.changes": _count("Items that became changes."),
    "ToldSource.refused": Word("Items refused, by reason."),
    "ToldSource.error": Word("Code of the last error; null where the last attempt went well."),
    "ToldSource.operator": Word("The operator whose statuses it brings."),
    "ToldSource.address": Word("Where it is asked, without the query; empty for one that pushes."),
    "paused": Word("Whether somebody stopped it."),
    "ToldSources.items": Word("All of them, by name."),
    "Unread.id": Word("By which it is asked for.", {"minLength": 1}),
    "Unread.source": Word("Name of the source that it came from."),
    "Unread.at": _instant("When it came."),
    "Unread.bytes": _count("Size of the message."),
    "Unread.code": Word("Code of the error that reading it raised."),
    "UnreadList.items": Word("The newest first, at most 200."),
    "ReadAgain.id": Word("The one that was read."),
    "ReadAgain.refused": _count("Items refused."),
    # -- of keys
    "id": Word("The public id of the key.", {"minLength": 1}),
    "key": Word("Text of the key; it is told this once, and is secret."),
    "MadeKey.name": Word("Whose it is and what for, as it was asked for."),
    "RotatedKey.name": Word("As that of the key before it."),
    "OwnKey.name": Word("Whose it is and what for."),
    "KeyRow.name": Word("Whose it is and what for."),
    "KeyRequest.name": Word(
        "Whose it is and what for, for people: one line of printable characters.",
        {"minLength": 1, "maxLength": NAME_CHARACTERS_MAX},
    ),
    "KeyRequest.email": Word(
        "Whom to write to about it; nobody but those who run the server sees it.",
        {
            "type": ["string", "null"],
            "pattern": f"^({EMAIL_FORM})?$",
            "maxLength": EMAIL_CHARACTERS_MAX,
            "default": None,
        },
        replaces=True,
    ),
    "KeyRequest.purpose": Word(
        "What it is for, in printable characters; whoever approves it reads this.",
        {"type": ["string", "null"], "maxLength": PURPOSE_CHARACTERS_MAX, "default": None},
        replaces=True,
    ),
    "MadeKey.state": _KEY_STATE,
    "RotatedKey.state": _KEY_STATE,
    "OwnKey.state": _KEY_STATE,
    "KeyRow.state": _KEY_STATE,
    "scopes": Word("`stream` reads, `report` reports for its operator, `admin` does what else there is."),
    "expires_at": _instant("Until when the key is good; null: it does not end by itself."),
    "created_at": _instant("When the key was made; null for the demonstration's."),
    "last_used_at": _instant("When the key was last used, to the minute; null while it never was."),
    "overlap_until": _instant("Until when the key before it is good too."),
    "OwnKey.operator": Word("The operator that it reports for; null where it does not report."),
    "KeyRow.operator": Word("The operator that it reports for; null where it does not report."),
    "email": Word("Whom to write to about it, as its holder said; null where none was given."),
    "purpose": Word("What it is for, as its holder said; null where nothing was."),
    "self_made": Word("Whether its holder made it, and not who runs the server."),
    "consumers_per_key_max": _count("Connections to streams that it may have at a time."),
    "use": Word("What was done with it since the server started."),
    "connections": _count("Connections to streams that are open now."),
    "connections_total": _count("Connections to streams that were opened."),
    "messages": _count("Messages handed to its connections; a snapshot counts as one."),
    "bytes": _count("Bytes handed to its connections."),
    "requests": _count("Requests that it was good for, those for streams among them."),
    "KeyUse.refused": _count("Requests that it was shown with and that were turned away."),
    "since": _instant("When the server started, from when on is counted."),
    "KeyList.items": Word("All of them, the oldest first."),
    "Ticket.ticket": Word("To be given as `ticket` in the query of a stream, once."),
    "expires_in_s": Word("For how long it can be used, in seconds.", {"minimum": 1}),
    "checks": Word("What was looked at, and whether it is as it should be."),
    "reasons": Word("What is wrong with each check that does not hold, and what to do about it."),
    "Liveness.status": Word("Always `ok`."),
    "Readiness.status": Word("`ready` when every check holds."),
    "Problem.type": Word(
        "Address on this server of the page that explains the code.",
        {"pattern": "^/docs/errors/[a-z_]+$", "format": "uri-reference"},
    ),
    "Problem.title": Word("What the HTTP status says."),
    "Problem.status": Word("The HTTP status.", {"minimum": 400, "maximum": 599}),
    "Problem.code": Word("Stable word for the error; go by this one.", {"pattern": "^[a-z_]+$"}),
    "Problem.retry": Word("Whether the same request may succeed later."),
    "Problem.taken": Word("Only with `partly_taken`: how much of the delivery is in the log."),
    # -- in the words of others
    "ActionType": Word("What becomes of the operator's EVSEs: OICP 2.3, ActionType."),
    "OperatorEvseStatus": Word("The operator and the statuses of its EVSEs."),
    "OperatorEvseData": Word("The operator and the records of its EVSEs."),
    "OperatorID": Word("One of the operator's parties."),
    "OperatorName": Word("Name of the operator; used for stations that are registered."),
    "EvseStatusRecord": Word("Statuses, one for each EVSE."),
    "EvseDataRecord": Word("EvseDataRecordType of OICP 2.3, one for each EVSE."),
    "EvseID": Word("EVSE id, however it is written."),
    "EvseStatus": Word("EvseStatusType of OICP 2.3; any other word makes the EVSE UNKNOWN."),
    "Result": Word("Whether any record was accepted."),
    "StatusCode": Word("What became of the message."),
    "Code": Word("CodeType of OICP 2.3; `000` where `Result` is true."),
    "Description": Word("What the code means."),
    "AdditionalInfo": Word("How many records were refused, and why the first ones were."),
    "OicpAcknowledgement.message": Word("Only where the whole message was refused: why."),
    "id_pdc_itinerance": Word("Id of the EVSE."),
    "etat_pdc": Word("Whether the EVSE works: `en_service`, `hors_service` or `inconnu`."),
    "occupation_pdc": Word("Whether it is occupied: `libre`, `occupe`, `reserve` or `inconnu`."),
    "horodatage": Word("When the status was observed: ISO 8601, UTC where it has no zone."),
    "etat_prise_type_2": Word("Always null: nothing is kept about single plugs."),
    "etat_prise_type_combo_ccs": Word("Always null."),
    "etat_prise_type_chademo": Word("Always null."),
    "etat_prise_type_ef": Word("Always null."),
    "CreatedStatus.id": Word("An id of the status, which nothing accepts."),
    "CreatedStatuses.items": Word("An id for each status that was taken, which nothing accepts."),
    "size": _count("How many statuses were taken."),
    "QualichargeFault.detail": Word("What is wrong."),
    "QualichargeFault.message": Word("The same."),
    "QualichargeFault.code": Word("Stable word for the error, or the reason of the first item refused."),
    "password": Word("A key of this server."),
    "username": Word("Ignored."),
    "grant_type": Word("The grant."),
    "access_token": Word("The key itself."),
    "token_type": Word("How to send it: `Authorization: Bearer`."),
    "status_code": Word("Status code of OCPI; 1000 is success.", {"minimum": 1000, "maximum": 3999}),
    "status_message": Word("What was done or is wrong, for people."),
    "OcpiAnswer.timestamp": Word("When the answer was made.", {"format": "date-time"}),
    "OcpiAnswer.data": Word("What was asked for; missing where there is nothing."),
    "Taken.items": _count("Items that were decided, of all that were sent."),
    "Taken.refused": _count("Items that were refused, for a reason of their own."),
}


def components(
    sent: Collection[type],
    received: Collection[type] = (),
    *,
    names: Mapping[str, str] | None = None,
    limits: Mapping[str, Mapping[str, Any]] | None = None,
    words: Mapping[str, Word] | None = None,
) -> dict[str, Schema]:
    """Schemas of types and of all that they are made of, by name.

    Args:
        sent: types that are encoded: every member is there, but one that may be UNSET, and those of types
            that omit defaults where they are not known.
        received: types that are decoded: members with a default may be left out.
        names: other names than the types' own.
        limits: keywords of members (`Type.word`) that the caller knows.
        words: rows beside those of `WORDS`.

    Raises:
        ValueError: one of them would take the place of a row of `WORDS`, for all types.
    """
    twice = WORDS.keys() & (words or {}).keys()
    if twice:
        raise ValueError(f"{', '.join(sorted(twice))}: means something already; name the rows Type.word")
    renamed, meant = names or {}, {**WORDS, **(words or {})}
    found: dict[str, Schema] = {}
    for types, is_sent in ((sent, True), (received, False)):
        _, made = msgspec.json.schema_components(types, ref_template=REFERENCE)
        omitting = _omitting(msgspec.inspect.multi_type_info(types)) if is_sent else frozenset()
        for own, schema in made.items():
            name = renamed.get(own, own)
            if own in omitting:
                schema = _omitted(schema)  # noqa: PLW2901 - the same one
            found.setdefault(name, _finished(name, schema, limits or {}, meant, is_sent=is_sent))
    references = {REFERENCE.format(name=own): REFERENCE.format(name=name) for own, name in renamed.items()}

    used = {renamed.get(kind.__name__, kind.__name__) for kind in (*sent, *received)}

    def rename(part: Schema) -> None:
        if "$ref" in part:
            part["$ref"] = references.get(part["$ref"], part["$ref"])
            used.add(part["$ref"].rpartition("/")[2])

    walk(found, rename)
    return {name: schema for name, schema in sorted(found.items()) if name in used}


def word(component: str, member: str, words: Mapping[str, Word] = WORDS) -> tuple[str, Word]:
    """The row of a component's member, and its name in the table.

    Raises:
        KeyError: there is none; write one.
    """
    own = f"{component}.{member}"
    name = own if own in words else member
    return name, words[name]


def reference(name: str) -> Schema:
    """What stands for a component."""
    return {"$ref": REFERENCE.format(name=name)}


def _omitting(types: Iterable[msgspec.inspect.Type]) -> frozenset[str]:
    """Names of the structs among types, and all that they are made of, that leave defaults out."""
    found: dict[type, bool] = {}
    left = list(types)
    while left:
        kind = left.pop()
        if isinstance(kind, msgspec.inspect.StructType):
            if kind.cls not in found:
                found[kind.cls] = kind.cls.__struct_config__.omit_defaults
                left += [field.type for field in kind.fields]
        elif isinstance(kind, msgspec.inspect.UnionType):
            left += kind.types
        elif isinstance(kind, msgspec.inspect.TupleType):
            left += kind.item_types
        elif isinstance(kind, msgspec.inspect.CollectionType):
            left.append(kind.item_type)
    return frozenset(kind.__name__ for kind, omits in found.items() if omits)


def _omitted(schema: Schema) -> Schema:
    """The schema of a struct that leaves out what is as by default: such a member is never null."""
    properties = {}
    for member, given in schema["properties"].items():
        rest = {key: value for key, value in given.items() if key != "default"}
        branches = [each for each in rest.get("anyOf", ()) if each != {"type": "null"}]
        if "default" in given and len(branches) == 1:
            del rest["anyOf"]
            rest.update(branches[0])
        properties[member] = rest
    return {**schema, "properties": properties}


def _finished(
    name: str,
    schema: Schema,
    limits: Mapping[str, Mapping[str, Any]],
    words: Mapping[str, Word],
    *,
    is_sent: bool,
) -> Schema:
    schema = {key: value for key, value in schema.items() if key != "title"}
    if "properties" not in schema:
        return _plain(schema)
    given = schema["properties"]
    properties = {
        member: {**_member(name, member, one, words), **limits.get(f"{name}.{member}", {})}
        for member, one in given.items()
    }
    if is_sent:
        always = set(schema.get("required", ()))
        schema["required"] = [member for member, one in given.items() if member in always or "default" in one]
        for member in properties.values():
            member.pop("default", None)
    return {**schema, "properties": properties}


def _member(component: str, member: str, given: Schema, words: Mapping[str, Word]) -> Schema:
    _, row = word(component, member, words)
    if row.replaces:
        made: Schema = {}
    elif "$ref" in given:
        # Readers of draft 07 ignore what stands beside a reference.
        made = {"allOf": [given]}
    else:
        made = _plain(given)
    return {"description": row.description, **made, **row.limits}


def _plain(schema: Schema) -> Schema:
    """The same in fewer words: `null` as one of several types, one word as a constant, enums with types."""
    branches = schema.get("anyOf", ())
    if len(branches) == 2 and branches[1] == {"type": "null"} and isinstance(branches[0].get("type"), str):  # noqa: PLR2004 - a type, or null
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        return {**branches[0], "type": [branches[0]["type"], "null"], **rest}
    values = schema.get("enum")
    if values is None:
        return schema
    rest = {key: value for key, value in schema.items() if key != "enum"}
    kind = "string" if isinstance(values[0], str) else "integer"
    return {**rest, "type": kind, **({"const": values[0]} if len(values) == 1 else {"enum": values})}


def walk(node: Any, visit: Callable[[Schema], None]) -> None:  # noqa: ANN401 - any part of a document
    """Shows every object of a document to `visit`, outermost first."""
    if isinstance(node, dict):
        visit(node)
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        walk(child, visit)

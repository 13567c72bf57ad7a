"""The tables of the store, one definition for SQLite and PostgreSQL.

A change here needs a migration beside it (`migrations/versions`); a test compares the two. Columns that
end in `_at` are milliseconds since the Unix epoch, UTC.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    false,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

revision = Table(
    "revision",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("value", BigInteger, nullable=False),
)
"""One row, id 1. Whoever writes locks it first, so that revisions become visible in their order."""

numbers = Table(
    "numbers",
    metadata,
    Column("country", Text, primary_key=True),
    Column("next", BigInteger, nullable=False),
)
"""The next free number of a country's uuids. It never goes back, so that no uuid is given out twice."""

stations = Table(
    "stations",
    metadata,
    Column("uuid", Text, primary_key=True),
    Column("register", Text, nullable=False),
    Column("native_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("country", Text, nullable=False),
    Column("latitude", Double, nullable=False),
    Column("longitude", Double, nullable=False),
    Column("operator", Text),
    Column("address", Text),
    Column("city", Text),
    Column("layout", Text, nullable=False),
    Column("details", Text, nullable=False, server_default=text("'{}'")),
    Column("told", BigInteger, nullable=False, server_default=text("0")),
    Column("updated_at", BigInteger, nullable=False, server_default=text("-1")),
    Column("vanished_at", BigInteger),
    Column("revision", BigInteger, nullable=False, index=True),
    Index("ix_stations_register_native_id", "register", "native_id"),
)
"""`layout` is JSON: EVSEs as [key, evse_id, uid, party, ...], and connectors as [EVSE, standard, kW, ...].
`details` is `record.Details` as JSON. `updated_at` is -1 where it is not known.
`told` is a hash of what the register told; 0 where that is not known."""

evses = Table(
    "evses",
    metadata,
    Column("key", Text, primary_key=True),
    Column("station", Text, ForeignKey("stations.uuid"), nullable=False, index=True),
)
"""Which station has an EVSE key: one, vanished stations counted."""

readings = Table(
    "readings",
    metadata,
    Column("evse", Text, ForeignKey("evses.key", ondelete="CASCADE"), primary_key=True),
    Column("status", Text, nullable=False),
    Column("error", Boolean, nullable=False),
    Column("observed_at", BigInteger, nullable=False),
    Column("raw", Text, nullable=False),
    Column("revision", BigInteger, nullable=False, index=True),
)

operators = Table(
    "operators",
    metadata,
    Column("name", Text, primary_key=True),
    Column("parties", Text, nullable=False),
    Column("prefixes", Text, nullable=False),
    Column("all", Boolean, nullable=False),
    Column("stale_after_s", BigInteger),
    Column("may_register", Boolean, nullable=False, server_default=false()),
    Column("max_age_s", BigInteger),
    Column("by_receipt", Boolean, nullable=False, server_default=false()),
    Column("added_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
)
"""`parties` and `prefixes` are JSON lists."""

charge_points = Table(
    "charge_points",
    metadata,
    Column("id", Text, primary_key=True),
    Column("operator", Text, ForeignKey("operators.name"), nullable=False),
    Column("station", Text, ForeignKey("stations.uuid"), nullable=False),
    Column("evses", Text, nullable=False),
    Column("secret_sha256", LargeBinary, nullable=False),
    Column("added_at", BigInteger, nullable=False),
    Column("last_seen_at", BigInteger),
)
"""`evses` is a JSON list of [number, EVSE key]; empty is the station's own order."""

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("secret_sha256", LargeBinary, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("operator", Text, ForeignKey("operators.name")),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("last_used_at", BigInteger),
    Column("email", Text),
    Column("purpose", Text),
    Column("self_made", Boolean, nullable=False, server_default=false()),
    Column("approved_at", BigInteger),
)
"""`scopes` is a JSON list."""

ocpi_peers = Table(
    "ocpi_peers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("operator", Text, ForeignKey("operators.name"), nullable=False),
    Column("state", Text, nullable=False),
    Column("token_sha256", LargeBinary, nullable=False),
    Column("their_token", Text),
    Column("their_url", Text),
    Column("version", Text),
    Column("endpoints", Text, nullable=False),
    Column("roles", Text, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("registered_at", BigInteger),
)
"""Who speaks OCPI with us. `endpoints` and `roles` are JSON. `their_token` is kept as it is, to be shown."""

ocpi_locations = Table(
    "ocpi_locations",
    metadata,
    Column("operator", Text, ForeignKey("operators.name"), primary_key=True),
    Column("id", Text, primary_key=True),
    Column("document", LargeBinary, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
)
"""Locations as they were put, merged with what patched them since. `id` is `NO*ABC*LOC1`, in upper case."""

sources = Table(
    "sources",
    metadata,
    Column("name", Text, primary_key=True),
    Column("operator", Text, ForeignKey("operators.name"), nullable=False),
    Column("protocol", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("options", Text, nullable=False),
    Column("secret", Text),
    Column("certificate", Text),
    Column("certificate_key", Text),
    Column("poll_s", BigInteger),
    Column("max_age_s", BigInteger),
    Column("by_receipt", Boolean),
    Column("paused_at", BigInteger),
    Column("memory", Text, nullable=False),
    Column("added_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
)
"""`options` and `memory` are JSON objects. `secret` is kept as it is: we have to show it."""

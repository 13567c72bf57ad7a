"""Tables of the log in PostgreSQL, and every statement that is made of them.

log_meta      one row: where the chain of blocks ends, who may append (term), what checkpoint covers
log_blocks    the blocks that are kept
log_board, log_stations    the checkpoint
log_lease     one row: who writes
"""

from __future__ import annotations

from typing import Final

FORMAT: Final = 1
"""Version of the tables. A newer one is refused."""
LOCK: Final = 0x6C73_6C67
"""Any number, but always the same one: of the lock under which tables are made."""
ROW: Final = 1
"""Id of the only row of a table that has one."""

_TABLES: Final = """
CREATE TABLE {s}.log_meta (
    id integer PRIMARY KEY CHECK (id = 1),
    format integer NOT NULL,
    epoch text NOT NULL,
    -- Unique, so that who takes over waits for those who hold the row by FOR KEY SHARE; who appends does not.
    term bigint NOT NULL UNIQUE,
    block bigint NOT NULL,
    first bigint NOT NULL,
    last bigint NOT NULL,
    crc bigint NOT NULL,
    bytes bigint NOT NULL,
    checkpoint bigint NOT NULL,
    given_at bigint,
    heard_at bigint,
    registry_revision bigint NOT NULL,
    probed_at bigint NOT NULL,
    session text NOT NULL,
    source text NOT NULL,
    timeline text NOT NULL,
    renew text NOT NULL,
    store text NOT NULL
) WITH (fillfactor = 20);
CREATE TABLE {s}.log_blocks (
    number bigint PRIMARY KEY,
    first bigint NOT NULL,
    last bigint NOT NULL,
    at bigint NOT NULL,
    received_at bigint,
    term bigint NOT NULL,
    writer text NOT NULL,
    crc bigint NOT NULL,
    body bytea NOT NULL
);
ALTER TABLE {s}.log_blocks ALTER body SET STORAGE EXTERNAL;
CREATE INDEX ON {s}.log_blocks (last);
CREATE INDEX ON {s}.log_blocks (received_at) WHERE received_at IS NOT NULL;
CREATE TABLE {s}.log_board (evse text PRIMARY KEY, seq bigint NOT NULL, body bytea NOT NULL);
CREATE TABLE {s}.log_stations (uuid text PRIMARY KEY, seq bigint NOT NULL, body bytea NOT NULL);
CREATE TABLE {s}.log_lease (
    id integer PRIMARY KEY CHECK (id = 1),
    holder text NOT NULL,
    run text NOT NULL,
    url text NOT NULL,
    term bigint NOT NULL,
    beat bigint NOT NULL
) WITH (fillfactor = 20);
INSERT INTO {s}.log_lease VALUES (1, '', '', '', 0, 0)
"""

_NEXT: Final = (
    "SELECT * FROM unnest($8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], "
    "$13::bigint[], $14::text[], $15::bigint[], $16::bytea[])"
)


class Statements:
    """The statements for the tables of one schema."""

    def __init__(self, schema: str) -> None:
        s = '"' + schema.replace('"', '""') + '"'
        self.schema = schema
        self.channel = f"ladestrom_log_{schema}"[:63]
        """Where the end of the log is told, of PostgreSQL's 63 bytes."""
        self.make_schema = f"CREATE SCHEMA {s}"
        self.exists = f"SELECT to_regclass('{s}.log_meta') IS NOT NULL"
        self.make = _TABLES.format(s=s)
        self.make_meta = (
            f"INSERT INTO {s}.log_meta VALUES (1, {FORMAT}, $1, 0, 0, 1, 0, 0, 0, 0, NULL, NULL, 0, 0, "
            "'', '', '', '', '')"
        )
        self.meta = f"SELECT * FROM {s}.log_meta WHERE id = 1"
        self.append = f"""
            WITH fenced AS (
                UPDATE {s}.log_meta SET last = $5, block = $6, crc = $7, bytes = bytes + $4
                WHERE id = 1 AND epoch = $1 AND term = $2 AND block = $3 RETURNING last
            ), kept AS (
                INSERT INTO {s}.log_blocks (number, first, last, at, received_at, term, writer, crc, body)
                SELECT each.* FROM fenced, ({_NEXT}) AS each
            )
            SELECT pg_notify('{self.channel}', last::text) FROM fenced"""
        self.take = f"""
            WITH fenced AS (
                UPDATE {s}.log_meta SET
                    epoch = $1, term = $2, block = $6, crc = $7, bytes = bytes + $4, last = $5,
                    session = $17, source = $18, timeline = $19, renew = '', store = $20
                WHERE id = 1 AND term < $2 AND block = $3 RETURNING last
            ), kept AS (
                INSERT INTO {s}.log_blocks (number, first, last, at, received_at, term, writer, crc, body)
                SELECT each.* FROM fenced, ({_NEXT}) AS each
            )
            SELECT pg_notify('{self.channel}', last::text) FROM fenced"""
        self.block = f"SELECT crc, term, writer FROM {s}.log_blocks WHERE number = $1"
        self.after = f"""
            SELECT meta.epoch, meta.term, meta.block, meta.last, meta.first, each.number, each.crc, each.body
            FROM {s}.log_meta AS meta LEFT JOIN {s}.log_blocks AS each
                ON each.number > $1 AND each.first <= $2
            WHERE meta.id = 1 ORDER BY each.number"""
        """Blocks after a number, and where the log is: of one moment."""
        self.read = f"""
            SELECT meta.first AS kept_first, each.number, each.crc, each.body
            FROM {s}.log_meta AS meta LEFT JOIN {s}.log_blocks AS each
                ON each.last > $1 AND each.first <= greatest($1, meta.first - 1) + $2
            WHERE meta.id = 1 ORDER BY each.number"""
        self.before = f"""
            SELECT number, crc, body FROM {s}.log_blocks WHERE received_at < $1
            ORDER BY received_at DESC, number DESC LIMIT 1"""
        self.containing = (
            f"SELECT number, crc, body FROM {s}.log_blocks WHERE last >= $1 ORDER BY number LIMIT 1"
        )
        self.ends = f"""
            SELECT (SELECT at FROM {s}.log_blocks ORDER BY number LIMIT 1) AS oldest,
                (SELECT at FROM {s}.log_blocks ORDER BY number DESC LIMIT 1) AS newest"""
        self.oldest = f"""
            SELECT number, first, last, at, octet_length(body) AS bytes FROM {s}.log_blocks
            WHERE first <= $1 ORDER BY number LIMIT $2"""
        self.trim = f"""
            WITH fenced AS (
                UPDATE {s}.log_meta SET first = $3, bytes = bytes - $4
                WHERE id = 1 AND epoch = $1 AND term = $2
                RETURNING id
            ), dropped AS (
                DELETE FROM {s}.log_blocks USING fenced WHERE number <= $5
            )
            SELECT id FROM fenced"""
        held = f"WITH fenced AS (SELECT id FROM {s}.log_meta WHERE id = 1 AND term = $1 FOR KEY SHARE)"
        keep = "unnest($2::text[], $3::bigint[], $4::bytea[])"
        self.keep_rows = f"""
            {held}, kept AS (
                INSERT INTO {s}.log_board SELECT each.* FROM fenced, {keep} AS each
                ON CONFLICT (evse) DO UPDATE SET seq = excluded.seq, body = excluded.body
            )
            SELECT id FROM fenced"""
        self.keep_stations = f"""
            {held}, kept AS (
                INSERT INTO {s}.log_stations SELECT each.* FROM fenced, {keep} AS each
                ON CONFLICT (uuid) DO UPDATE SET seq = excluded.seq, body = excluded.body
            )
            SELECT id FROM fenced"""
        self.forget_stations = (
            f"{held}, gone AS (DELETE FROM {s}.log_stations USING fenced) SELECT id FROM fenced"
        )
        self.checkpoint = f"""
            UPDATE {s}.log_meta SET checkpoint = $2, given_at = $3, heard_at = $4, registry_revision = $5
            WHERE id = 1 AND term = $1 RETURNING id"""
        self.probe = f"UPDATE {s}.log_meta SET probed_at = $2 WHERE id = 1 AND term = $1 RETURNING id"
        self.close = f"UPDATE {s}.log_meta SET session = 'closed' WHERE id = 1 AND term = $1"
        self.ask_to_renew = f"UPDATE {s}.log_meta SET renew = $1 WHERE id = 1 AND renew = ''"
        self.begin_at = f"""
            UPDATE {s}.log_meta SET first = $1, checkpoint = greatest(checkpoint, $2), renew = $3, store = ''
            WHERE id = 1"""
        self.drop_blocks = f"DELETE FROM {s}.log_blocks WHERE last <= $1"
        self.chain = (
            f"SELECT number, first, last, crc, body FROM {s}.log_blocks WHERE number > $1 "
            "ORDER BY number LIMIT $2"
        )
        self.board = f"SELECT body FROM {s}.log_board"
        self.stations = f"SELECT body FROM {s}.log_stations"
        self.bytes = "SELECT " + " + ".join(
            f"pg_total_relation_size('{s}.{table}')"
            for table in ("log_meta", "log_blocks", "log_board", "log_stations")
        )
        self.lease = f"SELECT holder, run, url, term, beat FROM {s}.log_lease WHERE id = 1"
        self.swap = f"""
            UPDATE {s}.log_lease SET holder = $3, run = $4, url = $5, term = $6, beat = $7
            WHERE id = 1 AND term = $1 AND beat = $2 AND run = $8 RETURNING id"""


WHERE: Final = """
SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('full_page_writes') AS full_page_writes,
    current_setting('synchronous_standby_names') AS standbys,
    pg_is_in_recovery() AS is_standby, pg_postmaster_start_time()::text AS started,
    CASE WHEN pg_is_in_recovery() THEN '' ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END
        AS timeline,
    (SELECT system_identifier::text FROM pg_control_system())
        || '/' || (SELECT oid::text FROM pg_database WHERE datname = current_database()) AS source,
    current_schema() AS schema
"""
"""What the server is, and what its commits survive."""

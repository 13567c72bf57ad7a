"""What Alembic runs: migrations in the transaction of the connection that it is given.

Must not open a connection, choose a database or configure logging: `backends.schema` does the first two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic import context

from ladestrom.backends.tables import metadata

if TYPE_CHECKING:
    from sqlalchemy import Connection


def run(connection: Connection) -> None:
    """Brings the tables that the connection sees to the revision that was asked for."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_server_default=True,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])

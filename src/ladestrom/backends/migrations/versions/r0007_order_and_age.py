"""How old an observation may be, and whether a source's times say anything."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; those that are there believe every time, as they did."""
    op.add_column("operators", sa.Column("max_age_s", sa.BigInteger(), nullable=True))
    op.add_column(
        "operators", sa.Column("by_receipt", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column("sources", sa.Column("max_age_s", sa.BigInteger(), nullable=True))
    op.add_column("sources", sa.Column("by_receipt", sa.Boolean(), nullable=True))


def downgrade() -> None:
    """Drop the columns."""
    for table in ("sources", "operators"):
        for column in ("by_receipt", "max_age_s"):
            op.drop_column(table, column)

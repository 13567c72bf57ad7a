"""What a register told of a station, as a hash: by it a record is known that says what it said before."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of stations that are there it is not known what was told."""
    op.add_column("stations", sa.Column("told", sa.BigInteger(), nullable=False, server_default=sa.text("0")))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("stations", "told")

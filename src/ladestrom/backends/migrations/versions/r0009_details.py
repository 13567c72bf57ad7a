"""All that registers say of a station: opening, access, payment, and what else is optional."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; stations that are there have nothing of it until their register is imported again."""
    op.add_column("stations", sa.Column("details", sa.Text(), nullable=False, server_default=sa.text("'{}'")))
    op.add_column(
        "stations", sa.Column("updated_at", sa.BigInteger(), nullable=False, server_default=sa.text("-1"))
    )


def downgrade() -> None:
    """Drop the columns."""
    op.drop_column("stations", "updated_at")
    op.drop_column("stations", "details")

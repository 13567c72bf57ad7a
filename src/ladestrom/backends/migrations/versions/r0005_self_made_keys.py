"""Keys that their holders made: whose they are, what for, and since when they are good."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; keys that are there were made by who runs the server."""
    op.add_column("keys", sa.Column("email", sa.Text(), nullable=True))
    op.add_column("keys", sa.Column("purpose", sa.Text(), nullable=True))
    op.add_column("keys", sa.Column("self_made", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("keys", sa.Column("approved_at", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Drop the columns. Keys that wait are dropped too: they would be good."""
    op.execute(sa.text("DELETE FROM keys WHERE self_made AND approved_at IS NULL"))
    for column in ("approved_at", "self_made", "purpose", "email"):
        op.drop_column("keys", column)

"""Charge points that speak OCPP with us."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "charge_points",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("evses", sa.Text(), nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["operator"], ["operators.name"], name="fk_charge_points_operator"),
        sa.ForeignKeyConstraint(["station"], ["stations.uuid"], name="fk_charge_points_station"),
        sa.PrimaryKeyConstraint("id", name="pk_charge_points"),
    )


def downgrade() -> None:
    """Drop the table, and all that is in it."""
    op.drop_table("charge_points")

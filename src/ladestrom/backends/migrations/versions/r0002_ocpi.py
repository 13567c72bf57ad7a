"""Who speaks OCPI with us, what they have put, and who may register stations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; operators that are there may not register stations."""
    op.add_column(
        "operators", sa.Column("may_register", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.create_table(
        "ocpi_peers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("token_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("their_token", sa.Text(), nullable=True),
        sa.Column("their_url", sa.Text(), nullable=True),
        sa.Column("version", sa.Text(), nullable=True),
        sa.Column("endpoints", sa.Text(), nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("registered_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["operator"], ["operators.name"], name="fk_ocpi_peers_operator"),
        sa.PrimaryKeyConstraint("id", name="pk_ocpi_peers"),
    )
    op.create_table(
        "ocpi_locations",
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["operator"], ["operators.name"], name="fk_ocpi_locations_operator"),
        sa.PrimaryKeyConstraint("operator", "id", name="pk_ocpi_locations"),
    )


def downgrade() -> None:
    """Drop the tables, and all that is in them."""
    op.drop_table("ocpi_locations")
    op.drop_table("ocpi_peers")
    with op.batch_alter_table("operators") as operators:
        operators.drop_column("may_register")

"""The table of the positions of streams, which are stored together with the rows that were read of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision, down_revision = "0004", "0003"


def upgrade() -> None:
    """Create the table, unless a target has done so before."""
    op.create_table(
        "stream_positions",
        sa.Column("reader", sa.Text, nullable=False),
        sa.Column("stream", sa.Text, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("log", sa.Integer, nullable=False),
        sa.Column("parted", sa.BigInteger, nullable=False),
        sa.Column("next", sa.BigInteger, nullable=False),
        sa.Column("seal", sa.Text, nullable=False),
        sa.Column("refused", JSONB, nullable=False, server_default="{}"),
        sa.Column("updated_at", TIMESTAMP(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("reader", "stream", "partition", "log"),
        if_not_exists=True,
    )

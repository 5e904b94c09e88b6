"""The table of days whose candles have to be refreshed; of a database that has candles, all days that have prices."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision, down_revision = "0005", "0004"

ALL_DAYS = """
    INSERT INTO stale_candles (table_name, day)
    SELECT DISTINCT 'crypto_prices', day
    FROM timescaledb_information.chunks, generate_series(
        time_bucket('1 day', range_start), range_end - interval '1 microsecond', interval '1 day'
    ) day
    WHERE hypertable_schema = current_schema() AND hypertable_name = 'crypto_prices' AND range_start < now()
    ON CONFLICT DO NOTHING
"""


def upgrade() -> None:
    """Create the table, unless a target has done so before."""
    op.create_table(
        "stale_candles",
        sa.Column("table_name", sa.Text, nullable=False),
        sa.Column("day", TIMESTAMP(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False, server_default="1"),
        sa.Column("incomplete", sa.Boolean, nullable=False, server_default="false"),
        sa.PrimaryKeyConstraint("table_name", "day"),
        if_not_exists=True,
    )
    if op.get_bind().scalar(sa.text("SELECT to_regclass('timescaledb_information.chunks') IS NOT NULL")):
        op.execute(ALL_DAYS)

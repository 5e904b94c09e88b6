"""The share of bitcoin and the change of the market's cap may be unknown: CoinGecko does not always say them."""

from __future__ import annotations

from contextlib import suppress

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0007", "0006"

COLUMNS = ("btc_dominance", "market_cap_change_24h")


def upgrade() -> None:
    """Let the columns be null.

    TimescaleDB of some versions refuses that for a table that compresses: the columns stay as they are then, and a row
    that lacks one of the two is refused as it was before.
    """
    connection = op.get_bind()
    there = {one["name"] for one in sa.inspect(connection).get_columns("market_analytics") if not one["nullable"]}
    with suppress(sa.exc.NotSupportedError), connection.begin_nested():
        for name in COLUMNS:
            if name in there:
                op.alter_column("market_analytics", name, nullable=True)

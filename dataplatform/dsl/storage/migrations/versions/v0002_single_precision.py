"""Changes in percent take 4 bytes: seven digits are more than their sources know."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"

COLUMNS = ("change_24h", "change_7d")
LEAST, GREATEST = "1.2e-38", "3.4e38"  # PostgreSQL refuses what single precision cannot hold


def upgrade() -> None:
    """Convert the columns that are not converted yet, in one rewrite of the table."""
    there = {column["name"]: column["type"] for column in sa.inspect(op.get_bind()).get_columns("crypto_prices")}
    changes = [_change(name) for name in COLUMNS if not isinstance(there[name], sa.REAL)]
    if changes:
        op.execute(f"ALTER TABLE crypto_prices {', '.join(changes)}")


def _change(name: str) -> str:
    kept = f"CASE WHEN abs({name}) < {LEAST} THEN 0 ELSE greatest(-{GREATEST}, least({GREATEST}, {name})) END"
    return f"ALTER COLUMN {name} TYPE real USING CASE WHEN {name} IS NOT NULL THEN {kept} END"

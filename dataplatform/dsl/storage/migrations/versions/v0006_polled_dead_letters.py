"""A dead letter of polled input says what it should have been, which kind of source decodes it, and who answered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0006", "0005"

COLUMNS = ("record_kind", "source_kind", "source")


def upgrade() -> None:
    """Add the columns, unless a target made the table with them; programs of the version before leave them empty."""
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("dead_letters")}
    for name in COLUMNS:
        if name not in there:
            op.add_column("dead_letters", sa.Column(name, sa.Text, nullable=False, server_default=""))

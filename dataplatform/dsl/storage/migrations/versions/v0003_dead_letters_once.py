"""A dead letter stands once, under its id, however often the input came; in a plain table, kept until it is deleted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0003", "0002"


def upgrade() -> None:
    """Make the table anew, where it has the older key: it may be a hypertable, whose key holds the time."""
    key = sa.inspect(op.get_bind()).get_pk_constraint("dead_letters")["constrained_columns"]
    if key == ["id"]:
        return
    op.execute("LOCK TABLE dead_letters IN ACCESS EXCLUSIVE MODE")
    op.execute("CREATE TABLE letters_once (LIKE dead_letters)")
    op.execute("INSERT INTO letters_once SELECT DISTINCT ON (id) * FROM dead_letters ORDER BY id, time DESC")
    op.execute("DROP TABLE dead_letters")
    op.execute("ALTER TABLE letters_once RENAME TO dead_letters")
    op.execute("ALTER TABLE dead_letters ADD CONSTRAINT dead_letters_pkey PRIMARY KEY (id)")
    op.execute("CREATE INDEX dead_letters_time_idx ON dead_letters (time DESC)")

"""Hearing from a database that rows are committed, so that a test can act at that moment."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2

from tests.support.waiting import DEADLINE

__all__ = ["hears", "listening"]

PATIENCE = DEADLINE


@contextmanager
def listening(dsn: str, channel: str, *statements: str) -> Iterator[Any]:
    """Yield a session that has run the statements, and listens."""
    with closing(psycopg2.connect(dsn)) as session:
        session.autocommit = True
        with session.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            cursor.execute(f"LISTEN {channel}")
        yield session


def hears(session: Any) -> None:
    """Wait until the session is told something."""
    deadline = time.monotonic() + PATIENCE
    while not session.notifies:
        assert select.select([session], [], [], max(0.0, deadline - time.monotonic()))[0], "nothing was heard"
        session.poll()

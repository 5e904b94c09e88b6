"""What a database client is asked: queries, and rows to write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import field, frozen, validators

from dataplatform.base.agent import Request
from dataplatform.base.position import OffsetRange, Position
from dataplatform.errors import PlatformError
from dataplatform.notebook import table_html

if TYPE_CHECKING:  # whoever only asks needs no SQLAlchemy
    from dataplatform.base.database.stale_candles import TimesOfRows
    from dataplatform.base.database.tables import TableSpec

__all__ = ["Probe", "Query", "Rows", "RowsWritten", "WriteRows"]


@frozen
class RowsWritten:
    """So many rows were inserted or updated, and committed.

    `already_stored` rows were left out, as their positions say that they were written before; `left_out` are the
    offsets of each partition of which the batch had nothing new, up to where they are stored. `refused` are the rows
    that no table could hold, by index, with their errors.

    A database that is `behind` has not stored what the positions say was read before, as it was put back to an earlier
    state; then nothing is committed, and reading has to go back.
    """

    table: str
    rows: int
    refused: tuple[tuple[int, PlatformError], ...] = ()
    behind: bool = False
    already_stored: int = 0
    left_out: tuple[OffsetRange, ...] = ()


@frozen
class WriteRows(Request[RowsWritten]):
    """Insert or update rows, each given as a line of COPY text, in one transaction.

    With `positions`, whose offsets are those of the rows, these are stored with the rows, and a row that its position
    says is there already is not written again. A row that updates another one with its key is written. With `times`,
    for a table of which candles are kept, days whose candles have to be refreshed are noted with the rows.
    """

    spec: TableSpec = field(repr=lambda spec: spec.name)
    lines: Sequence[str] = field(repr=lambda lines: f"{len(lines)} lines")
    positions: tuple[Position, ...] = ()
    times: TimesOfRows | None = field(default=None, repr=False)


@frozen
class Rows:
    """The rows a query answered, as tuples, and the names of their columns."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    def _repr_html_(self) -> str:
        return table_html(self.columns, self.rows)


@frozen
class Query(Request[Rows]):
    """Run one SELECT with bound parameters (`%(name)s`), in a read-only transaction; answers at most `most` rows.

    Where the server lacks a table, a view or a function that it names, `instead` is run; without one, the tables it
    `needs` are made, empty. Without parameters a `%` stands for itself.
    """

    sql: str
    parameters: Mapping[str, Any] = field(factory=dict)
    most: int = field(default=10_000, validator=validators.ge(1))
    needs: tuple[TableSpec, ...] = field(default=(), repr=False)
    instead: Query | None = field(default=None, repr=False)


@frozen
class Probe(Request[str]):
    """Answers the server's version; fails while it cannot be reached."""

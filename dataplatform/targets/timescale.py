"""The TimescaleDB target: rows of every kind go into the kind's table, new ones inserted, known ones updated."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any, ClassVar

from attrs import Attribute, evolve, field, frozen

from dataplatform.base.agent import Context, Deferred
from dataplatform.base.database import RowsWritten, TableSpec, TimesOfRows, WriteRows, table_spec
from dataplatform.base.position import Position, ReadPositions
from dataplatform.dsl.flow import Batch, LeftOut, Rejection
from dataplatform.dsl.flow.target import reader_of
from dataplatform.dsl.operations.parts import TargetOptions
from dataplatform.dsl.operations.writer import BaseWriter
from dataplatform.dsl.records.kinds import DEAD_LETTERS, Kind, kind_named, kinds
from dataplatform.dsl.records.rules import shown
from dataplatform.dsl.records.types import Record
from dataplatform.dsl.storage.tables import STORAGE, named_table

__all__ = ["TimescaleOptions", "TimescaleTarget"]

POSITIONS_TIMEOUT = 4.0  # seconds; a consumer waits for the answer, and its group for the consumer
WITH_CANDLES = {view.of.table for view in STORAGE.candles}
LONGEST_NAME = 55  # bytes; PostgreSQL cuts longer names, those of staging tables and indexes included


def _table_names(options: Any, attribute: Attribute[Any], names: Mapping[str, str]) -> None:
    del options
    for kind, name in names.items():
        if kind_named(kind) is None:
            known = ", ".join(one.name for one in kinds())
            raise ValueError(f"{attribute.name}: {shown(kind)} is no kind of record; there are {known}")
        if not isinstance(name, str) or not 0 < len(name.encode()) <= LONGEST_NAME or "\0" in name:
            raise ValueError(f"{attribute.name}: {shown(name)} is no name of a table of 1 to {LONGEST_NAME} bytes")


@frozen(kw_only=True)
class TimescaleOptions(TargetOptions):
    """Options of `kind = "timescale"` under `[targets.NAME]`.

    With `append` every record that is read becomes a row of its own, corrections and repetitions included, in tables
    without a key: by default in `crypto_prices_log` and so on. Such tables, and those named in `tables`, are made when
    they are first written to; migrations do not touch them.
    """

    tables: Mapping[str, str] = field(
        factory=dict,
        validator=_table_names,
        metadata={"help": "the table of each kind of record, where it is not the kind's own"},
    )
    append: bool = field(default=False, metadata={"help": "keep every record as a row of its own, and update none"})

    def spec(self, kind: Kind) -> TableSpec:
        """Return the table of a kind. Dead letters have a key always, as one may come twice."""
        append = self.append and kind is not DEAD_LETTERS
        name = self.tables.get(kind.name, f"{kind.table}_log" if append else kind.table)
        return table_spec(kind.type, name, (), kind.time) if append else named_table(kind, name)


class TimescaleTarget(BaseWriter):
    """Writes by COPY, together with the positions of what it writes, so that each record is written exactly once."""

    technology: ClassVar[str] = "TimescaleDB"
    client_kind: ClassVar[str] = "timescale"
    keeps_positions: ClassVar[bool] = True
    Options = TimescaleOptions
    options: TimescaleOptions

    def __init__(self, context: Context, options: Any, client: str) -> None:
        super().__init__(context, options, client)
        self._specs = {kind.name: self.options.spec(kind) for kind in kinds()}

    @classmethod
    def tables(cls, options: Any) -> Mapping[str, str]:
        return {kind.name: options.spec(kind).name for kind in kinds()}

    def _request(self, kind: Kind, records: list[Record]) -> WriteRows:
        spec = self._specs[kind.name]
        return WriteRows(spec, spec.copy_lines(records), times=self._times(kind, records))

    def _times(self, kind: Kind, records: list[Record]) -> TimesOfRows | None:
        """Return the times of records of which TimescaleDB keeps candles, when they come into the kind's own table."""
        if self._specs[kind.name].name not in WITH_CANDLES:
            return None
        return TimesOfRows.of(map(attrgetter(kind.time), records))

    def _batch_request(self, batch: Batch) -> WriteRows:
        kept = tuple(evolve(one, reader=self._reader(one.reader)) for one in batch.positions if one.reader)
        return evolve(self._request(batch.kind, batch.records), positions=kept)

    def _positions(self, reader: str) -> Deferred[tuple[Position, ...]]:
        answer: Deferred[tuple[Position, ...]] = Deferred()
        self.call(self.client, ReadPositions(self._reader(reader)), answer.settle, timeout=POSITIONS_TIMEOUT)
        return answer

    def _reader(self, reader: str) -> str:
        return reader_of(reader, self.name)

    def _is_abandoned(self, answer: Any) -> bool:
        return isinstance(answer, RowsWritten) and answer.behind

    def _left_out(self, answer: Any) -> LeftOut:
        assert isinstance(answer, RowsWritten)
        return LeftOut(answer.already_stored, answer.left_out)

    def _rejections(self, answer: Any) -> list[Rejection]:
        assert isinstance(answer, RowsWritten)
        return [Rejection(index, error) for index, error in answer.refused]

"""The TimescaleDB target: rows of every kind go into the kind's table, new ones inserted, known ones updated."""

from __future__ import annotations

from typing import ClassVar

from attrs import frozen

from dataplatform.base.database import WriteRows
from dataplatform.dsl.kinds import Kind
from dataplatform.dsl.parts import TargetOptions
from dataplatform.dsl.tables import TABLES
from dataplatform.dsl.types import Record
from dataplatform.dsl.writer import BaseWriter

__all__ = ["TimescaleOptions", "TimescaleTarget"]


@frozen(kw_only=True)
class TimescaleOptions(TargetOptions):
    """Options of `kind = "timescale"` under `[targets.NAME]`."""


class TimescaleTarget(BaseWriter):
    """Writes through COPY into a staging table and one upsert per batch, in one transaction."""

    technology: ClassVar[str] = "TimescaleDB"
    client_kind: ClassVar[str] = "timescale"
    Options = TimescaleOptions

    def _request(self, kind: Kind, records: list[Record]) -> WriteRows:
        spec = TABLES[kind.name]
        return WriteRows(spec, spec.copy_text(records), len(records))

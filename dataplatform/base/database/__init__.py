"""Databases: a client agent per connection, tables derived from attrs classes, migrations and TimescaleDB."""

from typing import TYPE_CHECKING

from dataplatform.faces import face

if TYPE_CHECKING:
    from dataplatform.base.database.candle_refresh import CandleRefresher
    from dataplatform.base.database.client import TimescaleClient
    from dataplatform.base.database.hypertables import Candles, Layout, Storage
    from dataplatform.base.database.migrations import Migrated, Migrator, migrate
    from dataplatform.base.database.queries import Probe, Query, Rows, RowsWritten, WriteRows
    from dataplatform.base.database.settings import TimescaleSettings
    from dataplatform.base.database.sizes import MeasureStorage, StorageSize, TableSize
    from dataplatform.base.database.stale_candles import TimesOfRows
    from dataplatform.base.database.statements import as_query
    from dataplatform.base.database.tables import TableSpec, table_spec
else:
    __getattr__, __dir__ = face(__name__)

__all__ = [
    "CandleRefresher",
    "Candles",
    "Layout",
    "MeasureStorage",
    "Migrated",
    "Migrator",
    "Probe",
    "Query",
    "Rows",
    "RowsWritten",
    "Storage",
    "StorageSize",
    "TableSize",
    "TableSpec",
    "TimesOfRows",
    "TimescaleClient",
    "TimescaleSettings",
    "WriteRows",
    "as_query",
    "migrate",
    "table_spec",
]

"""Databases: a client agent per connection, tables derived from attrs classes."""

from dataplatform.base.database.client import TimescaleClient
from dataplatform.base.database.requests import Probe, Query, Rows, RowsWritten, WriteRows
from dataplatform.base.database.settings import TimescaleSettings
from dataplatform.base.database.statements import as_query
from dataplatform.base.database.tables import TableSpec, table_spec

__all__ = [
    "Probe",
    "Query",
    "Rows",
    "RowsWritten",
    "TableSpec",
    "TimescaleClient",
    "TimescaleSettings",
    "WriteRows",
    "as_query",
    "table_spec",
]

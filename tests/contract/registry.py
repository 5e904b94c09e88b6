"""Every source and target that is installed, by its kind, and one valid message of each operation."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, cast

from dataplatform.base.agent import Request
from dataplatform.dsl.operations import operations as ops
from dataplatform.dsl.operations.reader import BaseReader
from dataplatform.dsl.operations.registry import plugins
from dataplatform.dsl.operations.writer import BaseWriter
from dataplatform.dsl.records.kinds import ANALYTICS, LEVEL1, OHLCV, PRICES
from dataplatform.dsl.records.queries import DateRangeOHLCVQuery, Level1Query
from tests.dsl.records import NOON, price, record

READERS: dict[str, type[BaseReader]] = {one.kind: cast("type[BaseReader]", one.load()) for one in plugins("sources")}
WRITERS: dict[str, type[BaseWriter]] = {one.kind: cast("type[BaseWriter]", one.load()) for one in plugins("targets")}

READING: list[ops.SourceRequest[Any]] = [
    ops.GetCurrentPrice("bitcoin"),
    ops.GetCurrentPrices(["bitcoin", "ethereum"]),
    ops.GetCurrentOHLCV("bitcoin", "4h"),
    ops.GetLatestOHLCV(["bitcoin"], "4h"),
    ops.GetPriceHistory("bitcoin", 7),
    ops.GetOHLCVByDateRange(DateRangeOHLCVQuery("bitcoin", NOON - timedelta(days=2), NOON, "4h")),
    ops.GetAvailableTickers(10),
    ops.GetLevel1Data(Level1Query("bitcoin")),
    ops.GetMarketAnalytics(),
]
WRITING: list[ops.TargetRequest[Any]] = [
    ops.PublishPrice(price()),
    ops.PublishPrices([price("a"), price("b")]),
    ops.PublishOHLCV(record(OHLCV)),  # type: ignore[arg-type]
    ops.PublishOHLCVBatch([record(OHLCV)]),  # type: ignore[list-item]
    ops.PublishLevel1(record(LEVEL1)),  # type: ignore[arg-type]
    ops.PublishLevel1Batch([record(LEVEL1)]),  # type: ignore[list-item]
    ops.PublishAnalytics(record(ANALYTICS)),  # type: ignore[arg-type]
    ops.PublishBatch([record(kind) for kind in (PRICES, OHLCV, ANALYTICS, LEVEL1)]),
    ops.Flush(),
]


def name_of(message: Request[Any] | type[Any]) -> str:
    """Return the operation that a message is named after: `get_ohlcv_by_date_range` for `GetOHLCVByDateRange`."""
    cls = message if isinstance(message, type) else type(message)
    words = re.findall(r"OHLCV|Level1|[A-Z][a-z]+", cls.__name__)
    return "_".join(word.lower() for word in words)

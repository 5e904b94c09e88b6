"""A platform of supervised actors that moves cryptocurrency market data from sources to targets and loses none of it.

The names below are what a script or a plugin imports; each is loaded when it is first used.

>>> from dataplatform import Success, get_data
>>> get_data(Success(1))
1
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataplatform.base.database import TimescaleSettings
    from dataplatform.base.http import HttpSettings
    from dataplatform.base.mcp import McpSettings
    from dataplatform.base.streaming import RedpandaSettings
    from dataplatform.base.technology import Technology
    from dataplatform.dsl.feeds import Feed
    from dataplatform.dsl.kinds import ANALYTICS, LEVEL1, OHLCV, PRICES, Kind
    from dataplatform.dsl.laws import Pipe, Piped, pipe
    from dataplatform.dsl.parts import SourceOptions, TargetOptions
    from dataplatform.dsl.plan import Plan
    from dataplatform.dsl.queries import (
        BatchPublishResult,
        CurrentPricesOptions,
        DateRangeOHLCVQuery,
        Level1Query,
        PublishResult,
    )
    from dataplatform.dsl.reader import BaseReader
    from dataplatform.dsl.types import (
        CryptoMarketAnalytics,
        CryptoOHLCVData,
        CryptoPriceData,
        DeadLetter,
        Level1Data,
    )
    from dataplatform.dsl.writer import BaseWriter
    from dataplatform.errors import Permanent, PlatformError, Transient
    from dataplatform.result import Failure, Result, Success, get_data, get_error, is_failure, is_success
    from dataplatform.services.service import BaseService, ServiceOptions
    from dataplatform.system.demo import DemoServers, demo_option, demo_servers
    from dataplatform.system.factories import (
        MarketDataReader,
        MarketDataWriter,
        create_coingecko_market_data_reader,
        create_mcp_market_data_reader,
        create_mcp_market_data_writer,
        create_redpanda_market_data_reader,
        create_redpanda_market_data_writer,
        create_timescale_market_data_reader,
        create_timescale_market_data_writer,
    )
    from dataplatform.system.logs import configure_logs
    from dataplatform.system.platform import Platform
    from dataplatform.system.topology import (
        ConfigurationError,
        Route,
        ServiceSpec,
        SourceSpec,
        TargetSpec,
        Topology,
        load_topology,
    )

__all__ = [
    "ANALYTICS",
    "LEVEL1",
    "OHLCV",
    "PRICES",
    "BaseReader",
    "BaseService",
    "BaseWriter",
    "BatchPublishResult",
    "ConfigurationError",
    "CryptoMarketAnalytics",
    "CryptoOHLCVData",
    "CryptoPriceData",
    "CurrentPricesOptions",
    "DateRangeOHLCVQuery",
    "DeadLetter",
    "DemoServers",
    "Failure",
    "Feed",
    "HttpSettings",
    "Kind",
    "Level1Data",
    "Level1Query",
    "MarketDataReader",
    "MarketDataWriter",
    "McpSettings",
    "Permanent",
    "Pipe",
    "Piped",
    "Plan",
    "Platform",
    "PlatformError",
    "PublishResult",
    "RedpandaSettings",
    "Result",
    "Route",
    "ServiceOptions",
    "ServiceSpec",
    "SourceOptions",
    "SourceSpec",
    "Success",
    "TargetOptions",
    "TargetSpec",
    "Technology",
    "TimescaleSettings",
    "Topology",
    "Transient",
    "configure_logs",
    "create_coingecko_market_data_reader",
    "create_mcp_market_data_reader",
    "create_mcp_market_data_writer",
    "create_redpanda_market_data_reader",
    "create_redpanda_market_data_writer",
    "create_timescale_market_data_reader",
    "create_timescale_market_data_writer",
    "demo_option",
    "demo_servers",
    "get_data",
    "get_error",
    "is_failure",
    "is_success",
    "load_topology",
    "pipe",
]

_HOMES = (
    "dataplatform.result",
    "dataplatform.errors",
    "dataplatform.dsl.types",
    "dataplatform.dsl.queries",
    "dataplatform.dsl.feeds",
    "dataplatform.dsl.kinds",
    "dataplatform.dsl.parts",
    "dataplatform.dsl.plan",
    "dataplatform.dsl.reader",
    "dataplatform.dsl.writer",
    "dataplatform.dsl.laws",
    "dataplatform.base.database",
    "dataplatform.base.http",
    "dataplatform.base.mcp",
    "dataplatform.base.streaming",
    "dataplatform.base.technology",
    "dataplatform.services.service",
    "dataplatform.system.topology",
    "dataplatform.system.platform",
    "dataplatform.system.demo",
    "dataplatform.system.factories",
    "dataplatform.system.logs",
)


def __getattr__(name: str) -> Any:
    if name in __all__:
        for home in map(import_module, _HOMES):
            if name in getattr(home, "__all__", ()):
                return getattr(home, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

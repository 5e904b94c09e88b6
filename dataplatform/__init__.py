"""A platform of supervised actors that moves cryptocurrency market data from sources to targets and loses none of it.

The names below are what a script or a plugin imports; each is loaded when it is first used.

>>> from dataplatform import Success, get_data
>>> get_data(Success(1))
1
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from dataplatform.base.agent import Agent, ChildSpec, Context, Request
    from dataplatform.base.database import TimescaleSettings
    from dataplatform.base.http import Get, HttpSettings, Response
    from dataplatform.base.mcp import McpSettings
    from dataplatform.base.streaming import RedpandaSettings
    from dataplatform.base.technology import Technology
    from dataplatform.dsl.flow import Outbox, letter_for_input
    from dataplatform.dsl.flow.feeds import Feed, FeedResult
    from dataplatform.dsl.flow.plan import Plan
    from dataplatform.dsl.operations.parts import Connection, Part, SourceOptions, TargetOptions
    from dataplatform.dsl.operations.pipe import Pipe, Piped, pipe
    from dataplatform.dsl.operations.reader import BaseReader
    from dataplatform.dsl.operations.writer import BaseWriter
    from dataplatform.dsl.records.kinds import ANALYTICS, LEVEL1, OHLCV, PRICES, Kind
    from dataplatform.dsl.records.queries import (
        BatchPublishResult,
        CurrentPricesOptions,
        DateRangeOHLCVQuery,
        Level1Query,
        PublishResult,
    )
    from dataplatform.dsl.records.types import (
        CryptoMarketAnalytics,
        CryptoOHLCVData,
        CryptoPriceData,
        DeadLetter,
        Level1Data,
    )
    from dataplatform.errors import Permanent, PlatformError, Transient
    from dataplatform.result import Failure, Result, Success, get_data, get_error, is_failure, is_success
    from dataplatform.services.service import BaseService, ServiceOptions
    from dataplatform.system.config.topology import (
        ConfigurationError,
        Route,
        ServiceSpec,
        SourceSpec,
        TargetSpec,
        Topology,
        load_topology,
    )
    from dataplatform.system.console.logs import configure_logs
    from dataplatform.system.platform.demo import DemoServers, demo_option, demo_servers
    from dataplatform.system.platform.factories import (
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
    from dataplatform.system.platform.platform import Platform
    from dataplatform.version import __version__

__all__ = [
    "ANALYTICS",
    "LEVEL1",
    "OHLCV",
    "PRICES",
    "Agent",
    "BaseReader",
    "BaseService",
    "BaseWriter",
    "BatchPublishResult",
    "ChildSpec",
    "ConfigurationError",
    "Connection",
    "Context",
    "CryptoMarketAnalytics",
    "CryptoOHLCVData",
    "CryptoPriceData",
    "CurrentPricesOptions",
    "DateRangeOHLCVQuery",
    "DeadLetter",
    "DemoServers",
    "Failure",
    "Feed",
    "FeedResult",
    "Get",
    "HttpSettings",
    "Kind",
    "Level1Data",
    "Level1Query",
    "MarketDataReader",
    "MarketDataWriter",
    "McpSettings",
    "Outbox",
    "Part",
    "Permanent",
    "Pipe",
    "Piped",
    "Plan",
    "Platform",
    "PlatformError",
    "PublishResult",
    "RedpandaSettings",
    "Request",
    "Response",
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
    "__version__",
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
    "letter_for_input",
    "load_topology",
    "pipe",
]

_NAMES: Final = {
    "dataplatform.dsl.flow": ("Outbox", "letter_for_input"),
    "dataplatform.base.agent": ("Agent", "ChildSpec", "Context", "Request"),
    "dataplatform.base.database": ("TimescaleSettings",),
    "dataplatform.base.http": ("Get", "HttpSettings", "Response"),
    "dataplatform.base.mcp": ("McpSettings",),
    "dataplatform.base.streaming": ("RedpandaSettings",),
    "dataplatform.base.technology": ("Technology",),
    "dataplatform.dsl.flow.feeds": ("FeedResult", "Feed"),
    "dataplatform.dsl.records.kinds": ("ANALYTICS", "LEVEL1", "OHLCV", "PRICES", "Kind"),
    "dataplatform.dsl.operations.pipe": ("Pipe", "Piped", "pipe"),
    "dataplatform.dsl.operations.parts": ("Connection", "Part", "SourceOptions", "TargetOptions"),
    "dataplatform.dsl.flow.plan": ("Plan",),
    "dataplatform.dsl.records.queries": (
        "BatchPublishResult",
        "CurrentPricesOptions",
        "DateRangeOHLCVQuery",
        "Level1Query",
        "PublishResult",
    ),
    "dataplatform.dsl.operations.reader": ("BaseReader",),
    "dataplatform.dsl.records.types": (
        "CryptoMarketAnalytics",
        "CryptoOHLCVData",
        "CryptoPriceData",
        "DeadLetter",
        "Level1Data",
    ),
    "dataplatform.dsl.operations.writer": ("BaseWriter",),
    "dataplatform.errors": ("Permanent", "PlatformError", "Transient"),
    "dataplatform.result": ("Failure", "Result", "Success", "get_data", "get_error", "is_failure", "is_success"),
    "dataplatform.services.service": ("BaseService", "ServiceOptions"),
    "dataplatform.system.platform.demo": ("DemoServers", "demo_option", "demo_servers"),
    "dataplatform.system.platform.factories": (
        "MarketDataReader",
        "MarketDataWriter",
        "create_coingecko_market_data_reader",
        "create_mcp_market_data_reader",
        "create_mcp_market_data_writer",
        "create_redpanda_market_data_reader",
        "create_redpanda_market_data_writer",
        "create_timescale_market_data_reader",
        "create_timescale_market_data_writer",
    ),
    "dataplatform.system.console.logs": ("configure_logs",),
    "dataplatform.system.platform.platform": ("Platform",),
    "dataplatform.system.config.topology": (
        "ConfigurationError",
        "Route",
        "ServiceSpec",
        "SourceSpec",
        "TargetSpec",
        "Topology",
        "load_topology",
    ),
    "dataplatform.version": ("__version__",),
}
_MODULES: Final = {name: module for module, names in _NAMES.items() for name in names}
"""The module of each name: importing it imports what the name needs and no other."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""A platform of supervised actors that moves cryptocurrency market data from sources to targets and loses none of it.

The names below are what a script or a plugin imports; each is loaded when it is first used.

>>> from dataplatform import Success, get_data
>>> get_data(Success(1))
1
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataplatform.faces import face

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
else:
    __getattr__, __dir__ = face(__name__)

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

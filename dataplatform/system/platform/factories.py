"""Readers and writers of one technology, started with all they need and used through typed proxies.

A supervisor of their own mends their crashes; an outage is answered as a `Failure` and waited out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, Self

from attrs import field, frozen

from dataplatform.base.database import TimescaleSettings
from dataplatform.base.http import HttpSettings
from dataplatform.base.mcp import McpSettings
from dataplatform.base.streaming import RedpandaSettings
from dataplatform.dsl.operations.proxy import ReaderProxy, WriterProxy
from dataplatform.errors import Permanent
from dataplatform.result import is_failure
from dataplatform.sources.coingecko import CoinGeckoOptions, CoinGeckoSource
from dataplatform.sources.mcp import McpSource, McpSourceOptions
from dataplatform.sources.redpanda import RedpandaSource, RedpandaSourceOptions
from dataplatform.sources.timescale import TimescaleSource, TimescaleSourceOptions
from dataplatform.system.config.specs import RESERVED, ClientSpec, SourceSpec, TargetSpec, Topology
from dataplatform.system.config.topology import NAME
from dataplatform.system.platform.assembly import assemble_parts
from dataplatform.system.platform.root import Root
from dataplatform.targets.mcp import McpTarget, McpTargetOptions
from dataplatform.targets.redpanda import RedpandaTarget, RedpandaTargetOptions
from dataplatform.targets.timescale import TimescaleOptions, TimescaleTarget

__all__ = [
    "MarketDataReader",
    "MarketDataWriter",
    "create_coingecko_market_data_reader",
    "create_mcp_market_data_reader",
    "create_mcp_market_data_writer",
    "create_redpanda_market_data_reader",
    "create_redpanda_market_data_writer",
    "create_timescale_market_data_reader",
    "create_timescale_market_data_writer",
]

START_TIMEOUT = 60.0  # seconds; only a migration is waited for, and that for 10 s
BROKERS = ("localhost:9092",)
HOSTED = McpSettings(url="https://mcp.api.coingecko.com/mcp", call_timeout=30.0)
LOCAL = McpSettings(
    transport="stdio",
    command="npx",
    args=("-y", "@coingecko/coingecko-mcp"),
    env={"npm_config_fetch_retries": "0"},  # it would try a registry that it cannot reach for minutes, without a word
    connect_timeout=120.0,  # npx may have to install it first
    call_timeout=60.0,
)
REST = HttpSettings(base_url="https://api.coingecko.com/api/v3", rate_per_minute=5, burst=3)
PLATFORM = McpSettings(url="http://127.0.0.1:8765/mcp", call_timeout=30.0)
NO_TOPICS: Mapping[str, str] = MappingProxyType({})


@frozen
class MarketDataReader(ReaderProxy):
    """A source and all it needs. Used with `with`, or stopped by `stop`."""

    _root: Root = field(repr=False, eq=False)

    def stop(self) -> None:
        """Stop the source and its clients, within 10 s; safe to call twice."""
        self._root.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@frozen
class MarketDataWriter(WriterProxy):
    """A target and all it needs. Used with `with`, or stopped by `stop`."""

    _root: Root = field(repr=False, eq=False)

    def stop(self) -> None:
        """Write what is accepted, then stop the target and its clients, within 10 s; safe to call twice."""
        self._root.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def create_coingecko_market_data_reader(
    name: str = "coingecko",
    *,
    use_remote_server: bool = True,
    transport: Literal["mcp", "rest"] = "mcp",
    client: McpSettings | HttpSettings | None = None,
) -> MarketDataReader:
    """Start a reader of CoinGecko, keyless.

    It speaks to CoinGecko's hosted MCP server, or with `use_remote_server=False` to one that is started here by
    Node.js, and waited for; with `transport="rest"` to the REST API. A `client` of your own says all of that, and a
    key, instead: `HttpSettings(base_url=…, api_key=…)`. Raises as `create_timescale_market_data_writer` does, and
    `PlatformError` for a server here that does not start, with what it said.
    """
    if client is None:
        client = REST if transport == "rest" else HOSTED if use_remote_server else LOCAL
    return _reader(name, ClientSpec.of(client), CoinGeckoSource, CoinGeckoOptions(client=_client(name)))


def create_mcp_market_data_reader(
    name: str = "mcp", client: McpSettings = PLATFORM, *, source: str | None = None
) -> MarketDataReader:
    """Start a reader of another platform, through its MCP server.

    `client` says how that is reached: by HTTP, with a token in its header, or as a program that is started here.
    `source` is the source to ask there, else the first that can answer. Raises as
    `create_coingecko_market_data_reader` does.
    """
    return _reader(name, ClientSpec.of(client), McpSource, McpSourceOptions(client=_client(name), source=source))


def create_mcp_market_data_writer(
    name: str = "mcp", client: McpSettings = PLATFORM, *, target: str | None = None
) -> MarketDataWriter:
    """Start a writer into another platform, through its MCP server, which has to offer writing (`allow_writes`).

    `client` is that of `create_mcp_market_data_reader`; `target` is the target to write to there, where it has several.
    Raises as `create_coingecko_market_data_reader` does.
    """
    return _writer(name, ClientSpec.of(client), McpTarget, McpTargetOptions(client=_client(name), target=target))


def create_redpanda_market_data_reader(
    name: str = "redpanda",
    brokers: str | Sequence[str] | RedpandaSettings = BROKERS,
    topics: Mapping[str, str] = NO_TOPICS,
) -> MarketDataReader:
    """Start a reader of Redpanda's or Kafka's topics.

    `brokers` are addresses (`"one:9092,two:9092"`, or a list of them), or the settings of a cluster that asks for TLS
    or SASL. `topics` names the topic of each kind of record (`{"prices": "crypto-prices"}`), where it is not the kind's
    own. Raises as `create_timescale_market_data_writer` does.
    """
    options: dict[str, Any] = {"topics": dict(topics)} if topics else {}
    client = ClientSpec.of(_redpanda(brokers))
    return _reader(name, client, RedpandaSource, RedpandaSourceOptions(client=_client(name), **options))


def create_timescale_market_data_reader(
    name: str = "timescale",
    connection_string: str | TimescaleSettings = "postgresql://localhost/",
    *,
    simulated: bool = False,
) -> MarketDataReader:
    """Start a reader of the tables of a TimescaleDB or PostgreSQL.

    `connection_string` is libpq's, or the settings of a client; `simulated` answers from the simulator's rows instead
    of from all others. Raises as `create_timescale_market_data_writer` does.

    >>> with create_timescale_market_data_reader("prices", "postgresql://db.example/market") as reader:
    ...     reader.get_available_tickers(limit=0).get(timeout=5).error.code
    'bad_argument'
    """
    options = TimescaleSourceOptions(client=_client(name), simulated=simulated)
    return _reader(name, ClientSpec.of(_timescale(connection_string)), TimescaleSource, options)


def create_timescale_market_data_writer(
    name: str = "timescale", connection_string: str | TimescaleSettings = "postgresql://localhost/"
) -> MarketDataWriter:
    """Start a writer into the tables of a TimescaleDB or PostgreSQL, which are migrated if need be.

    `connection_string` is libpq's, or the settings of a client. An unreachable server is no error here: the operations
    answer `Transient` until it is there. Raises `Permanent` for a name that no agent can have, `ValueError` for
    settings that no client can have.
    """
    client = ClientSpec.of(_timescale(connection_string))
    return _writer(name, client, TimescaleTarget, TimescaleOptions(client=_client(name)))


def create_redpanda_market_data_writer(
    name: str = "redpanda",
    brokers: str | Sequence[str] | RedpandaSettings = BROKERS,
    topics: Mapping[str, str] = NO_TOPICS,
) -> MarketDataWriter:
    """Start a writer into Redpanda's or Kafka's topics.

    Takes what `create_redpanda_market_data_reader` does; missing topics are made. Raises as
    `create_timescale_market_data_writer` does.
    """
    options = RedpandaTargetOptions(client=_client(name), topics=dict(topics))
    return _writer(name, ClientSpec.of(_redpanda(brokers)), RedpandaTarget, options)


def _reader(name: str, client: ClientSpec, cls: type[Any], options: Any) -> MarketDataReader:
    root = _started(name, Topology(clients={_client(name): client}, sources={name: SourceSpec(cls, options)}))
    return MarketDataReader(root.address(name), root)


def _writer(name: str, client: ClientSpec, cls: type[Any], options: Any) -> MarketDataWriter:
    root = _started(name, Topology(clients={_client(name): client}, targets={name: TargetSpec(cls, options)}))
    return MarketDataWriter(root.address(name), root)


def _started(name: str, topology: Topology) -> Root:
    if not NAME.fullmatch(name) or name in RESERVED:
        raise Permanent("bad_argument", f"{name!r} is no name: letters, digits, - and _, a letter first, 63 at most")
    assembly, root = assemble_parts(topology), Root()
    try:
        root.start(assembly.specs, assembly.links)
        root.require_ready(START_TIMEOUT)
        for client, spec in topology.clients.items():
            _require_program(root, client, spec)
    except BaseException:
        root.stop()
        raise
    return root


def _require_program(root: Root, client: str, spec: ClientSpec) -> None:
    """Start a client's server where that is a program here: one that cannot start is nothing to wait for."""
    timeout = spec.technology.program_timeout(spec.settings)
    if timeout is not None:
        connected = root.address(client).ask(spec.technology.sign_of_life(), timeout)
        if is_failure(connected):
            raise connected.error


def _client(name: str) -> str:
    return f"{name}-client"


def _redpanda(brokers: str | Sequence[str] | RedpandaSettings) -> RedpandaSettings:
    return brokers if isinstance(brokers, RedpandaSettings) else RedpandaSettings(brokers)


def _timescale(connection: str | TimescaleSettings) -> TimescaleSettings:
    return connection if isinstance(connection, TimescaleSettings) else TimescaleSettings(connection)

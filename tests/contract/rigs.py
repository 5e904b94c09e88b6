"""Every source and target on its real server: the simulator over three transports, a broker, PostgreSQL, a platform."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from attrs import define, evolve, field, frozen

from dataplatform import (
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
from dataplatform.base.database import TimescaleSettings
from dataplatform.base.http import HttpSettings
from dataplatform.base.mcp import McpSettings
from dataplatform.dsl.records.queries import Level1Query
from dataplatform.dsl.records.types import Record
from dataplatform.result import get_data
from dataplatform.simulator import Simulator, SimulatorSettings
from dataplatform.system.platform.demo import DemoServers, demo_servers
from tests.contract.questions import TIMEFRAME, past
from tests.support.mcp_platforms import Offering, as_program, offered
from tests.support.timescaledb import new_server
from tests.support.waiting import DEADLINE

__all__ = [
    "PATIENCE",
    "READER_RIGS",
    "WRITER_RIGS",
    "ReaderRig",
    "World",
    "WriterRig",
    "as_params",
    "fill",
    "new_world",
]

PATIENCE = DEADLINE
COINS = ["bitcoin", "ethereum"]


@define(eq=False)
class World:
    """The servers, and TimescaleDB itself once somebody asks for it."""

    servers: DemoServers
    now: datetime
    _stack: ExitStack
    _extension: TimescaleSettings | None = field(default=None, init=False)
    _platform: McpSettings | None = field(default=None, init=False)

    @property
    def extension(self) -> TimescaleSettings:
        """The settings of a client of TimescaleDB itself; skips the test where it cannot run."""
        if self._extension is None:
            server = self._stack.enter_context(new_server())
            self._extension = evolve(self.servers.timescale, dsn=server.dsn, pool=1)
        return self._extension

    @property
    def offering(self) -> Offering:
        """What another platform on these servers offers."""
        return Offering(self.coingecko("/api/v3"), self.servers.timescale.dsn)

    @property
    def platform(self) -> McpSettings:
        """The settings of a client of another platform, which is reached over HTTP with a token."""
        if self._platform is None:
            self._platform = self._stack.enter_context(offered(self.offering, self.folder()))
        return self._platform

    def folder(self) -> Path:
        """Make a folder that is gone with the world."""
        return Path(self._stack.enter_context(TemporaryDirectory(prefix="dp-")))

    def enter(self, server: Simulator) -> Simulator:
        """Start another server, which ends with the world."""
        return self._stack.enter_context(server)

    def coingecko(self, path: str) -> str:
        """Return a URL of the simulator."""
        assert self.servers.coingecko.url is not None
        return self.servers.coingecko.url.replace("/mcp/code/mcp", path)


@frozen
class ReaderRig:
    """A source: its kind, how it is started, and the target that fills what it reads, if anybody has to."""

    name: str
    kind: str
    start: Callable[[World], MarketDataReader]
    filled_by: Callable[[World], MarketDataWriter] | None = None
    long: bool = False


@frozen
class WriterRig:
    """A target: its kind, how it is started, and how what it has written is read."""

    name: str
    kind: str
    start: Callable[[World], MarketDataWriter]
    read: Callable[[World], MarketDataReader]
    long: bool = False


def _mcp(generation: str) -> Callable[[World], MarketDataReader]:
    return lambda world: create_coingecko_market_data_reader(
        client=McpSettings(url=world.coingecko(f"/mcp/{generation}/mcp"))
    )


def _late_mcp(world: World) -> MarketDataReader:
    simulator = world.enter(Simulator(SimulatorSettings(early_tools=False)))
    return create_coingecko_market_data_reader(client=McpSettings(url=simulator.mcp_url("static")))


def _rest(world: World) -> MarketDataReader:
    return create_coingecko_market_data_reader(client=HttpSettings(base_url=world.coingecko("/api/v3")))


def _into_topics(world: World) -> MarketDataWriter:
    return create_redpanda_market_data_writer("writer", world.servers.redpanda)


def _from_topics(world: World) -> MarketDataReader:
    return create_redpanda_market_data_reader("reader", world.servers.redpanda)


def _into_tables(world: World) -> MarketDataWriter:
    return create_timescale_market_data_writer("writer", world.servers.timescale)


def _from_tables(world: World) -> MarketDataReader:
    return create_timescale_market_data_reader("reader", world.servers.timescale, simulated=True)


def _into_extension(world: World) -> MarketDataWriter:
    return create_timescale_market_data_writer("writer", world.extension)


def _from_extension(world: World) -> MarketDataReader:
    return create_timescale_market_data_reader("reader", world.extension, simulated=True)


def _of_platform(source: str) -> Callable[[World], MarketDataReader]:
    return lambda world: create_mcp_market_data_reader("reader", world.platform, source=source)


def _of_program(world: World) -> MarketDataReader:
    return create_mcp_market_data_reader("reader", as_program(world.offering, world.folder()))


def _into_platform(world: World) -> MarketDataWriter:
    return create_mcp_market_data_writer("writer", world.platform)


def _into_program(world: World) -> MarketDataWriter:
    return create_mcp_market_data_writer("writer", as_program(world.offering, world.folder()))


READER_RIGS = (
    ReaderRig("coingecko-rest", "coingecko", _rest),
    ReaderRig("coingecko-static-mcp", "coingecko", _mcp("static")),
    ReaderRig("coingecko-late-static-mcp", "coingecko", _late_mcp),
    ReaderRig("coingecko-code-mcp", "coingecko", _mcp("code")),
    ReaderRig("mcp-http", "mcp", _of_platform("coingecko")),
    ReaderRig("mcp-http-tables", "mcp", _of_platform("history"), _into_platform),
    ReaderRig("mcp-stdio", "mcp", _of_program),
    ReaderRig("redpanda", "redpanda", _from_topics, _into_topics),
    ReaderRig("timescale", "timescale", _from_tables, _into_tables),
    ReaderRig("timescaledb", "timescale", _from_extension, _into_extension, long=True),
)
WRITER_RIGS = (
    WriterRig("mcp-http", "mcp", _into_platform, _from_tables),
    WriterRig("mcp-stdio", "mcp", _into_program, _from_tables),
    WriterRig("redpanda", "redpanda", _into_topics, _from_topics),
    WriterRig("timescale", "timescale", _into_tables, _from_tables),
    WriterRig("timescaledb", "timescale", _into_extension, _from_extension, long=True),
)


@contextmanager
def new_world() -> Iterator[World]:
    with ExitStack() as stack:
        yield World(stack.enter_context(demo_servers()), datetime.now(UTC), stack)


def as_params(rigs: tuple[ReaderRig, ...] | tuple[WriterRig, ...]) -> list[object]:
    return [pytest.param(rig, id=rig.name, marks=[pytest.mark.long] if rig.long else []) for rig in rigs]


def market(world: World) -> list[Record]:
    """Return the simulated market as records: all prices, two days of one coin's past, candles, level 1, analytics."""
    with _rest(world) as reader:
        coins = get_data(reader.get_available_tickers().get(timeout=PATIENCE))
        return [
            *get_data(reader.get_price_history("bitcoin", 2).get(timeout=PATIENCE)),
            *get_data(reader.get_current_prices(coins).get(timeout=PATIENCE)),
            *get_data(reader.get_ohlcv_by_date_range(past(world.now)).get(timeout=PATIENCE)).candles,
            *get_data(reader.get_latest_ohlcv(COINS, TIMEFRAME).get(timeout=PATIENCE)),
            get_data(reader.get_level1_data(Level1Query("bitcoin")).get(timeout=PATIENCE)),
            get_data(reader.get_market_analytics().get(timeout=PATIENCE)),
        ]


def fill(world: World, rig: ReaderRig) -> None:
    """Write the market to where the rig's source reads, unless it reads the simulator itself."""
    if rig.filled_by is not None:
        with rig.filled_by(world) as writer:
            records = market(world)
            answer = get_data(writer.publish_batch(records).get(timeout=PATIENCE))
            assert (answer.published, answer.refused) == (len(records), ())

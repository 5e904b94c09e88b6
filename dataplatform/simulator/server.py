"""The simulator as a server: uvicorn in a daemon thread, started and stopped within bounded times; and as an agent.

The simulator as a supervised agent of a platform.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import ClassVar, Literal, Never, Self

import uvicorn
from attrs import field, frozen, validators

from dataplatform.base.agent import Agent, Context
from dataplatform.simulator.account import CREDITS, Account
from dataplatform.simulator.api import ServedRequest
from dataplatform.simulator.app import REQUESTS_KEPT, create_app
from dataplatform.simulator.faults import MCP_PREFIX, PREFIX, ArmedFault, Fault, Faults
from dataplatform.simulator.market import Market, utc_now
from dataplatform.simulator.mcp.form import McpForm

__all__ = ["Simulator", "SimulatorAgent", "SimulatorSettings"]

_START_TIMEOUT = 10.0
_GRACE = 1
_KEPT = 75  # seconds that a connection is kept for the next request, as web servers do
_STOP_TIMEOUT = 3.0


@frozen
class SimulatorSettings:
    """Where the simulator listens and which market it shows.

    Attributes:
        host: the address to listen on; by default only this machine reaches it.
        port: 0 takes a free one.
        seed: which of the possible markets it is.
        step: seconds between two refreshes of the prices.
        now: where it reads the time; a function that returns timezone-aware datetimes.
        wrapped: whether the MCP server of the code generation wraps its answers, as CoinGecko's hosted one does.
        early_tools: whether that of the static generation has the tools too that only its first releases had:
            `get_ping`, `get_coins_list`, `get_coins_ohlc`, `get_coins_market_chart` and `get_coins_tickers`.
        paid: whether everybody is served as one with a paid plan; over REST, who sends `x-cg-pro-api-key` is anyway.
        credits: what the paid plan has in a month; who has used them up is served still, as a plan with overage is.

    """

    host: str = "127.0.0.1"
    port: int = field(default=0, validator=[validators.ge(0), validators.le(65_535)])
    seed: int = 1
    step: float = field(default=1.0, validator=validators.gt(0))
    now: Callable[[], datetime] = utc_now
    wrapped: bool = True
    early_tools: bool = True
    paid: bool = False
    credits: int = field(default=CREDITS, validator=validators.ge(1))


class _Server(uvicorn.Server):
    """A uvicorn that says when it is ready or has failed. Outside the main thread it takes no signals."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            super().run(sockets)
        finally:
            self.ready.set()


class _ExpectedCuts(logging.Filter):
    """Drops uvicorn's complaint about an answer without an end: a `cut` fault asked for it."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "returned without completing response" not in record.getMessage()


class Simulator:
    """A CoinGecko on this machine, for use without a network, in demonstrations and in tests.

    >>> with Simulator(SimulatorSettings(seed=7)) as simulator:
    ...     simulator.base_url.startswith("http://127.0.0.1:")
    True

    Attributes:
        settings: what it was made with.
        market: the prices it shows.
        requests: the latest 1000 requests it served, the oldest first.
        account: what those with the key of a paid plan have used.

    """

    def __init__(self, settings: SimulatorSettings | None = None) -> None:
        self.settings = settings or SimulatorSettings()
        self.market = Market(self.settings.seed, self.settings.step, self.settings.now)
        self.requests: deque[ServedRequest] = deque(maxlen=REQUESTS_KEPT)
        self.account = Account(self.settings.now, self.settings.credits)
        self._faults = Faults()
        self._filter = _ExpectedCuts()
        self._running: tuple[_Server, threading.Thread, int] | None = None

    @property
    def base_url(self) -> str:
        """The URL that stands for `https://api.coingecko.com/api/v3`; only while it is running."""
        return self._origin + PREFIX

    def mcp_url(self, generation: Literal["static", "code"], transport: Literal["mcp", "sse"] = "mcp") -> str:
        """Return the URL that stands for `https://mcp.api.coingecko.com/mcp`; only while it is running.

        Args:
            generation: a tool for each operation, or one that is sent code.
            transport: streamable HTTP, or the older one, as CoinGecko has them under these names.

        """
        return f"{self._origin}{MCP_PREFIX}/{generation}/{transport}"

    @property
    def _origin(self) -> str:
        if self._running is None:
            raise RuntimeError("the simulator has no URL: it has not been started, or has been stopped")
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        return f"http://{host}:{self._running[2]}"

    def inject(self, fault: Fault) -> ArmedFault:
        """Switch a fault on; `simulator.inject(Fault("cut")).met.wait(5)` waits until a request has met it."""
        return self._faults.inject(fault)

    def clear_faults(self) -> None:
        """Switch all faults off; requests that a slow one holds are answered at once."""
        self._faults.clear()

    def start(self) -> None:
        """Listen, and return when requests are answered. Starting twice changes nothing.

        An `OSError` says why it cannot: the port is in use, the address is not this machine's, the server failed.
        """
        if self._running is not None:
            return
        listener = _listen(self.settings.host, self.settings.port)
        port = int(listener.getsockname()[1])
        settings = self.settings
        form = McpForm(host=settings.host, wrapped=settings.wrapped, early=settings.early_tools)
        app = create_app(self.market, self._faults, self.requests, form, self.account, paid=settings.paid)
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE,
            timeout_keep_alive=_KEPT,
        )
        server = _Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), name=f"simulator-{port}", daemon=True)
        logging.getLogger("uvicorn.error").addFilter(self._filter)
        thread.start()
        self._running = server, thread, port
        if not (server.ready.wait(_START_TIMEOUT) and server.started):
            self.stop()
            raise OSError(f"the simulator's server did not start on port {port}; its log says why")

    def stop(self) -> None:
        """Stop within 3 s, whatever the clients do. All faults are cleared. Stopping twice changes nothing."""
        if self._running is None:
            return
        server, thread, _ = self._running
        self._running = None
        self.clear_faults()
        server.should_exit = True
        thread.join(_STOP_TIMEOUT)
        logging.getLogger("uvicorn.error").removeFilter(self._filter)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket: from here on connections queue up, and a second listener is refused."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _cannot_listen(host, port, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        raise _cannot_listen(host, port, error) from error
    return listener


def _cannot_listen(host: str, port: int, error: OSError) -> OSError:
    return OSError(error.errno, f"the simulator cannot listen on {host}:{port}: {error.strerror}")


class SimulatorAgent(Agent):
    """Serves the simulated CoinGecko on the port it was given, the same one after a restart."""

    kind: ClassVar[str] = "server"

    def __init__(self, context: Context, settings: SimulatorSettings) -> None:
        super().__init__(context)
        self.simulator = Simulator(settings)

    def _open(self) -> None:
        self.simulator.start()
        self.log.info("serving simulated data", url=self.simulator.base_url)

    def receive(self, message: Never) -> None:
        """Take no messages of its own: it is spoken to over HTTP."""
        raise AssertionError(f"unexpected message {message!r}")

    def _close(self) -> None:
        self.simulator.stop()

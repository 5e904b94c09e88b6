"""The service: an agent that serves MCP on a thread of its own, and asks sources and targets for its clients."""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from functools import partial
from typing import Any, ClassVar, TypeAlias, assert_never

from attrs import frozen

from dataplatform.base.agent import Agent, Context
from dataplatform.base.net.serving import listen
from dataplatform.base.net.waits import LoopThread
from dataplatform.dsl.operations.parts import Connection
from dataplatform.dsl.operations.registry import technology
from dataplatform.errors import Transient
from dataplatform.result import Failure, Result
from dataplatform.services.gateway.mcp.bridge import Ask, Bridge
from dataplatform.services.gateway.mcp.callers import Callers
from dataplatform.services.gateway.mcp.calls import Calls, Guard
from dataplatform.services.gateway.mcp.catalogue import Catalogue
from dataplatform.services.gateway.mcp.resources import Resources
from dataplatform.services.gateway.mcp.server import HttpTransport, Parts, make_server, quieten, serve_stdio
from dataplatform.services.gateway.mcp.subscriptions import Subscriptions, Watcher
from dataplatform.services.gateway.mcp.toolbox import Pipes, Toolbox
from dataplatform.services.gateway.options import GatewayOptions
from dataplatform.services.gateway.status import Overview
from dataplatform.services.service import PlatformView

__all__ = ["McpService"]

GATEWAY = "gateway"
CLOSE = 0.25  # seconds for the server to end, and for the loop
EVERY = 1.0  # seconds between two looks at subscribed prices, where a source may be asked as often as one likes
SHARE = 4.0  # of a source's rate, watching may take a quarter
PRICES = "get_current_prices"


@frozen
class Listen:
    """It is time to listen, again after the port was taken."""


@frozen
class Ended:
    """The server has ended: its input did, or something went wrong."""

    error: BaseException | None


Message: TypeAlias = Ask | Listen | Ended


class McpService(Agent):
    """Offers the platform to AI agents. It holds addresses of sources and targets, and nothing that they are made of.

    Over standard input and output it stops when the input ends, and is not started again.
    """

    kind: ClassVar[str] = GATEWAY

    def __init__(
        self, context: Context, options: GatewayOptions, platform_view: PlatformView, former: str | None = None
    ) -> None:
        """Serve; `former` is the kind by which the topology asks for it, where that is a name of before."""
        super().__init__(context)
        self.options = options
        self._former = former
        self._platform_view = platform_view
        self._callers = Callers(options, self.clock)
        self._loop = LoopThread(f"{context.name}-loop", context.stopping)
        self._door: HttpTransport | None = None
        self._watcher: Watcher | None = None
        self._serving: list[Future[Any]] = []

    # Life

    def _open(self) -> None:
        quieten()
        if self._former is not None:
            because = f'it is called kind = "{GATEWAY}" now, and its former name goes with the next release'
            self.log.warning("kind renamed", kind=self._former, because=because)
        if self.options.readers is not None:
            self.log.warning("setting ignored", setting="readers", because="sources answer several questions at once")
        self._listen()

    def receive(self, message: Message) -> Result[Any] | None:
        match message:
            case Ask():
                self._put(message)
            case Listen():
                self._listen()
            case Ended(error):
                self._ended(error)
            case _:
                assert_never(message)
        return None

    def _listen(self) -> None:
        server = make_server(self._parts())
        if self.options.transport == "stdio":
            self._serve(self._loop.start(serve_stdio, server))
            return
        try:
            listener = listen(self.options.host, self.options.port)
        except OSError as error:
            where = f"{self.options.host}:{self.options.port}"
            self.retry(Transient("cannot_listen", f"cannot listen on {where}: {error.strerror}"), Listen())
            return
        self.recover()
        self._door = HttpTransport(server, self.options, self._callers, self.log)
        self._serve(self._loop.start(self._door.serve, listener))
        host, port = listener.getsockname()[:2]
        self.gauge("port", port)
        needed = "a token" if self.options.tokens else "no token"
        self.log.info("serving MCP", url=f"http://{f'[{host}]' if ':' in host else host}:{port}/mcp", needs=needed)

    def _serve(self, serving: Future[Any]) -> None:
        self._serving = [serving, *([self._loop.start(self._watcher.run)] if self._watcher else [])]
        for task in self._serving:
            task.add_done_callback(self._tell_end)

    def _tell_end(self, task: Future[Any]) -> None:
        if not (self.context.stopping.is_set() or task.cancelled()):
            self.address(self.name).tell(Ended(task.exception()))

    def _ended(self, error: BaseException | None) -> None:
        if error is not None or self.options.transport == "http":
            raise RuntimeError("the MCP server ended by itself") from error
        self.log.info("the client has gone")
        self.stop()

    def _close(self) -> None:
        if self._door is not None:
            self._door.close()
            wait_for(self._serving[:1], CLOSE)
        if not self._loop.close(CLOSE):
            self.log.warning("the server's thread is left behind")

    # Questions

    def _put(self, ask: Ask) -> None:
        """Have a source or target answer: it takes several questions at a time, and says `busy` beyond its bound."""
        self.count("asked")
        if not ask.abandoned:
            self.call(self.address(ask.place), ask.request, partial(self._answered, ask), timeout=ask.timeout)

    def _answered(self, ask: Ask, answer: Result[Any]) -> None:
        if isinstance(answer, Failure):
            self.count("failed")
        ask.answer(answer)

    # What the server is made of

    def _parts(self) -> Parts:
        options = self.options
        bridge = Bridge(self.address(self.name).tell, options.timeout)
        overview = Overview(self._platform_view)
        pipes = Pipes(self.address, options.timeout)
        toolbox = Toolbox(Catalogue(self._platform_view, options), overview, bridge, pipes)
        self._watcher = self._make_watcher(bridge)
        return Parts(
            Calls(toolbox, self._callers, options.timeout),
            Resources(overview, self._watcher),
            Subscriptions(self._watcher, options.max_sessions),
            Guard(self._callers, self.log),
        )

    def _make_watcher(self, bridge: Bridge) -> Watcher | None:
        """Watch the first source that answers prices."""
        able = (name for name, source in self._platform_view.sources.items() if PRICES in source.cls.supported())
        source = next(able, None)
        if source is None:
            return None
        every = self.options.watch_every or _pause(self._platform_view.sources[source].connection)
        limits = self.options.notifications_per_second, self.options.max_items
        return Watcher(bridge, source, every, self.clock, *limits)


def _pause(connection: Connection) -> float:
    """Return the seconds between two looks at prices, by what the source's client may ask."""
    found = technology(connection.kind)
    rate = found.rate_per_minute(connection.settings) if found else None
    return EVERY if rate is None else max(EVERY, SHARE * 60 / rate)

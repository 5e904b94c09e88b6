"""Subscriptions to prices, in both of the protocol's ways, and the one reading that serves them all.

Watching prices for subscribed clients: one reading for all of them, a notice to each whose price has changed. All of it
runs on the server's event loop, so nothing is locked.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import unquote

import anyio
from attrs import define, field, frozen
from mcp import MCPError
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import ListenHandler, ResourceUpdated, ServerEvent
from mcp.types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    EmptyResult,
    SubscribeRequestParams,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
    UnsubscribeRequestParams,
)

from dataplatform.base.agent import Clock
from dataplatform.base.http.rate import TokenBucket
from dataplatform.dsl.operations.operations import GetCurrentPrice, GetCurrentPrices
from dataplatform.dsl.records import checks
from dataplatform.dsl.records.types import CryptoPriceData
from dataplatform.errors import Permanent, PlatformError
from dataplatform.result import Failure, Result, Success
from dataplatform.services.gateway.mcp.bridge import Bridge
from dataplatform.services.gateway.mcp.failures import text_of

__all__ = ["PRICE", "Subscriber", "Subscriptions", "Watcher", "coin_of", "refused", "uri_of"]

PRICE = "price://"  # how the URI of a coin's price begins
MOST_KEPT = 5_000  # prices


@define(eq=False)
class Subscriber:
    """One client: the coins it wants to hear of, and those whose notice waits until its rate allows it."""

    tell: Callable[[str], Awaitable[None]]
    bucket: TokenBucket
    coins: set[str] = field(factory=set)
    pending: dict[str, None] = field(factory=dict)

    async def flush(self) -> None:
        """Send what waits, as far as the rate allows; a coin that changed twice meanwhile is told of once."""
        while self.pending and self.bucket.take():
            coin = next(iter(self.pending))
            del self.pending[coin]
            await self.tell(coin)


@frozen
class Kept:
    """A price, and when it was read (monotonic seconds)."""

    price: CryptoPriceData
    at: float


@define(eq=False)
class Watcher:
    """Knows the latest prices of one source, and reads those that somebody has subscribed to every `every` seconds."""

    bridge: Bridge
    source: str
    every: float
    clock: Clock
    notifications_per_second: float
    most_coins: int
    _kept: OrderedDict[str, Kept] = field(factory=OrderedDict, init=False)
    _subscribers: set[Subscriber] = field(factory=set, init=False)
    _wanted: anyio.Event = field(factory=anyio.Event, init=False)

    async def price(self, coin_id: str) -> Result[CryptoPriceData]:
        """Answer a coin's latest price; one that was read less than `every` seconds ago is not read again."""
        kept = self._kept.get(coin_id)
        if kept is not None and self.clock.monotonic() - kept.at < self.every:
            return Success(kept.price)
        answer = await self.bridge.ask(self.source, GetCurrentPrice(coin_id))
        if not isinstance(answer, Failure):
            self._changed([answer.data])
        return answer

    def subscriber(self, tell: Callable[[str], Awaitable[None]]) -> Subscriber:
        """Return a new subscriber to nothing yet; `tell` sends the notice about a coin."""
        rate = self.notifications_per_second
        made = Subscriber(tell, TokenBucket(self.clock, rate * 60, max(1, int(rate))))
        self._subscribers.add(made)
        return made

    def subscribe(self, subscriber: Subscriber, coins: Iterable[str]) -> None:
        """Tell the subscriber of these coins too; raises `Permanent` when they are too many."""
        wanted = subscriber.coins | set(coins)
        if len(wanted) > self.most_coins:
            raise Permanent("too_many", f"a client may subscribe to {self.most_coins} prices at most")
        subscriber.coins = wanted
        self._wanted.set()

    def leave(self, subscriber: Subscriber) -> None:
        """Forget a subscriber; twice is harmless."""
        self._subscribers.discard(subscriber)

    async def run(self) -> None:
        """Read and tell, until cancelled; while nobody is subscribed, wait."""
        while True:
            coins = sorted({coin for subscriber in self._subscribers for coin in subscriber.coins})
            if not coins:
                self._wanted = anyio.Event()
                await self._wanted.wait()
                continue
            begun = self.clock.monotonic()
            await self._look_at(coins)
            async with anyio.create_task_group() as tasks:  # a client that reads slowly holds up this one turn at most
                tasks.cancel_scope.deadline = anyio.current_time() + self.every
                for subscriber in list(self._subscribers):
                    tasks.start_soon(subscriber.flush)
            await anyio.sleep(max(0.05, self.every - (self.clock.monotonic() - begun)))

    async def _look_at(self, coins: list[str]) -> None:
        for start in range(0, len(coins), self.most_coins):
            answer = await self.bridge.ask(self.source, GetCurrentPrices(coins[start : start + self.most_coins]))
            if isinstance(answer, Failure):
                continue  # the source is away: its clients hear of the next change after that
            for coin in self._changed(answer.data):
                for subscriber in self._subscribers:
                    if coin in subscriber.coins:
                        subscriber.pending[coin] = None

    def _changed(self, prices: Iterable[CryptoPriceData]) -> list[str]:
        """Keep prices, and return the coins whose price is another than before."""
        changed, now = [], self.clock.monotonic()
        for price in prices:
            before = self._kept.pop(price.coin_id, None)
            if before is not None and before.price.usd_price != price.usd_price:
                changed.append(price.coin_id)
            self._kept[price.coin_id] = Kept(price, now)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return changed


def coin_of(uri: str) -> str:
    """Return the coin whose price a URI stands for; raises `MCPError` for another URI.

    >>> coin_of("price://usd-coin")
    'usd-coin'
    """
    if not uri.startswith(PRICE):
        raise MCPError(INVALID_PARAMS, f"{uri!r:.100} is no price; one is like {PRICE}bitcoin")
    coin = unquote(uri.removeprefix(PRICE))
    if error := checks.coin_id(coin):
        raise refused(error)
    return coin


def uri_of(coin_id: str) -> str:
    """Return the URI of a coin's price."""
    return f"{PRICE}{coin_id}"


def refused(error: PlatformError) -> MCPError:
    """Return a failure as an error of the protocol, for requests that have no other place for it."""
    return MCPError(INVALID_PARAMS, text_of(error))


SUBSCRIBER = "dataplatform/subscriber"  # in the state of a connection


@define(eq=False)
class Bus:
    """The events of one stream, as the SDK's handler of streams takes them."""

    _listeners: list[Callable[[ServerEvent], None]] = field(factory=list)

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return self._listeners.clear  # there is one

    async def publish(self, event: ServerEvent) -> None:
        for listener in self._listeners:
            listener(event)


@define(eq=False)
class Subscriptions:
    """Who has subscribed to what; `most` clients at a time."""

    watcher: Watcher | None
    most: int
    _count: int = field(default=0, init=False)

    async def listen(
        self, context: ServerRequestContext[Any, Any], params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        """Serve a stream of notices until its client has enough (protocol 2026-07-28)."""
        bus = Bus()

        async def tell(coin: str) -> None:
            await bus.publish(ResourceUpdated(uri_of(coin)))

        with self._joined(tell, params.notifications.resource_subscriptions or ()):
            return await ListenHandler(bus)(context, params)

    async def subscribe(self, context: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
        """Tell a session of a price's changes until it ends (older protocols)."""
        connection = context.session._connection  # noqa: SLF001  the SDK has no other way to learn of its end
        subscriber = connection.state.get(SUBSCRIBER) or self._join(connection)
        self._add(subscriber, [params.uri])
        return EmptyResult()

    async def unsubscribe(
        self, context: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams
    ) -> EmptyResult:
        """Tell a session no more of a price."""
        subscriber = context.session._connection.state.get(SUBSCRIBER)  # noqa: SLF001  likewise
        if subscriber is not None:
            subscriber.coins.discard(coin_of(params.uri))
        return EmptyResult()

    def _join(self, connection: Connection) -> Subscriber:
        async def tell(coin: str) -> None:
            await connection.send_resource_updated(uri_of(coin))

        joined = self._joined(tell, ())
        subscriber: Subscriber = connection.exit_stack.enter_context(joined)
        connection.state[SUBSCRIBER] = subscriber
        return subscriber

    @contextlib.contextmanager
    def _joined(self, tell: Any, uris: Sequence[str]) -> Iterator[Subscriber]:
        """Have a subscriber for as long as the block lasts."""
        if self.watcher is None:
            raise MCPError(INVALID_PARAMS, "no source of this platform answers prices, so there is nothing to watch")
        if self._count >= self.most:
            raise MCPError(INTERNAL_ERROR, f"{self.most} clients have subscribed already; try again later")
        self._count += 1
        subscriber = self.watcher.subscriber(tell)
        try:
            self._add(subscriber, uris)
            yield subscriber
        finally:
            self._count -= 1
            self.watcher.leave(subscriber)

    def _add(self, subscriber: Subscriber, uris: Sequence[str]) -> None:
        assert self.watcher is not None, "whoever has subscribed has one"
        try:
            self.watcher.subscribe(subscriber, [coin_of(uri) for uri in uris])
        except PlatformError as error:
            raise refused(error) from error

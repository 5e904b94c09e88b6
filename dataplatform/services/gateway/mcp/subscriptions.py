"""Subscriptions to prices, in both of the protocol's ways: a stream of its own, and notices on the session's."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from attrs import define, field
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

from dataplatform.errors import PlatformError
from dataplatform.services.gateway.mcp.watching import Subscriber, Watcher, coin_of, refused, uri_of

__all__ = ["Subscriptions"]

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

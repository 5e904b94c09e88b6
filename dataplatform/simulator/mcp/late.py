"""An application that is made at its first request, because the libraries it needs take half a second to import."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio
from attrs import define, field
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["LazyApp"]


@define(eq=False)
class LazyApp:
    """Stands for the application that `make` gives, and closes it when `running` ends."""

    make: Callable[[], AbstractAsyncContextManager[ASGIApp]]
    _wanted: anyio.Event = field(factory=anyio.Event, init=False)
    _made: anyio.Event = field(factory=anyio.Event, init=False)
    _app: ASGIApp = field(init=False)
    _failure: Exception | None = field(default=None, init=False)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Be ready to make it, in the application's lifespan."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._run)
            yield
            tasks.cancel_scope.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._wanted.set()
        await self._made.wait()
        if self._failure:
            raise self._failure
        await self._app(scope, receive, send)

    async def _run(self) -> None:
        await self._wanted.wait()
        try:
            made = self.make()
        except Exception as error:  # noqa: BLE001  raised again to whoever asked
            self._failure = error
            self._made.set()
            return
        async with made as self._app:
            self._made.set()
            await anyio.sleep_forever()

"""From the server's event loop to the agents and back: a question is a message to the service, which asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

from attrs import define, frozen

from dataplatform.base.agent import Request
from dataplatform.errors import Transient
from dataplatform.result import Failure, Result, is_failure

__all__ = ["Ask", "Bridge"]

T = TypeVar("T")


@define(eq=False)
class Ask:
    """Somebody's question to a source or target; `answer` may be called in any thread, and is called once.

    `abandoned` is set by whoever asked and waits no more: then nobody need be asked any longer.
    """

    place: str
    request: Request[object]
    timeout: float
    answer: Callable[[Result[object]], None]
    abandoned: bool = False


@frozen
class Bridge:
    """Asks agents from the event loop; `tell` hands a message to the service's agent, in any thread."""

    tell: Callable[[object], Result[None]]
    timeout: float

    async def ask(self, place: str, request: Request[T]) -> Result[T]:
        """Ask a source or target; one that gives no answer in time is a `Transient` failure.

        Cancelled, it leaves the question: one that the service has not put yet is put to nobody.
        """
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Result[Any]] = loop.create_future()

        def answer(result: Result[object]) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(_settle, answered, result)

        ask = Ask(place, cast("Request[object]", request), self.timeout, answer)
        if is_failure(self.tell(ask)):
            return Failure(Transient("stopping", "this MCP server is stopping", retry_after=5.0))
        try:
            async with asyncio.timeout(self.timeout):
                return await answered
        except TimeoutError:
            return Failure(Transient("timeout", f"{place} gave no answer in {self.timeout:g} s"))
        finally:
            ask.abandoned = True


def _settle(answered: asyncio.Future[Result[Any]], result: Result[object]) -> None:
    if not answered.done():
        answered.set_result(result)

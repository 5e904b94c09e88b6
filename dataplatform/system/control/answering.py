"""Agents as a prompt knows them: their operations wait for the answer, so that an assignment gives it."""

from __future__ import annotations

from typing import Any, TypeVar

from attrs import evolve, frozen

from dataplatform.base.agent import Request
from dataplatform.dsl.proxy import Askable, Proxy
from dataplatform.result import Result

__all__ = ["PATIENCE", "answering"]

T = TypeVar("T")
P = TypeVar("P", bound=Proxy)
PATIENCE = 30.0  # seconds that an answer is waited for; Ctrl-C ends the wait sooner


@frozen
class AnsweringAddress:
    """An address whose futures have been waited for."""

    _address: Askable

    @property
    def name(self) -> str:
        return self._address.name

    def ask(self, request: Request[T], timeout: float) -> Result[T]:
        return self._address.ask(request, timeout)

    def future(self, request: Request[T]) -> Any:
        """Return the answer, and no future of it; one that does not come in time is a failure that says so."""
        return self.ask(request, PATIENCE)


def answering(proxy: P) -> P:
    """Return a proxy whose operations answer a `Result` at once.

    At a prompt `p = coingecko.get_current_prices(["bitcoin"])` makes `p.data` the prices. `platform["coingecko"]` gives
    the proxy of scripts, whose operations answer futures.
    """
    return evolve(proxy, address=AnsweringAddress(proxy.address))

"""What one calls at the prompt besides the agents: functions on the platform as a whole."""

from __future__ import annotations

import inspect
import keyword
import pydoc
import re
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

from attrs import frozen

from dataplatform.base.agent import Request
from dataplatform.base.database import Rows
from dataplatform.base.streaming import TopicMessage
from dataplatform.result import Result, get_data
from dataplatform.services.gateway.control import MOST_ROWS
from dataplatform.services.gateway.operations import operations
from dataplatform.services.service import PlatformStatus

__all__ = ["Asks", "Helpers", "variable_name"]

T = TypeVar("T")
TIMEOUT = 20.0  # seconds


class Asks(Protocol):
    """Whoever carries requests to a platform: its own operator, or the other end of its control socket."""

    def ask(self, agent: str, request: Request[T], timeout: float) -> Result[T]: ...


@frozen
class Helpers:
    """The functions of the prompt; each says what it does to `help`."""

    _platform: Asks

    def namespace(self) -> dict[str, Callable[..., Any]]:
        """Return the functions by the names they are called by."""
        functions = (self.status, self.pause, self.resume, self.restart, self.skip, self.tail, self.sql, self.help)
        return {function.__name__: function for function in functions}

    def status(self) -> PlatformStatus:
        """Look at everything: `status()`."""
        status: PlatformStatus = get_data(self._operate("status"))
        return status

    def pause(self, name: str) -> Result[None]:
        """Have a source read nothing, until `resume`: `pause("coingecko")`. What is in flight settles."""
        return self._operate("pause", source=name)

    def resume(self, name: str) -> Result[None]:
        """Have a paused source read on: `resume("coingecko")`."""
        return self._operate("resume", source=name)

    def restart(self, name: str) -> Result[None]:
        """Stop an agent in good order and start it anew: `restart("coingecko")`. Nothing is lost by it."""
        return self._operate("restart", agent=name)

    def skip(self, topic: str, partition: int) -> Result[str]:
        """Give up a batch that cannot be read and holds a partition up, as a dead letter: `skip("prices", 2)`."""
        return self._operate("skip", topic=topic, partition=partition)

    def tail(self, topic: str, n: int = 10) -> Result[list[TopicMessage]]:
        """Read the last messages of a topic, at most 1,000: `tail("crypto-prices", n=5)`."""
        return self._operate("tail", topic=topic, most=n)

    def sql(self, select: str, client: str | None = None, most: int = MOST_ROWS) -> Result[Rows]:
        """Run one SELECT, read-only, on the database, or the client that is named: `sql("select now()")`."""
        return self._operate("sql", sql=select, client=client, most=most)

    def _operate(self, operation: str, **arguments: Any) -> Result[Any]:
        asked = operations()[operation].asked(TIMEOUT, **arguments)
        return self._platform.ask(asked.agent, asked.request, asked.timeout)

    def help(self, what: object = None) -> None:
        """Tell what something does: `help(coingecko.get_current_prices)`, `help(coingecko)`, `help(tail)`."""
        if what is not None:
            print(pydoc.plain(pydoc.render_doc(what, "About %s")))  # noqa: T201  a prompt's business
            return
        for name, function in self.namespace().items():
            arguments = ", ".join(inspect.signature(function).parameters)
            print(f"{name}({arguments})\n    {inspect.getdoc(function)}")  # noqa: T201  a prompt's business
        print("help(coingecko), or another agent's name, lists its operations")  # noqa: T201


def variable_name(name: str, taken: Iterable[str] = ()) -> str:
    """Return the name of an agent as Python can have it, other than those that are taken.

    >>> variable_name("timescale.1"), variable_name("coingecko-http"), variable_name("status", taken={"status"})
    ('timescale_1', 'coingecko_http', 'status_')
    """
    word = re.sub(r"\W", "_", name)
    word = f"_{word}" if word[:1].isdigit() else word
    while keyword.iskeyword(word) or word in taken:
        word += "_"
    return word

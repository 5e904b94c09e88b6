"""Failures as tool errors: what went wrong and what the caller can do about it, as far as it is so now.

What a caller can do about a failure, as far as it is so now: who else has the data, which id was meant.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, get_args

import anyio
import attrs
from anyio import to_thread
from attrs import define, field
from mcp.types import CallToolResult, TextContent

from dataplatform.base.agent import Request
from dataplatform.base.mcp.tool_errors import ERROR, as_meta
from dataplatform.dsl.operations.answers import tells_unknown_coin
from dataplatform.dsl.operations.arguments import SPREAD, spread
from dataplatform.dsl.operations.operations import GetAvailableTickers, ReadingOperation, WritingOperation
from dataplatform.dsl.records.schema import camel_case
from dataplatform.dsl.records.types import Record
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Failure
from dataplatform.services.gateway.mcp.arguments import Form
from dataplatform.services.gateway.mcp.bridge import Bridge
from dataplatform.services.gateway.mcp.catalogue import Call, Catalogue, OperationTool

__all__ = ["ERROR", "Advice", "argument_error", "text_of", "tool_error"]

PAUSE = 2.0  # seconds to wait where nobody has said how long
LONGEST = 1_500


def tool_error(error: PlatformError) -> CallToolResult:
    """Return the failure as a tool's answer: in words, and for another platform in `_meta` as well."""
    text = TextContent(type="text", text=text_of(error))
    return CallToolResult(content=[text], is_error=True, _meta=as_meta(_shown(error)))


def text_of(error: PlatformError) -> str:
    """Return what went wrong and what to do.

    >>> text_of(Transient("rate_limited", "CoinGecko answered 429", retry_after=30.0))
    'rate_limited: CoinGecko answered 429. Try again in 30 s.'
    """
    error = _shown(error)
    said = f"{error.code}: {error.message}"[:LONGEST].rstrip(".") + "."
    if isinstance(error, Transient):
        said += f" Try again in {error.retry_after or PAUSE:.3g} s."
    return said + (f" {error.remedy[:1].upper()}{error.remedy[1:]}." if error.remedy else "")


def _shown(error: PlatformError) -> PlatformError:
    """Return what may be told: what an agent died of is its supervisor's business, and in the log."""
    if error.code != "crashed":
        return error
    return Transient(error.code, "the agent that was asked failed and is being restarted")


FRESH = 600.0  # seconds for which a source's ids are known
LARGEST = 250  # ids, where a source cannot tell all of them
PATIENCE = 5.0  # seconds for the others to say whether they have what was asked for
SHOWN = 5
DECLARED = (*get_args(ReadingOperation), *get_args(WritingOperation), *SPREAD, *get_args(Record))
SNAKE = {one.name for cls in DECLARED for one in attrs.fields(cls) if "_" in one.name}
NAMES = re.compile(rf"(?<![\w'\"])({'|'.join(sorted(SNAKE, key=len, reverse=True))})(?![\w'\"])")


def argument_error(name: str, form: Form, error: PlatformError) -> PlatformError:
    """Return the error of a wrong argument, names spelt as the schema spells them, with all arguments and choices."""
    message = NAMES.sub(lambda found: camel_case(found[0]), error.message)
    takes = f"{name} takes {form.takes()}"
    return Permanent(error.code, message, remedy=f"{error.remedy}; {takes}" if error.remedy else takes)


@define(eq=False)
class Advice:
    """Adds to a failure what a caller can do about it; asks sources for that, and says nothing but what it knows."""

    bridge: Bridge
    catalogue: Catalogue
    now: Callable[[], float] = time.monotonic
    _known: dict[str, tuple[float, Sequence[str]]] = field(factory=dict, init=False)

    async def upon(self, error: PlatformError, tool: OperationTool, call: Call) -> Failure:
        """Return the failure with advice."""
        if error.code == "bad_argument":
            return Failure(argument_error(tool.name, tool.form, error))
        if tool.side == "source" and error.code == "unsupported":
            return Failure(await self._with_others(error, tool, call))
        if tool.side == "source" and tells_unknown_coin(error):
            return Failure(await self._with_ids(error, call))
        return Failure(error)

    async def _with_others(self, error: PlatformError, tool: OperationTool, call: Call) -> PlatformError:
        """Name the sources that answer the same question now."""
        able: list[str] = []

        async def ask(place: str) -> None:
            if not isinstance(await self.bridge.ask(place, call.request), Failure):
                able.append(place)

        with anyio.move_on_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for place in tool.places:
                    if place != call.place:
                        tasks.start_soon(ask, place)
        told = f"source {' or '.join(map(repr, sorted(able)))} has it now" if able else ""
        return Permanent(error.code, error.message, remedy="; ".join(filter(None, [told, error.remedy])))

    async def _with_ids(self, error: PlatformError, call: Call) -> PlatformError:
        """Name the ids that may have been meant."""
        known = await self._ids_of(call.place)
        if not known:
            return error
        close = await to_thread.run_sync(_close_to, _coin_of(call.request), known)
        meant = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
        ids = f"Known ids are {', '.join(known[:SHOWN])}, …; get_available_tickers has them all"
        return Permanent(error.code, error.message, remedy=f"{meant}{ids}")

    async def _ids_of(self, source: str) -> Sequence[str]:
        """Return the ids that a source has, the largest coins first where it cannot tell all."""
        kept = self._known.get(source)
        if kept is not None and self.now() - kept[0] < FRESH:
            return kept[1]
        tickers = self.catalogue.tools.get("get_available_tickers")
        if tickers is None or source not in tickers.places:
            return ()
        for limit in (LARGEST, None):
            answer = await self.bridge.ask(source, GetAvailableTickers(limit))
            if isinstance(answer, Failure):
                break
            self._known[source] = (self.now(), list(dict.fromkeys([*self._kept(source), *answer.data])))
        return self._kept(source)

    def _kept(self, source: str) -> Sequence[str]:
        return self._known[source][1] if source in self._known else ()


def _close_to(coin: str, known: Sequence[str]) -> list[str]:
    return get_close_matches(coin.lower(), known, n=3, cutoff=0.6)


def _coin_of(request: Request[Any]) -> str:
    asked = spread(request)
    coins: Any = asked.get("coin_id") or asked.get("coin_ids") or ""
    return coins if isinstance(coins, str) else str(coins[0])

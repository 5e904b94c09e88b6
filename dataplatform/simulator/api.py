"""The API behind the tools: the simulated REST API, asked without a network, its faults included."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from attrs import frozen

from dataplatform.simulator import detail as history
from dataplatform.simulator import markets
from dataplatform.simulator.detail import coin_detail
from dataplatform.simulator.faults import PREFIX, Fault, Faults
from dataplatform.simulator.market import Market
from dataplatform.simulator.mcp.operations import Operation
from dataplatform.simulator.query import Query, RefusedError
from dataplatform.simulator.sabotage import PAGE, hold, refusal_of, reshaped
from dataplatform.simulator.tickers import coin_tickers, exchange_tickers

__all__ = ["ENDPOINTS", "Api", "ApiAnswer", "ServedRequest"]

ENDPOINTS: Final[Mapping[str, Callable[[Query], object]]] = {
    "/ping": markets.ping,
    "/simple/price": markets.simple_price,
    "/simple/supported_vs_currencies": markets.supported_vs_currencies,
    "/global": markets.global_data,
    "/coins/list": markets.coins_list,
    "/coins/markets": markets.coins_markets,
    "/coins/{id}": coin_detail,
    "/coins/{id}/ohlc": history.ohlc,
    "/coins/{id}/ohlc/range": history.ohlc_range,
    "/coins/{id}/market_chart": history.market_chart,
    "/coins/{id}/market_chart/range": history.market_chart_range,
    "/coins/{id}/tickers": coin_tickers,
    "/exchanges/{id}/tickers": exchange_tickers,
}
"""What answers which path below `/api/v3`; each takes a `Query` and returns JSON, or raises `RefusedError`."""

_OK = 200


@frozen
class ServedRequest:
    """One request to the API that was answered, rightly or by a fault; also one that an MCP server made for a tool.

    Attributes:
        path: with the prefix, such as `/api/v3/ping`.
        query: as it came, without the question mark.
        time: when the answer began, by the simulator's clock, in UTC.
        status: the HTTP status of the answer.

    """

    path: str
    query: str
    time: datetime
    status: int


@frozen
class ApiAnswer:
    """What the API answered, or what the SDK says where it got no answer.

    Attributes:
        status: the HTTP status; 0 where the connection broke off.
        body: as it came: JSON, unless a fault spoilt it.
        is_page: whether it is a page of HTML.

    """

    status: int
    body: str
    is_page: bool = False

    @property
    def is_ok(self) -> bool:
        return self.status == _OK

    @property
    def value(self) -> str:
        """The body as a JSON value; a page is a text to the SDK."""
        return msgspec.json.encode(self.body).decode() if self.is_page else self.body

    @property
    def error(self) -> str:
        """What the SDK's exception says of it: `404 {"error":"coin not found"}`."""
        return f"{self.status} {self.body}" if self.status else "Connection error."


@frozen
class Api:
    """Answers operations from the market; `record` is told of each request's path, query and status.

    `paid` tells that they are made with the key of a paid plan.
    """

    market: Market
    faults: Faults
    record: Callable[[str, str, int], None]
    paid: bool = False

    async def ask(self, operation: Operation, arguments: Mapping[str, Any]) -> ApiAnswer:
        """Answer as the REST API would."""
        parameters = {name: _written(value) for name, value in arguments.items() if value is not None}
        path = operation.path.format(**parameters)
        answer = await self._answer(operation, path, parameters)
        query = urlencode({name: text for name, text in parameters.items() if name != "id" or not operation.has_id})
        self.record(PREFIX + path, query, answer.status)
        return answer

    async def _answer(self, operation: Operation, path: str, parameters: Mapping[str, str]) -> ApiAnswer:
        answering: Fault | None = None
        for armed in self.faults.meet(path):
            if armed.fault.kind == "slow":
                await hold(armed)
            else:
                answering = armed.fault
        if answering is not None and (refusal := refusal_of(answering, self.market.now())):
            return _refused(refusal)
        if answering is not None and answering.kind == "html":
            return ApiAnswer(answering.status or _OK, PAGE, is_page=True)
        try:
            document = ENDPOINTS[operation.path](Query(self.market, self.market.refreshed(), parameters, self.paid))
        except RefusedError as refusal:
            return _refused(refusal)
        return _spoilt(document, answering)


def _spoilt(document: object, fault: Fault | None) -> ApiAnswer:
    body = msgspec.json.encode(document)
    match fault.kind if fault else None:
        case "cut":
            return ApiAnswer(0, "")
        case "malformed_json":
            body = body[: len(body) * 2 // 3]
        case "changed_shape":
            assert fault is not None
            body = msgspec.json.encode(reshaped(msgspec.json.decode(body), fault))
    return ApiAnswer(_OK, body.decode(errors="ignore"))


def _refused(refusal: RefusedError) -> ApiAnswer:
    return ApiAnswer(refusal.status, msgspec.json.encode(refusal.body).decode())


def _written(value: Any) -> str:
    """Write an argument as the SDK writes it into a query."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return ",".join(map(_written, value)) if isinstance(value, list) else str(value)

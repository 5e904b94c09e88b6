"""The simulator as an ASGI application: the REST API under `/api/v3`, MCP servers under `/mcp`, a switch for faults."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from functools import partial
from typing import Final

import msgspec
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dataplatform.simulator.account import Account
from dataplatform.simulator.api import ENDPOINTS, Api, ServedRequest
from dataplatform.simulator.faults import MCP_PREFIX, PREFIX, Faults, fault_from_json
from dataplatform.simulator.market import Market
from dataplatform.simulator.mcp.form import McpForm
from dataplatform.simulator.mcp.late import LazyApp
from dataplatform.simulator.query import Query, RefusedError, unknown_path
from dataplatform.simulator.sabotage import FaultMiddleware, json_response

__all__ = ["CONTROL", "REQUESTS_KEPT", "create_app"]

CONTROL: Final = "/_simulator/faults"
REQUESTS_KEPT: Final = 1_000
PRO_KEY: Final = "x-cg-pro-api-key"
KEY: Final = "/key"  # only of the REST API: no MCP server has a tool for it

_Handler = Callable[[Request], Awaitable[Response]]


def create_app(
    market: Market,
    faults: Faults | None = None,
    requests: deque[ServedRequest] | None = None,
    mcp: McpForm | None = None,
    account: Account | None = None,
    *,
    paid: bool = False,
) -> Starlette:
    """Return the application, for embedding; the MCP servers need its lifespan.

    Args:
        market: where the numbers come from.
        faults: the switched-on faults, shared with whoever switches them; by default its own.
        requests: where served requests are recorded; by default nowhere else than in the application.
        mcp: which form the MCP servers have.
        account: of which all share one who ask with the key of a paid plan; by default one of its own.
        paid: whether everybody is served as one with a paid plan, and not only who sends a key of one.

    """
    faults = Faults() if faults is None else faults
    requests = deque(maxlen=REQUESTS_KEPT) if requests is None else requests
    account = Account(market.now) if account is None else account
    answers = {**ENDPOINTS, KEY: account.usage}
    routes = [
        Route(PREFIX + path, _endpoint(market, answer, account, paid=paid), methods=["GET"])
        for path, answer in answers.items()
    ]
    servers = LazyApp(partial(_mcp_servers, market, faults, requests, mcp or McpForm(), paid=paid))
    return Starlette(
        routes=[
            *routes,
            Route(CONTROL, _control(faults), methods=["GET", "POST", "DELETE"]),
            Mount(MCP_PREFIX, app=servers),
        ],
        lifespan=lambda _: servers.running(),
        middleware=[
            Middleware(_Labels, requests=requests, now=market.now),
            Middleware(FaultMiddleware, faults=faults, now=market.now),
        ],
        exception_handlers={404: _no_such_path},
    )


def _endpoint(market: Market, answer: Callable[[Query], object], account: Account, *, paid: bool) -> _Handler:
    async def endpoint(request: Request) -> Response:
        pays = paid or bool(request.headers.get(PRO_KEY))
        query = Query(market, market.refreshed(), {**request.query_params, **request.path_params}, pays)
        try:
            answered = answer(query)
        except RefusedError as refusal:
            return json_response(refusal.body, refusal.status)
        if pays:
            account.charge()
        return json_response(answered)

    return endpoint


def _mcp_servers(
    market: Market, faults: Faults, requests: deque[ServedRequest], form: McpForm, *, paid: bool
) -> AbstractAsyncContextManager[ASGIApp]:
    from dataplatform.simulator.mcp import endpoints, generations, server  # noqa: PLC0415  see `LazyApp`

    def record(path: str, query: str, status: int) -> None:
        requests.append(ServedRequest(path, query, market.now().astimezone(UTC), status))

    kinds = generations.generations(Api(market, faults, record, paid), wrapped=form.wrapped, early=form.early)
    return endpoints.serving({name: server.mcp_server(name, kinds, faults) for name in kinds}, form.host)


async def _no_such_path(request: Request, error: Exception) -> Response:
    del request, error
    refusal = unknown_path()
    return json_response(refusal.body, refusal.status)


def _control(faults: Faults) -> _Handler:
    async def control(request: Request) -> Response:
        if request.method == "DELETE":
            return json_response({"cleared": faults.clear()})
        if request.method != "POST":
            return json_response([armed.as_json() for armed in faults.listed()])
        try:
            fault = fault_from_json(msgspec.json.decode(await request.body()))
        except ValueError as error:
            return json_response({"error": str(error)}, 400)
        return json_response(faults.inject(fault).as_json(), 201)

    return control


class _Labels:
    """Marks every answer as the simulator's, so that nobody takes it for CoinGecko's, and records what was served."""

    def __init__(self, app: ASGIApp, requests: deque[ServedRequest], now: Callable[[], datetime]) -> None:
        self._app = app
        self._requests = requests
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def label(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Server"], headers["X-Simulator"] = "dataplatform-simulator", "dataplatform"
                self._record(scope, message["status"])
            await send(message)

        await self._app(scope, receive, label if scope["type"] == "http" else send)

    def _record(self, scope: Scope, status: int) -> None:
        if scope["path"].startswith(f"{PREFIX}/"):
            query = scope["query_string"].decode("latin-1")
            self._requests.append(ServedRequest(scope["path"], query, self._now().astimezone(UTC), status))

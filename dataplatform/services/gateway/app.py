"""The gateway's application: routes, what a request may be, and every refusal as JSON."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from attrs import define, field, frozen
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dataplatform.base.agent import later
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Failure
from dataplatform.services.gateway.control import Operator
from dataplatform.services.gateway.operations import Asked, Operation, operation_named, operations
from dataplatform.services.gateway.status import status_as_json
from dataplatform.services.gateway.wire import MOST_BYTES, Answer, answer_to, error_answer, read_body

__all__ = ["MOST_ASKED", "Bug", "Event", "Refused", "Served", "application", "owner_routes"]

MOST_ASKED = 32  # requests under way
JSON = "application/json"


@frozen
class Served:
    """An operation was carried out or passed on, with an error or without; `of` is the agent that it was about."""

    operation: Operation
    of: str
    error: str | None = None


@frozen
class Refused:
    """A request was refused before it was known what it asks."""

    error: str


@frozen
class Bug:
    """A request that this application failed over."""

    path: str
    error: str


Event: TypeAlias = Served | Refused | Bug
Note: TypeAlias = Callable[[Event], None]


@define(eq=False)
class Asking:
    """Carries out operations, so many at once; each has its place until it has ended, whether or not anybody waits."""

    operator: Operator
    note: Note
    _places: threading.BoundedSemaphore = field(factory=lambda: threading.BoundedSemaphore(MOST_ASKED), init=False)

    async def answer(self, name: str, body: bytes) -> Answer:
        """Answer one request; what is refused is noted, and raised."""
        operation = operation_named(name)
        asked = operation.read(read_body(body))
        if not self._places.acquire(blocking=False):
            raise Transient("busy", f"{MOST_ASKED} requests are under way", retry_after=1.0)
        try:
            answer = later(partial(self._carry_out, operation, asked), f"asking for {name}")
        except RuntimeError:  # the machine has no thread for it
            self._places.release()
            raise
        return await answer

    def _carry_out(self, operation: Operation, asked: Asked) -> Answer:
        try:
            result = self.operator.ask(asked.agent, asked.request, asked.timeout)
            answer = answer_to(result)
        except Exception as bug:  # noqa: BLE001  of the platform's, which this caller is told of and the log has
            result = Failure(Transient("crashed", f"the platform failed over this: {type(bug).__name__}: {bug}"))
            answer = answer_to(result)
        finally:
            self._places.release()
        failed = str(result.error) if isinstance(result, Failure) else None
        self.note(Served(operation, asked.agent or getattr(asked.request, "agent", ""), failed))
        return answer


def application(routes: Sequence[BaseRoute], note: Note, middleware: Sequence[Middleware] = ()) -> Starlette:
    """Return the application of a door with these routes; what it refuses is JSON, and noted."""
    refusing = dict.fromkeys((HTTPException, PlatformError, ClientDisconnect), partial(_refused, note))
    handlers: dict[Any, Any] = {**refusing, Exception: partial(_failed, note)}
    return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers)


def owner_routes(operator: Operator, note: Note) -> list[BaseRoute]:
    """Return the routes for the platform's owner, who has all rights.

    - `GET /status`: the status, as `status --json` prints it
    - `GET /operations`: each operation with its arguments
    - `POST /operations/NAME`: its answer; the body holds the arguments
    """
    asking = Asking(operator, note)

    async def status(request: Request) -> Response:
        del request
        return _json(status_as_json(operator.platform.status()))

    async def list_operations(request: Request) -> Response:
        del request
        return _json({"operations": [_described(one) for one in operations().values()]})

    async def operate(request: Request) -> Response:
        return _response(await asking.answer(request.path_params["name"], await _body_of(request)))

    return [
        Route("/status", status, methods=["GET"]),
        Route("/operations", list_operations, methods=["GET"]),
        Route("/operations/{name}", operate, methods=["POST"]),
    ]


async def _body_of(request: Request) -> bytes:
    """Return a body of bearable size; what is larger is not read."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise Permanent("too_large", f"the body has more than {MOST_BYTES:,} bytes", remedy="send less at once")
    return bytes(body)


async def _refused(note: Note, request: Request, error: Exception) -> Response:
    told = _as_platform_error(request, error)
    note(Refused(str(told)))
    return _response(error_answer(told))


async def _failed(note: Note, request: Request, bug: Exception) -> Response:
    note(Bug(request.scope["path"], f"{type(bug).__name__}: {bug}"))
    return _response(error_answer(Transient("crashed", "the platform failed over this request; its log says why")))


def _as_platform_error(request: Request, error: Exception) -> PlatformError:
    match error:
        case PlatformError():
            return error
        case HTTPException(status_code=404):
            text = f"there is nothing at {request.scope['path']!r:.100}"
            paths = [route.path for route in request.app.routes if isinstance(route, Route)]
            return Permanent("not_found", text, remedy=f"there are {', '.join(paths)}")
        case HTTPException(status_code=405):
            return Permanent("method", f"{request.method[:20]} is not taken at {request.scope['path']!r:.100}")
        case _:
            return Permanent("bad_request", f"{type(error).__name__}: {error}")


def _described(operation: Operation) -> dict[str, Any]:
    return {
        "name": operation.name,
        "summary": operation.summary,
        "right": operation.right,
        "arguments": operation.schema(),
        "answer": operation.answer_schema(),
    }


def _response(answer: Answer) -> Response:
    headers = {} if answer.retry_after is None else {"retry-after": f"{max(1.0, answer.retry_after):.0f}"}
    return Response(answer.body, answer.status, headers, media_type=JSON)


def _json(value: Any) -> Response:
    return Response(json.dumps(value, indent=2) + "\n", media_type=JSON)

"""Answers and errors of the gateway as JSON, and what a client makes of them again."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
from attrs import frozen

from dataplatform.base.agent import Request
from dataplatform.dsl.records.schema import from_json, to_json
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Failure, Result, Success
from dataplatform.services.gateway.operations import operation_of

__all__ = ["MOST_BYTES", "Answer", "answer_to", "error_answer", "error_body", "read_answer", "read_body", "read_plain"]

T = TypeVar("T")
MOST_BYTES = 16 * 1024 * 1024
MOST_PARTS = 1_000_000  # values in a body, each of which becomes an object many times as large as its text
TOO_LARGE = Permanent("too_large", f"the answer has more than {MOST_BYTES:,} bytes", remedy="ask for less of it")
STATUS = {
    "bad_argument": HTTPStatus.BAD_REQUEST,
    "bad_request": HTTPStatus.BAD_REQUEST,
    "bug": HTTPStatus.INTERNAL_SERVER_ERROR,
    "busy": HTTPStatus.SERVICE_UNAVAILABLE,
    "crashed": HTTPStatus.INTERNAL_SERVER_ERROR,
    "forbidden": HTTPStatus.FORBIDDEN,
    "method": HTTPStatus.METHOD_NOT_ALLOWED,
    "not_found": HTTPStatus.NOT_FOUND,
    "not_yours": HTTPStatus.FORBIDDEN,
    "rate_limited": HTTPStatus.TOO_MANY_REQUESTS,
    "timeout": HTTPStatus.GATEWAY_TIMEOUT,
    "too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
}


@frozen
class Answer:
    """An answer over HTTP: its status, its body as JSON, and after how many seconds to ask again, where that is known.

    A body is `{"result": …, "notes": […]}` or `{"error": {"code": …, "message": …, "remedy": …, "retryAfter": …}}`.
    """

    status: HTTPStatus
    body: bytes
    retry_after: float | None = None


def answer_to(result: Result[Any]) -> Answer:
    """Return the answer; one that is too large becomes an error that says so."""
    match result:
        case Failure(error):
            return error_answer(error)
        case Success(data, notes):
            body = _encoded({"result": to_json(data), "notes": list(notes)})
    return error_answer(TOO_LARGE) if len(body) > MOST_BYTES else Answer(HTTPStatus.OK, body)


def error_answer(error: PlatformError) -> Answer:
    """Return an error as an answer; an outage is `503`, what will never do `422`, unless HTTP has a word for it."""
    transient = isinstance(error, Transient)
    usual = HTTPStatus.SERVICE_UNAVAILABLE if transient else HTTPStatus.UNPROCESSABLE_ENTITY
    retry_after = error.retry_after if isinstance(error, Transient) else None
    return Answer(STATUS.get(error.code, usual), error_body(error), retry_after)


def error_body(error: PlatformError) -> bytes:
    """Return an error as the body of a response."""
    return _encoded({"error": to_json(error)})


def read_body(body: bytes) -> Any:
    """Return what a body holds; raises `Permanent`: `bad_request` for no JSON, `too_large` for too many values."""
    if body.count(b",") >= MOST_PARTS:
        text = f"the body has more than {MOST_PARTS:,} values"
        raise Permanent("too_large", text, remedy="send less at once")
    try:
        return msgspec.json.decode(body or b"{}")
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Permanent("bad_request", f"the body is not JSON: {error}") from error


def read_plain(body: bytes) -> Result[Any]:
    """Return an answer that is JSON of its own, or the error that stands in its place."""
    answer = read_body(body)
    if isinstance(answer, dict) and "error" in answer:
        return Failure(from_json(PlatformError, answer["error"]))
    return Success(answer)


def read_answer(request: Request[T], body: bytes) -> Result[T]:
    """Return the answer to a request; raises `Permanent` for a body that is not an answer."""
    plain = read_plain(body)
    if isinstance(plain, Failure):
        return plain
    answer = plain.data
    if not isinstance(answer, dict) or "result" not in answer:
        raise Permanent("bad_request", "the answer has neither a result nor an error")
    notes = from_json(tuple[str, ...], answer.get("notes", []))
    return Success(from_json(operation_of(request).answer, answer["result"]), notes)


def _encoded(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str).encode("utf-8", "replace")

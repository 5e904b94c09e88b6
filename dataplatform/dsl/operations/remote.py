"""Another platform, asked through its MCP server: operations as calls of its tools, and what those answer as data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args, get_origin

import msgspec

from dataplatform.base.agent import Request
from dataplatform.base.mcp import CallAnyOf, CallTool, ToolAnswer
from dataplatform.dsl.operations.answers import ParsedRows, read_rows
from dataplatform.dsl.operations.operations import messages, result_of
from dataplatform.dsl.records.queries import BatchPublishResult, OHLCVSeries
from dataplatform.dsl.records.schema import Wire
from dataplatform.dsl.records.types import CryptoOHLCVData
from dataplatform.errors import Permanent

__all__ = ["call_of", "data_of", "notes_of", "operation_of", "record_in", "rows_of"]

UNTOLD = "its topology says what it offers (writing: allow_writes = true), and our token what we may use"
ANSWERS = Wire(lenient=True)


def operation_of(message: Request[Any]) -> str:
    """Return the operation that a message asks for.

    >>> from dataplatform.dsl.operations.operations import GetPriceHistory
    >>> operation_of(GetPriceHistory("bitcoin", 7))
    'get_price_history'
    """
    return next(name for name, cls in messages().items() if cls is type(message))


def call_of(operation: str, arguments: Mapping[str, Any]) -> CallAnyOf:
    """Return the call of the tool that is named as the operation is, for the whole of its answer, however long.

    It answers `unsupported` where the other platform has no such tool.

    >>> call_of("get_price_history", {"coinId": "bitcoin", "days": 7}).calls[0].name
    'get_price_history'
    """
    whole = {"all": True} if _may_be_long(messages()[operation]) else {}
    untold = Permanent("unsupported", f"the other platform does not offer us {operation}", remedy=UNTOLD)
    return CallAnyOf((CallTool(operation, {**arguments, **whole}),), untold)


def _may_be_long(message: type[Any]) -> bool:
    """Tell whether an operation answers more than one thing, of which a server of this kind would leave out some."""
    result = result_of(message)
    return get_origin(result) is list or result in {OHLCVSeries, BatchPublishResult}


def data_of(answer: ToolAnswer) -> Any:
    """Return what an operation has answered, of the type that the operation answers here.

    Raises `Permanent` (`changed_shape`) for what is nothing of that type: then the server is not that of a platform,
    or of one too far from ours in version.
    """
    try:
        return ANSWERS.read(result_of(messages()[answer.tool]), _result(answer))
    except Permanent as error:
        raise _no_answer(answer, error.message) from error


def rows_of(answer: ToolAnswer) -> ParsedRows[Any]:
    """Return the records that an operation has answered, read one by one: an invalid one does not cost the others.

    A series counts as its candles, and an answer that is one record as that. Raises `Permanent` (`changed_shape`) for
    what holds no rows.
    """
    row, path = _row_of(answer.tool)
    if row is None:
        return ParsedRows([data_of(answer)], [])
    rows: Any = _result(answer)
    for key in path:
        rows = rows.get(key) if isinstance(rows, dict) else None
    if not isinstance(rows, list):
        raise _no_answer(answer, f"expected a list at '{'.'.join(('$', *path))}'")
    raws = [msgspec.Raw(json.dumps(one).encode()) for one in rows]
    within = ".".join(("$", "result", *path))
    return read_rows(raws, f"{answer.tool} of {_server(answer)}", ANSWERS.form(row), _built, within=within)


def record_in(raw: bytes, operation: str) -> Any:
    """Return the record in a row that an operation of another platform has answered; raises `Permanent` for none."""
    row, _ = _row_of(operation)
    if row is None:
        raise Permanent("unsupported", f"{operation} does not answer rows")
    rows = read_rows([msgspec.Raw(raw)], operation, ANSWERS.form(row), _built)
    rows.require_one()
    return rows.found[0]


def _row_of(operation: str) -> tuple[Any, tuple[str, ...]]:
    """Return the type of an operation's rows, and where in its result they stand; None where it answers no rows."""
    answers = result_of(messages()[operation])
    if answers is OHLCVSeries:
        return CryptoOHLCVData, ("candles",)
    return (get_args(answers)[0], ()) if get_origin(answers) is list else (None, ())


def _built(value: Any) -> Any:
    try:
        return ANSWERS.build(value)
    except Permanent as error:
        raise ValueError(error.message) from error


def _result(answer: ToolAnswer) -> Any:
    if not isinstance(answer.structured, dict) or "result" not in answer.structured:
        raise _no_answer(answer, "it holds no result")
    return answer.structured["result"]


def _server(answer: ToolAnswer) -> str:
    return f"{answer.server_name} {answer.server_version}".strip() or "the server"


def _no_answer(answer: ToolAnswer, what: str) -> Permanent:
    remedy = "the client has to lead to the MCP server of a platform like this one, of a like version"
    return Permanent("changed_shape", f"what {answer.tool} of {_server(answer)} answers: {what}", remedy=remedy)


def notes_of(answer: ToolAnswer) -> tuple[str, ...]:
    """Return what the other platform says about its answer."""
    given = answer.structured.get("notes") if isinstance(answer.structured, dict) else None
    return tuple(note for note in given if isinstance(note, str)) if isinstance(given, list) else ()

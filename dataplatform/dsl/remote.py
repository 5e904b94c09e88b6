"""Another platform, asked through its MCP server: operations as calls of its tools, and what those answer as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_origin

from dataplatform.base.agent import Request
from dataplatform.base.mcp import CallAnyOf, CallTool, ToolAnswer
from dataplatform.dsl.operations import result_of
from dataplatform.dsl.queries import BatchPublishResult, OHLCVSeries
from dataplatform.dsl.registry import MESSAGES
from dataplatform.dsl.wire import Wire
from dataplatform.errors import Permanent

__all__ = ["call_of", "data_of", "notes_of", "operation_of"]

UNTOLD = "its topology says what it offers (writing: allow_writes = true), and our token what we may use"
ANSWERS = Wire(lenient=True)
NAMES = {message: name for name, message in MESSAGES.items()}


def operation_of(message: Request[Any]) -> str:
    """Return the operation that a message asks for.

    >>> from dataplatform.dsl.operations import GetPriceHistory
    >>> operation_of(GetPriceHistory("bitcoin", 7))
    'get_price_history'
    """
    return NAMES[type(message)]


def call_of(operation: str, arguments: Mapping[str, Any]) -> CallAnyOf:
    """Return the call of the tool that is named as the operation is, for the whole of its answer, however long.

    It answers `unsupported` where the other platform has no such tool.

    >>> call_of("get_price_history", {"coinId": "bitcoin", "days": 7}).calls[0].name
    'get_price_history'
    """
    whole = {"all": True} if _may_be_long(MESSAGES[operation]) else {}
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
        return ANSWERS.read(result_of(MESSAGES[answer.tool]), (answer.structured or {})["result"])
    except (Permanent, KeyError, TypeError) as error:
        what = error.message if isinstance(error, Permanent) else "it holds no result"
        server = f"{answer.server_name} {answer.server_version}".strip() or "the server"
        remedy = "the client has to lead to the MCP server of a platform like this one, of a like version"
        raise Permanent("changed_shape", f"what {answer.tool} of {server} answers: {what}", remedy=remedy) from error


def notes_of(answer: ToolAnswer) -> tuple[str, ...]:
    """Return what the other platform says about its answer."""
    given = answer.structured.get("notes") if isinstance(answer.structured, dict) else None
    return tuple(note for note in given if isinstance(note, str)) if isinstance(given, list) else ()

"""The two generations of tools: one tool for each operation, or one tool for them all that is sent code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
from attrs import frozen

from dataplatform.simulator.api import Api, ApiAnswer
from dataplatform.simulator.mcp.javascript import CodeError, SdkCall, parse
from dataplatform.simulator.mcp.operations import OPERATIONS, Kind, Operation

__all__ = ["CodeTools", "Generation", "StaticTools", "ToolResult", "ToolSpec", "UnknownToolError", "generations"]

_TOOLS = {operation.tool: operation for operation in OPERATIONS}
_METHODS = {operation.method: operation for operation in OPERATIONS}


class UnknownToolError(LookupError):
    """No tool has this name."""


@frozen
class ToolSpec:
    """A tool as it is listed."""

    name: str
    description: str
    schema: dict[str, Any]


@frozen
class ToolResult:
    """What a tool answers: a text, or the text of an error."""

    text: str
    is_error: bool = False


class Generation(Protocol):
    """A set of tools."""

    def tools(self) -> list[ToolSpec]:
        """Return what there is."""

    async def call(self, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        """Answer a call, or raise `UnknownToolError`."""


@frozen
class StaticTools:
    """A tool for each operation; `early` says whether those are there that only the first releases had."""

    api: Api
    early: bool = True

    def tools(self) -> list[ToolSpec]:
        return [
            ToolSpec(operation.tool, operation.about, operation.schema)
            for operation in OPERATIONS
            if self.early or not operation.early
        ]

    async def call(self, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        operation = _TOOLS.get(name)
        if operation is None or (operation.early and not self.early):
            raise UnknownToolError(name)
        if operation.has_id and not _is_segment(arguments.get("id")):
            return ToolResult(_BAD_SEGMENT, is_error=True)
        answer = await self.api.ask(operation, arguments)
        return ToolResult(_indented(answer.value)) if answer.is_ok else ToolResult(answer.error, is_error=True)


@frozen
class CodeTools:
    """`execute`, which is sent code, and `search_docs`.

    `wrapped` says whether answers are wrapped, as those of CoinGecko's hosted server are, or bare, as those of a local
    one. The code is read, never run; what the real tool would refuse for its types is refused here too.
    """

    api: Api
    wrapped: bool = True

    def tools(self) -> list[ToolSpec]:
        text = {"type": "string"}
        execute = {"type": "object", "properties": {"code": text, "intent": text}, "required": ["code"]}
        search = {"type": "object", "properties": {"query": text, "language": text, "detail": text}}
        return [
            ToolSpec("execute", "Calls a method of the SDK, given as `async function run(client) { … }`.", execute),
            ToolSpec("search_docs", "Lists the SDK's methods.", search | {"required": ["query", "language"]}),
        ]

    async def call(self, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        match name:
            case "execute":
                return await self._execute(str(arguments.get("code", "")))
            case "search_docs":
                return ToolResult(_documentation())
            case _:
                raise UnknownToolError(name)

    async def _execute(self, code: str) -> ToolResult:
        try:
            call = parse(code)
            operation = _checked(call)
        except CodeError as error:
            return ToolResult(str(error), is_error=True)
        identifier = {"id": call.identifier} if operation.has_id else {}
        answer = await self.api.ask(operation, {**identifier, **call.parameters})
        return self._result(answer) if answer.is_ok else ToolResult(f"Error: {answer.error}", is_error=True)

    def _result(self, answer: ApiAnswer) -> ToolResult:
        if self.wrapped:
            return ToolResult(f'{{"result": {answer.value}, "log_lines": [], "err_lines": []}}')
        return ToolResult(answer.body)


def generations(api: Api, *, wrapped: bool, early: bool = True) -> dict[str, Generation]:
    """Return both, by the names that their endpoints have."""
    return {"static": StaticTools(api, early), "code": CodeTools(api, wrapped)}


_BAD_SEGMENT = "Path parameters result in path with invalid segments"


def _is_segment(value: object) -> bool:
    return isinstance(value, str) and bool(value) and not set(value) & set("/?#{}") and set(value) != {"."}


def _indented(text: str) -> str:
    try:
        return msgspec.json.format(text, indent=2)
    except msgspec.DecodeError:
        return text


def _checked(call: SdkCall) -> Operation:
    """Return the operation that is called, unless a compiler would object."""
    operation = _METHODS.get(call.method)
    if operation is None:
        raise CodeError(f"client.{call.method} is not a function. Did you mean: {_like(call.method)}")
    if objections := _objections(operation, call):
        lines = "\n".join(f"- {objection}" for objection in objections)
        raise CodeError(f"The code contains TypeScript diagnostics:\n{lines}")
    if operation.has_id and not _is_segment(call.identifier):
        raise CodeError(f"Error: {_BAD_SEGMENT}")
    return operation


def _objections(operation: Operation, call: SdkCall) -> list[str]:
    kinds, given = operation.kinds, call.parameters
    if operation.has_id != (call.identifier is not None):
        return ["An id is missing." if operation.has_id else "Argument of type 'string' is not an object."]
    found = [f"Property '{name}' is missing in the parameters." for name in operation.required if name not in given]
    for name, value in given.items():
        if name not in kinds:
            found.append(f"Object literal may only specify known properties, and '{name}' does not exist in them.")
        elif value is not None and _kind(value) != kinds[name]:
            found.append(f"Type '{_kind(value)}' is not assignable to type '{kinds[name]}' of '{name}'.")
        elif value is not None and name in operation.choices and value not in operation.choices[name]:
            choices = " | ".join(f'"{choice}"' for choice in operation.choices[name])
            found.append(f"Type '\"{value}\"' is not assignable to type '{choices}' of '{name}'.")
    return found


def _kind(value: object) -> Kind | str:
    match value:
        case str():
            return "string"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case _:
            return "object"


def _like(method: str) -> str:
    first = method.partition(".")[0]
    like = [known for known in _METHODS if known.startswith(first)] or list(_METHODS)
    return ", ".join(f"client.{known}" for known in like[:5])


def _documentation() -> str:
    methods = [
        {
            "method": f"client.{operation.method}",
            "summary": operation.about,
            "endpoint": f"GET {operation.path}",
            "params": [
                f"{name}{'' if name in operation.required else '?'}: {kind};" for name, kind in operation.kinds.items()
            ],
        }
        for operation in OPERATIONS
    ]
    return _indented(msgspec.json.encode(methods).decode())

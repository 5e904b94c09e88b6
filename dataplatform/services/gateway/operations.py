"""One registry of operations, the DSL's and the operator's: what is asked by which name, of whom, with which right.

MCP tools, HTTP routes, the command line and the prompt all find an operation here: its message, its arguments as
callers outside of Python spell them, its right and their JSON Schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from typing import Any, Literal, TypeAlias, Union

import attrs
import msgspec
from attrs import field, frozen

from dataplatform.base.agent import GetStatus, Request
from dataplatform.dsl.flow.source import Pause, Resume
from dataplatform.dsl.operations.arguments import arguments_of, gathered
from dataplatform.dsl.operations.operations import messages, reading, result_of, writing
from dataplatform.dsl.records.schema import Wire, camel_case, described, form_schema, json_schema, to_json
from dataplatform.errors import Permanent
from dataplatform.services.gateway.requests import (
    DrainPlatform,
    GetPlatformInfo,
    GetPlatformStatus,
    RestartAgent,
    RunQuery,
    SkipPartition,
    TailTopic,
)
from dataplatform.services.gateway.status import GetDeadLetters, GetLag, ListSources
from dataplatform.suggestions import suggestion

__all__ = ["RIGHTS", "Asked", "Operation", "Right", "Whom", "operation_named", "operation_of", "operations"]

Right: TypeAlias = Literal["read", "write", "operate"]
RIGHTS: tuple[Right, ...] = ("read", "write", "operate")
Whom: TypeAlias = Literal["source", "target", "agent", "platform"]
TIMEOUT, LONGEST = "timeout", 120.0  # seconds that an asker may wait
USUAL = 20.0
WIRE = Wire()


@frozen
class Asked:
    """A request, for which agent ("" is the platform), and how many seconds its asker waits."""

    agent: str
    request: Request[Any]
    timeout: float


@frozen
class Operation:
    """One operation.

    - `name`: by which it is called everywhere
    - `message`: the request that it stands for
    - `whom`: who is asked; the caller names the source, target or agent
    - `right`: what a caller must be allowed
    - `changes`: whether it changes anything
    """

    name: str
    message: Any = field(repr=False)
    whom: Whom
    right: Right
    changes: bool = False

    @property
    def summary(self) -> str:
        """What it does, in one line."""
        return described(self.message)

    @property
    def answer(self) -> Any:
        """The type that it answers."""
        return result_of(self.message)

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of its arguments."""
        return form_schema(self._form)

    def answer_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of what it answers."""
        return json_schema(self.answer)

    def read(self, arguments: Any) -> Asked:
        """Return what arguments, as `json.loads` gives them, ask for; raises `Permanent` (`bad_argument`)."""
        given = WIRE.convert(self._form, arguments)
        if not 0.0 < given.timeout <= LONGEST:
            raise Permanent("bad_argument", f"timeout: must be above 0 and at most {LONGEST:g} s")
        names = [one.name for one in arguments_of(self.message)]
        values = {name: value for name in names if (value := getattr(given, name)) is not msgspec.UNSET}
        try:
            request = gathered(self.message, {name: WIRE.build(value) for name, value in values.items()})
        except (ValueError, TypeError) as error:
            raise Permanent("bad_argument", str(error)) from error
        agent = "" if self.whom == "platform" else getattr(given, self.whom)
        return Asked(agent, request, given.timeout)

    def asked(self, timeout: float, /, **arguments: Any) -> Asked:
        """Return what is asked for by arguments as Python has them."""
        agent = "" if self.whom == "platform" else arguments.pop(self.whom)
        return Asked(agent, self.message(**arguments), timeout)

    def arguments(self, asked: Asked) -> dict[str, Any]:
        """Return the arguments that ask for this, as `json.dumps` takes them; the opposite of `read`.

        Raises `Permanent` (`unsupported`) where an agent is to be asked what the platform is.
        """
        if self.whom == "platform" and asked.agent:
            raise Permanent("unsupported", f"{asked.agent} does not take {type(asked.request).__name__}")
        whole = to_json(asked.request)
        found: dict[str, Any] = {} if self.whom == "platform" else {self.whom: asked.agent}
        for one in arguments_of(self.message):
            holder = whole if one.within is None else whole[camel_case(one.within)] or {}
            value = holder.get(camel_case(one.option))
            if value is not None:
                found[camel_case(one.name)] = value
        return {**found, TIMEOUT: asked.timeout}

    @cached_property
    def _form(self) -> type[msgspec.Struct]:
        """The arguments as they stand in JSON, those that may be left out last."""
        members: list[tuple[Any, ...]] = [] if self.whom == "platform" else [(self.whom, str)]
        for one in arguments_of(self.message):
            form = WIRE.form(one.hint)
            if one.default is attrs.NOTHING:
                members.append((one.name, form))
            else:
                members.append((one.name, Union[form, msgspec.UnsetType], msgspec.UNSET))  # noqa: UP007  at run time
        members.append((TIMEOUT, float, USUAL))
        return msgspec.defstruct(
            self.message.__name__,
            sorted(members, key=len),
            rename=camel_case,
            forbid_unknown_fields=True,
            namespace={"__doc__": self.summary},
        )


def _all() -> tuple[Operation, ...]:
    return (
        *(Operation(name, messages()[name], "source", "read") for name in reading()),
        *(Operation(name, messages()[name], "target", "write", changes=True) for name in writing()),
        Operation("list_sources", ListSources, "platform", "read"),
        Operation("lag", GetLag, "platform", "operate"),
        Operation("dead_letters", GetDeadLetters, "platform", "operate"),
        Operation("get_status", GetStatus, "agent", "operate"),
        Operation("status", GetPlatformStatus, "platform", "operate"),
        Operation("info", GetPlatformInfo, "platform", "operate"),
        Operation("pause", Pause, "source", "operate", changes=True),
        Operation("resume", Resume, "source", "operate", changes=True),
        Operation("restart", RestartAgent, "platform", "operate", changes=True),
        Operation("skip", SkipPartition, "platform", "operate", changes=True),
        Operation("drain", DrainPlatform, "platform", "operate", changes=True),
        Operation("tail", TailTopic, "platform", "operate"),
        Operation("sql", RunQuery, "platform", "operate"),
    )


@cache
def operations() -> Mapping[str, Operation]:
    """Return all operations by name, those of kinds of record that packages add among them."""
    return {one.name: one for one in _all()}


@cache
def _by_message() -> Mapping[type[Any], Operation]:
    return {one.message: one for one in operations().values()}


def operation_named(name: str) -> Operation:
    """Return an operation; raises `Permanent` (`not_found`) for a name that none has."""
    found = operations().get(name)
    if found is None:
        raise Permanent("not_found", f"no operation is called {name!r:.100}{suggestion(name[:100], operations())}")
    return found


def operation_of(request: Request[Any]) -> Operation:
    """Return the operation that a request stands for; raises `TypeError` if there is no such operation."""
    found = _by_message().get(type(request))
    if found is None:
        raise TypeError(f"{type(request).__name__} is no operation, and cannot be asked for from outside")
    return found

"""What a service is told of the platform around it, and what it brings along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from attrs import field, frozen

from dataplatform.base.agent import Agent, ChildSpec, Context
from dataplatform.dsl.flow import Outbox
from dataplatform.dsl.parts import Connection
from dataplatform.dsl.reader import BaseReader
from dataplatform.dsl.writer import BaseWriter

__all__ = ["BaseService", "Counts", "Service", "ServiceOptions", "SourceInPlace", "Surroundings", "TargetInPlace"]


@frozen(kw_only=True)
class ServiceOptions:
    """What every service is told: nothing, so far."""


class Counts(Protocol):
    """Counts of what was written: rows per table, records per topic."""

    tables: dict[str, int]
    topics: dict[str, int]


@frozen
class SourceInPlace:
    """A source of the topology; `client` is the agent it talks to, which `connection` has unless it is its own."""

    cls: type[BaseReader]
    options: Any
    connection: Connection
    client: str


@frozen
class TargetInPlace:
    """A target of the topology."""

    cls: type[BaseWriter]
    options: Any


@frozen(kw_only=True)
class Surroundings:
    """The platform as a service sees it: by name what it may ask, and what it may look at.

    `outboxes` hold the accounts of each source's routes, `dead_letters` is the target that takes dead letters.
    """

    sources: Mapping[str, SourceInPlace] = field(factory=dict)
    targets: Mapping[str, TargetInPlace] = field(factory=dict)
    routes: Mapping[str, tuple[str, ...]] = field(factory=dict)
    outboxes: Mapping[str, Outbox] = field(factory=dict)
    counts: Counts
    dead_letters: str | None = None


class Service(Protocol):
    """A kind of service, as an entry point of the group `dataplatform.services` names it.

    `Options` extends `ServiceOptions`. `part` returns the agents of one service, of the kind `gateway`, itself the
    last; it raises `Permanent` for what the machine lacks.
    """

    Options: ClassVar[type[Any]]
    technology: ClassVar[str]

    @classmethod
    def part(cls, name: str, options: Any, surroundings: Surroundings) -> tuple[ChildSpec, ...]: ...


class BaseService(Agent):
    """A service that is one agent: it has `options`, knows the platform's other agents by name, and tells itself when.

    A subclass writes `receive`, and `_open` where it begins by itself.
    """

    kind: ClassVar[str] = "gateway"
    technology: ClassVar[str] = "this service"
    Options: ClassVar[type[Any]] = ServiceOptions

    def __init__(self, context: Context, options: Any) -> None:
        super().__init__(context)
        self.options = options

    @classmethod
    def part(cls, name: str, options: Any, surroundings: Surroundings) -> tuple[ChildSpec, ...]:
        """Return the one agent."""
        del surroundings
        return (cls.child(name, options),)

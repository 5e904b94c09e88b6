"""What a topology is made of: connections, kinds of source and target, and the agents that these bring along."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from attrs import Attribute, field, frozen, validators

from dataplatform.base.agent import ChildSpec
from dataplatform.dsl.flow.dead_letters import PolledRow
from dataplatform.dsl.records.kinds import Kind, kind_named, kinds
from dataplatform.dsl.records.rules import shown
from dataplatform.dsl.records.types import Record
from dataplatform.errors import Permanent

__all__ = ["Connection", "Part", "Source", "SourceOptions", "Target", "TargetOptions", "topic_names"]

STALL_AFTER = 15.0  # seconds
TOPIC_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")  # Kafka's own rule


@frozen
class Connection:
    """A configured client: its settings, and the names of the agents that hold its connections."""

    name: str
    kind: str
    settings: Any
    agents: tuple[str, ...] = ()


@frozen
class Part:
    """The agents of one source or target, itself the last, and the client agent it talks to.

    `apart` are agents without which it still does its work, such as those that only answer questions: a bulkhead
    keeps their crashes from the platform.
    """

    specs: tuple[ChildSpec, ...]
    client: str
    apart: tuple[ChildSpec, ...] = ()


@frozen(kw_only=True)
class SourceOptions:
    """What every source is told. `client` is the name of the topology's client it reads from."""

    client: str = field(metadata={"help": "the client to read from"})
    stall_after: float = field(
        default=STALL_AFTER,
        validator=[validators.gt(0.0), validators.le(3600.0)],
        metadata={"help": "how long what has work may stand still before it is shown and mended"},
    )


@frozen(kw_only=True)
class TargetOptions:
    """What every target is told. `credit` bounds the batches a source may have in flight to it."""

    client: str = field(metadata={"help": "the client to write to"})
    credit: int = field(
        default=4,
        validator=[validators.ge(1), validators.le(1000)],
        metadata={"help": "batches each source may have in flight"},
    )


class Source:
    """A kind of source, as far as it is known without reading: what a plugin's class, a `BaseReader`, says of itself.

    Attributes:
        extended_as: the class that plugins extend.
        technology: what it is called in errors.
        client_kind: the kind of client that it reads from, the usual one; `other_client_kinds` are the others.
        Options: what a topology tells it.

    """

    extended_as: ClassVar[str] = "BaseReader"
    technology: ClassVar[str]
    client_kind: ClassVar[str]
    other_client_kinds: ClassVar[tuple[str, ...]] = ()
    Options: ClassVar[type[SourceOptions]]

    @classmethod
    def client_kinds(cls) -> tuple[str, ...]:
        """Return the kinds of client that such a source can have, the usual one first."""
        return cls.client_kind, *cls.other_client_kinds

    @classmethod
    def supported(cls) -> tuple[str, ...]:
        """Return the operations that such a source answers; none by itself."""
        return ()

    @classmethod
    def decode_row(cls, row: PolledRow) -> Record:
        """Return the record in a row that was polled, as a dead letter has kept it.

        Raises `PlatformError` where it is still none, and by default: then a source's rows cannot be decoded again.
        """
        raise Permanent("unsupported", f"{cls.technology} does not decode rows of {row.endpoint} again")


class Target:
    """A kind of target, as far as it is known without writing: what a plugin's class, a `BaseWriter`, says of itself.

    Attributes:
        extended_as: the class that plugins extend.
        technology: what it is called in errors.
        client_kind: the kind of client that it writes to.
        takes: the kinds of record that the technology has a place for; None: all that are installed.
        Options: what a topology tells it.

    """

    extended_as: ClassVar[str] = "BaseWriter"
    technology: ClassVar[str]
    client_kind: ClassVar[str]
    takes: ClassVar[tuple[Kind, ...] | None] = None
    Options: ClassVar[type[TargetOptions]]

    @classmethod
    def client_kinds(cls) -> tuple[str, ...]:
        """Return the kinds of client that such a target can have."""
        return (cls.client_kind,)

    @classmethod
    def taken(cls) -> tuple[Kind, ...]:
        """Return the kinds of record that the technology has a place for."""
        return kinds() if cls.takes is None else cls.takes

    @classmethod
    def supported(cls) -> tuple[str, ...]:
        """Return the operations that such a target carries out; none by itself."""
        return ()


def topic_names(_: Any, attribute: Attribute[Any], topics: Mapping[str, str]) -> None:
    """Accept topics by the name of the kind of record that each of them holds, and no other kind."""
    for kind, topic in topics.items():
        if kind_named(kind) is None:
            names = ", ".join(known.name for known in kinds())
            raise ValueError(f"{attribute.name}: {shown(kind)} is no kind of record; there are {names}")
        if not isinstance(topic, str) or not TOPIC_NAME.fullmatch(topic):
            raise ValueError(
                f"{attribute.name}: {shown(topic)} is no name of a topic: letters, digits, '.', '_' and '-'"
            )
        if list(topics.values()).count(topic) > 1:
            raise ValueError(f"{attribute.name}: a topic holds one kind of record, and {topic!r} would hold two")

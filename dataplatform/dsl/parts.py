"""What a topology is made of: connections, and the agents that a source or a target brings along."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attrs import Attribute, field, frozen, validators

from dataplatform.base.agent import ChildSpec
from dataplatform.dsl.kinds import KINDS, kind_named
from dataplatform.dsl.validators import shown

__all__ = ["Connection", "Part", "SourceOptions", "TargetOptions", "topic_names"]

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


def topic_names(_: Any, attribute: Attribute[Any], topics: Mapping[str, str]) -> None:
    """Accept topics by the name of the kind of record that each of them holds, and no other kind."""
    for kind, topic in topics.items():
        if kind_named(kind) is None:
            names = ", ".join(known.name for known in KINDS)
            raise ValueError(f"{attribute.name}: {shown(kind)} is no kind of record; there are {names}")
        if not isinstance(topic, str) or not TOPIC_NAME.fullmatch(topic):
            raise ValueError(
                f"{attribute.name}: {shown(topic)} is no name of a topic: letters, digits, '.', '_' and '-'"
            )
        if list(topics.values()).count(topic) > 1:
            raise ValueError(f"{attribute.name}: a topic holds one kind of record, and {topic!r} would hold two")

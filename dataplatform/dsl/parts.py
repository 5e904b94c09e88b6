"""What a topology is made of: connections, and the agents that a source or a target brings along."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen, validators

from dataplatform.base.agent import ChildSpec

__all__ = ["Connection", "Part", "SourceOptions", "TargetOptions"]


@frozen
class Connection:
    """A configured client: its settings, and the names of the agents that hold its connections."""

    name: str
    kind: str
    settings: Any
    agents: tuple[str, ...] = ()


@frozen
class Part:
    """The agents of one source or target, itself the last, and the client agent it talks to."""

    specs: tuple[ChildSpec, ...]
    client: str


@frozen(kw_only=True)
class SourceOptions:
    """What every source is told. `client` is the name of the topology's client it reads from."""

    client: str = field(metadata={"help": "the client to read from"})


@frozen(kw_only=True)
class TargetOptions:
    """What every target is told. `credit` bounds the batches a source may have in flight to it."""

    client: str = field(metadata={"help": "the client to write to"})
    credit: int = field(
        default=4,
        validator=[validators.ge(1), validators.le(1000)],
        metadata={"help": "batches each source may have in flight"},
    )

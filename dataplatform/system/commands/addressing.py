"""What a dead letter holds, and for whom it was: its kind of record, and the targets that lack it."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from dataplatform.dsl.kinds import Kind, kind_named, kinds
from dataplatform.dsl.types import DeadLetter
from dataplatform.errors import Permanent
from dataplatform.result import Failure, Result, Success
from dataplatform.system.topology import Topology

__all__ = ["Addressee", "addressee", "kinds_of_topics"]


@frozen
class Addressee:
    """The kind of record in a letter, and the names of the targets it is to be written to."""

    kind: Kind
    targets: tuple[str, ...]


def addressee(letter: DeadLetter, topology: Topology, to: str | None = None) -> Result[Addressee]:
    """Answer where a letter belongs: to `to` if that is given, else to the target that refused it.

    Input that could not be decoded was never offered to a target: it belongs to all targets of its source.
    """
    kind = kind_named(letter.record_kind or letter.stream) or kinds_of_topics(topology).get(letter.stream)
    if kind is None:
        what = f"no topic called {letter.stream!r} is known" if letter.stream else "it was polled by an older version"
        return Failure(Permanent("unknown_kind", f"{what}, so what kind of record it should be is not either"))
    targets = (to,) if to else (letter.target,) if letter.target else topology.targets_of(letter.origin)
    strangers = [name for name in targets if name not in topology.targets]
    if strangers or not targets:
        what = f"no target is called {strangers[0]!r}" if strangers else f"no route begins at {letter.origin!r}"
        return Failure(Permanent("unknown_target", what, remedy="name a target with --to"))
    return Success(Addressee(kind, targets))


def kinds_of_topics(topology: Topology) -> Mapping[str, Kind]:
    """Return the kind of record in each topic that the topology reads or writes, or that is a kind's own."""
    found = {kind.topic: kind for kind in kinds()}
    places = [target.cls.places(target.options) for target in topology.targets.values()]
    places += [source.cls.places(source.options) for source in topology.sources.values()]
    for topics in places:
        found |= {topic: kind for name, topic in topics.items() if (kind := kind_named(name)) is not None}
    return found

"""The links between a supervisor's children: who is told of whom, and when."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dataplatform.base.agent.child import ChildSpec, Link, PeerJoined, PeerRestarted
from dataplatform.base.agent.directory import Address
from dataplatform.base.agent.lifecycle import Child, Phase

__all__ = ["check", "introduce"]


def check(children: Sequence[ChildSpec], links: Sequence[Link]) -> None:
    """Raise `ValueError` for names that are used twice, and for links to no child.

    >>> check([], [Link("reader", "store")])
    Traceback (most recent call last):
    ValueError: links name agents that are no children: reader, store
    """
    names = [spec.name for spec in children]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two children have one name: {', '.join(twice)}")
    ends = {name for link in links for name in (link.upstream, link.downstream)}
    if strangers := sorted(ends.difference(names)):
        raise ValueError(f"links name agents that are no children: {', '.join(strangers)}")


def introduce(
    child: Child, links: Sequence[Link], children: Mapping[str, Child], address: Callable[[str], Address]
) -> None:
    """Tell a child that is now running and each running peer of each other.

    The peers of a restarted child first learn that it lost what it had in hand.
    """
    for link in links:
        if child.name not in {link.upstream, link.downstream}:
            continue
        downstream = link.downstream != child.name
        peer = children[link.downstream if downstream else link.upstream]
        if peer.phase is not Phase.RUNNING:
            continue
        here, there = address(child.name), address(peer.name)
        if child.incarnation > 1:
            there.tell(PeerRestarted(child.name))
        here.tell(PeerJoined(there, downstream))
        there.tell(PeerJoined(here, not downstream))

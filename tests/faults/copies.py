"""Scenarios of topic to topic: what transactions promise, while platforms and brokers die in the middle of them."""

from __future__ import annotations

from tests.faults import deaths, groups
from tests.faults.destinations import Output
from tests.faults.oracle import Verdict
from tests.faults.registry import scenario
from tests.faults.world import Scale, World

PROMISE = "exactly once for who reads what is committed, in order per key"


@scenario(
    "from topic to topic: SIGKILL of the platform, again and again",
    PROMISE,
    scale=Scale(faults=5, records=15_000),
    copied=True,
)
def copies_platform_killed(world: World) -> Verdict:
    return _with_undone(world, deaths.platform_killed(world))


@scenario(
    "from topic to topic: SIGSTOP of a platform for longer than its session, while another takes over, then SIGCONT",
    PROMISE,
    scale=Scale(faults=1, records=15_000),
    copied=True,
)
def copies_zombie(world: World) -> Verdict:
    return _with_undone(world, groups.zombie(world))


@scenario(
    "from topic to topic: SIGKILL of the only broker, and a restart",
    PROMISE,
    scale=Scale(faults=2, records=12_000),
    copied=True,
)
def copies_broker_killed(world: World) -> Verdict:
    return _with_undone(world, deaths.broker_killed(world))


def _with_undone(world: World, verdict: Verdict) -> Verdict:
    """Note how many messages the faults have left in the log for no reader to see."""
    assert isinstance(world.destination, Output)
    world.notes["messages of transactions undone"] = world.destination.undone()
    return verdict

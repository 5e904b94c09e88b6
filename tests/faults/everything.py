"""The scenario of mixed faults: several platforms in one group, and any of them, the database or the broker struck."""

from __future__ import annotations

from tests.faults.oracle import Verdict
from tests.faults.platforms import Platform
from tests.faults.registry import scenario
from tests.faults.world import Scale, World

__all__ = ["everything"]

SESSION = 6.0  # seconds until the group takes a silent member's partitions away
AWAY = 3.0  # seconds that a server or a platform is away at most


@scenario(
    "platforms in one group killed and frozen beyond their session, database and broker killed, in any order",
    "exactly once, in order per key, and nothing stays unread",
    scale=Scale(faults=10, records=8_000, rate=500, gap=300),
    soak=120.0,
)
def everything(world: World) -> Verdict:
    """Every other platform is a static member of the group; the dice say whom each fault strikes."""
    strikes = [kill, restart, freeze, kill_database, kill_broker]
    with world.records():
        members = [world.new_platform(static=bool(number % 2)) for number in range(world.scale.platforms)]
        for _ in world.rounds():
            world.dice.choice(strikes)(world, world.dice.choice(members))
    return world.settle()


def kill(world: World, member: Platform) -> None:
    """Kill a platform, and have the others go on without it for a while."""
    member.kill()
    world.fault(f"SIGKILL of {member.name}")
    world.passes(world.dice.uniform(0, SESSION + AWAY))
    member.start()


def restart(world: World, member: Platform) -> None:
    """Kill a platform that is back at once, in the middle of what the group makes of its death."""
    member.restart()
    world.fault(f"SIGKILL of {member.name}, back at once")


def freeze(world: World, member: Platform) -> None:
    """Have a platform miss its session; it wakes up with batches in hand that others may have written."""
    member.freeze()
    world.passes(SESSION + world.dice.uniform(1, AWAY))
    member.thaw()
    world.fault(f"SIGSTOP and SIGCONT of {member.name}")


def kill_database(world: World, member: Platform) -> None:
    del member
    world.postgres.kill()
    world.fault("SIGKILL of PostgreSQL")
    world.passes(world.dice.uniform(0, AWAY))
    world.postgres.start()
    world.database.back()


def kill_broker(world: World, member: Platform) -> None:
    del member
    (node,) = world.kafka.nodes
    node.kill()
    world.fault("SIGKILL of the broker")
    world.passes(world.dice.uniform(0, AWAY))
    node.start()
    world.kafka.serves()

"""Scenarios of the consumer group: zombies, rebalances, topics that change under their readers."""

from __future__ import annotations

from functools import partial

from tests.faults.oracle import Verdict
from tests.faults.platforms import Platform
from tests.faults.registry import scenario
from tests.faults.waiting import until
from tests.faults.world import Scale, World

SESSION = 6.0  # seconds until the group takes a silent member's partitions away
MEMBERS = 4


@scenario(
    "SIGSTOP of a platform for longer than its session, while another takes over, then SIGCONT",
    scale=Scale(faults=1, records=20_000),
)
def zombie(world: World) -> Verdict:
    """The frozen one wakes up with batches in hand that the other has written."""
    with world.records():
        frozen = world.new_platform(static=False)
        for _ in world.rounds():
            frozen.freeze()
            other = world.new_platform(static=False)
            world.passes(SESSION + 1)
            world.flow()
            frozen.thaw()
            world.fault("SIGSTOP and SIGCONT")
            world.flow()
            frozen.stop()
            frozen = other
    return world.settle()


@scenario(
    "four platforms started, stopped and killed at random",
    scale=Scale(faults=12, records=40_000),
    soak=120.0,
)
def rebalance(world: World) -> Verdict:
    with world.records():
        members = [world.new_platform(static=False) for _ in range(MEMBERS)]
        for _ in world.rounds():
            member = world.dice.choice(members)
            if not member.runs:
                member.start()
                world.fault("start")
            elif world.dice.random() < 0.5:
                member.kill()
                world.fault("SIGKILL")
            else:
                member.stop()
                world.fault("stop")
            if not any(one.runs for one in members):
                members[0].start()
    return world.settle()


@scenario("partition count raised twice while running", scale=Scale(faults=2, records=15_000))
def partitions_raised(world: World) -> Verdict:
    with world.records():
        world.new_platform()
        for number in world.rounds():
            count = 4 + 2 * (number + 1)
            world.kafka.grow(world.topic, count)
            world.producing.spread(count)
            world.fault("more partitions")
    return world.settle()


@scenario(
    "the topic deleted and created anew",
    "what was not read yet is gone and reported; what comes after arrives once",
    scale=Scale(faults=2, records=20_000),
)
def topic_recreated(world: World) -> Verdict:
    """Nothing is sent while the topic is gone, and all that was sent before is in the table by then.

    Each time the platform reports of every partition that this is another log than the one it has read. Every other
    time it is away, and comes back to a log that reaches beyond where it was in the old one.
    """
    with world.records():
        platform = world.new_platform()
        for number in world.rounds():
            world.producing.rate = 0
            until(world.producing.settled, "all is acknowledged")
            world.flow_all()
            if number % 2:
                platform.stop()
            world.kafka.delete(world.topic)
            world.kafka.create(world.topic)
            world.fault("topic recreated")
            if number % 2:
                world.producing.send(world.producing.ledger.sent())  # the new log is longer than the old one was
                platform.start()
            world.producing.rate = world.scale.rate
            world.awaits(partial(_is_reported, world, platform, number + 1), "it is reported")
    world.read_log = False
    return world.settle()


def _is_reported(world: World, platform: Platform, times: int) -> bool:
    """Tell whether each partition's other log has been reported so many times."""
    told = platform.incidents("log_truncated")
    return all(told[world.topic, number] >= times for number in range(world.producing.partitions))

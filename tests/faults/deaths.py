"""Scenarios of death: platforms, brokers and databases killed in the middle of their work, and platforms frozen."""

from __future__ import annotations

from tests.faults.oracle import Verdict
from tests.faults.registry import scenario
from tests.faults.subjects import PRICES
from tests.faults.waiting import until
from tests.faults.world import Scale, World


@scenario(
    "SIGKILL of the platform, each time after a random number of rows",
    scale=Scale(faults=20, records=200_000, rate=4_000, gap=5_000),
)
def platform_killed(world: World) -> Verdict:
    with world.records():
        world.new_platform()
        for _ in world.rounds():
            world.platforms[0].restart()
            world.fault("SIGKILL of the platform")
    return world.settle()


@scenario(
    "SIGKILL of the platform, into a table with a key",
    "no row is written again, though an upsert would hide it",
    scale=Scale(faults=5, records=20_000),
    subject=PRICES,
)
def platform_killed_at_upserts(world: World) -> Verdict:
    return platform_killed(world)


@scenario("SIGKILL of the only broker, and a restart", scale=Scale(faults=2, records=15_000))
def broker_killed(world: World) -> Verdict:
    (node,) = world.kafka.nodes
    with world.records():
        world.new_platform()
        for _ in world.rounds():
            node.kill()
            world.fault("SIGKILL of the broker")
            node.start()
            world.kafka.serves()
    return world.settle()


@scenario("SIGKILL of the partitions' leader in a cluster of three", scale=Scale(faults=2, records=15_000), nodes=3)
def leader_killed(world: World) -> Verdict:
    with world.records():
        world.new_platform()
        for number in world.rounds():
            leader = world.kafka.leading(world.topic, number % 4)
            leader.kill()
            world.fault("SIGKILL of a leader")
            world.flow()  # without it
            leader.start()
            world.kafka.serves()
            until(lambda: world.kafka.in_sync(world.topic), "all replicas are in sync")
    return world.settle()


@scenario("SIGKILL of PostgreSQL in the middle of a COPY", scale=Scale(faults=4, records=40_000, rate=8_000))
def database_killed(world: World) -> Verdict:
    with world.records():
        world.new_platform()
        for _ in world.rounds():
            until(world.database.freeze_in_copy, "a COPY is under way")
            world.postgres.kill()
            world.fault("SIGKILL of PostgreSQL in a COPY")
            world.postgres.start()
            world.database.back()
    return world.settle()

"""Scenarios of what runs out: the disk of the broker or the database, a platform's descriptors, its memory."""

from __future__ import annotations

import resource
from contextlib import suppress

import psutil

from tests.faults.oracle import Verdict
from tests.faults.registry import scenario
from tests.faults.waiting import until
from tests.faults.world import Scale, World

SHORT = 8.0  # seconds
FEW = 10  # descriptors: fewer than are open, so that no other can be opened
ROOM = 4 * 1024 * 1024  # bytes


@scenario("the broker's disk full", scale=Scale(faults=1, records=30_000))
def broker_disk_full(world: World) -> Verdict:
    """A broker without a disk ends itself; one that comes back with room has what it acknowledged."""
    (node,) = world.kafka.nodes
    with world.records():
        world.new_platform()
        for _ in world.rounds():
            with world.disk_full(node.home):
                until(node.ended, "the broker ends itself", 90)
            world.fault("full disk of the broker")
            node.start()
            world.kafka.serves()
    return world.settle()


@scenario("the database's disk full", scale=Scale(faults=1, records=60_000))
def database_disk_full(world: World) -> Verdict:
    with world.records():
        world.new_platform()
        for _ in world.rounds():
            with world.disk_full(world.postgres.home):
                until(lambda: world.platforms[0].said("degraded"), "the database refuses rows")
                world.passes(SHORT)
            world.fault("full disk of the database")
            if not world.postgres.runs():  # it panics where its log cannot be written
                world.postgres.start()
            world.database.back()
    return world.settle()


@scenario("the platform's descriptors used up for a while, its connections gone", scale=Scale(faults=2, records=30_000))
def descriptors_used_up(world: World) -> Verdict:
    with world.records():
        platform = world.new_platform()
        for _ in world.rounds():
            before = platform.limit(resource.RLIMIT_NOFILE, FEW)
            world.end_sessions()
            world.passes(SHORT)
            platform.limit(resource.RLIMIT_NOFILE, before)
            world.fault("no descriptors")
    return world.settle()


@scenario(
    "the platform's memory limited to what it has; where it ends, it is started again without the limit",
    scale=Scale(faults=1, records=60_000, rate=8_000),
)
def memory_limited(world: World) -> Verdict:
    with world.records():
        platform = world.new_platform()
        for _ in world.rounds():
            size = psutil.Process(platform.run.process.pid).memory_info().vms
            before = platform.limit(resource.RLIMIT_AS, size + ROOM)
            world.passes(SHORT)
            with suppress(ProcessLookupError):
                platform.limit(resource.RLIMIT_AS, before)
            world.fault("memory limit")
            if not platform.runs:
                world.fault("end for want of memory")
                platform.restart()
    return world.settle()

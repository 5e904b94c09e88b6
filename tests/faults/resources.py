"""Scenarios of what runs out: the disk of the broker or the database, a platform's descriptors, its memory."""

from __future__ import annotations

import itertools
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import psutil

from tests.faults.oracle import Verdict
from tests.faults.registry import scenario
from tests.faults.servers import Unfit
from tests.faults.waiting import until
from tests.faults.world import Scale, World

SHORT = 8.0  # seconds
PIECES = (2**24, 2**16, 2**12)  # bytes that a disk is filled by
FEW = 10  # descriptors: fewer than are open, so that no other can be opened


@contextmanager
def disk_full(home: Path) -> Iterator[None]:
    """Leave no room on a server's small disk in the block; raises `Unfit` where it has none."""
    if not home.is_mount():
        raise Unfit("a small disk is a tmpfs, which only root may mount")
    ballast = home / "ballast"
    with ballast.open("wb") as file:
        for piece in PIECES:
            _fill(file, piece)
    try:
        yield
    finally:
        ballast.unlink()


def _fill(file: BinaryIO, piece: int) -> None:
    """Make a file longer by pieces, while there is room for another."""
    with suppress(OSError):
        for _ in itertools.count():
            os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), piece)


@scenario("the broker's disk full", scale=Scale(faults=1, records=12_000))
def broker_disk_full(world: World) -> Verdict:
    """A broker without a disk ends itself; one that comes back with room has what it acknowledged."""
    (node,) = world.kafka.nodes
    with world.records():
        world.new_platform()
        for _ in world.rounds():
            with disk_full(node.home):
                until(node.ended, "the broker ends itself", 90)
            world.fault("full disk of the broker")
            node.start()
            world.kafka.serves()
    return world.settle()


@scenario("the database's disk full", scale=Scale(faults=1, records=20_000))
def database_disk_full(world: World) -> Verdict:
    with world.records():
        world.new_platform()
        for _ in world.rounds():
            with disk_full(world.postgres.home):
                until(lambda: world.platforms[0].said("degraded"), "the database refuses rows")
                world.passes(SHORT)
            world.fault("full disk of the database")
            if not world.postgres.runs():  # it panics where its log cannot be written
                world.postgres.start()
            world.database.back()
    return world.settle()


@scenario("the platform's descriptors used up for a while, its connections gone", scale=Scale(faults=1, records=15_000))
def descriptors_used_up(world: World) -> Verdict:
    with world.records():
        platform = world.new_platform()
        for _ in world.rounds():
            before = platform.limit(resource.RLIMIT_NOFILE, FEW)
            world.database.end_sessions()
            world.passes(SHORT)
            platform.limit(resource.RLIMIT_NOFILE, before)
            world.fault("no descriptors")
    return world.settle()


@scenario(
    "no memory for the platform beyond what it has before the first record comes; ended, and started anew",
    scale=Scale(faults=1, records=15_000),
)
def memory_limited(world: World) -> Verdict:
    """Whatever the platform does then: a `MemoryError` strikes anywhere, beginning threads included, or nowhere.

    It is ended in the end, as a machine without memory does it; what was written until then has to be right.
    """
    platform = world.new_platform()
    platform.run.ready()
    platform.limit(resource.RLIMIT_AS, psutil.Process(platform.run.process.pid).memory_info().vms)
    with world.records():
        world.passes(2 * SHORT)
        world.notes["ran_out"] = float(not platform.runs or platform.mentions("MemoryError"))
        world.fault("want of memory")
        platform.restart()
        world.flow()
    return world.settle()

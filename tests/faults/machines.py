"""Scenarios of the machine that a platform runs on: its clock jumps, a name in its network means another address."""

from __future__ import annotations

from contextlib import ExitStack

from tests.faults.oracle import Verdict
from tests.faults.proxy import Proxy
from tests.faults.registry import scenario
from tests.faults.settings import Clock, Hosts
from tests.faults.world import Scale, World

HOUR = 3600  # seconds
GONE = 8.0  # seconds without an address
ELSEWHERE = "127.0.0.2"


@scenario("the wall clock an hour forwards, and back", scale=Scale(faults=2, records=12_000))
def clock_jumps(world: World) -> Verdict:
    clock = Clock(world.folder)
    with world.records():
        platform = world.new_platform(prefix=clock.prefix())
        for number in world.rounds():
            jump = (HOUR, 0, -HOUR, 0)[number % 4]
            clock.jump(jump)
            platform.is_ahead(jump)
            world.fault("clock jump")
            world.flow()
    return world.settle()


@scenario(
    "the servers' name stops resolving, and comes back with another address",
    scale=Scale(faults=2, records=15_000),
    network=True,
)
def name_moves(world: World) -> Verdict:
    hosts = Hosts(world.folder)
    here = world.networks
    with ExitStack() as stack:
        there = [Proxy(proxy.target, host=ELSEWHERE, port=proxy.port) for proxy in here]
        for proxy in there:
            stack.callback(proxy.close)
        with world.records():
            world.new_platform(prefix=hosts.prefix())
            for number in world.rounds():
                old, new = (here, there) if number % 2 == 0 else (there, here)
                hosts.resolve(None)
                for proxy in old:
                    proxy.set(refuse=True)
                    proxy.cut()
                world.passes(GONE)
                for proxy in new:
                    proxy.clear()
                hosts.resolve(ELSEWHERE if new is there else "127.0.0.1")
                world.fault("another address")
        return world.settle()

"""Scenarios of the network between platform and servers: cut, half-open, slow, dribbling, corrupting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.faults.batches import checksummed
from tests.faults.oracle import Verdict
from tests.faults.proxy import Proxy
from tests.faults.registry import scenario
from tests.faults.waiting import until
from tests.faults.world import Scale, World

SMALL = Scale(faults=4, records=20_000)
SOON = 30.0  # seconds after which things flow again: time-outs, backoff, and the group's session in a row
LONGER_THAN_TIMEOUTS = 6.0  # seconds; statements have 4, requests to brokers 3


@contextmanager
def weather(proxies: list[Proxy], **conditions: Any) -> Iterator[None]:
    """Have bad weather in the block."""
    with ExitStack() as stack:
        for proxy in proxies:
            proxy.set(**conditions)
            stack.callback(proxy.clear)
        yield


@scenario("all connections reset at once, to brokers and database", scale=SMALL, network=True)
def network_cut(world: World) -> Verdict:
    with world.records():
        world.new_platform()
        for _ in world.rounds():
            for proxy in world.networks:
                proxy.cut()
            world.fault("reset connections")
    return world.settle()


@scenario("packets to and from the database vanish without a word", scale=Scale(faults=1, records=15_000), network=True)
def database_half_open(world: World) -> Verdict:
    return _half_open(world, [world.database_network])


@scenario("packets to and from the brokers vanish without a word", scale=Scale(faults=1, records=15_000), network=True)
def broker_half_open(world: World) -> Verdict:
    return _half_open(world, world.broker_network)


def _half_open(world: World, proxies: list[Proxy]) -> Verdict:
    """Swallow what comes for longer than every time-out; connections are reset only when something is sent on them."""
    with world.records():
        world.new_platform()
        for _ in world.rounds():
            with weather(proxies, swallow=True):
                world.passes(LONGER_THAN_TIMEOUTS)
            world.fault("half-open connections")
            world.flow(timeout=SOON)
    return world.settle()


@scenario("every byte 2 s late", scale=Scale(faults=2, records=12_000, rate=2_000), network=True)
def network_delayed(world: World) -> Verdict:
    with world.records():
        world.new_platform()
        for number in world.rounds():
            proxies = world.broker_network if number % 2 else [world.database_network]
            with weather(proxies, delay=2.0):
                world.passes(LONGER_THAN_TIMEOUTS * 1.5)
            world.fault("delay of 2 s")
    return world.settle()


@scenario("one byte at a time", scale=Scale(faults=2, records=12_000, rate=2_000), network=True)
def network_dribbles(world: World) -> Verdict:
    with world.records():
        world.new_platform()
        for number in world.rounds():
            proxies = world.broker_network if number % 2 else [world.database_network]
            with weather(proxies, piece=1):
                world.passes(LONGER_THAN_TIMEOUTS)
            world.fault("one byte at a time")
    return world.settle()


@scenario(
    "bytes of records changed on their way from the brokers", scale=Scale(faults=10, records=20_000), network=True
)
def network_corrupts(world: World) -> Verdict:
    """What is changed where no checksum is, as on the whole way to PostgreSQL, is for TLS to find: not here."""
    with world.records():
        world.new_platform()
        with weather(world.broker_network, corrupt=0.1, places=checksummed):
            until(lambda: sum(proxy.damaged for proxy in world.broker_network) >= world.scale.faults, "damage", 120)
        world.faults["changed byte"] = sum(proxy.damaged for proxy in world.broker_network)
    return world.settle()

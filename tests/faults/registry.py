"""Scenarios by name: what goes wrong, what is promised all the same, and how a run of one ends in figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeAlias

from attrs import evolve, field, frozen

from tests.faults.oracle import Verdict
from tests.faults.servers import Servers
from tests.faults.subjects import APPENDED, Subject
from tests.faults.world import Scale, World

__all__ = ["SCENARIOS", "Figures", "Scenario", "run", "scenario"]

Act: TypeAlias = Callable[[World], Verdict]


@frozen
class Scenario:
    """`act` does the harm, has everything come to rest and is answered the verdict.

    `scale` is that of a test; a run from the command line takes `soak` seconds, where that is given.
    """

    name: str
    fault: str
    promise: str
    scale: Scale
    act: Act = field(repr=False)
    nodes: int = 1
    poison: float = 0.0
    network: bool = False
    copied: bool = False
    subject: Subject = APPENDED
    soak: float | None = None


@frozen
class Figures:
    """What a run has shown. All from `lost` to `unsound` are 0 where the promise was kept; see `oracle.Verdict`."""

    scenario: str
    seed: int
    seconds: float
    records: int
    poison: int
    faults: int
    dead_letters: int
    lost: int
    repeated: int
    disordered: int
    invented: int
    letters_lost: int
    letters_wrong: int
    letters_repeated: int
    lost_by_broker: int
    unsound: int
    injected: Mapping[str, int]
    notes: Mapping[str, float]
    wrong: str


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    fault: str,
    promise: str = "exactly once, in order per key",
    *,
    scale: Scale,
    nodes: int = 1,
    poison: float = 0.0,
    network: bool = False,
    copied: bool = False,
    subject: Subject = APPENDED,
    soak: float | None = None,
) -> Callable[[Act], Act]:
    """Enter a scenario under the function's name."""

    def enter(act: Act) -> Act:
        name = act.__name__.replace("_", "-")
        SCENARIOS[name] = Scenario(name, fault, promise, scale, act, nodes, poison, network, copied, subject, soak)
        return act

    return enter


def run(
    scenario: Scenario,
    servers: Servers,
    seed: int,
    seconds: float | None = None,
    platforms: int | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Figures:
    """Run a scenario on these servers: at its own scale, or for so many seconds with as many records as go with it.

    `platforms` is how many there are, in a scenario that leaves that open.
    `tell` hears of each fault. Raises `AssertionError` where nothing gets through any more.
    """
    scale = scenario.scale
    if seconds is not None:
        scale = evolve(scale, seconds=seconds, records=round(scale.rate * seconds))
    if platforms is not None:
        scale = evolve(scale, platforms=platforms)
    begun = time.monotonic()
    with World.of(
        servers,
        seed,
        scale,
        scenario.subject,
        nodes=scenario.nodes,
        poison=scenario.poison,
        network=scenario.network,
        copied=scenario.copied,
    ) as world:
        world.tell = tell
        verdict = scenario.act(world)
        return _figures(scenario, seed, time.monotonic() - begun, world, verdict)


def _figures(scenario: Scenario, seed: int, seconds: float, world: World, verdict: Verdict) -> Figures:
    return Figures(
        scenario=scenario.name,
        seed=seed,
        seconds=round(seconds, 1),
        records=verdict.acknowledged,
        poison=verdict.poison,
        faults=sum(world.faults.values()),
        dead_letters=verdict.letters,
        lost=len(verdict.lost),
        repeated=len(verdict.repeated),
        disordered=len(verdict.disordered),
        invented=len(verdict.invented),
        letters_lost=len(verdict.letters_lost),
        letters_wrong=len(verdict.letters_wrong),
        letters_repeated=len(verdict.letters_repeated),
        lost_by_broker=len(verdict.lost_by_broker),
        unsound=verdict.unsound,
        injected=dict(world.faults),
        notes=dict(world.notes),
        wrong=verdict.shown(),
    )

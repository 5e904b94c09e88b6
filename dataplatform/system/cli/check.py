"""`--check`: the wiring of a topology in words, and with `--connect` whether everything in it can be reached."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from dataplatform.base.agent import Context, Entry, Runtime
from dataplatform.errors import PlatformError
from dataplatform.result import Failure
from dataplatform.system.config.checking import Problem, Problems
from dataplatform.system.config.topology import ClientSpec, Topology
from dataplatform.system.platform.servers import simulated

__all__ = ["unreachable", "wiring"]

TIMEOUT = 8.0  # seconds; the clients' own time-outs are shorter unless a topology says otherwise
ANSWERED = {"not_found", "rate_limited", "blocked", "throttled"}  # a server said so


def wiring(topology: Topology, *, demo: bool = False) -> Iterator[str]:
    """Yield the wiring, a line each."""
    in_demo = simulated(topology) if demo else set()
    for name, client in topology.clients.items():
        where = " (simulator)" if name in in_demo else " (embedded)" if client.embedded else ""
        yield f"client  {name:<20} {client.kind}{where}"
    for name, target in topology.targets.items():
        letters = ", takes dead letters" if name == topology.dead_letters else ""
        yield f"target  {name:<20} {target.cls.technology} through {target.options.client}{letters}"
    for name, source in topology.sources.items():
        idle = "" if topology.targets_of(name) else ", on no route: it answers questions only"
        yield f"source  {name:<20} {source.cls.technology} through {source.options.client}{idle}"
    for name, service in topology.services.items():
        yield f"service {name:<20} {service.cls.technology}"
    for name in topology.sources:
        if targets := topology.targets_of(name):
            yield f"route   {name} -> {', '.join(targets)}"


def unreachable(topology: Topology, *, demo: bool = False) -> Problems:
    """Return which clients cannot be reached, why, and what to do; all are tried at once.

    Embedded servers and the simulator are started by a run, and not asked.
    """
    asked = {
        name: spec
        for name, spec in topology.clients.items()
        if not (spec.embedded or (demo and name in simulated(topology)))
    }
    runtime = Runtime.start()
    try:
        with ThreadPoolExecutor(max(1, len(asked))) as pool:
            errors = pool.map(lambda item: _probe(runtime, *item), asked.items())
            return [_problem(name, asked[name], error) for name, error in zip(asked, errors, strict=True) if error]
    finally:
        runtime.stop()


def _problem(name: str, spec: ClientSpec, error: PlatformError) -> Problem:
    at = ("clients", name, spec.technology.place)
    return Problem(at, f"client {name!r}: {error.message}; {error.remedy or spec.technology.remedy}")


def _probe(runtime: Runtime, name: str, spec: ClientSpec) -> PlatformError | None:
    """Start the first agent of the client, ask it for a sign of life, and stop it."""
    technology = spec.technology
    agent = technology.agents(name, spec.settings, written=True)[0]
    context = Context(agent.name, runtime, _Nobody())
    entry = Entry(agent.kind, 1, context.vitals)
    runtime.directory.enter(agent.name, entry)
    entry.ref = ref = agent.factory(context)
    answer = runtime.directory.address(agent.name).ask(technology.sign_of_life(), TIMEOUT)
    context.stopping.set()
    ref.stop(block=False)
    return answer.error if isinstance(answer, Failure) and answer.error.code not in ANSWERED else None


class _Nobody:
    """Nobody supervises a probe."""

    def tell(self, message: object, /) -> None:
        del message

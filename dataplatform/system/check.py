"""`--check`: the wiring of a topology in words, and with `--connect` whether everything in it can be reached."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dataplatform.base.agent import Context, Request, Runtime
from dataplatform.base.database import Probe, TimescaleClient
from dataplatform.base.http import Get, HttpClient
from dataplatform.base.streaming import CountRecords, RedpandaProducer
from dataplatform.result import Failure, Result
from dataplatform.system.assembly import EMBEDDED
from dataplatform.system.topology import ClientSpec, Topology

__all__ = ["unreachable", "wiring"]

TIMEOUT = 15.0


def wiring(topology: Topology) -> Iterator[str]:
    """Yield the wiring, a line each."""
    for name, client in topology.clients.items():
        yield f"client  {name:<20} {client.kind}{' (embedded)' if _is_embedded(client) else ''}"
    for name, target in topology.targets.items():
        letters = ", takes dead letters" if name == topology.dead_letters else ""
        yield f"target  {name:<20} {target.cls.technology} through {target.options.client}{letters}"
    for name, source in topology.sources.items():
        yield f"source  {name:<20} {source.cls.technology} through {source.options.client}"
    for route in topology.routes:
        yield f"route   {route.source} -> {', '.join(route.targets)}"


def unreachable(topology: Topology) -> list[tuple[str, str]]:
    """Return the clients that cannot be reached, and why; embedded servers are started by a run, and not asked."""
    runtime = Runtime.start()
    try:
        found = []
        for name, spec in topology.clients.items():
            if not _is_embedded(spec) and isinstance(answer := _probe(runtime, name, spec), Failure):
                found.append((name, str(answer.error)))
        return found
    finally:
        runtime.stop()


def _is_embedded(spec: ClientSpec) -> bool:
    return getattr(spec.settings, "dsn", "") == EMBEDDED or getattr(spec.settings, "brokers", ()) == (EMBEDDED,)


def _probe(runtime: Runtime, name: str, spec: ClientSpec) -> Result[object]:
    context = Context(name, runtime, _Nobody())
    ref: Any
    request: Request[Any]
    match spec.kind:
        case "http":
            ref, request = HttpClient.start(context, spec.settings), Get("/ping")
        case "timescale":
            ref, request = TimescaleClient.start(context, spec.settings), Probe()
        case _:
            ref, request = RedpandaProducer.start(context, spec.settings), CountRecords(())
    try:
        answer: Result[object] = ref.ask(request, block=True, timeout=TIMEOUT)
        return answer
    finally:
        ref.stop(block=True, timeout=TIMEOUT)


class _Nobody:
    """Nobody supervises a probe."""

    def tell(self, message: object, /) -> None:
        del message

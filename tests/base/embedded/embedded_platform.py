"""A small platform in a process of its own, to be killed: `python embedded_platform.py DATA_DIR` runs both servers.

It prints one line of JSON when both are ready, and stops them when its standard input ends.
"""

from __future__ import annotations

import json
import queue
import sys
from pathlib import Path
from typing import Any

from dataplatform.base.agent import Context, Ready, Runtime, Terminated
from dataplatform.base.embedded import DataDirectory, EmbeddedBroker, EmbeddedPostgres, broker_address, postgres_dsn
from tests.support.waiting import DEADLINE


class Parent:
    def __init__(self) -> None:
        self.told: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def tell(self, message: Any) -> None:
        self.told.put(message)


def main(data_dir: Path) -> None:
    runtime = Runtime.start()
    with DataDirectory(data_dir):
        address = broker_address(data_dir)
        specs = [EmbeddedPostgres.child("postgres", data_dir), EmbeddedBroker.child("broker", data_dir, address)]
        parent = Parent()
        contexts = [Context(spec.name, runtime, parent) for spec in specs]
        actors = [spec.factory(context) for spec, context in zip(specs, contexts, strict=True)]
        for _ in specs:
            assert isinstance(parent.told.get(timeout=DEADLINE), Ready)
        degraded = [str(context.vitals.degraded) for context in contexts if context.vitals.degraded]
        said = {"dsn": postgres_dsn(data_dir), "address": address, "degraded": degraded}
        sys.stderr.flush()
        print("ready", json.dumps(said), flush=True)  # noqa: T201
        sys.stdin.read()
        for actor in actors:
            actor.stop(block=False)
        for _ in specs:
            assert isinstance(parent.told.get(timeout=DEADLINE), Terminated)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

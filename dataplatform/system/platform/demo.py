"""Servers to try things out on: the simulated CoinGecko, PostgreSQL and a broker, for the length of a `with`."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import evolve, frozen

from dataplatform.base.database import TimescaleSettings
from dataplatform.base.embedded import DataDirectory
from dataplatform.base.mcp import McpSettings
from dataplatform.base.streaming import RedpandaSettings
from dataplatform.output import take_any_text
from dataplatform.system.config.topology import ClientSpec, Topology, default_topology
from dataplatform.system.platform.assembly import Assembly
from dataplatform.system.platform.factories import HOSTED
from dataplatform.system.platform.root import Root
from dataplatform.system.platform.servers import simulated

__all__ = ["DemoServers", "demo_option", "demo_servers"]

START_TIMEOUT = 60.0  # seconds


@frozen
class DemoServers:
    """What the clients of the servers need."""

    coingecko: McpSettings
    timescale: TimescaleSettings
    redpanda: RedpandaSettings


@contextmanager
def demo_servers(data_dir: Path | None = None) -> Iterator[DemoServers]:
    """Run the servers of `--demo`; what they hold is gone afterwards, unless it is kept in `data_dir`.

    Raises `Permanent` for what is not installed and for a data directory in use, `Transient` when they do not start.
    """
    with ExitStack() as stack:
        folder = data_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dataplatform-")))
        data = stack.enter_context(DataDirectory(folder))
        assembly, root = Assembly(), Root()
        stack.callback(root.stop)
        topology = assembly.servers.join(_topology(), data.path, demo=True)
        assembly.add(assembly.servers.specs.values())
        root.start(assembly.specs)
        root.require_ready(START_TIMEOUT)
        coingecko, redpanda, timescale = (spec.settings for spec in topology.clients.values())
        yield DemoServers(coingecko, timescale, redpanda)


def demo_option(description: str | None) -> bool:
    """Return whether a script was given `--demo`; shows its `--help`, and refuses anything else.

    What the script prints from then on is shown as far as the terminal can.
    """
    take_any_text()
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", action="store_true", help="on simulated prices and servers that it brings along")
    return bool(parser.parse_args().demo)


def _topology() -> Topology:
    """Return the clients of the main job, that of CoinGecko for MCP."""
    main = default_topology()
    (coingecko,) = simulated(main)
    return evolve(main, clients={**main.clients, coingecko: ClientSpec.of(HOSTED)})

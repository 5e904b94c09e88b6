"""Topologies for tests: the main job, with what a test needs to be different."""

from __future__ import annotations

from pathlib import Path

MAIN_JOB = """
[system]
{system}

[clients.coingecko-http]
kind = "http"
base_url = "{base_url}"

[clients.redpanda]
kind = "redpanda"
brokers = "embedded"

[clients.timescale]
kind = "timescale"
dsn = "embedded"

[sources.coingecko]
kind = "coingecko"
client = "coingecko-http"
feeds = [{feeds}]

[sources.topics]
kind = "redpanda"
client = "redpanda"

[targets.stream]
kind = "redpanda"
client = "redpanda"

[targets.database]
kind = "timescale"
client = "timescale"

[[routes]]
from = "coingecko"
to = ["stream"]

[[routes]]
from = "topics"
to = ["database"]
"""
QUICK_FEED = '{ operation = "get_current_prices", top = 50, every = "200ms" }'
NO_FEED = ""


def main_job(
    folder: Path, *, feeds: str = QUICK_FEED, base_url: str = "https://api.coingecko.com/api/v3", system: str = ""
) -> Path:
    """Write the main job to a file in the folder and return its path."""
    file = folder / "topology.toml"
    file.write_text(MAIN_JOB.format(feeds=feeds, base_url=base_url, system=system), encoding="utf-8")
    return file

"""A platform without servers: a source on an address where nobody answers, and so nothing to wait for."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dataplatform.system.config.topology import load_topology
from dataplatform.system.platform.platform import Platform

SMALL = """
[clients.http]
kind = "http"
base_url = "http://127.0.0.1:9/api"

[sources.coingecko]
kind = "coingecko"
client = "http"
"""


@contextmanager
def small_platform(data_dir: Path) -> Iterator[Platform]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "small.toml"
        file.write_text(SMALL, encoding="utf-8")
        topology = load_topology(file)
    with Platform.start(topology, data_dir=data_dir) as platform:
        yield platform

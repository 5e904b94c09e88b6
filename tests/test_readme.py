"""The README is true: its topology is valid, its script runs, its example of a source is a source."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from dataplatform.base.agent import Context, Entry, Runtime
from dataplatform.base.http import HttpClient, HttpSettings
from dataplatform.result import Success
from dataplatform.system.topology import parse_topology
from tests.support.waiting import DEADLINE

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_topology_of_the_readme_is_valid() -> None:
    (text,) = blocks("toml")

    topology = parse_topology(text, environ={"COINGECKO_API_KEY": "CG-key", "DATABASE_URL": "postgresql://db/prices"})

    assert [route.source for route in topology.routes] == ["coingecko", "topics"]


def test_the_script_of_the_readme_prints_simulated_prices(tmp_path: Path) -> None:
    script = next(block for block in blocks("python") if "Platform.start" in block)

    ran = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"XDG_DATA_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    prices = [line for line in ran.stdout.splitlines() if line.endswith("simulator")]
    assert [line.split()[0] for line in prices] == ["bitcoin", "ethereum"]


@pytest.fixture
def spot_server() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"id": self.path.rsplit("/", 1)[1], "symbol": "x", "price": 1.5}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class Nobody:
    def tell(self, message: object, /) -> None:
        del message


def test_the_source_of_the_readme_reads_prices(spot_server: str) -> None:
    code = next(block for block in blocks("python") if "class SpotSource" in block)
    names: dict[str, Any] = {}
    exec(code, names)
    runtime = Runtime.start()
    contexts = {name: Context(name, runtime, Nobody()) for name in ("http", "spot")}
    http = HttpClient.start(contexts["http"], HttpSettings(base_url=spot_server))
    runtime.directory.enter("http", Entry("client", 1, contexts["http"].vitals, http))
    options = names["SpotOptions"](client="http", coins=("bitcoin",))
    spot = names["SpotSource"].start(contexts["spot"], options, "http")

    answer = spot.proxy().get_current_prices(["bitcoin"]).get(timeout=DEADLINE)

    assert isinstance(answer, Success)
    assert [(price.coin_id, price.usd_price, price.source) for price in answer.data] == [("bitcoin", 1.5, "spot")]
    spot.stop(timeout=5)
    http.stop(timeout=5)
    runtime.stop()
